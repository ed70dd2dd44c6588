package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ecluse/internal/audit"
	"ecluse/internal/disk"
	"ecluse/internal/disk/diskfault"
	"ecluse/protocol/bundle"
	"ecluse/protocol/racing"
)

// recordIn is a record in a state, with what such a one may have.
func recordIn(s State) *Record {
	r := &Record{Bundle: id(1), State: s}
	describe(r)
	if s == Refused {
		r.Reason = ptr(string(bundle.ReasonDiskFull))
	}
	return r
}

func TestEveryTransitionOfTheTableHasItsEntry(t *testing.T) {
	walked := 0
	for from := range next {
		for _, to := range append(States(), from) {
			var before *Record
			if from != "" {
				before = recordIn(from)
			}
			after := recordIn(to)
			after.Changed = start
			if from == to || before.follow(after) != nil {
				continue
			}
			walked++
			list := Entries(before, after, start)
			if len(list) != 1 || list[0].Event != string(to) || list[0].State != string(to) || list[0].Bundle != after.Bundle.String() || list[0].Tenant != "t" || list[0].Sender != "s" {
				t.Errorf("%q to %q: %+v", from, to, list)
				continue
			}
			if _, err := list[0].Line(); err != nil {
				t.Errorf("%q to %q: %v", from, to, err)
			}
		}
	}
	edges := 1 // refused for want of room, and offered again
	for _, to := range next {
		edges += len(to)
	}
	if walked != edges {
		t.Errorf("%d transitions were walked of %d", walked, edges)
	}
}

func TestAnEntryTakesAlongWhatItTellsOf(t *testing.T) {
	before := recordIn(Quarantined)
	before.Inspections = []Inspection{{Inspector: "policy", Verdict: Clean, At: start}}
	before.Decisions = []Decision{{Approve: true, Who: "ada", At: start}}
	before.Deliveries = []Delivery{{Destination: "/a"}, {Destination: "/b", Error: "full"}}
	for name, c := range map[string]struct {
		change       func(r *Record)
		events, data string
	}{
		"nothing":            {func(*Record) {}, "", ""},
		"another time":       {func(r *Record) { r.Changed = start.Add(time.Hour) }, "", ""},
		"another inspection": {func(r *Record) { r.Inspections[0].At = start.Add(1) }, "inspected", `"inspector":"policy"`},
		"another inspector": {func(r *Record) {
			r.Inspections = append(r.Inspections, Inspection{Inspector: "clamd", Verdict: Flagged})
		}, "inspected", `"inspector":"clamd"`},
		"somebody has seen it": {func(r *Record) { r.Inspections[0].Seen = &Sight{Who: "eve"} }, "seen", `"who":"eve"`},
		"an officer decides": {func(r *Record) {
			r.Decisions = append(r.Decisions, Decision{Who: "bob", Officer: "carol", Signature: "sig"})
		}, "decided", `"signature":"sig"`},
		"a verdict":  {func(r *Record) { v := Flagged; r.Verdict = &v }, "judged", ""},
		"a reason":   {func(r *Record) { r.Reason = ptr("epoch-new") }, "judged", ""},
		"a decision": {func(r *Record) { r.Decisions = append(r.Decisions, Decision{Who: "bob", Reason: "why"}) }, "decided", `"reason":"why"`},
		"decided and approved": {func(r *Record) {
			r.Decisions = append(r.Decisions, Decision{Approve: true, Who: "bob"})
			r.State = Approved
		}, "decided approved", `"who":"bob"`},
		"delivered":                  {func(r *Record) { r.Deliveries[0].Done = ptr(start) }, "delivered", `"destination":"/a"`},
		"delivered after all":        {func(r *Record) { r.Deliveries[1].Done, r.Deliveries[1].Error = ptr(start), "" }, "delivered", `"destination":"/b"`},
		"not delivered":              {func(r *Record) { r.Deliveries[0].Error = "full" }, "undelivered", `"error":"full"`},
		"begun to be delivered":      {func(r *Record) { r.Deliveries[0].Name = "x" }, "delivering", `"name":"x"`},
		"delivered, and so imported": {func(r *Record) { r.Deliveries[0].Done = ptr(start); r.State = Imported }, "delivered imported", ""},
		"still not delivered":        {func(r *Record) { r.Deliveries[1].Inode = 5 }, "", ""},
		"its content is gone":        {func(r *Record) { r.Purged = ptr(start) }, "cleared", ""},
		"its manifest is known":      {func(r *Record) { r.Manifest = &Manifest{Digest: digest(1)}; r.State = Approved }, "approved", digest(1).String()},
	} {
		after := before.clone()
		c.change(after)
		var events []string
		var data []byte
		for _, e := range Entries(before, after, start) {
			events, data = append(events, e.Event), append(data, e.Data...)
		}
		if got := strings.Join(events, " "); got != c.events || !strings.Contains(string(data), c.data) {
			t.Errorf("%s: %q with %s", name, got, data)
		}
	}
	// Whatever else stands in a decision goes along: it is copied as the record has it.
	d := Decision{Approve: true, Who: "ada", UID: 7, Reason: "r", At: start}
	after := before.clone()
	after.Decisions = append(after.Decisions, d)
	want, err := json.Marshal(d)
	if got := Entries(before, after, start)[0].Data; err != nil || !bytes.Equal(got, want) {
		t.Errorf("the entry has %s, the record %s", got, want)
	}
}

// What an approved record says of attempts is no part of its digest, whatever a destination calls what it has begun; all else is, and so is what was begun of one that has ended.
func TestADigestIsOneOfWhatTheLogTells(t *testing.T) {
	digest := func(s State, change func(r *Record)) string {
		r := recordIn(s)
		r.Name = ptr(`x,"state":"approved","begun":"7"`)
		r.Deliveries = []Delivery{{Destination: "a", Error: "full"}, {Destination: "b", Error: "full"}}
		change(r)
		return digestOf(asJSON(r))
	}
	bare := func(*Record) {}
	begun := func(text string) func(*Record) { return func(r *Record) { r.Deliveries[1].Begun = text } }
	for name, row := range map[string]struct {
		state  State
		change func(r *Record)
		same   bool
	}{
		"an attempt":                      {Approved, func(r *Record) { r.Deliveries[1].Retry = true }, true},
		"what it has begun":               {Approved, begun("upload 7"), true},
		"and at both":                     {Approved, func(r *Record) { r.Deliveries[0].Begun, r.Deliveries[1].Begun, r.Deliveries[1].Retry = "7", "8", true }, true},
		"in the strangest words":          {Approved, begun(`\" \\",'{}<&>` + "\n\x00\xff\u2028"), true},
		"another error":                   {Approved, func(r *Record) { r.Deliveries[1].Error = "fuller" }, false},
		"an error that looks like it":     {Approved, func(r *Record) { r.Deliveries[1].Error = `full,"begun":"7"` }, false},
		"what was begun and is not ended": {Rejected, begun("upload 7"), false},
		"another name":                    {Approved, func(r *Record) { r.Name = ptr(`x,"state":"approved","begun":"8"`) }, false},
	} {
		if got := digest(row.state, row.change) == digest(row.state, bare); got != row.same {
			t.Errorf("%s: the digest is the same: %v", name, got)
		}
	}
}

// audited is a book with its log, over any disk.
type audited struct {
	*Ledger
	log   *audit.Log
	stop  context.CancelFunc
	ended chan error
}

func openAudited(dir string, d *disk.Disk) (*audited, error) {
	var mu sync.Mutex
	clock := start
	now := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		clock = clock.Add(time.Second)
		return clock
	}
	l, err := Open(context.Background(), dir, d, now)
	if err != nil {
		return nil, err
	}
	a, err := audit.Open(audit.Options{Dir: audit.Dir(dir), Disk: d, Origin: "test", Now: now})
	if err == nil {
		err = l.SetAudit(a)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close(false))
	}
	ctx, stop := context.WithCancel(context.Background())
	b := &audited{l, a, stop, make(chan error, 1)}
	go func() { b.ended <- b.Run(ctx) }()
	return b, nil
}

func (b *audited) end(clean bool) error {
	b.stop()
	err := <-b.ended
	return errors.Join(err, b.Close(clean && err == nil), b.log.Close())
}

// verified holds the log of a state against itself and its records.
func verifyState(dir string) []string {
	r, err := audit.Verify(audit.Reader{Disk: disk.New(), Dir: audit.Dir(dir)}, nil, "", Digests(disk.New(), dir))
	if err != nil {
		return []string{err.Error()}
	}
	var faults []string
	for _, f := range r.Faults {
		faults = append(faults, f.Text)
	}
	return faults
}

// change is one change of a script, and whether it was acknowledged.
type change struct {
	bundle int
	state  State
	done   bool
}

// script has bundles do everything that there is: to be received, released, delivered, refused, offered again, rejected, abandoned, purged, and a pairing; some at the same time.
func script(b *audited) (made []change) {
	var mu sync.Mutex
	step := func(n int, s State) {
		err := b.Change(context.Background(), id(n), func(r *Record) error {
			if r.State == "" {
				describe(r)
			}
			if r.State, r.Reason = s, nil; s == Refused {
				r.Reason = ptr(string(bundle.ReasonQuota))
			}
			if s == Quarantined {
				r.Manifest, r.Sequence = &Manifest{Digest: digest(n)}, ptr(uint64(n))
			}
			return nil
		})
		mu.Lock()
		made = append(made, change{n, s, err == nil})
		mu.Unlock()
	}
	_ = b.Pair(context.Background(), "s", paired)
	for _, wave := range [][]change{
		{{1, Receiving, false}, {2, Receiving, false}, {3, Refused, false}, {4, Receiving, false}},
		{{1, Quarantined, false}, {2, Quarantined, false}, {3, Receiving, false}, {4, Abandoned, false}},
		{{1, Approved, false}, {2, Rejected, false}, {3, Quarantined, false}},
		{{1, Imported, false}, {3, Approved, false}},
	} {
		var all sync.WaitGroup
		for _, c := range wave {
			all.Go(func() { step(c.bundle, c.state) })
		}
		all.Wait()
	}
	err := b.Purge(context.Background(), []bundle.ID{id(2)})
	return append(made, change{2, "", err == nil})
}

func TestWhateverCutsACommitShortTheLogTellsWhatStands(t *testing.T) {
	opened, whole := acts(t)
	if whole < opened+50 {
		t.Fatalf("the script has %d acts only, and %d of them to open", whole, opened)
	}
	struck := map[diskfault.What]int{}
	for at := 1; at <= whole; at += racing.Stride {
		others := []diskfault.What{diskfault.Torn, diskfault.ErrorOnce, diskfault.FullOnce, diskfault.Short, diskfault.Kill}
		losses := []diskfault.Loss{diskfault.Loose, diskfault.Ordered, diskfault.Killed}
		for i, what := range []diskfault.What{diskfault.Kill, others[at%len(others)]} {
			if at < opened && (at+i)%4 > 0 {
				continue // internal/points strikes each act of a start
			}
			loss := []diskfault.Loss{diskfault.Loose, losses[at%3]}[i]
			if strike(t, at, uint64(i), what, loss) {
				struck[what]++
			}
			if t.Failed() {
				return
			}
		}
	}
	if len(struck) < 5 {
		t.Errorf("not every fault has struck: %v", struck)
	}
}

// acts counts what is done on the disk until the state is open, and until the script is over.
func acts(t *testing.T) (opened, whole int) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	m, err := diskfault.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	life := m.Begin()
	b, err := openAudited(dir, disk.Watched(life))
	if err != nil {
		t.Fatal(err)
	}
	opened, _ = life.Acts()
	for _, c := range script(b) {
		if !c.done {
			t.Fatalf("bundle %d is not %q", c.bundle, c.state)
		}
	}
	if err := b.end(true); err != nil {
		t.Fatal(err)
	}
	whole, _ = life.Acts()
	if faults := verifyState(dir); len(faults) > 0 {
		t.Fatal(faults)
	}
	return opened, whole
}

// strike lets one fault strike at one act of the script, and looks at what is found at the next start, and after it.
func strike(t *testing.T, at int, seed uint64, what diskfault.What, loss diskfault.Loss) bool {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	m, err := diskfault.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	life := m.Begin()
	life.Arm(diskfault.Fault{What: what, At: at})
	var made []change
	if b, err := openAudited(dir, disk.Watched(life)); err == nil {
		made = script(b)
		life.Kill()
		_ = b.end(false)
	}
	name := fmt.Sprintf("%v at act %d, %v", what, at, loss)
	if err := m.Crash(rand.New(rand.NewPCG(uint64(at), seed)), loss); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	m.Begin()
	b, err := openAudited(dir, disk.New())
	if err != nil {
		t.Errorf("%s: the next start: %v", name, err)
		return true
	}
	if b.log.Aside() {
		t.Errorf("%s: the log was set aside: %v", name, b.log.Findings())
	}
	if err := b.end(true); err != nil {
		t.Errorf("%s: the next start ends: %v", name, err)
	}
	if faults := verifyState(dir); len(faults) > 0 {
		t.Errorf("%s: %v", name, faults)
	}
	for _, text := range contradictions(t, dir, made) {
		t.Errorf("%s: %s", name, text)
	}
	return m.Fired()[what] > 0
}

// contradictions holds the log against what was acknowledged and what is on record at the end.
func contradictions(t *testing.T, dir string, made []change) (texts []string) {
	t.Helper()
	all, err := (audit.Reader{Disk: disk.New(), Dir: audit.Dir(dir)}).List(audit.Query{})
	if err != nil {
		return []string{err.Error()}
	}
	entries := make(map[string][]audit.Entry)
	for _, e := range all {
		entries[e.Bundle] = append(entries[e.Bundle], e)
	}
	for n := range 5 {
		r, err := ReadRecord(disk.New(), dir, id(n))
		if err == nil && !slices.ContainsFunc(entries[id(n).String()], func(e audit.Entry) bool { return e.Event == string(r.State) }) {
			texts = append(texts, fmt.Sprintf("bundle %d is %s, and no entry tells how it became that", n, r.State))
		}
	}
	for _, c := range made {
		event := string(c.state)
		if c.state == "" {
			event = "purged"
		}
		mine := entries[id(c.bundle).String()]
		n := 0
		for _, e := range mine {
			if e.Event == event {
				n++
			}
		}
		lost := slices.ContainsFunc(mine, func(e audit.Entry) bool { return e.Event == "stands" })
		stored := c.state.Stored() || c.state == ""
		switch {
		case c.state == "" && !slices.ContainsFunc(made, func(o change) bool { return o.bundle == c.bundle && o.state == Rejected && o.done }): // it had not ended
		case c.done && stored && n == 0: // of what is not stored a power cut may take the entry as well
			texts = append(texts, fmt.Sprintf("bundle %d became %q, and no entry says so", c.bundle, c.state))
		case n > 1:
			texts = append(texts, fmt.Sprintf("bundle %d became %q, and %d entries say so", c.bundle, c.state, n))
		case !c.done && n > 0 && c.state.Stored() && !lost:
			if r, err := ReadRecord(disk.New(), dir, id(c.bundle)); err != nil || r.State != c.state {
				texts = append(texts, fmt.Sprintf("bundle %d did not become %q, and an entry says so that nothing takes back", c.bundle, c.state))
			}
		}
	}
	return texts
}

// A state of before the log was kept: what is on record is told once.
func TestAnOlderStateIsTakenUp(t *testing.T) {
	dir := t.TempDir()
	old := open(t, dir)
	old.goes(1, Receiving, Quarantined, Approved)
	old.goes(2, Refused)
	old.end(true)
	for range 2 {
		b, err := openAudited(dir, disk.New())
		if err != nil {
			t.Fatal(err)
		}
		if err := b.end(true); err != nil {
			t.Fatal(err)
		}
		all, err := (audit.Reader{Disk: disk.New(), Dir: audit.Dir(dir)}).List(audit.Query{})
		if err != nil || len(all) != 3 || all[1].Event != "known" || all[2].Event != "known" {
			t.Errorf("%+v, %v", all, err)
		}
		if faults := verifyState(dir); len(faults) > 0 {
			t.Error(faults)
		}
	}
}

func TestALogThatIsGoneOrOlderIsNoticedAtTheNextStart(t *testing.T) {
	for name, forge := range map[string]func(dir, older string) error{
		"it is gone": func(dir, _ string) error { return os.RemoveAll(audit.Dir(dir)) },
		"it is older": func(dir, older string) error {
			return errors.Join(os.RemoveAll(audit.Dir(dir)), os.CopyFS(audit.Dir(dir), os.DirFS(older)))
		},
		"it is cut": func(dir, _ string) error {
			return os.Truncate(filepath.Join(audit.Dir(dir), "entries", "0000000000000000"), 300)
		},
		"nothing is new": nil,
	} {
		dir, older := t.TempDir(), filepath.Join(t.TempDir(), "audit")
		for life := range 2 {
			b, err := openAudited(dir, disk.New())
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range []State{Receiving, Quarantined, Approved} {
				err := b.Change(t.Context(), id(life), func(r *Record) error { describe(r); r.State = s; return nil })
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := b.end(true); err != nil {
				t.Fatal(err)
			}
			if life == 0 {
				if err := os.CopyFS(older, os.DirFS(audit.Dir(dir))); err != nil {
					t.Fatal(err)
				}
			}
		}
		if forge != nil {
			if err := forge(dir, older); err != nil {
				t.Fatal(err)
			}
		}
		for life := range 2 {
			b, err := openAudited(dir, disk.New())
			if err != nil {
				t.Fatal(err)
			}
			if b.log.Aside() != (forge != nil && life == 0) {
				t.Errorf("%s, start %d: set aside: %v, %v", name, life, b.log.Aside(), b.log.Findings())
			}
			if err := b.end(true); err != nil {
				t.Fatal(err)
			}
			if faults := verifyState(dir); len(faults) > 0 {
				t.Errorf("%s, start %d: %v", name, life, faults)
			}
		}
	}
}

func TestARecordThatSomebodyEditsIsFound(t *testing.T) {
	dir := t.TempDir()
	b, err := openAudited(dir, disk.New())
	if err != nil {
		t.Fatal(err)
	}
	script(b)
	if err := b.end(true); err != nil {
		t.Fatal(err)
	}
	path := RecordPath(dir, id(1))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var r Record
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&r); err != nil || r.State != Imported {
		t.Fatalf("%s: %v", text, err)
	}
	edited := bytes.Replace(text, []byte(`"imported"`), []byte(`"rejected"`), 1)
	for what, forged := range map[string][]byte{"edited": edited, "gone": nil} {
		err := os.WriteFile(path, forged, 0o600)
		if forged == nil {
			err = os.Remove(path)
		}
		if err != nil {
			t.Fatal(err)
		}
		if faults := verifyState(dir); len(faults) != 1 {
			t.Errorf("%s: %v", what, faults)
		}
	}
}

// BenchmarkBundles takes bundles from their offer to their import, many at once, with a log and without.
func BenchmarkBundles(b *testing.B) {
	for _, with := range []bool{false, true} {
		b.Run(map[bool]string{false: "without-audit", true: "with-audit"}[with], func(b *testing.B) {
			dir := b.TempDir()
			d := disk.New()
			l, err := Open(b.Context(), dir, d, time.Now)
			if err == nil && with {
				var a *audit.Log
				if a, err = audit.Open(audit.Options{Dir: audit.Dir(dir), Disk: d, Origin: "test", Now: time.Now}); err == nil {
					err = l.SetAudit(a)
				}
			}
			if err != nil {
				b.Fatal(err)
			}
			ctx, stop := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- l.Run(ctx) }()
			slots := make(chan struct{}, 256)
			var all sync.WaitGroup
			b.ResetTimer()
			for n := range b.N {
				slots <- struct{}{}
				all.Go(func() {
					defer func() { <-slots }()
					for _, s := range []State{Receiving, Quarantined, Approved, Imported} {
						err := l.Change(context.Background(), bundle.ID{1, byte(n >> 16), byte(n >> 8), byte(n)}, func(r *Record) error {
							if r.State == "" {
								describe(r)
							}
							if r.State = s; s == Quarantined {
								r.Manifest, r.Sequence = &Manifest{Digest: digest(n)}, ptr(uint64(n+1))
							}
							return nil
						})
						if err != nil {
							b.Error(err)
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "bundles/s")
			b.StopTimer()
			stop()
			if err := errors.Join(<-ended, l.Close(true)); err != nil {
				b.Fatal(err)
			}
		})
	}
}
