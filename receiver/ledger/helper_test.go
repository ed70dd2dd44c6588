package ledger

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
)

// watched is the real disk, with a list of what was asked of it and faults where a test wants them.
type watched struct {
	*disk.Disk
	mu    sync.Mutex
	calls []string
	sync  func() error            // nil: the real one is left out, these tests cut no power
	fail  func(path string) error // of Prepare, Replace and RemoveAll
}

func (d *watched) note(act, path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.call(act, path)
	if d.fail != nil {
		return d.fail(path)
	}
	return nil
}

// call notes what was asked for, but for the anchor and the group's number: they go with every group, see anchor_test.go.
func (d *watched) call(act, path string) {
	if name := filepath.Base(path); !strings.HasPrefix(name, "anchor-") && name != "generation" {
		d.calls = append(d.calls, act+" "+name)
	}
}

func (d *watched) Prepare(path string, content []byte) error {
	if err := d.note("put", path); err != nil {
		return err
	}
	return d.Disk.Prepare(path, content)
}

func (d *watched) Place(path string) error {
	d.mu.Lock()
	d.call("place", path)
	d.mu.Unlock()
	return d.Disk.Place(path)
}

// Replace syncs nothing.
func (d *watched) Replace(path string, content []byte) error {
	if err := d.note("replace", path); err != nil {
		return err
	}
	return errors.Join(d.Disk.Prepare(path, content), d.Disk.Place(path))
}

func (d *watched) RemoveAll(path string) error {
	if err := d.note("remove", path); err != nil {
		return err
	}
	return d.Disk.RemoveAll(path)
}

func (d *watched) SyncAll(string) error {
	d.mu.Lock()
	d.calls = append(d.calls, "sync")
	f := d.sync
	d.mu.Unlock()
	if f != nil {
		return f()
	}
	return nil
}

func (d *watched) set(f func(d *watched)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(d)
}

// list gives the calls since the last time.
func (d *watched) list() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := strings.Join(d.calls, ", ")
	d.calls = nil
	return s
}

// book is a Ledger under test, running.
type book struct {
	*Ledger
	t     testing.TB
	disk  *watched
	dir   string
	stop  context.CancelFunc
	ended chan error
}

var start = time.Date(2026, 1, 31, 23, 0, 0, 123456789, time.UTC)

// closed opens a book that does not run yet.
func closed(t testing.TB, dir string) (*book, error) {
	t.Helper()
	b := &book{t: t, disk: &watched{Disk: disk.New()}, dir: dir, ended: make(chan error, 1)}
	var mu sync.Mutex
	clock := start
	l, err := Open(t.Context(), dir, b.disk, func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		clock = clock.Add(time.Second)
		return clock
	})
	b.Ledger = l
	return b, err
}

func (b *book) run() {
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	go func() { b.ended <- b.Run(ctx) }()
}

// open opens a book and runs it. Whoever closes it does so with end.
func open(t testing.TB, dir string) *book {
	t.Helper()
	b, err := closed(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	b.run()
	b.disk.list()
	return b
}

// end stops the book as a process that ends in order, or as one that is killed.
func (b *book) end(clean bool) {
	b.t.Helper()
	b.stop()
	if err := b.wait(); err != nil {
		b.t.Errorf("Run: %v", err)
	}
	if err := b.Close(clean); err != nil {
		b.t.Errorf("Close: %v", err)
	}
}

// wait gives what Run returned.
func (b *book) wait() error {
	b.t.Helper()
	select {
	case err := <-b.ended:
		return err
	case <-time.After(10 * time.Second):
		b.t.Fatal("Run goes on")
		return nil
	}
}

func fresh(t *testing.T) *book {
	t.Helper()
	b := open(t, t.TempDir())
	t.Cleanup(func() {
		b.disk.set(func(d *watched) { d.sync, d.fail = nil, nil })
		b.end(true)
	})
	return b
}

var (
	paired = bundle.Epoch{1}
	other  = bundle.Epoch{2}
)

func id(n int) bundle.ID { return bundle.ID{byte(n >> 8), byte(n), 7} }

func digest(words ...any) bundle.Digest { return sha256.Sum256([]byte(fmt.Sprint(words...))) }

func ptr[T any](v T) *T { return &v }

// describe fills a record as the offer of a bundle does.
func describe(r *Record) {
	r.Tenant, r.Sender, r.Epoch = "t", "s", paired
	r.Name, r.Files, r.Bytes, r.MissingBytes = ptr("näme"), ptr(int64(3)), ptr(int64(1000)), ptr(int64(10))
	r.Created, r.Received = ptr(start.Truncate(time.Second)), ptr(start)
}

// goes takes a bundle through states.
func (b *book) goes(n int, states ...State) {
	b.t.Helper()
	for _, s := range states {
		err := b.Change(b.t.Context(), id(n), func(r *Record) error {
			if r.State == "" {
				describe(r)
			}
			r.State = s
			return nil
		})
		if err != nil {
			b.t.Fatalf("bundle %d to %s: %v", n, s, err)
		}
	}
}

func (b *book) state(n int) State {
	b.t.Helper()
	r, err := b.Get(id(n))
	if errors.Is(err, ErrNotFound) {
		return ""
	}
	if err != nil {
		b.t.Error(err)
		return ""
	}
	return r.State
}

// rows are the lines of the catalog.
func (b *book) rows(q Query) []Row {
	b.t.Helper()
	list, err := List(b.t.Context(), b.catalog.DB(), q)
	if err != nil {
		b.t.Error(err) // it may be called by Run
	}
	return list
}

// arrive takes a verified manifest into quarantine, if the chain lets it.
func (b *book) arrive(n int, tenant bundle.Name, e bundle.Epoch, sequence uint64, d, previous bundle.Digest) error {
	return b.Change(b.t.Context(), id(n), b.arrival(n, tenant, e, sequence, d, previous))
}

func (b *book) arrival(n int, tenant bundle.Name, e bundle.Epoch, sequence uint64, d, previous bundle.Digest) func(*Record) error {
	return func(r *Record) error {
		err := b.Judge("s", tenant, bundle.Place{Bundle: id(n), Epoch: e, Sequence: sequence, Digest: d, Previous: previous})
		if reason, _ := bundle.ReasonOf(err); err != nil && reason != bundle.ReasonEpochNew {
			return err
		}
		describe(r)
		r.Tenant, r.Epoch, r.Sequence = tenant, e, &sequence
		r.Manifest = &Manifest{Digest: d, Previous: previous}
		r.State = Quarantined
		return nil
	}
}

// accept has a bundle received and quarantined, and fails the test where the chain refuses it.
func (b *book) accept(n int, tenant bundle.Name, e bundle.Epoch, sequence uint64) {
	b.t.Helper()
	b.goes(n, Receiving)
	previous := bundle.Digest{}
	if sequence > 1 {
		previous = digest(tenant, e, sequence-1)
	}
	if err := b.arrive(n, tenant, e, sequence, digest(tenant, e, sequence), previous); err != nil {
		b.t.Fatalf("sequence %d: %v", sequence, err)
	}
}

func reasonOf(err error) string {
	if err == nil {
		return "accepted"
	}
	if reason, ok := bundle.ReasonOf(err); ok {
		return string(reason)
	}
	return "error: " + err.Error()
}
