package outbox

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
)

func TestMain(m *testing.M) {
	if step := os.Getenv(stepVariable); step != "" {
		os.Exit(runStep(step))
	}
	goleak.VerifyTestMain(m)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// yard is an outbox under test, and a place beside it on the same file system.
type yard struct {
	*Outbox
	t      testing.TB
	beside string
	found  chan Candidate

	ids int // given out by offered

	mu      sync.Mutex
	notices []Notice
}

const (
	testSettle = 150 * time.Millisecond
	long       = time.Hour // what must not be what makes a test pass
	soon       = 3 * time.Second
)

func build(t testing.TB, o Options) *yard {
	t.Helper()
	base := t.TempDir()
	y := &yard{t: t, beside: filepath.Join(base, "beside"), found: make(chan Candidate)}
	must(t, os.Mkdir(y.beside, 0o755))
	o.Disk, o.Dir, o.Tenant = disk.New(), filepath.Join(base, "outbox"), "default"
	o.Report = func(n Notice) {
		y.mu.Lock()
		y.notices = append(y.notices, n)
		y.mu.Unlock()
	}
	b, err := Open(o)
	must(t, err)
	y.Outbox = b
	return y
}

// watch begins to watch; the watch ends with the test.
func (y *yard) watch() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { y.Watch(ctx, y.found); close(done) }()
	y.t.Cleanup(func() {
		cancel()
		select {
		case <-done:
		case <-time.After(soon):
			y.t.Error("Watch goes on after its context")
		}
	})
}

// ready waits until inotify is heard: what was there before is found by reading, and settles.
func (y *yard) ready() {
	y.t.Helper()
	y.moveIn("first", "")
	for range 100 {
		select {
		case c := <-y.found:
			y.ids++
			_, err := y.Claim(c, id(100+y.ids))
			must(y.t, err)
			return
		case <-time.After(50 * time.Millisecond):
			must(y.t, os.Rename(y.path("first"), filepath.Join(y.beside, "first")))
			must(y.t, os.Rename(filepath.Join(y.beside, "first"), y.path("first")))
		}
	}
	y.t.Fatal("inotify is not heard")
}

// next waits for an offer.
func (y *yard) next() Candidate {
	y.t.Helper()
	select {
	case c := <-y.found:
		return c
	case <-time.After(soon):
		y.t.Fatalf("nothing was offered; notices %v", y.notices)
		return Candidate{}
	}
}

// offered waits for offers of these names, in any order, and claims them.
func (y *yard) offered(names ...string) {
	y.t.Helper()
	var got []string
	for range names {
		c := y.next()
		got = append(got, c.Name)
		y.ids++
		_, err := y.Claim(c, id(100+y.ids))
		must(y.t, err)
	}
	slices.Sort(got)
	slices.Sort(names)
	if !slices.Equal(got, names) {
		y.t.Fatalf("offered %q, want %q", got, names)
	}
}

// quiet holds that nothing is offered for a while.
func (y *yard) quiet(d time.Duration) {
	y.t.Helper()
	select {
	case c := <-y.found:
		y.t.Fatalf("%q was offered", c.Name)
	case <-time.After(d):
	}
}

func (y *yard) told(kind NoticeKind) bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	return slices.ContainsFunc(y.notices, func(n Notice) bool { return n.Kind == kind })
}

// write makes a file in the outbox itself, as cp does; moveIn makes it beside the outbox and moves it, as a careful operator does.
func (y *yard) write(name, content string) {
	y.t.Helper()
	must(y.t, os.WriteFile(y.path(name), []byte(content), 0o644))
}

func (y *yard) moveIn(name, content string) {
	y.t.Helper()
	must(y.t, os.WriteFile(filepath.Join(y.beside, name), []byte(content), 0o644))
	must(y.t, os.Rename(filepath.Join(y.beside, name), y.path(name)))
}

func holds(t testing.TB, path, content string) {
	t.Helper()
	got, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(got, []byte(content)) {
		t.Fatalf("%s holds %q, want %q", path, got, content)
	}
}

func absent(t testing.TB, path string) {
	t.Helper()
	if exists(path) {
		t.Fatalf("%s is there", path)
	}
}

// eventually waits for what follows from another goroutine's work.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(soon); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not in %s", what, soon)
		}
	}
}

func id(n int) bundle.ID { return bundle.ID{byte(n), 1} }
