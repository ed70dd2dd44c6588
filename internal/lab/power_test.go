package lab

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestSoakPowerCut is, from outside, a disk that lost its newest moments: the real programs on loop-mounted file systems, of which one side's are shut down at random moments, as when the
// power goes. What was not durable may be lost. Each time the daemon says what happened and ends, or has no use for the disk; it starts on what the log's replay left; and what it had said
// to have is still there. At the end everything that was dropped has arrived, once, as it was.
func TestSoakPowerCut(t *testing.T) {
	times := soak(t, "ECLUSE_SOAK_POWERCUT")
	seed := seedOf(t)
	for _, kind := range []string{"ext4", "xfs"} {
		for done := 0; done < times; done += cutsOfALab {
			n := min(cutsOfALab, times-done)
			// Every second lab has spool and import on disks of their own.
			apart := (kind == "xfs") != (done/cutsOfALab%2 == 1)
			ok := t.Run(fmt.Sprintf("%s, cuts %d to %d, apart %v", kind, done+1, done+n, apart), func(t *testing.T) {
				powerCuts(t, kind, apart, n, rand.New(rand.NewPCG(seed, uint64(len(kind)<<32|done))))
			})
			if !ok {
				t.FailNow()
			}
		}
	}
	t.Logf("soak powercut: %d done", times)
}

// cutsOfALab is how many cuts one pair of sides lives through.
const cutsOfALab = 50

// seedOf draws what the random moments of a run are made of, or takes it from ECLUSE_SEED. The moments are the same then; what the machine does in them need not be.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("ECLUSE_SEED"); s != "" {
		_, err := fmt.Sscan(s, &seed)
		must(t, err)
	}
	t.Logf("seed %d (ECLUSE_SEED=%d)", seed, seed)
	return seed
}

// outage is one lab whose power fails.
type outage struct {
	*lab
	rng     *rand.Rand
	volumes map[*side][]*volume
	made    int
	cuts    int
	want    map[string]map[string]entry // dropped for good: it has to arrive
	maybe   map[string]map[string]entry // send did not say that it had taken it: it may arrive

	mu      sync.Mutex
	tally   map[string]int
	said    map[*side]map[string]string // the best state that a side has listed of a bundle
	numbers map[string]uint64           // of bundles, as the low side listed them
	tasks   sync.WaitGroup
	quit    chan struct{}
}

func powerCuts(t *testing.T, kind string, apart bool, cuts int, rng *rand.Rand) {
	need(t, "mkfs.ext4", "mkfs.xfs", "losetup")
	o := &outage{rng: rng, volumes: map[*side][]*volume{}, want: map[string]map[string]entry{}, maybe: map[string]map[string]entry{}, tally: map[string]int{}, numbers: map[string]uint64{}}
	var low, high []*volume
	prepare := func(l *lab) {
		ground(t, l.dir)
		low = append(low, makeVolume(t, kind, filepath.Join(l.dir, "low.image"), filepath.Join(l.dir, "low")))
		high = append(high, makeVolume(t, kind, filepath.Join(l.dir, "high.image"), filepath.Join(l.dir, "high")))
		if apart {
			low = append(low, makeVolume(t, kind, filepath.Join(l.dir, "spool.image"), filepath.Join(l.dir, "low", "outbox")))
			high = append(high, makeVolume(t, kind, filepath.Join(l.dir, "import.image"), filepath.Join(l.dir, "high", "import")))
		}
	}
	o.lab = up(t, options{rate: "300Mbit", release: "one", passes: 2, apart: "500ms", prepare: prepare})
	o.volumes[o.low], o.volumes[o.high] = low, high
	o.said = map[*side]map[string]string{o.low: {}, o.high: {}}
	for _, v := range slices.Concat(low, high) {
		v.sync()
	}
	o.startBoth()
	for n := range cuts {
		o.round()
		if n%10 == 9 || n == cuts-1 {
			o.settle()
		}
	}
	o.ended()
	t.Logf("%d cuts, %d items: %s", cuts, o.made, strings.Join(slices.Sorted(func(yield func(string) bool) {
		for what, n := range o.tally {
			if !yield(fmt.Sprintf("%s %d", what, n)) {
				return
			}
		}
	}), ", "))
	if o.tally["hard cut"] > 0 && o.tally["unsynced file lost"] == 0 {
		t.Error("no cut lost what was not durable: nothing was tested")
	}
}

func (o *outage) count(what string) {
	o.mu.Lock()
	o.tally[what]++
	o.mu.Unlock()
}

// round is one power cut, from one of both sides to the next start.
func (o *outage) round() {
	o.t.Helper()
	o.quit = make(chan struct{})
	o.tasks.Go(o.approveAll)
	o.tasks.Go(o.watch)
	for range 1 + o.rng.IntN(3) {
		o.item()
	}
	time.Sleep(time.Duration(o.rng.IntN(2000)) * time.Millisecond)
	s := []*side{o.low, o.high}[o.rng.IntN(2)]
	how := []int{cutHard, cutHard, cutHard, cutLogged, cutSynced}[o.rng.IntN(5)]
	o.darken(s, how)
	close(o.quit)
	o.tasks.Wait()
	o.brighten(s)
	o.check()
}

// canary is a file that is written just before a cut, another one each time, and that nobody makes durable but by chance.
func (o *outage) canary(v *volume) string {
	return filepath.Join(v.at, fmt.Sprintf("canary %d", o.cuts))
}

// darken cuts a side's power, and sees its daemon end.
func (o *outage) darken(s *side, how int) {
	o.t.Helper()
	o.cuts++
	from := int64(0)
	if info, err := os.Stat(s.logPath()); err == nil {
		from = info.Size()
	}
	for _, v := range o.volumes[s] {
		write(o.t, o.canary(v), []byte("not durable"))
	}
	for _, v := range o.volumes[s] {
		v.cut(how)
	}
	o.count([]string{"soft cut", "logged cut", "hard cut"}[how])
	began := time.Now()
	code, ended := s.ends(3 * time.Second)
	text, err := os.ReadFile(s.logPath())
	must(o.t, err)
	last := string(text[from:])
	met := strings.Contains(last, "input/output error") || strings.Contains(last, "disk I/O error") || strings.Contains(last, "structure needs cleaning")
	if !ended {
		// It serves what is in memory. That is right as long as it has no use for the disk.
		o.count(s.binary + map[bool]string{false: " had no use for its disk", true: " met errors and went on"}[met])
		s.kill()
		return
	}
	o.count(s.binary + " ended")
	if code == 0 || code == 2 || !met {
		o.t.Errorf("%s ended with %d, %v after its disk was gone, and said:\n%s", s.binary, code, time.Since(began), last)
	}
}

// brighten brings the power back.
func (o *outage) brighten(s *side) {
	o.t.Helper()
	for _, v := range slices.Backward(o.volumes[s]) { // the inner ones first
		v.off()
	}
	for _, v := range o.volumes[s] {
		v.mount()
		if os.Remove(o.canary(v)) != nil {
			o.count("unsynced file lost")
		}
	}
	s.start()
	s.running()
}

// item drops something, by one of the ways there are. It was dropped when a rename into the outbox is durable, or when send has said so.
func (o *outage) item() {
	o.made++
	name := fmt.Sprintf("item %d", o.made)
	spool := o.volumes[o.low][len(o.volumes[o.low])-1]
	way := o.rng.IntN(3)
	from := filepath.Join(o.dir, "made", name)
	if way == 0 {
		from = filepath.Join(spool.at, "work", name)
	}
	o.fill(from, name)
	what := survey(o.t, from)
	if way == 0 {
		spool.sync()
		o.drop(from)
		spool.sync()
		o.want[name] = what
		return
	}
	args := []string{from}
	if way == 2 {
		args = []string{"--wait", from}
	}
	o.tasks.Go(func() {
		out, code := o.low.attempt("send", args...)
		o.mu.Lock()
		defer o.mu.Unlock()
		if code != 0 {
			o.tally["send refused"]++
			o.maybe[name] = what
			return
		}
		o.tally["send taken"]++
		o.want[name] = what
		if id, _, _ := strings.Cut(out, " "); way == 2 && len(id) == 26 {
			o.tally["send waited"]++
			o.said[o.low][id] = "sent"
		}
	})
}

// fill makes a file of a size between 1 KiB and 16 MiB, log-uniform, or a small tree.
func (o *outage) fill(p, name string) {
	if o.rng.IntN(4) > 0 {
		random(o.t, p, byte(o.made), int64(1024*math.Exp(o.rng.Float64()*math.Log(16<<10))))
		return
	}
	for i := range 1 + o.rng.IntN(200) {
		write(o.t, filepath.Join(p, fmt.Sprintf("d%d", i%7), fmt.Sprint(i)), fmt.Appendf(nil, "%d of %s", i, name))
	}
}

// approveAll releases what comes, as a person would.
func (o *outage) approveAll() {
	for o.going(100 * time.Millisecond) {
		for _, r := range o.look(o.high, "--state", "quarantined") {
			if _, code := o.high.attempt("approve", r.Bundle); code == 0 {
				o.count("approved")
				o.note(o.high, r.Bundle, "approved")
			}
		}
	}
}

// watch remembers what both sides say they have.
func (o *outage) watch() {
	for o.going(150 * time.Millisecond) {
		o.look(o.low)
		o.look(o.high)
	}
}

func (o *outage) going(pause time.Duration) bool {
	select {
	case <-o.quit:
		return false
	case <-time.After(pause):
		return true
	}
}

// look lists, where that can be done now, and remembers it.
func (o *outage) look(s *side, args ...string) []row {
	out, code := s.attempt("list", append([]string{"--json"}, args...)...)
	var rows []row
	if code != 0 || json.Unmarshal([]byte(out), &rows) != nil {
		return nil
	}
	for _, r := range rows {
		o.note(s, r.Bundle, r.State)
		if s == o.low && r.Sequence != nil {
			o.number(r)
		}
	}
	return rows
}

// ranks order the states that a side does not go back from.
var ranks = map[string]int{"quarantined": 1, "approved": 2, "imported": 3, "sent": 1}

func (o *outage) note(s *side, id, state string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if ranks[state] > ranks[o.said[s][id]] {
		o.said[s][id] = state
	}
}

// number holds that a sequence belongs to one bundle for ever.
func (o *outage) number(r row) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if have, ok := o.numbers[r.Bundle]; ok && have != *r.Sequence {
		o.t.Errorf("%s had sequence %d, and has %d", r.Bundle, have, *r.Sequence)
	}
	o.numbers[r.Bundle] = *r.Sequence
}

// check holds both sides to what they have said.
func (o *outage) check() {
	o.t.Helper()
	for _, s := range []*side{o.low, o.high} {
		now := map[string]row{}
		for _, r := range s.list() {
			now[r.Bundle] = r
		}
		for id, said := range o.said[s] {
			if ranks[now[id].State] < ranks[said] {
				o.t.Errorf("%s had said that %s is %s; now it is %q", s.binary, id, said, now[id].State)
			}
		}
	}
	for _, r := range o.high.list("--state", "quarantined") {
		if _, errs, code := o.high.try("verify", r.Bundle); code != 0 {
			o.t.Errorf("verify of %s in quarantine: exit %d, %s", r.Bundle, code, errs)
		}
		o.count("verified")
	}
	o.imported()
	if o.t.Failed() {
		o.t.FailNow()
	}
}

// imported looks at every finished name in the import directory: it is what was dropped.
func (o *outage) imported() map[string]bool {
	o.t.Helper()
	have := map[string]bool{}
	names, err := os.ReadDir(o.imports())
	must(o.t, err)
	for _, e := range names {
		name := e.Name()
		if strings.HasPrefix(name, ".") && strings.Contains(name, ".ecluse-") {
			continue // it grows
		}
		w, ok := o.want[name]
		if !ok {
			w, ok = o.maybe[name]
		}
		if !ok {
			o.t.Errorf("%q is imported: twice, or never dropped", name)
			continue
		}
		same(o.t, w, survey(o.t, filepath.Join(o.imports(), name)))
		have[name] = true
	}
	return have
}

// settle waits until all that was dropped is imported. What all passes of it were lost of, because the receiver was dead, is sent again as a person would.
func (o *outage) settle() {
	o.t.Helper()
	o.open()
	o.quit = make(chan struct{})
	o.tasks.Go(o.approveAll)
	began := time.Now()
	for again := began.Add(5 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		open := map[string]bool{}
		for name := range o.want {
			open[name] = true
		}
		rows := o.high.list()
		for _, r := range rows {
			if r.State == "imported" {
				delete(open, *r.Name)
			}
		}
		if len(open) == 0 {
			break
		}
		if time.Since(began) > time.Minute {
			o.t.Fatalf("not imported: %v\n%s\n%s", slices.Sorted(maps.Keys(open)), o.low.ask("list"), o.high.ask("list"))
		}
		if time.Now().After(again) {
			again = time.Now().Add(5 * time.Second)
			for _, r := range o.low.list("--state", "sent") {
				if r.Name != nil && open[*r.Name] {
					o.low.ask("resend", r.Bundle)
					o.count("resent")
				}
			}
		}
	}
	close(o.quit)
	o.tasks.Wait()
	have := o.imported()
	for name := range o.want {
		if !have[name] {
			o.t.Errorf("%q is listed as imported and is not there", name)
		}
		must(o.t, os.RemoveAll(filepath.Join(o.imports(), name)))
		delete(o.want, name)
	}
	for name := range have {
		must(o.t, os.RemoveAll(filepath.Join(o.imports(), name)))
		delete(o.maybe, name)
	}
	for _, v := range o.volumes[o.high] {
		v.sync() // or a cut brings back what was taken
	}
	o.check()
}

// ended holds that every bundle ended in one state, that no sequence was given twice, and that nothing contradicted anything.
func (o *outage) ended() {
	o.t.Helper()
	holders := map[uint64]string{}
	for id, n := range o.numbers {
		if other, taken := holders[n]; taken {
			o.t.Errorf("%s and %s both had sequence %d", id, other, n)
		}
		holders[n] = id
	}
	for _, r := range o.high.list() {
		if r.State != "imported" && r.State != "abandoned" {
			o.t.Errorf("%s is %s in the end: %s", r.Bundle, r.State, *cmp.Or(r.Reason, new(string)))
		}
		o.count("in the end " + r.State)
	}
}
