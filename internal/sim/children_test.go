package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Each run is made by a process of its own, which does nothing by chance (calm): a run that panics, or that stands still, takes no other one with it.

// childVariable tells a process of this test that it is one of them, and its seed; dirVariable, where it may write; threadsVariable, how many threads it has to have.
const (
	childVariable   = "ECLUSE_SIM_CHILD"
	dirVariable     = "ECLUSE_SIM_DIR"
	mountVariable   = "ECLUSE_SIM_MOUNT" // whether it is to mount a file system there
	threadsVariable = "ECLUSE_SIM_THREADS"
)

// runMost is how long one run may take of the machine's time.
const runMost = 2 * time.Minute

// TestAsAChild is what such a process does: it makes one run, and writes its outcome as JSON.
func TestAsAChild(t *testing.T) {
	if os.Getenv(childVariable) == "" {
		t.Skip("it is for the processes that TestTransfers starts")
	}
	seed, err := strconv.ParseUint(os.Getenv(childVariable), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	o := outcome{Seed: seed, Threads: pprof.Lookup("threadcreate").Count()}
	if os.Getenv(threadsVariable) == strconv.Itoa(o.Threads) {
		if os.Getenv(mountVariable) == "1" {
			if err := unix.Mount("tmpfs", os.Getenv(dirVariable), "tmpfs", 0, "size=1g"); err != nil {
				t.Fatalf("mount a file system for a run: %v", err)
			}
		}
		o = simulate(t, makePlan(seed), os.Getenv(dirVariable))
	}
	if err := json.NewEncoder(os.NewFile(3, "outcome")).Encode(o); err != nil {
		t.Fatal(err)
	}
}

// usualThreads is how many threads such a process has when its runtime has started: as few as it can have. Now and then one is made more, by who is faster, and then its memory
// is laid out in another way: such a process makes no run.
var usualThreads = sync.OnceValues(func() (least int, err error) {
	for range 9 {
		o, err := try(0, 0, "none", false)
		if err != nil {
			return 0, err
		}
		if least == 0 || o.Threads < least {
			least = o.Threads
		}
	}
	return least, nil
})

// triesMost is how many processes are started for one run at most. About one in 300 has a thread too many.
const triesMost = 20

// run makes the run of a seed. where tells places apart in which runs go on at the same time.
func run(seed uint64, where int, wordy bool) (o outcome) {
	threads, err := usualThreads()
	for n := 0; err == nil && o.Plan == ""; n++ {
		if o, err = try(seed, where, strconv.Itoa(threads), wordy); n == triesMost && o.Plan == "" {
			err = fmt.Errorf("it has %d threads when it starts, and %d are usual", o.Threads, threads)
		}
	}
	if err != nil {
		o = outcome{Seed: seed, Plan: makePlan(seed).String(), Faults: []string{fmt.Sprintf("the process: %v", err)}}
	}
	return o
}

// try starts one process for a run.
func try(seed uint64, where int, threads string, wordy bool) (o outcome, err error) {
	dir := filepath.Join(base(), fmt.Sprintf("ecluse-sim-%07d-%02d", os.Getpid(), where)) // names of one length
	if err := os.Mkdir(dir, 0o700); err != nil {
		return o, err
	}
	text := &lastBytes{}
	content, err := runIn(dir, seed, where, threads, wordy, text)
	err = errors.Join(err, os.RemoveAll(dir))
	if err == nil {
		err = json.Unmarshal(content, &o)
	}
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, text.first())
	}
	return o, err
}

// ownBinary is this binary under a name that is the same everywhere. Names, arguments and variables lie in the memory of a process, and what is kept by its place in memory is walked
// in another order where they are longer.
var ownBinary = sync.OnceValues(func() (string, error) {
	content, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return "", err
	}
	fd, err := unix.MemfdCreate("sim", unix.MFD_CLOEXEC)
	if err != nil {
		return "", fmt.Errorf("a file in memory: %w", err)
	}
	for len(content) > 0 { // it stays open as long as this process lives
		n, err := unix.Write(fd, content)
		if err != nil {
			return "", err
		}
		content = content[n:]
	}
	return fmt.Sprintf("/proc/self/fd/%d", fd), nil
})

// ownMounts has a process see mounts of its own: on a file system of its own, numbers of inodes begin anew. They stand in records, and longer ones make longer records.
func ownMounts() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		a.Unshareflags |= syscall.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	return a
}

// mayMount says whether this machine allows that. Where it does not, a run is the same on machines that have made about as many files.
var mayMount = sync.OnceValue(func() bool {
	c := exec.Command("/proc/self/exe", "-test.run=^$")
	c.SysProcAttr = ownMounts()
	return c.Run() == nil
})

// runIn starts the process and gives what it has to say.
func runIn(dir string, seed uint64, where int, threads string, wordy bool, text *lastBytes) ([]byte, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer read.Close()
	binary, err := ownBinary()
	if err != nil {
		return nil, err
	}
	c := exec.Command(binary, "-test.run=^TestAsAChild$", "-test.timeout=0")
	c.Args[0] = "sim"
	mount := "0"
	if c.SysProcAttr = ownMounts(); mayMount() {
		mount = "1"
	} else {
		c.SysProcAttr = &syscall.SysProcAttr{}
	}
	c.SysProcAttr.Pdeathsig, c.SysProcAttr.Ptrace = syscall.SIGKILL, true
	c.Env = append(calmVariables(), mountVariable+"="+mount, childVariable+"="+strconv.FormatUint(seed, 10), dirVariable+"="+dir, threadsVariable+"="+threads, logsVariable+"="+fmt.Sprintf("%-5v", wordy))
	c.ExtraFiles = []*os.File{write}
	c.Stdout, c.Stderr = text, text
	runtime.LockOSThread() // only the thread that starts it may touch it
	err = c.Start()
	if err == nil {
		if err = calm(c.Process.Pid, seed, where); err != nil {
			_ = c.Process.Kill()
			err = fmt.Errorf("start it so that nothing in it happens by chance: %w", errors.Join(err, c.Wait()))
		}
	}
	runtime.UnlockOSThread()
	if err := errors.Join(err, write.Close()); err != nil {
		return nil, err
	}
	late := time.AfterFunc(runMost, func() { _ = c.Process.Signal(syscall.SIGQUIT) })
	defer late.Stop()
	content, err := io.ReadAll(read)
	return content, errors.Join(err, c.Wait())
}

// lastBytes keeps the end of what is written.
type lastBytes struct {
	mu sync.Mutex
	b  []byte
}

const keptBytes = 64 << 10

func (l *lastBytes) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = append(l.b, p...)
	if len(l.b) > 2*keptBytes {
		l.b = append([]byte(nil), l.b[len(l.b)-keptBytes:]...)
	}
	return len(p), nil
}

// first is where a panic or a dump says what it is about.
func (l *lastBytes) first() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, mark := range []string{"panic: ", "fatal error: ", "SIGQUIT"} {
		if i := bytes.Index(l.b, []byte(mark)); i >= 0 {
			return string(l.b[i:min(len(l.b), i+16<<10)])
		}
	}
	return string(l.b[max(0, len(l.b)-4<<10):])
}

// runTwice makes a run twice, in processes of their own, the second time with all that is traced, and holds both event logs to be the same.
func runTwice(seed uint64, where int) outcome {
	o := run(seed, where, false)
	a, b := strings.Split(o.Log, "\n"), strings.Split(run(seed, where, true).Log, "\n")
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			o.Faults = append(o.Faults, fmt.Sprintf("the same seed gives another event log, from line %d on:\n%s\n%s", i+1, at(a, i), at(b, i)))
			break
		}
	}
	return o
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(the end)"
}

// runAll runs seeds from 1 on while more says so, every so many of them twice, and hands each outcome to take, one at a time, in any order.
func runAll(more func(seed uint64) bool, twice uint64, take func(outcome)) {
	var mu sync.Mutex
	next := *fromFlag - 1
	draw := func() (uint64, bool) {
		mu.Lock()
		defer mu.Unlock()
		if !more(next + 1) {
			return 0, false
		}
		next++
		return next, true
	}
	var all sync.WaitGroup
	for where := range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for {
				seed, ok := draw()
				if !ok {
					return
				}
				var o outcome
				if seed%twice == 0 {
					o = runTwice(seed, where)
				} else {
					o = run(seed, where, false)
				}
				mu.Lock()
				take(o)
				mu.Unlock()
			}
		})
	}
	all.Wait()
}

// total is the sum of many runs.
type total struct {
	Runs, Items int
	Fired       map[kind]int
	States      map[string]int
}

// runSeeds makes runs until a number of transfers has been made.
func runSeeds(t *testing.T, wanted int) total {
	sum := total{Fired: make(map[kind]int), States: make(map[string]int)}
	failed, most := 0, failuresShown
	if *firstFlag {
		most = 1
	}
	runAll(func(uint64) bool { return sum.Items < wanted && failed < most }, someTwice, func(o outcome) {
		sum.Runs++
		sum.Items += o.Items
		for k, n := range o.Fired {
			sum.Fired[k] += n
		}
		for s, n := range o.States {
			sum.States[s] += n
		}
		if len(o.Faults) > 0 {
			failed++
			o.tell(t)
		}
	})
	return sum
}
