package points

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"
)

var trialFlag = flag.String("points.case", "", "run this case alone, and print all of it")

// outcome is what a run was.
type outcome struct {
	Trial    string
	Faults   []string
	Acts     []site // of the side that is struck, where nothing strikes it
	Recovery []site // the same after the first blow
	Struck   bool
	Second   bool
	Ends     map[string]int
	Events   string        // of a run that failed
	Text     string        // what the houses logged, of the same
	Took     time.Duration // of the machine's time
}

// base is where the sides' directories stand: in memory, where there is room for that.
func base() string {
	if f, err := os.CreateTemp("/dev/shm", "ecluse-points-"); err == nil {
		defer os.Remove(f.Name())
		defer f.Close()
		return "/dev/shm"
	}
	return os.TempDir()
}

// run makes one run. Keys, ids and salts are drawn from one seed.
func run(t *testing.T, c trial) (out outcome) {
	began := time.Now()
	r, err := sharedRing()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(base(), "ecluse-points-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cryptotest.SetGlobalRandom(t, 1)
	synctest.Test(t, func(t *testing.T) {
		w, err := newWorld(c, dir, r, began)
		if err != nil {
			t.Fatal(err)
		}
		w.script()
		out = outcome{Trial: c.String(), Faults: w.faults, Struck: w.strikes() > 0, Second: w.second, Ends: w.ends, Recovery: w.recovery}
		if c.First.Site.N == 0 {
			out.Acts = w.acts
		}
		if len(out.Faults) > 0 || *trialFlag != "" {
			out.Events, out.Text = strings.Join(w.events, "\n"), w.text.String()
		}
	})
	left := open(dir)
	for range 20 { // a Disk keeps one descriptor for each file system as long as it lives, and the collector ends that
		if len(left) == 0 {
			break
		}
		runtime.GC()
		time.Sleep(time.Millisecond)
		left = open(dir)
	}
	if len(left) > 0 {
		out.Faults = append(out.Faults, fmt.Sprintf("I6: %d files are still open: %v", len(left), left))
	}
	out.Took = time.Since(began)
	return out
}

// open lists what files below a directory this process has open.
func open(dir string) (list []string) {
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		if to, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name())); err == nil && strings.HasPrefix(to, dir) {
			list = append(list, to)
		}
	}
	return list
}

// tell reports a run that failed, with all that is needed to look into it.
func (o *outcome) tell(t *testing.T) {
	t.Helper()
	log := "the houses' logs could not be kept"
	if f, err := os.CreateTemp("", "ecluse-points-*.log"); err == nil {
		_, _ = f.WriteString(o.Text)
		_ = f.Close()
		log = "the houses' logs are in " + f.Name()
	}
	t.Errorf("%s does not hold:\n%s\n\n%s\n%s\nto run it again: go test ./internal/points -run '^TestPoints$' -v -points.case='%s'", o.Trial, strings.Join(o.Faults, "\n"), o.Events, log, o.Trial)
}

func TestPoints(t *testing.T) {
	if *trialFlag != "" {
		out := run(t, parseTrial(*trialFlag))
		t.Logf("%s\n%v, struck %v %v", out.Events, out.Took, out.Struck, out.Second)
		if len(out.Faults) > 0 || os.Getenv("ECLUSE_POINTS_LOGS") != "" {
			out.tell(t)
		}
		return
	}
}
