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
	floodSamples = 50  // of one tenant, in each phase
	floodAhead   = 200 // items of the other that wait on the low side, always
	floodRounds  = 3   // of which the middle one counts: the machine does other things too
)

// K10 of the threats: what one tenant drops, without end, does not hold up another. Its p99, from the rename into its outbox to the import, is held against that of an idle gateway.
func TestAFloodOfOneTenantLeavesTheOthersInTime(t *testing.T) {
	low, high := sides(t)
	low.edit("tenants:\n", "tenants:\n  - name: other\n    outbox: "+low.dir+"/outbox/other\n")
	low.edit("loss: 1%\n    burst: 10ms", "loss: 0.1%\n    burst: 1ms")
	high.edit("release: one", "release: automatic\n    policy: {}")
	high.edit("tenants:\n", "tenants:\n  - name: other\n    release: automatic\n    policy: {}\n    deliver:\n      - directory: "+high.dir+"/import/other\n")
	for _, dir := range []string{low.dir + "/outbox/other", high.dir + "/import/other", low.dir + "/work"} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			t.Fatal(err)
		}
	}
	low.pair(high, "--tenant", "default", "--tenant", "other")
	high.start()
	low.start()
	n := 0
	drop := func(tenant, name string) {
		if err := os.Rename(write(t, filepath.Join(low.dir, "work", name), "an item"), filepath.Join(low.dir, "outbox", tenant, name)); err != nil {
			t.Fatal(err)
		}
	}
	one := func() time.Duration {
		n++
		name := fmt.Sprintf("sample-%06d", n)
		began := time.Now()
		drop("default", name)
		for at := filepath.Join(high.dir, "import/default", name); ; time.Sleep(200 * time.Microsecond) {
			if _, err := os.Lstat(at); err == nil {
				return time.Since(began)
			}
			if time.Since(began) > 30*time.Second {
				t.Fatalf("%s is not imported", name)
			}
		}
	}
	p99 := func(flood func()) time.Duration {
		var all []time.Duration
		for range floodSamples {
			flood()
			all = append(all, one())
		}
		slices.Sort(all)
		return all[len(all)*99/100]
	}
	waiting := filepath.Join(low.dir, "outbox/other")
	m := 0
	flood := func() {
		entries, err := os.ReadDir(waiting)
		if err != nil {
			t.Fatal(err)
		}
		sending, _ := os.ReadDir(filepath.Join(waiting, ".ecluse/sending"))
		for have := len(entries) + len(sending); have < floodAhead; have++ {
			m++
			drop("other", fmt.Sprintf("flood-%06d", m))
		}
	}
	one() // sessions, tables, caches
	var ratios []float64
	for range floodRounds {
		idle := p99(func() {})
		busy := p99(flood)
		ratios = append(ratios, float64(busy)/float64(idle))
		t.Logf("p99 %v idle, %v beside a flood of %d items so far", idle, busy, m)
		for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) { // what is left of it goes before the next round
			sending, _ := os.ReadDir(filepath.Join(waiting, ".ecluse/sending"))
			if len(sending) == 0 || time.Since(begun) > 60*time.Second {
				break
			}
		}
	}
	slices.Sort(ratios)
	if middle := ratios[len(ratios)/2]; middle > 2 {
		t.Errorf("a flood makes another tenant's p99 %.1f times as long: %.1f", middle, ratios)
	}
}
