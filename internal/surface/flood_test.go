package surface

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

const (
	floodSamples = 30                     // of one tenant, in each phase: their p99 is the slowest of them
	floodEvery   = 150 * time.Millisecond // one of them: that tenant takes a third of the link, less than its share
	floodItem    = 256 << 10              // bytes of each item, of both tenants
	floodAhead   = 40                     // items of the other that wait on the low side, always
	floodRounds  = 3                      // of which the middle one counts, and else of two more: the machine does other things too
)

// What one tenant drops without end, more than the link takes, does not hold up another. Its p99, from the rename into its outbox to the import, is held against that of an idle gateway.
func TestAFloodOfOneTenantLeavesTheOthersInTime(t *testing.T) {
	f := newFlood(t)
	var ratios []float64
	middle := func() float64 { slices.Sort(ratios); return ratios[len(ratios)/2] }
	for len(ratios) < floodRounds || len(ratios) < floodRounds+2 && middle() > 2 {
		idle := f.p99(func() {})
		busy := f.p99(f.more)
		if f.ahead() == 0 {
			t.Fatalf("after a phase nothing of the flood waits: %d items were none", f.dropped)
		}
		ratios = append(ratios, float64(busy)/float64(idle))
		t.Logf("p99 %v idle, %v beside a flood of %d items so far", idle, busy, f.dropped)
		f.drain()
	}
	if middle() > 2 {
		t.Errorf("a flood makes another tenant's p99 %.1f times as long: %.1f", middle(), ratios)
	}
}

// flood is a pair of houses with two tenants, of which `other` floods the link and `default` has an item now and then.
type flood struct {
	t                *testing.T
	low, high        *side
	samples, dropped int
	waiting          string // the outbox of what floods
}

func newFlood(t *testing.T) *flood {
	low, high := sides(t)
	f := &flood{t: t, low: low, high: high, waiting: filepath.Join(low.dir, "outbox/other")}
	low.edit("rate: 900Mbit", "rate: 50Mbit")
	low.edit("loss: 1%\n    burst: 10ms", "loss: 0.1%\n    burst: 1ms")
	low.edit("tenants:\n", "tenants:\n  - name: other\n    outbox: "+f.waiting+"\n")
	high.edit("release: one", "release: automatic\n    policy: {}")
	high.edit("tenants:\n", "tenants:\n  - name: other\n    release: automatic\n    policy: {}\n    deliver:\n      - directory: "+high.dir+"/import/other\n")
	for _, dir := range []string{f.waiting, high.dir + "/import/other", low.dir + "/work"} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			t.Fatal(err)
		}
	}
	low.pair(high, "--tenant", "default", "--tenant", "other")
	high.start()
	low.start()
	f.one() // sessions, tables, caches
	return f
}

// drop puts an item into the outbox of a tenant by a rename, and says when.
func (f *flood) drop(tenant, name string) time.Time {
	at := noise(f.t, filepath.Join(f.low.dir, "work", name), floodItem)
	began := time.Now()
	if err := os.Rename(at, filepath.Join(f.low.dir, "outbox", tenant, name)); err != nil {
		f.t.Fatal(err)
	}
	return began
}

// one is how long an item takes to be imported.
func (f *flood) one() time.Duration {
	f.samples++
	name := fmt.Sprintf("sample-%06d", f.samples)
	began := f.drop("default", name)
	for at := filepath.Join(f.high.dir, "import/default", name); ; time.Sleep(200 * time.Microsecond) {
		if _, err := os.Lstat(at); err == nil {
			return time.Since(began)
		}
		if time.Since(began) > 30*time.Second {
			f.t.Fatalf("%s is not imported", name)
		}
	}
}

// p99 is how long the slowest of a phase's items takes, and meanwhile is called before each.
func (f *flood) p99(meanwhile func()) time.Duration {
	var all []time.Duration
	for range floodSamples {
		next := time.Now().Add(floodEvery)
		meanwhile()
		all = append(all, f.one())
		time.Sleep(time.Until(next))
	}
	slices.Sort(all)
	return all[len(all)*99/100]
}

// ahead is how many items of the flood wait on the low side.
func (f *flood) ahead() int {
	entries, err := os.ReadDir(f.waiting)
	if err != nil {
		f.t.Fatal(err)
	}
	sending, err := os.ReadDir(filepath.Join(f.waiting, ".ecluse/sending"))
	if err != nil {
		f.t.Fatal(err)
	}
	return len(entries) - 1 + len(sending) // without .ecluse itself
}

// more has the flood go on.
func (f *flood) more() {
	for have := f.ahead(); have < floodAhead; have++ {
		f.dropped++
		f.drop("other", fmt.Sprintf("flood-%06d", f.dropped))
	}
}

// drain lets what is left of the flood go.
func (f *flood) drain() {
	for begun := time.Now(); f.ahead() > 0; time.Sleep(50 * time.Millisecond) {
		if time.Since(begun) > 60*time.Second {
			f.t.Fatalf("%d items of the flood wait still", f.ahead())
		}
	}
}
