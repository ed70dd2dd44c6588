package lab

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ecluse/internal/alarm"
)

// TestSoakFull is the state of either side on a tmpfs that has room for less than what comes, in bytes or in inodes, from the start or all of a sudden. Neither
// daemon ends, nothing is taken for whole that is not, what could not be taken says so, and people can still decide. When there is room again everything goes on without a restart: on the
// low side by itself, on the high side with the next sending of what was turned away.
func TestSoakFull(t *testing.T) {
	sizes := soak(t, "ECLUSE_SOAK_FULL")
	for n := range sizes {
		free := freeOf(n, sizes)
		ok := t.Run(fmt.Sprintf("%d: %d KiB, %v", n+1, free>>10, shapeOf(n)), func(t *testing.T) {
			fills(t, free, shapeOf(n))
		})
		if !ok {
			t.FailNow()
		}
	}
	t.Logf("soak full: %d done", sizes)
}

// freeOf sweeps from half a MiB to 64: a few sizes by doubling, many in equal steps.
func freeOf(n, of int) int64 {
	const least, most = int64(512 << 10), int64(64 << 20)
	if of <= 16 {
		return min(least<<n, most)
	}
	return least + (most-least)*int64(n)/int64(of-1)
}

// shape is what is short, and when.
type shape struct {
	inodes bool // files rather than bytes
	sudden bool // during a transfer that had been admitted
	whole  bool // the import directory too, and on the low side the outbox
}

func shapeOf(n int) shape { return shape{n%4 == 3, n%2 == 1, n%3 == 2} }

func (s shape) String() string {
	var words []string
	for word, holds := range map[string]bool{"inodes": s.inodes, "sudden": s.sudden, "whole side": s.whole} {
		if holds {
			words = append(words, word)
		}
	}
	slices.Sort(words)
	return cmp.Or(strings.Join(words, ", "), "from the start")
}

// tight is one lab on two cages.
type tight struct {
	*lab
	shape
	cages map[*side]*cage
	want  map[string]map[string]entry
}

func fills(t *testing.T, free int64, s shape) {
	f := &tight{shape: s, cages: map[*side]*cage{}, want: map[string]map[string]entry{}}
	var low, high *cage
	f.lab = up(t, options{release: "one", rate: "400Mbit", prepare: func(l *lab) {
		ground(t, l.dir)
		below := "state"
		if s.whole {
			below = ""
		}
		low, high = makeCage(t, filepath.Join(l.dir, "low", below)), makeCage(t, filepath.Join(l.dir, "high", below))
	}})
	f.cages[f.low], f.cages[f.high] = low, high
	f.high.env = []string{"ECLUSE_IDLE=2s"}
	f.startBoth()
	f.give("first", func(p string) { random(t, p, 1, 1000) })
	f.await(20*time.Second, "the first item", func() bool { return len(f.lacks()) == 0 })
	f.highFills(free)
	f.lowFills(free)
	f.everything()
}

// give makes an item and has it sent; it says whether the low side took it.
func (f *tight) give(name string, make func(path string)) bool {
	f.t.Helper()
	p := filepath.Join(f.dir, "made", name)
	must(f.t, os.MkdirAll(filepath.Dir(p), 0o755))
	make(p)
	out, errs, code := f.low.try("send", p)
	if code != 0 && !strings.Contains(errs, "no space left on device") {
		f.t.Errorf("send %q: exit %d, %s%s", name, code, out, errs)
	}
	if code == 0 {
		f.want[name] = survey(f.t, p)
	}
	return code == 0
}

// squeeze takes the room away.
func (f *tight) squeeze(s *side, free int64) {
	f.t.Helper()
	if f.inodes {
		f.cages[s].leave(-1, free>>13)
		return
	}
	f.cages[s].leave(free, -1)
}

// highFills fills the high side, and makes room again.
func (f *tight) highFills(free int64) {
	f.t.Helper()
	if !f.sudden {
		f.squeeze(f.high, free)
	}
	for i, size := range []int64{4 << 10, free / 2, free, 2 * free, 64 << 10, free / 2, 4 << 10} {
		f.give(fmt.Sprintf("file %d", i), func(p string) { random(f.t, p, byte(10+i), min(size, 100<<20)) })
	}
	f.give("tree", func(p string) {
		for i := range max(200, free>>14) {
			write(f.t, filepath.Join(p, fmt.Sprintf("%d", i%7), fmt.Sprint(i)), fmt.Appendf(nil, "file %d", i))
		}
	})
	if f.sudden {
		f.await(30*time.Second, "the middle of the transfer", func() bool { return f.high.find("file 2") != nil })
		f.squeeze(f.high, 0)
	}
	f.await(2*time.Minute, "all to be out", func() bool { return len(f.low.list("--state", "sent")) == len(f.want) })
	f.quiet()
	f.alive(f.high)
	f.readable()
	away := len(f.want) - len(f.high.list("--state", "quarantined"))
	f.t.Logf("high side: %d of %d turned away; alarms %v", away, len(f.want), f.high.alarms())
	f.says()
	f.decides()
	f.high.kill()
	f.high.start()
	f.high.running() // on a disk that is full still
	f.cages[f.high].leave(-1, -1)
	f.await(20*time.Second, "the end of the alarm", func() bool { return !slices.Contains(f.high.alarms(), "disk") })
	f.alive(f.high)
	f.again()
}

// alive holds that a daemon has not ended.
func (f *tight) alive(s *side) {
	f.t.Helper()
	if code, ended := s.ends(time.Millisecond); ended {
		f.t.Fatalf("%s ended with %d on a full disk", s.binary, code)
	}
}

// await is within, while both daemons live.
func (f *tight) await(limit time.Duration, what string, holds func() bool) {
	f.t.Helper()
	f.within(limit, what, func() bool {
		f.alive(f.low)
		f.alive(f.high)
		return holds()
	})
}

// quiet waits until nothing changes on the high side any more: what is whole and has no room to be put together is still under way.
func (f *tight) quiet() {
	f.t.Helper()
	last, since := "", time.Now()
	f.await(time.Minute, "nothing to change", func() bool {
		text, err := json.Marshal(f.high.list())
		must(f.t, err)
		if string(text) != last {
			last, since = string(text), time.Now()
		}
		return time.Since(since) > 4*time.Second
	})
}

// readable holds that every bundle of which something is known says what it lacks, and that what is in quarantine is whole.
func (f *tight) readable() {
	f.t.Helper()
	for _, r := range f.high.list() {
		reason := *cmp.Or(r.Reason, new(string))
		switch {
		case r.State == "quarantined":
			if _, errs, code := f.high.try("verify", r.Bundle); code != 0 {
				f.t.Errorf("verify on a full disk: exit %d, %s", code, errs)
			}
		case r.State == "refused" && reason != "disk-full", r.State != "refused" && r.State != "damaged" && r.State != "missing" && r.State != "receiving":
			f.t.Errorf("%v is %s, %q", *cmp.Or(r.Name, new(string)), r.State, reason)
		}
	}
	left, err := os.ReadDir(f.imports())
	must(f.t, err)
	for _, e := range left {
		f.t.Errorf("%q is imported: nobody has released it", e.Name())
	}
}

// says holds that nothing is away in silence: while the disk has no room there is the alarm; where it has some again, or has it for smaller ones, each says what became of it.
func (f *tight) says() {
	f.t.Helper()
	alarms := f.high.alarms()
	if slices.Contains(alarms, "disk") {
		return
	}
	for _, name := range f.lacks() {
		r := f.high.find(name)
		if r == nil || (r.State != "refused" || *r.Reason != "disk-full") && !slices.Contains(alarms, r.State) {
			f.t.Errorf("%q was turned away and is %+v, and the alarms are %v", name, r, alarms)
		}
	}
}

// decides holds that a person can make room: a decision is still written.
func (f *tight) decides() {
	f.t.Helper()
	r := f.high.find("first")
	if r == nil || r.State != "quarantined" {
		f.t.Fatalf("the first item is %+v", r)
	}
	if out, errs, code := f.high.try("reject", "--reason", "to make room", r.Bundle); code != 0 {
		f.t.Errorf("reject on a full disk: exit %d, %s%s", code, out, errs)
	}
	delete(f.want, "first")
}

// again sends what was turned away once more, as a person would.
func (f *tight) again() {
	f.t.Helper()
	began := time.Now()
	for next := began; ; time.Sleep(100 * time.Millisecond) {
		open := f.lacks()
		if len(open) == 0 {
			return
		}
		if time.Since(began) > time.Minute {
			f.t.Fatalf("not in quarantine a minute after there is room: %v\n%s", open, f.high.ask("list"))
		}
		if time.Now().Before(next) {
			continue
		}
		next = time.Now().Add(10 * time.Second)
		for _, r := range f.low.list("--state", "sent") {
			if r.Name != nil && slices.Contains(open, *r.Name) {
				f.low.ask("resend", r.Bundle)
			}
		}
	}
}

// lacks lists what was given and is not held on the high side.
func (f *tight) lacks() []string {
	f.t.Helper()
	held := map[string]bool{}
	for _, r := range f.high.list() {
		if r.Name != nil && (r.State == "quarantined" || r.State == "approved" || r.State == "imported") {
			held[*r.Name] = true
		}
	}
	var open []string
	for name := range f.want {
		if !held[name] {
			open = append(open, name)
		}
	}
	return open
}

// lowFills fills the low side: what it cannot note waits, and goes on by itself when there is room.
func (f *tight) lowFills(free int64) {
	f.t.Helper()
	f.open() // the receiver has just been started: what leaves before it believes the session is lost
	given := len(f.want)
	for i := range 6 {
		f.squeeze(f.low, free>>8) // each time: what was kept back for the state's records goes too
		f.give(fmt.Sprintf("small %d", i), func(p string) { random(f.t, p, byte(40+i), 10_000) })
	}
	f.squeeze(f.low, free>>8)
	f.give("long list", func(p string) {
		for i := range 3000 {
			write(f.t, filepath.Join(p, fmt.Sprintf("a file with a usual name %d", i)), fmt.Appendf(nil, "file %d", i))
		}
	})
	time.Sleep(3 * time.Second)
	f.alive(f.low)
	lack, alarms := len(f.lacks()), f.low.alarms()
	f.t.Logf("low side: %d given, %d lack at the high side; alarms %v", len(f.want)-given, lack, alarms)
	// What was kept back may be room enough for all of it: then there is no alarm, and what waits is tried again after its pause.
	f.await(20*time.Second, "what waits to arrive, or an alarm", func() bool { return len(f.lacks()) == 0 || slices.Contains(f.low.alarms(), "disk") })
	f.cages[f.low].leave(-1, -1)
	f.await(40*time.Second, "all to arrive when the low side has room", func() bool { return len(f.lacks()) == 0 })
	f.alive(f.low)
	left, err := filepath.Glob(filepath.Join(f.outbox(), ".ecluse-send-*"))
	must(f.t, err)
	if len(left) > 0 {
		f.t.Errorf("half copied, and still in the outbox: %v", left)
	}
}

// everything releases all that came, and compares it.
func (f *tight) everything() {
	f.t.Helper()
	for _, r := range f.high.list("--state", "quarantined") {
		f.high.ask("approve", r.Bundle)
	}
	for name, want := range f.want {
		f.high.reach(20*time.Second, name, "imported")
		same(f.t, want, survey(f.t, filepath.Join(f.imports(), name)))
	}
	left, err := os.ReadDir(f.imports())
	must(f.t, err)
	if len(left) != len(f.want) {
		f.t.Errorf("%d names are imported, of %d items: %v", len(left), len(f.want), left)
	}
}

// alarms are the names of those that stand.
func (s *side) alarms() []string {
	s.lab.t.Helper()
	var status struct{ Alarms alarm.List }
	out, errs, _ := s.try("status", "--json")
	if err := json.Unmarshal([]byte(out), &status); err != nil {
		s.lab.t.Fatalf("status --json: %v\n%s%s", err, out, errs)
	}
	var names []string
	for _, a := range status.Alarms {
		names = append(names, a.Name)
	}
	return names
}
