package ledger

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errTest = errors.New("the disk says no")

// faulty is the real disk, which counts what is asked of it and fails where a test wants it.
type faulty struct {
	*disk.Disk
	mu    sync.Mutex
	ops   int
	syncs int
	fail  func(op int, act, path string) error // nil: never
	hold  func()                               // before a sync
}

func (d *faulty) ask(act, path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ops++
	if d.fail != nil {
		return d.fail(d.ops, act, path)
	}
	return nil
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

func (d *faulty) RemoveAll(path string) error {
	if err := d.ask("remove", path); err != nil {
		return err
	}
	return d.Disk.RemoveAll(path)
}

// SyncAll syncs nothing: no power is cut here.
func (d *faulty) SyncAll(dir string) error {
	if d.hold != nil {
		d.hold()
	}
	err := d.ask("sync", dir)
	d.mu.Lock()
	d.syncs++
	d.mu.Unlock()
	return err
}

func (d *faulty) set(f func(op int, act, path string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = f
	d.ops = 0
}

// signer signs by a hash: what a signature is worth is not this room's business.
type signer struct{ err error }

func (s signer) SignManifest(m io.Reader) ([]byte, error) {
	h := sha256.New()
	if _, err := io.Copy(h, m); err != nil {
		return nil, err
	}
	return h.Sum([]byte("SSHSIG")), s.err
}

// book is a Ledger under test, running.
type book struct {
	*Ledger
	t     testing.TB
	disk  *faulty
	stop  context.CancelFunc
	ended chan error
}

var (
	start     = time.Date(2026, 1, 31, 23, 0, 0, 0, time.UTC)
	thisEpoch = bundle.Epoch{7}
)

func open(t testing.TB, dir string) *book {
	t.Helper()
	return openWith(t, dir, nil)
}

func openWith(t testing.TB, dir string, spare Spare) *book {
	t.Helper()
	b := &book{t: t, disk: &faulty{Disk: disk.New()}, ended: make(chan error, 1)}
	l, err := Open(context.Background(), dir, b.disk, thisEpoch, func() time.Time { return start })
	must(t, err)
	l.SetSpare(spare)
	ctx, stop := context.WithCancel(context.Background())
	b.Ledger, b.stop = l, stop
	go func() { b.ended <- b.Run(ctx) }()
	return b
}

// end closes the book, in order or as a crash leaves it, and gives what Run returned.
func (b *book) end(clean bool) error {
	b.t.Helper()
	b.stop()
	err := <-b.ended
	must(b.t, b.Close(clean))
	return err
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// id gives ids whose texts share no first characters.
func id(n int) bundle.ID {
	sum := sha256.Sum256([]byte{byte(n >> 8), byte(n)})
	return bundle.ID(sum[:16])
}

// claim makes a bundle known.
func (b *book) claim(n int) error {
	return b.Change(context.Background(), id(n), func(r *Record) error {
		if r.State != "" {
			return nil
		}
		*r = Record{Bundle: id(n), Tenant: "default", Epoch: thisEpoch, Name: "item", State: Waiting, Priority: bundle.Bulk, Created: start.Add(time.Duration(n) * time.Second)}
		return nil
	})
}

func (b *book) become(n int, states ...State) {
	b.t.Helper()
	for _, s := range states {
		must(b.t, b.Change(context.Background(), id(n), func(r *Record) error {
			r.State = s
			if s.Final() {
				at := start.Add(time.Hour + time.Duration(n)*time.Minute)
				r.Finished = &at
			}
			return nil
		}))
	}
}

func manifest(n int) *bundle.Manifest {
	t := new(bundle.Table)
	if _, err := t.AddFile("item", 0, 0o600, 0); err != nil {
		panic(err)
	}
	t.SetDigest(1, bundle.Digest(sha256.Sum256(nil)))
	return &bundle.Manifest{
		Header:    bundle.Header{Bundle: id(n), Sender: "s", Receiver: bundle.Digest{1}, Tenant: "default", Created: start.Unix(), Name: "item"},
		Table:     t,
		ChunkSize: bundle.ChunkSizeMax,
	}
}

func (b *book) sign(n int) (*Signed, error) {
	return b.Sign(context.Background(), signer{}, manifest(n))
}

// tear leaves of a file what a power cut may.
func tear(t testing.TB, path ...string) {
	t.Helper()
	must(t, os.Truncate(filepath.Join(path...), 0))
}

func (b *book) state(n int) State {
	b.t.Helper()
	r, err := b.Get(id(n))
	if errors.Is(err, ErrNotFound) {
		return ""
	}
	must(b.t, err)
	return r.State
}
