package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"ecluse/internal/audit"
	"ecluse/internal/catalog"
	"ecluse/internal/journal"
	"ecluse/internal/usage"
	"ecluse/protocol/bundle"
)

// Disk is what this room needs of a file system.
type Disk interface {
	MkdirAll(dir string) error
	// Prepare writes a whole file beside its place, and Place gives it its name; in between its content is made durable.
	Prepare(path string, content []byte) error
	Place(path string) error
	// Replace puts a whole file in place, durably.
	Replace(path string, content []byte) error
	ReadFile(path string, limit int64) ([]byte, error)
	ReadDir(dir string) ([]string, error)
	RemoveAll(path string) error
	// SyncAll makes everything durable that was changed below dir. Its failure is never to be tried again.
	SyncAll(dir string) error
}

// Spare is room that is kept back for what the book itself has to write.
type Spare interface {
	Ready() bool  // there is some, or enough of the disk is free
	Plenty() bool // the same for what nobody waits for
	Give() bool   // gives it free; false where there was none
	Keep() error  // makes it again
}

// ErrNotFound is returned for a bundle of which nothing is known.
var ErrNotFound = catalog.ErrNotFound

// ErrFatal wraps a sync that failed, or a catalog that did not take what is on the disk already: what is on the disk is no longer known, and the process has to end.
var ErrFatal = errors.New("the disk did not keep what was written")

// errEnded is returned for a change that Run did not come to before it ended.
var errEnded = errors.New("the ledger is closed")

// Ledger is the book. Its one goroutine (Run) makes all changes.
type Ledger struct {
	dir     string
	disk    Disk
	catalog *catalog.Catalog
	now     func() time.Time
	spare   Spare // may be nil

	anchor   *anchor    // it has a lock of its own
	audit    *audit.Log // it has one too; nil where nobody has given one
	findings []string   // of Open

	closed   usage.Floor   // all before it is closed in the account
	requests chan *request // bounded: who asks waits when it is full
	ended    chan struct{} // closed when Run has returned, and why is set
	why      error         // of the end of Run

	mu     sync.Mutex // guards what follows: Run writes, all may read
	live   map[bundle.ID]*Record
	hidden map[bundle.ID]*Record // what Get says of the bundles whose record files are being replaced; nil: nothing is known
	chains map[bundle.Name]*chains
	heads  map[Chain]Head
	moved  map[Chain]bool        // heads that the catalog does not show yet
	bytes  map[bundle.Name]int64 // of each tenant's bundles in quarantine

	counted map[bundle.Name]int64 // bytes of each tenant that were quarantined in this life

	// The batch under way; Run's own.
	staged  map[bundle.ID]*Record
	before  map[bundle.ID]*Record // what they were; nil: nothing was known
	texts   map[bundle.ID][]byte  // record files of those that have one
	linked  []*chains             // senders whose file was written
	digests map[bundle.ID]string  // of those texts, for the audit log
	said    []said                // what the audit log is to be told of it
	waited  bool                  // somebody waits for it
	unsure  []bundle.ID           // of whose sequences the catalog could not say whether they were told to be missing
	found   []audit.Entry         // of those, from when they are shown

	told map[Chain][]span // of what is missing the log tells, and the catalog has not taken that; Run's own

	commits uint64 // groups of records that were made durable; Run's own
}

// request is one change on its way.
type request struct {
	id    bundle.ID
	steps []func(r *Record) error
	chain func() error // instead: a change of a chain
	after func() error // instead: something to do when the batch is durable
	done  chan error
	then  func(error) // instead of done
}

// Posted and Slow implement group.Request. Here no change takes long.
func (r *request) Posted() bool { return r.then != nil }
func (r *request) Slow() bool   { return false }

func (r *request) end(err error) {
	if r.then != nil {
		r.then(err)
		return
	}
	r.done <- err
}

// batchMost bounds how many changes share one sync.
const batchMost = 512

// Open opens the book under the state directory, and makes the catalog again when it has to be. Run must be started before Change is called.
func Open(ctx context.Context, dir string, disk Disk, now func() time.Time) (*Ledger, error) {
	for _, d := range []string{"bundles", "chains"} {
		if err := disk.MkdirAll(filepath.Join(dir, d)); err != nil {
			return nil, fmt.Errorf("open ledger: %w", err)
		}
	}
	c, err := catalog.Create(ctx, catalog.Path(dir), catalog.Migrations(migrationFiles))
	if err != nil {
		return nil, err
	}
	l := &Ledger{
		dir: dir, disk: disk, catalog: c, now: now,
		requests: make(chan *request, batchMost),
		ended:    make(chan struct{}),
		live:     make(map[bundle.ID]*Record),
		hidden:   make(map[bundle.ID]*Record),
		chains:   make(map[bundle.Name]*chains),
		heads:    make(map[Chain]Head),
		moved:    make(map[Chain]bool),
		bytes:    make(map[bundle.Name]int64),
		counted:  make(map[bundle.Name]int64),
		staged:   make(map[bundle.ID]*Record),
		before:   make(map[bundle.ID]*Record),
		texts:    make(map[bundle.ID][]byte),
		digests:  make(map[bundle.ID]string),
	}
	err = l.takeAnchor()
	if err == nil {
		err = l.loadChains()
	}
	if err == nil {
		err = l.reconcile(ctx)
	}
	if err == nil {
		err = l.sumHeld(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open ledger: %w", err), c.Abort())
	}
	return l, nil
}

// SetSpare has the book use spare room when the disk is full. It is called before Run.
func (l *Ledger) SetSpare(s Spare) { l.spare = s }

// roomy does something once more with the spare room, where the disk is full.
func (l *Ledger) roomy(do func() error) error {
	err := do()
	if catalog.NoRoom(err) && l.spare != nil && l.spare.Give() {
		return do()
	}
	return err
}

// Run makes changes until ctx ends and no request waits; it is called once. It returns an error that wraps ErrFatal when a sync failed. What is asked for after its
// end is not done, and gets an error.
func (l *Ledger) Run(ctx context.Context) error {
	err := l.run(ctx)
	l.why = errEnded
	if err != nil {
		l.why = err
	}
	close(l.ended)
	l.refuse()
	return err
}

// flushMost is how often in a row, once a second, the heads may fail to be shown: a full disk may have room again, and nothing is lost meanwhile, since heads come again with each heartbeat.
const flushMost = 60

func (l *Ledger) run(ctx context.Context) error {
	flush := time.NewTicker(time.Second)
	defer flush.Stop()
	failures, looks := 0, 0
	for {
		select {
		case r := <-l.requests:
			if err := l.batch(r); err != nil {
				return err
			}
		case <-flush.C:
			var settled error
			if looks++; looks%settleEvery == 0 {
				settled = l.settleAudit()
			}
			var told error
			if looks%tellEvery == 0 {
				told = l.tellMissing(context.Background())
			}
			err := errors.Join(settled, told, l.flushHeads(context.Background()), l.flushAnchor())
			if l.spare != nil {
				_ = l.spare.Keep() // it is tried again in a second, and a start says why it fails
			}
			if errors.Is(err, ErrFatal) {
				return err
			}
			if failures++; err == nil {
				failures = 0
			}
			if failures > flushMost && !catalog.NoRoom(err) {
				return err
			}
		case <-ctx.Done():
			return l.drain()
		}
	}
}

// drain ends what waits when the process ends.
func (l *Ledger) drain() error {
	for {
		select {
		case r := <-l.requests:
			if err := l.batch(r); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// Close closes the catalog; after an error of Run, clean is false and the next start makes it again.
func (l *Ledger) Close(clean bool) error {
	if clean {
		if l.audit != nil {
			l.audit.Unfold()
		}
		settled := l.settleAudit()
		if catalog.NoRoom(settled) {
			settled = nil // the next start finds the end of the log as a crash leaves it
		}
		err := errors.Join(settled, l.flushHeads(context.Background()), l.settleAnchor())
		return errors.Join(err, l.catalog.Close())
	}
	return l.catalog.Abort()
}

// Change makes one change of one bundle, and returns when it is durable. change gets a copy of the record (an empty one of a bundle that is not known) and may act
// on the disk as well: what it did is covered by the same sync. An error from it leaves everything as it was, and is returned.
func (l *Ledger) Change(ctx context.Context, id bundle.ID, change func(r *Record) error) error {
	return l.Steps(ctx, id, change)
}

// Steps is Change for several changes, one after another, that become durable at once or not at all. Each is one that the states allow.
func (l *Ledger) Steps(ctx context.Context, id bundle.ID, steps ...func(r *Record) error) error {
	return l.ask(ctx, &request{id: id, steps: steps, done: make(chan error, 1)})
}

// Post makes a change without waiting for it; what it returned goes to then, which must not block. Changes are made in the order in which they were asked for.
func (l *Ledger) Post(id bundle.ID, change func(r *Record) error, then func(error)) {
	select {
	case l.requests <- &request{id: id, steps: []func(*Record) error{change}, then: then}:
	case <-l.ended:
		then(l.why)
		return
	}
	select {
	case <-l.ended: // Run may have looked for the last time before it was there
		l.refuse()
	default:
	}
}

// refuse ends what nobody will do any more.
func (l *Ledger) refuse() {
	for {
		select {
		case r := <-l.requests:
			r.end(l.why)
		default:
			return
		}
	}
}

// ask hands a request to Run and waits for its end. When ctx ends first, the change may still be made.
func (l *Ledger) ask(ctx context.Context, r *request) error {
	select {
	case l.requests <- r:
	case <-l.ended:
		return l.why
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-l.ended:
	}
	select {
	case err := <-r.done: // it was made, and then Run ended
		return err
	default:
		return l.why
	}
}

// liveMost bounds the records of stored states that are kept in memory beside their files.
const liveMost = 4096

// keep puts a record in memory, under the lock. Another one that has a file makes room.
func (l *Ledger) keep(id bundle.ID, r *Record) {
	l.live[id] = r
	if len(l.live) <= liveMost {
		return
	}
	for other, o := range l.live {
		if o.State.Stored() && other != id {
			delete(l.live, other)
			return
		}
	}
}

// Get returns a copy of a bundle's record, or ErrNotFound.
func (l *Ledger) Get(id bundle.ID) (*Record, error) {
	l.mu.Lock()
	r, hidden := l.hidden[id]
	if !hidden {
		r = l.live[id]
	}
	l.mu.Unlock()
	switch {
	case r != nil:
		return r.clone(), nil
	case hidden:
		return nil, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	r, err := ReadRecord(l.disk, l.dir, id)
	l.mu.Lock()
	defer l.mu.Unlock()
	before, hidden := l.hidden[id] // it may have been replaced while it was read, and that is not durable yet
	switch {
	case hidden && before == nil:
		return nil, fmt.Errorf("%w: %s", ErrNotFound, id)
	case hidden:
		return before.clone(), nil
	}
	return r, err
}

// recordLimit bounds a record file.
const recordLimit = 1 << 20

func (l *Ledger) path(id bundle.ID) string { return RecordPath(l.dir, id) }

// RecordPath is where a bundle's record file stands under the state directory.
func RecordPath(state string, id bundle.ID) string {
	name := id.String()
	return filepath.Join(state, "bundles", name[:2], name+".json")
}

// ReadRecord reads a bundle's record file, or returns ErrNotFound.
func ReadRecord(disk Disk, state string, id bundle.ID) (*Record, error) {
	text, err := disk.ReadFile(RecordPath(state, id), recordLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	if err != nil {
		return nil, fmt.Errorf("read the record of %s: %w", id, err)
	}
	text, _, err = journal.Open(text)
	var r *Record
	if err == nil {
		r, err = parseRecord(text, id)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: restore it from a backup (%s): %w", RecordPath(state, id), damagedHint, err)
	}
	return r, nil
}

// damagedHint is what else a person can do about a small file that is damaged.
const damagedHint = "or, with the daemon stopped, `ecluse-receiver anchor --accept --reason TEXT` sets it aside, and what it said is lost"

func parseRecord(text []byte, id bundle.ID) (*Record, error) {
	var r Record
	if err := json.Unmarshal(text, &r); err != nil || r.Bundle != id || !r.State.Stored() {
		return nil, errors.Join(err, errRecord)
	}
	r.countOld()
	return &r, nil
}

var errRecord = errors.New("not what should stand there")
