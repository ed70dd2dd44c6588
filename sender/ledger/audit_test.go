package ledger

import (
	"context"
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

func TestEveryTransitionOfTheTableHasItsEntry(t *testing.T) {
	walked, edges := 0, 1 // one begins by waiting
	for from := range next {
		edges += len(next[from])
	}
	for _, from := range []State{"", Waiting, Sending, Sent, Confirmed, Failed} {
		for to := range next {
			if from == to || from.follow(to) != nil {
				continue
			}
			walked++
			before, after := &Record{Bundle: id(1), Tenant: "t", State: from}, &Record{Bundle: id(1), Tenant: "t", State: to}
			list := Entries(before, after, nil)
			if len(list) != 1 || list[0].Event != string(to) || list[0].State != string(to) || list[0].Tenant != "t" {
				t.Errorf("%q to %q: %+v", from, to, list)
			}
		}
	}
	if walked != edges {
		t.Errorf("%d transitions were walked of %d", walked, edges)
	}
}

func TestAnEntryTakesAlongWhatItTellsOf(t *testing.T) {
	before := &Record{Bundle: id(1), Tenant: "t", State: Sending}
	link := &Link{Tenant: "t", Epoch: thisEpoch, Sequence: 7, Digest: bundle.Digest{9}}
	reason, seven := "name", uint64(7)
	for name, c := range map[string]struct {
		change func(r *Record)
		link   *Link
		events string
	}{
		"nothing":         {func(*Record) {}, nil, ""},
		"progress":        {func(r *Record) { r.SentBytes = 5 }, nil, ""},
		"signed":          {func(r *Record) { r.Sequence = &seven }, link, "signed"},
		"a pass":          {func(r *Record) { r.PassesDone++ }, nil, "passed"},
		"the last pass":   {func(r *Record) { r.PassesDone++; r.State = Sent }, nil, "passed sent"},
		"failed":          {func(r *Record) { r.State, r.Reason = Failed, &reason }, nil, "failed"},
		"another failure": {func(r *Record) { r.Reason = &reason }, nil, "sending"},
	} {
		after := before.clone()
		c.change(after)
		var events []string
		for _, e := range Entries(before, after, c.link) {
			events = append(events, e.Event)
			if e.Event == "signed" && (e.Sequence != 7 || !strings.Contains(string(e.Data), link.Digest.String())) {
				t.Errorf("%s: %+v", name, e)
			}
		}
		if got := strings.Join(events, " "); got != c.events {
			t.Errorf("%s: %q", name, got)
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
	now := func() time.Time { return start }
	l, err := Open(context.Background(), dir, d, thisEpoch, now)
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
	event  string
	done   bool
}

// script has bundles do everything that there is: to be claimed, signed, sent, failed, confirmed, purged; some at the same time.
func script(b *audited) (made []change) {
	var mu sync.Mutex
	step := func(n int, event string) {
		var err error
		switch event {
		case "signed":
			_, err = b.Sign(context.Background(), signer{}, manifest(n))
		case "purged":
			err = b.Purge(context.Background(), []bundle.ID{id(n)})
		default:
			err = b.Change(context.Background(), id(n), func(r *Record) error {
				if event == "waiting" {
					*r = Record{Bundle: id(n), Tenant: "default", Epoch: thisEpoch, Name: "item", Priority: bundle.Bulk, Created: start}
				}
				if r.State = State(event); r.State.Final() {
					r.Finished = &start
				}
				if event == "sent" {
					r.PassesDone++
				}
				return nil
			})
		}
		mu.Lock()
		made = append(made, change{n, event, err == nil})
		mu.Unlock()
	}
	for _, wave := range [][]change{
		{{1, "waiting", false}, {2, "waiting", false}, {3, "waiting", false}},
		{{1, "sending", false}, {2, "failed", false}, {3, "sending", false}},
		{{1, "signed", false}, {3, "signed", false}},
		{{1, "sent", false}, {3, "sent", false}},
		{{1, "confirmed", false}, {2, "purged", false}},
	} {
		var all sync.WaitGroup
		for _, c := range wave {
			all.Go(func() { step(c.bundle, c.event) })
		}
		all.Wait()
	}
	return made
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
	must(t, os.MkdirAll(dir, 0o700))
	m, err := diskfault.New(dir)
	must(t, err)
	defer m.Close()
	life := m.Begin()
	b, err := openAudited(dir, disk.Watched(life))
	must(t, err)
	opened, _ = life.Acts()
	for _, c := range script(b) {
		if !c.done {
			t.Fatalf("bundle %d is not %s", c.bundle, c.event)
		}
	}
	must(t, b.end(true))
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
	must(t, os.MkdirAll(dir, 0o700))
	m, err := diskfault.New(dir)
	must(t, err)
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
	for _, text := range append(verifyState(dir), contradictions(dir, made)...) {
		t.Errorf("%s: %s", name, text)
	}
	return m.Fired()[what] > 0
}

// contradictions holds the log against what was acknowledged and what is on record at the end.
func contradictions(dir string, made []change) (texts []string) {
	all, err := (audit.Reader{Disk: disk.New(), Dir: audit.Dir(dir)}).List(audit.Query{})
	if err != nil {
		return []string{err.Error()}
	}
	entries := make(map[string][]audit.Entry)
	for _, e := range all {
		entries[e.Bundle] = append(entries[e.Bundle], e)
	}
	for n := range 4 {
		r, err := ReadRecord(disk.New(), dir, id(n))
		if err == nil && !slices.ContainsFunc(entries[id(n).String()], func(e audit.Entry) bool { return e.Event == string(r.State) }) {
			texts = append(texts, fmt.Sprintf("bundle %d is %s, and no entry tells how it became that", n, r.State))
		}
	}
	for _, c := range made {
		n := 0
		for _, e := range entries[id(c.bundle).String()] {
			if e.Event == c.event {
				n++
			}
		}
		switch {
		case c.event == "purged" && !slices.ContainsFunc(made, func(o change) bool { return o.bundle == c.bundle && o.event == "failed" && o.done }): // it had not ended
		case c.done && n == 0:
			texts = append(texts, fmt.Sprintf("bundle %d was %s, and no entry says so", c.bundle, c.event))
		case n > 1:
			texts = append(texts, fmt.Sprintf("bundle %d was %s, and %d entries say so", c.bundle, c.event, n))
		}
	}
	return texts
}

func TestARecordThatSomebodyEditsIsFound(t *testing.T) {
	dir := t.TempDir()
	b, err := openAudited(dir, disk.New())
	must(t, err)
	script(b)
	must(t, b.end(true))
	path := filepath.Join(BundleDir(dir, id(1)), claimName)
	text, err := os.ReadFile(path)
	must(t, err)
	for what, forged := range map[string]string{"edited": strings.Replace(string(text), "confirmed", "failed", 1), "gone": ""} {
		if forged == string(text) {
			t.Fatalf("%s is not confirmed", text)
		}
		if err = os.WriteFile(path, []byte(forged), 0o600); forged == "" {
			err = os.Remove(path)
		}
		must(t, err)
		if faults := verifyState(dir); len(faults) != 1 {
			t.Errorf("%s: %v", what, faults)
		}
	}
}

func TestAnOlderStateIsTakenUp(t *testing.T) {
	dir := t.TempDir()
	old := open(t, dir)
	must(t, old.claim(1))
	must(t, old.claim(2))
	must(t, old.end(true))
	for range 2 {
		b, err := openAudited(dir, disk.New())
		must(t, err)
		must(t, b.end(true))
		all, err := (audit.Reader{Disk: disk.New(), Dir: audit.Dir(dir)}).List(audit.Query{})
		if err != nil || len(all) != 3 || all[1].Event != "known" || all[2].Event != "known" {
			t.Errorf("%+v, %v", all, err)
		}
		if faults := verifyState(dir); len(faults) > 0 {
			t.Error(faults)
		}
	}
}
