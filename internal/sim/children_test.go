package sim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Runs are made by processes of their own, each with one processor: what goroutines do within one instant then depends least on the machine, as many go on at once as there are
// processors, and a run that panics, or that stands still, takes no other one with it.

// childVariable tells a process of this test that it is one of them.
const childVariable = "ECLUSE_SIM_CHILD"

// runMost is how long one run may take of the machine's time.
const runMost = 2 * time.Minute

// TestAsAChild is what such a process does: it reads seeds, one a line, and writes outcomes as JSON.
func TestAsAChild(t *testing.T) {
	if os.Getenv(childVariable) == "" {
		t.Skip("it is for the processes that TestTransfers starts")
	}
	out := os.NewFile(3, "outcomes")
	seeds := bufio.NewScanner(os.Stdin)
	for seeds.Scan() {
		seed, err := strconv.ParseUint(seeds.Text(), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(seeds.Text(), func(t *testing.T) {
			o := simulate(t, makePlan(seed))
			if err := json.NewEncoder(out).Encode(o); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// child is one such process.
type child struct {
	command *exec.Cmd
	seeds   io.WriteCloser
	out     *bufio.Reader
	text    *lastBytes
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

func startChild() (*child, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c := &child{command: exec.Command(os.Args[0], "-test.run=^TestAsAChild$", "-test.timeout=0"), text: &lastBytes{}}
	c.command.Env = append(os.Environ(), childVariable+"=1", "GOMAXPROCS=1")
	c.command.ExtraFiles = []*os.File{write}
	c.command.Stdout, c.command.Stderr = c.text, c.text
	c.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if c.seeds, err = c.command.StdinPipe(); err == nil {
		err = c.command.Start()
	}
	if err := errors.Join(err, write.Close()); err != nil {
		return nil, errors.Join(err, read.Close())
	}
	c.out = bufio.NewReaderSize(read, 1<<20)
	return c, nil
}

// run has one seed run.
func (c *child) run(seed uint64) (o outcome, err error) {
	late := time.AfterFunc(runMost, func() { _ = c.command.Process.Signal(syscall.SIGQUIT) })
	defer late.Stop()
	if _, err := fmt.Fprintln(c.seeds, seed); err != nil {
		return o, err
	}
	line, err := c.out.ReadBytes('\n')
	if err != nil {
		return o, err
	}
	return o, json.Unmarshal(line, &o)
}

// end lets it end.
func (c *child) end() error { return errors.Join(c.seeds.Close(), c.command.Wait()) }

// runAll runs seeds from 1 on while more says so, and hands each outcome to take, one at a time, in any order.
func runAll(t *testing.T, more func(seed uint64) bool, take func(outcome)) {
	var mu sync.Mutex
	next := uint64(0)
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
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			var c *child
			for {
				seed, ok := draw()
				if !ok {
					break
				}
				if c == nil {
					var err error
					if c, err = startChild(); err != nil {
						t.Errorf("start a process: %v", err)
						return
					}
				}
				o, err := c.run(seed)
				if err != nil {
					o = outcome{Seed: seed, Plan: makePlan(seed).String(), Faults: []string{fmt.Sprintf("the process ended: %v\n%s", errors.Join(err, c.end()), c.text.first())}}
					c = nil
				}
				mu.Lock()
				take(o)
				mu.Unlock()
			}
			if c != nil {
				if err := c.end(); err != nil {
					t.Errorf("a process ended badly: %v\n%s", err, c.text.first())
				}
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
	failed := 0
	runAll(t, func(uint64) bool { return sum.Items < wanted && failed < failuresShown }, func(o outcome) {
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
