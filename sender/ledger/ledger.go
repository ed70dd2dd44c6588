package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"ecluse/internal/audit"
	"ecluse/internal/catalog"
	"ecluse/internal/disk"
	"ecluse/internal/usage"
	"ecluse/protocol/bundle"
)

// Disk is what this room needs of a file system.
type Disk interface {
	MkdirAll(dir string) error
	OpenFile(path string, flag int, perm fs.FileMode) (*disk.File, error)
	// Prepare writes a whole file beside its place, and Place gives it its name; in between its content is made durable. Discard is instead of Place, and Prepared reads what has no name yet.
	Prepare(path string, content []byte) error
	Prepared(path string, limit int64) ([]byte, error)
	Place(path string) error
	Discard(path string) error
	// Replace puts a whole file in place, durably.
	Replace(path string, content []byte) error
	ReadFile(path string, limit int64) ([]byte, error)
	ReadDir(dir string) ([]string, error)
	RemoveAll(path string) error
	// SyncAll makes everything durable that was changed below dir. Its failure is never to be tried again.
	SyncAll(dir string) error
}

// Spare is room that is kept back for the catalog: it has to take what is durable already.
type Spare interface {
	Ready() bool // there is some, or enough of the disk is free
	Give() bool  // gives it free; false where there was none
	Keep() error // makes it again
}

// ErrNotFound is returned for a bundle of which nothing is known.
var ErrNotFound = catalog.ErrNotFound

// ErrFatal wraps a sync that failed, and whatever else leaves open what is on the disk: the process has to end.
var ErrFatal = errors.New("the disk did not keep what was written")

// errEnded is returned for a change that Run did not come to before it ended.
var errEnded = errors.New("the ledger is closed")

// Ledger is the book. Its one goroutine (Run) makes all changes.
type Ledger struct {
	dir      string
	disk     Disk
	catalog  *catalog.Catalog
	now      func() time.Time
	epoch    bundle.Epoch
	spare    Spare         // may be nil
	audit    *audit.Log    // nil where nobody has given one
	requests chan *request // bounded: who asks waits when it is full
	ended    chan struct{} // closed when Run has returned, and why is set
	why      error

	mu     sync.Mutex // guards what follows: Run writes, all may read
	live   map[bundle.ID]*Record
	chains map[bundle.Name]Link

	closed  usage.Floor // all before it is closed in the account
	lagging atomic.Bool // the catalog does not show all that is durable

	// The batch under way; Run's own.
	staged map[bundle.ID]*Record
	before map[bundle.ID]*Record    // what they were; nil: nothing was known
	links  map[bundle.Name]Link     // new ends of chains
	texts  map[bundle.ID]recordFile // to be put, and put back should the batch fail
	said   []said                   // what the audit log is to be told of it
	behind map[bundle.ID]*Record    // durable, and the catalog had no room for them yet; Run's own until it has ended
}

// request is one change on its way.
type request struct {
	id     bundle.ID
	change func(r *Record) (*Link, error)
	purge  []bundle.ID // instead of change
	done   chan error
	then   func(error) // instead of done
	slow   bool        // its change takes long
}

// Posted and Slow implement group.Request.
func (r *request) Posted() bool { return r.then != nil }
func (r *request) Slow() bool   { return r.slow }

func (r *request) end(err error) {
	if r.then != nil {
		r.then(err)
		return
	}
	r.done <- err
}

// batchMost bounds how many changes share one sync, liveMost the records that are kept in memory beside their files.
const (
	batchMost = 512
	liveMost  = 4096
)

// Open opens the book under the state directory, and makes the catalog again when it has to be. What an earlier life wrote and did not live to sync is either durable when Open
// returns, or taken back: a bundle whose place in the chain had not been made durable is unsigned again.
func Open(ctx context.Context, dir string, disk Disk, epoch bundle.Epoch, now func() time.Time) (*Ledger, error) {
	for _, d := range []string{"bundles", "chain"} {
		if err := disk.MkdirAll(filepath.Join(dir, d)); err != nil {
			return nil, fmt.Errorf("open ledger: %w", err)
		}
	}
	c, err := catalog.Create(ctx, catalog.Path(dir), catalog.Migrations(migrationFiles))
	if err != nil {
		return nil, err
	}
	l := &Ledger{
		dir: dir, disk: disk, catalog: c, now: now, epoch: epoch,
		requests: make(chan *request, batchMost),
		ended:    make(chan struct{}),
		live:     make(map[bundle.ID]*Record),
		chains:   make(map[bundle.Name]Link),
		staged:   make(map[bundle.ID]*Record),
		before:   make(map[bundle.ID]*Record),
		links:    make(map[bundle.Name]Link),
		texts:    make(map[bundle.ID]recordFile),
		behind:   make(map[bundle.ID]*Record),
	}
	torn, err := l.loadChains()
	var last bool
	if err == nil {
		last, err = l.begin(ctx)
	}
	if err == nil && (!last || len(torn) > 0) {
		err = l.rebuild(ctx, torn)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open ledger: %w", err), c.Abort())
	}
	return l, nil
}

// Close closes the catalog; after an error, clean is false and the next start makes it again. So it does where the catalog lacks something.
func (l *Ledger) Close(clean bool) error {
	if clean && len(l.behind) == 0 {
		return errors.Join(l.settled(l.settleAudit()), l.catalog.Close())
	}
	return l.catalog.Abort()
}

// SetSpare has the book use spare room when the disk is full. It is called before Run.
func (l *Ledger) SetSpare(s Spare) { l.spare = s }

// Run makes changes until ctx ends and none waits; it is called once. It returns an error that wraps ErrFatal when a sync failed. What is asked for after its end is not done,
// and gets an error.
func (l *Ledger) Run(ctx context.Context) error {
	err := l.run(ctx)
	l.why = errEnded
	if err != nil {
		l.why = err
	}
	close(l.ended)
	l.sweep()
	return err
}

func (l *Ledger) run(ctx context.Context) error {
	keep := time.NewTicker(time.Second)
	defer keep.Stop()
	for looks := 1; ; {
		select {
		case r := <-l.requests:
			if err := l.batch(r); err != nil {
				return err
			}
			continue
		default:
		}
		select {
		case r := <-l.requests:
			if err := l.batch(r); err != nil {
				return err
			}
		case <-keep.C:
			if l.spare != nil {
				_ = l.spare.Keep() // it is tried again in a second, and without it batches wait for room
			}
			if err := l.catchUp(); err != nil {
				return err
			}
			if looks++; looks%settleEvery == 0 {
				if err := l.settled(l.settleAudit()); err != nil {
					return err
				}
			}
		case <-ctx.Done():
			if len(l.requests) == 0 {
				return nil
			}
		}
	}
}

// sweep ends what waits after the end of Run.
func (l *Ledger) sweep() {
	for {
		select {
		case r := <-l.requests:
			r.end(l.why)
		default:
			return
		}
	}
}

// send hands a request to Run. One that comes in after Run has looked for the last time finds ended closed, and sweeps for itself.
func (l *Ledger) send(ctx context.Context, r *request) error {
	select {
	case l.requests <- r:
	case <-l.ended:
		return l.why
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-l.ended:
		l.sweep()
	default:
	}
	return nil
}

func (l *Ledger) ask(ctx context.Context, r *request) error {
	r.done = make(chan error, 1)
	if err := l.send(ctx, r); err != nil {
		return err
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func plain(change func(r *Record) error) func(*Record) (*Link, error) {
	return func(r *Record) (*Link, error) { return nil, change(r) }
}

// Change makes one change of one bundle and returns when it is durable. change gets a copy of the record, an empty one of a bundle that is not known; what it does
// on the disk is covered by the same sync. An error from it leaves everything as it was, and is returned. When ctx ends first the change may still be made.
func (l *Ledger) Change(ctx context.Context, id bundle.ID, change func(r *Record) error) error {
	return l.ask(ctx, &request{id: id, change: plain(change)})
}

// Post makes a change without waiting for it; what it returned goes to done, once. Changes of one caller are made in their order, also those by Change.
func (l *Ledger) Post(id bundle.ID, change func(r *Record) error, done func(error)) {
	if err := l.send(context.Background(), &request{id: id, change: plain(change), then: done}); err != nil {
		done(err)
	}
}
