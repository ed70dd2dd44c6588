package sim

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
)

var (
	seedFlag    = flag.Uint64("sim.seed", 0, "run one seed alone, and print all of it")
	countFlag   = flag.Int("sim.runs", 1, "how many seeds, from sim.seed on")
	perfectFlag = flag.Bool("sim.perfect", false, "without faults")
)

// outcome is what a run was.
type outcome struct {
	seed   uint64
	items  int
	fired  map[kind]int
	faults []string
	log    string
	text   string
}

// simulate makes one run.
func simulate(t *testing.T, p *plan) outcome {
	r, err := sharedRing()
	if err != nil {
		t.Fatal(err)
	}
	base := ""
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		base = "/dev/shm"
	}
	dir, err := os.MkdirTemp(base, "ecluse-sim-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	var out outcome
	synctest.Test(t, func(t *testing.T) {
		w, err := newWorld(t, p, dir, r)
		if err != nil {
			t.Fatal(err)
		}
		w.run()
		out = outcome{p.seed, len(w.items), w.tally.fired, w.faults, strings.Join(w.log.lines, "\n"), w.text.String()}
	})
	return out
}

func TestTransfers(t *testing.T) {
	fired, items := make(map[kind]int), 0
	for seed := *seedFlag; seed < *seedFlag+uint64(*countFlag); seed++ {
		p := makePlan(seed)
		if *perfectFlag {
			p.faults = nil
		}
		out := simulate(t, p)
		items += out.items
		for k, n := range out.fired {
			fired[k] += n
		}
		if *countFlag == 1 {
			t.Logf("%s\n%s", p, out.log)
		}
		if len(out.faults) > 0 {
			t.Errorf("seed %d: %d faults:\n%s%s", p.seed, len(out.faults), p, strings.Join(out.faults, "\n"))
			if err := os.WriteFile(fmt.Sprintf("/tmp/sim/%d.log", p.seed), []byte(p.String()+out.log+"\n"+out.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d items\n%s", items, table(fired))
}
