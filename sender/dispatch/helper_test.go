package dispatch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"ecluse/internal/disk"
	"ecluse/internal/examine"
	"ecluse/internal/policy"
	"ecluse/protocol/bundle"
	"ecluse/protocol/fec"
	"ecluse/sender/ledger"
	"ecluse/sender/outbox"
	"ecluse/sender/pack"
	"ecluse/sender/schedule"
	"ecluse/sender/transmit"
)

// TestMain has the tests work in memory where that is possible: what a disk keeps is not their business, and thousands of small files take it long.
func TestMain(m *testing.M) {
	const memory = "/dev/shm"
	if f, err := os.CreateTemp(memory, "try-*"); err == nil {
		_ = f.Close()
		_ = os.Remove(f.Name())
		_ = os.Setenv("TMPDIR", memory)
	}
	goleak.VerifyTestMain(m)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const soon = 10 * time.Second

// eventually waits for what follows from another goroutine's work.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(soon); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not in %s", what, soon)
		}
	}
}

// faulty is the real disk, which counts syncs and fails where a test wants it. It syncs nothing: no power is cut here.
type faulty struct {
	*disk.Disk
	mu    sync.Mutex
	syncs int
	fail  func(act, path string) error // nil: never
}

func (d *faulty) ask(act, path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return d.fail(act, path)
	}
	return nil
}

func (d *faulty) set(f func(act, path string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = f
}

func (d *faulty) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.syncs
}

func (d *faulty) MkdirAll(dir string) error {
	if err := d.ask("mkdir", dir); err != nil {
		return err
	}
	return d.Disk.MkdirAll(dir)
}

func (d *faulty) Prepare(path string, content []byte) error {
	if err := d.ask("put", path); err != nil {
		return err
	}
	return d.Disk.Prepare(path, content)
}

func (d *faulty) Place(path string) error {
	if err := d.ask("place", path); err != nil {
		return err
	}
	return d.Disk.Place(path)
}

// Replace syncs nothing.
func (d *faulty) Replace(path string, content []byte) error {
	if err := d.ask("replace", path); err != nil {
		return err
	}
	return errors.Join(d.Disk.Prepare(path, content), d.Disk.Place(path))
}

func (d *faulty) SyncAll(dir string) error {
	err := d.ask("sync", dir)
	d.mu.Lock()
	d.syncs++
	d.mu.Unlock()
	return err
}

// signer signs by a hash, and waits where a test wants it.
type signer struct {
	before func(manifest []byte) error // nil: nothing
}

func (s signer) SignManifest(m io.Reader) ([]byte, error) {
	text, err := io.ReadAll(m)
	if err != nil {
		return nil, err
	}
	if s.before != nil {
		if err := s.before(text); err != nil {
			return nil, err
		}
	}
	return mac("manifest", text), nil
}

func (s signer) SignAbandon(m []byte) ([]byte, error) { return mac("abandon", m), nil }

// mac has the length of an Ed25519 SSHSIG.
func mac(kind string, text []byte) []byte {
	sum := sha256.Sum256(append([]byte(kind), text...))
	return append(bytes.Repeat([]byte("SIG "), 38), sum[:]...)
}

var thisEpoch = bundle.Epoch{7}

// yard is the low side's disk, and the receiver; lives come and go on it.
type yard struct {
	t       *testing.T
	state   string
	tenants []bundle.Name
	boxes   []*outbox.Outbox
	disk    *faulty
	high    *high
	ids     uint64

	// What the next life is made of.
	passes int
	apart  time.Duration
	chunk  int
	beat   int
	now    func() time.Time
	signer signer
	retry  time.Duration
	tolled time.Duration         // 0: as a daemon does
	rules  map[int]*policy.Rules // by tenant
	look   func(context.Context, examine.Job) (*examine.Report, error)
	cut    func() // what a test wants when a life has been told to end; nil for nothing
}

func build(t *testing.T, tenants ...bundle.Name) *yard {
	t.Helper()
	if len(tenants) == 0 {
		tenants = []bundle.Name{"default"}
	}
	base := t.TempDir()
	y := &yard{
		t: t, state: filepath.Join(base, "state"), tenants: tenants, disk: &faulty{Disk: disk.New()}, high: newHigh(t),
		passes: 1, chunk: bundle.ChunkSizeMin, beat: 1 << 16, now: time.Now, retry: 20 * time.Millisecond,
	}
	for _, name := range tenants {
		b, err := outbox.Open(outbox.Options{Disk: disk.New(), Dir: filepath.Join(base, string(name)), Tenant: name})
		must(t, err)
		y.boxes = append(y.boxes, b)
	}
	return y
}

// life is one run of the daemon's rooms.
type life struct {
	*Dispatcher
	y      *yard
	ledger *ledger.Ledger
	socket *socket
	end    func() error // stops everything; what the ledger said
	fatal  func() error
}

// start begins a life, and takes up what the one before has left.
func (y *yard) start() *life {
	y.t.Helper()
	l := y.open()
	l.resume()
	return l
}

// open begins a life.
func (y *yard) open() *life {
	y.t.Helper()
	book, err := ledger.Open(context.Background(), y.state, y.disk, thisEpoch, y.now)
	must(y.t, err)
	l := &life{y: y, ledger: book, socket: newSocket(y.high)}
	plan, err := fec.NewPlan(fec.Facts{Rate: 10e9, MTU: 9000})
	must(y.t, err)
	var weights []schedule.Weight
	var tenants []Tenant
	for i, name := range y.tenants {
		weights = append(weights, schedule.Weight{Tenant: name, Weight: 1})
		tenants = append(tenants, Tenant{Name: name, Outbox: y.boxes[i], Rules: y.rules[i]})
	}
	engine := transmit.New(transmit.Options{
		Plan: plan, Tenants: weights, Socket: l.socket, Pacer: freePacer{time.Now()}, Batch: 16, Secrets: &secrets{}, Epoch: thisEpoch,
		Beat: func() []transmit.Appender { return l.Beat() },
	})
	l.Dispatcher = New(Options{
		Tenants: tenants, Link: engine, Disk: y.disk.Disk, Ledger: book, Signer: y.signer, Buffers: pack.NewBuffers(0, 0, len(tenants)), Sender: "low", Receiver: bundle.Digest{9},
		Epoch: thisEpoch, TicketKey: [32]byte{3}, Passes: y.passes, Apart: y.apart, ChunkSize: y.chunk, BeatBytes: y.beat, Rate: 1e9, Now: y.now, Log: zap.NewNop(),
		Scratch: filepath.Join(y.state, "inspect"), Examine: y.look,
	})
	l.retry = y.retry
	if y.tolled > 0 {
		l.tolled = y.tolled
	}
	l.unlooked = func(int) time.Duration { return y.retry }
	ctx, fail := context.WithCancelCause(context.Background())
	bookCtx, endBook := context.WithCancel(context.Background())
	bookEnded, linkEnded := make(chan error, 1), make(chan error, 1)
	go func() { bookEnded <- book.Run(bookCtx) }()
	l.Start(ctx, fail)
	go func() { linkEnded <- engine.Run(ctx) }()
	l.fatal = func() error { return context.Cause(ctx) }
	ended := false
	l.end = func() error {
		if ended {
			return nil
		}
		ended = true
		l.socket.end()
		fail(nil)
		if y.cut != nil {
			y.cut()
		}
		<-linkEnded
		l.Wait()
		endBook()
		err := <-bookEnded
		must(y.t, book.Close(false)) // as a crash leaves it
		held := make([]int, len(tenants))
		for _, t := range l.tasks {
			held[t.tenant]++
		}
		if !slices.Equal(held, l.held) {
			y.t.Errorf("%v tasks of the tenants are under way, and %v are counted", held, l.held)
		}
		return err
	}
	y.t.Cleanup(func() { _ = l.end() })
	return l
}

// resume does what the daemon does when it starts.
func (l *life) resume() {
	l.y.t.Helper()
	records, err := l.ledger.Unfinished(context.Background())
	must(l.y.t, err)
	open := map[bundle.ID]bool{}
	for _, r := range records {
		open[r.Bundle] = true
	}
	for _, b := range l.y.boxes {
		items, err := b.Claimed()
		must(l.y.t, err)
		for _, item := range items {
			r, err := l.ledger.Get(item.ID)
			if err != nil && !errors.Is(err, ledger.ErrNotFound) {
				l.y.t.Fatal(err)
			}
			must(l.y.t, l.Resume(item, r))
			delete(open, item.ID)
		}
	}
	for id := range open {
		must(l.y.t, l.Reopen(context.Background(), id))
	}
}

// drop puts an item into an outbox: a file where files has only "", else a tree.
func (y *yard) drop(tenant int, name string, files map[string][]byte) {
	y.t.Helper()
	top := filepath.Join(y.boxes[tenant].Dir(), name)
	for path, content := range files {
		full := filepath.Join(top, path)
		if strings.HasSuffix(path, "/") {
			must(y.t, os.MkdirAll(full, 0o755))
			continue
		}
		must(y.t, os.MkdirAll(filepath.Dir(full), 0o755))
		must(y.t, os.WriteFile(full, content, 0o644))
	}
}

// claim drops an item and claims it.
func (y *yard) claim(tenant int, class bundle.Class, name string, files map[string][]byte) outbox.Item {
	y.t.Helper()
	y.drop(tenant, name, files)
	y.ids++
	id := bundle.ID{byte(y.ids), byte(y.ids >> 8), 1}
	item, err := y.boxes[tenant].Claim(outbox.Candidate{Name: name, Class: class}, id)
	must(y.t, err)
	return item
}

// send claims one item and submits it.
func (l *life) send(name string, files map[string][]byte) outbox.Item {
	l.y.t.Helper()
	item := l.y.claim(0, bundle.Normal, name, files)
	must(l.y.t, l.Submit(item))
	return item
}

// book is a bundle's record; an empty one where there is none.
func (l *life) book(id bundle.ID) *ledger.Record {
	l.y.t.Helper()
	r, err := l.ledger.Get(id)
	if errors.Is(err, ledger.ErrNotFound) {
		return &ledger.Record{}
	}
	must(l.y.t, err)
	return r
}

// reach waits until a bundle is in a state and nothing of it is under way.
func (l *life) reach(id bundle.ID, s ledger.State) *ledger.Record {
	l.y.t.Helper()
	eventually(l.y.t, id.String()+" becomes "+string(s), func() bool { return l.book(id).State == s && !l.holds(id) })
	return l.book(id)
}

func (l *life) holds(id bundle.ID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tasks[id] != nil
}

// place lists what stands below a place of a tenant's house, with content.
func (y *yard) place(tenant int, names ...string) map[string][]byte {
	y.t.Helper()
	top := filepath.Join(append([]string{y.boxes[tenant].Dir(), ".ecluse"}, names...)...)
	found := map[string][]byte{}
	err := filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		rel, _ := filepath.Rel(top, path)
		found[rel] = content
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		y.t.Fatal(err)
	}
	return found
}

// stands holds that a place has exactly this content.
func (y *yard) stands(want map[string][]byte, names ...string) {
	y.t.Helper()
	if got := y.place(0, names...); !maps.EqualFunc(got, want, bytes.Equal) {
		y.t.Fatalf("in %v stands %v, want %v", names, keys(got), keys(want))
	}
}

func keys(m map[string][]byte) (list []string) {
	for k := range m {
		list = append(list, k)
	}
	return list
}

// under gives a tree's content under its item's name.
func under(name string, files map[string][]byte) map[string][]byte {
	m := map[string][]byte{}
	for path, content := range files {
		if !strings.HasSuffix(path, "/") {
			m[strings.TrimSuffix(filepath.Join(name, path), "/")] = content
		}
	}
	return m
}

func noise(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// whole holds that a bundle came so many times, equal to what was dropped.
func (y *yard) whole(item outbox.Item, files map[string][]byte, times int) *whole {
	y.t.Helper()
	w := y.high.whole(item.ID, times)
	if want := under(item.Name, files); !maps.EqualFunc(w.files, want, bytes.Equal) {
		y.t.Fatalf("%v came, want %v", keys(w.files), keys(want))
	}
	return w
}
