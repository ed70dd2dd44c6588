package sim

import (
	"flag"
	"os"
	"strings"
	"testing"
	"testing/synctest"
)

var (
	seedFlag    = flag.Uint64("sim.seed", 0, "run one seed alone, and print all of it")
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
	p := makePlan(*seedFlag)
	if *perfectFlag {
		p.faults = nil
	}
	out := simulate(t, p)
	t.Logf("%s\n%s\n%s", p, out.log, table(out.fired))
	if len(out.faults) > 0 {
		t.Errorf("seed %d: %d faults:\n%s", p.seed, len(out.faults), strings.Join(out.faults, "\n"))
		if err := os.WriteFile("/tmp/sim.log", []byte(out.text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
