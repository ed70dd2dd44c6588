package points

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
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Runs are made by processes of their own, each with one processor: what goroutines do within one instant then depends least on the machine, and a run that panics, or that stands
// still, takes no other one with it.

// childVariable tells a process of this test that it is one of them, and where its runs stand: whoever started it removes what it leaves.
const childVariable = "ECLUSE_POINTS_CHILD"

// runMost is how long one run may take of the machine's time.
const runMost = 2 * time.Minute

// tellRecovery before a case asks for the acts of the recovery as well.
const tellRecovery = "+"

// TestAsAChild is what such a process does: it reads cases, one a line, and writes outcomes as JSON.
func TestAsAChild(t *testing.T) {
	if os.Getenv(childVariable) == "" {
		t.Skip("it is for the processes that TestPoints starts")
	}
	out := os.NewFile(3, "outcomes")
	cases := bufio.NewScanner(os.Stdin)
	for cases.Scan() {
		text, recovery := strings.CutPrefix(cases.Text(), tellRecovery)
		t.Run("case", func(t *testing.T) {
			o := run(t, parseTrial(text))
			if !recovery {
				o.Recovery = nil
			}
			if err := json.NewEncoder(out).Encode(o); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// child is one such process.
type child struct {
	command *exec.Cmd
	cases   io.WriteCloser
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

func startChild(dir string) (*child, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c := &child{command: exec.Command(os.Args[0], "-test.run=^TestAsAChild$", "-test.timeout=0"), text: &lastBytes{}}
	c.command.Env = append(os.Environ(), childVariable+"="+dir, "GOMAXPROCS=1")
	c.command.ExtraFiles = []*os.File{write}
	c.command.Stdout, c.command.Stderr = c.text, c.text
	c.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 {
		c.command.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS // what it mounts is its own
	}
	if c.cases, err = c.command.StdinPipe(); err == nil {
		err = c.command.Start()
	}
	if err := errors.Join(err, write.Close()); err != nil {
		return nil, errors.Join(err, read.Close())
	}
	c.out = bufio.NewReaderSize(read, 1<<20)
	return c, nil
}

// run has one case run.
func (c *child) run(text string) (o outcome, err error) {
	late := time.AfterFunc(runMost, func() { _ = c.command.Process.Signal(syscall.SIGQUIT) })
	defer late.Stop()
	if _, err := fmt.Fprintln(c.cases, text); err != nil {
		return o, err
	}
	line, err := c.out.ReadBytes('\n')
	if err != nil {
		return o, err
	}
	return o, json.Unmarshal(line, &o)
}

// end lets it end.
func (c *child) end() error { return errors.Join(c.cases.Close(), c.command.Wait()) }

// runAll runs what next gives, until it gives "", and hands each outcome to take. Both are called by one goroutine at a time.
func runAll(t *testing.T, next func() string, take func(outcome)) {
	dir, err := os.MkdirTemp(base(), "ecluse-points-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	var mu sync.Mutex
	draw := func() string {
		mu.Lock()
		defer mu.Unlock()
		return next()
	}
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			var c *child
			for text := draw(); text != ""; text = draw() {
				if c == nil {
					var err error
					if c, err = startChild(dir); err != nil {
						t.Errorf("start a process: %v", err)
						return
					}
				}
				o, err := c.run(text)
				if err != nil {
					o = outcome{Trial: strings.TrimPrefix(text, tellRecovery), Faults: []string{fmt.Sprintf("the process ended: %v\n%s", errors.Join(err, c.end()), c.text.first())}}
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
