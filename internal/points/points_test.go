package points

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// logsVariable has a case that is run alone tell everything also where it holds.
const logsVariable = "ECLUSE_POINTS_LOGS"

var trialFlag = flag.String("points.case", "", "run this case alone, and print all of it")

// outcome is what a run was.
type outcome struct {
	Trial    string
	Apart    bool // both sides had a second file system
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
	dir, err := os.MkdirTemp(os.Getenv(childVariable), "run-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	apart := mountApart(dir)
	if apart {
		defer unmountApart(dir)
	}
	cryptotest.SetGlobalRandom(t, 1)
	synctest.Test(t, func(t *testing.T) {
		w, err := newWorld(c, dir, r, began, apart)
		if err != nil {
			t.Fatal(err)
		}
		w.script()
		out = outcome{Trial: c.String(), Apart: apart, Faults: w.faults, Struck: w.strikes() > 0, Second: w.second, Ends: w.ends, Recovery: w.recovery}
		if c.First.Site.N == 0 {
			out.Acts = w.acts
		}
		if len(out.Faults) > 0 || os.Getenv(logsVariable) != "" {
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
		out.Faults = append(out.Faults, fmt.Sprintf("%d files are still open: %v", len(left), left))
	}
	out.Took = time.Since(began)
	return out
}

// mountApart gives a run two more file systems, where it may: package disk asks the system which one a path is on.
func mountApart(dir string) bool {
	for _, name := range second {
		at := filepath.Join(dir, name)
		if err := errors.Join(os.Mkdir(at, 0o700), unix.Mount("ecluse-points", at, "tmpfs", 0, "size=64m")); err != nil {
			unmountApart(dir)
			return false
		}
	}
	return true
}

var second = []string{"spool", "far"}

func unmountApart(dir string) {
	for _, name := range second {
		_ = unix.Unmount(filepath.Join(dir, name), unix.MNT_DETACH)
	}
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

// pointsVariable says how many cases are to be made; without it there are a few, as a part of make test.
const (
	pointsVariable = "ECLUSE_SOAK_POINTS"
	fewPoints      = 120
	tellEvery      = 2000 // cases
)

// floors are how many different acts the undisturbed runs have at the least, on each side. What the houses learn to do raises them.
var floors = map[string]int{"low": 185, "high": 215}

// failuresShown bounds what is told: the first cases that fail say enough.
var failuresShown = flag.Int("points.failures", 5, "how many failing cases are told of before the rest is left")

// fromFlag lets a count be made in parts.
var fromFlag = flag.Int("points.from", 0, "begin with this case of a single blow: a part says which is the next")

// Wherever a side is struck, everything that was dropped is accounted for in the end.
func TestPoints(t *testing.T) {
	if *trialFlag != "" {
		text := *trialFlag
		var out outcome
		runAll(t, func() (next string) { next, text = text, ""; return next }, func(o outcome) { out = o })
		t.Logf("%s\n%v, struck %v %v", out.Events, out.Took, out.Struck, out.Second)
		if len(out.Faults) > 0 || os.Getenv(logsVariable) != "" {
			out.tell(t)
		}
		return
	}
	wanted := fewPoints
	if text := os.Getenv(pointsVariable); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("%s=%q is no count", pointsVariable, text)
		}
		wanted = n
	}
	began := time.Now()
	p := newPlan(t)
	if t.Failed() {
		t.Fatal("what is not struck at all does not hold")
	}
	if *fromFlag > 0 {
		p.next = *fromFlag
	} else if wanted >= manyPoints {
		p.thorough(t)
	}
	var took time.Duration
	done, vain, second, failed := 0, 0, 0, 0
	ends := make(map[string]int)
	runAll(t, func() string {
		if p.made == wanted || failed >= *failuresShown {
			return ""
		}
		return p.draw()
	}, func(o outcome) {
		if done++; done%tellEvery == 0 {
			t.Logf("%d of %d", done, wanted)
		}
		took += o.Took
		p.take(&o)
		for e, n := range o.Ends {
			ends[e] += n
		}
		if !o.Struck && len(o.Faults) == 0 {
			vain++
		}
		if o.Second {
			second++
		}
		if len(o.Faults) > 0 {
			failed++
			o.tell(t)
		}
	})
	p.tell(t, wanted)
	var list []string
	for e, n := range ends {
		list = append(list, fmt.Sprintf("%10d  %s", n, e))
	}
	slices.Sort(list)
	t.Logf("the next case of a single blow is %d", p.next)
	t.Logf("%d cases of %d sites and faults, %d of them struck again while they recovered (%d kinds of act), %d never came to their site; %v, %v a case\nitems ended as\n%s",
		done, len(p.cases), second, len(p.again), vain, time.Since(began).Round(time.Second), (took / time.Duration(max(done, 1))).Round(time.Millisecond), strings.Join(list, "\n"))
	if !t.Failed() && os.Getenv(pointsVariable) != "" {
		t.Logf("soak points: %d done", done)
	}
}

// tell says what was struck, and holds it against what there is.
func (p *plan) tell(t *testing.T, wanted int) {
	classes := 0
	for _, side := range sides {
		classes += len(p.sites[side])
	}
	for _, side := range sides {
		struck := 0
		var missed []string
		for class := range p.sites[side] {
			if p.struck[side][class] > 0 {
				struck++
			} else {
				missed = append(missed, class)
			}
		}
		slices.Sort(missed)
		t.Logf("%s: %d of %d different acts were struck", side, struck, len(p.sites[side]))
		if len(p.sites[side]) < floors[side] && p.apart {
			t.Errorf("%s: the undisturbed runs have %d different acts, and had %d", side, len(p.sites[side]), floors[side])
		}
		if len(missed) > 0 && wanted >= 2*classes && *fromFlag == 0 && !t.Failed() {
			t.Errorf("%s: never struck:\n%s", side, strings.Join(missed, "\n"))
		}
	}
}
