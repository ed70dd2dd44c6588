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

	"ecluse/internal/catalog"
	"ecluse/protocol/bundle"
)

// Disk is what this room needs of a file system.
type Disk interface {
	MkdirAll(dir string) error
	// Put puts a whole file in place by rename, not yet durable.
	Put(path string, content []byte) error
	ReadFile(path string, limit int64) ([]byte, error)
	ReadDir(dir string) ([]string, error)
	RemoveAll(path string) error
	// SyncAll makes everything durable that was changed below dir. Its failure is never to be tried again.
	SyncAll(dir string) error
}

// ErrNotFound is returned for a bundle of which nothing is known.
var ErrNotFound = errors.New("no such bundle")

// ErrFatal wraps a sync that failed: what is on the disk is no longer known, and the process has to end.
var ErrFatal = errors.New("the disk did not keep what was written")

// Ledger is the book. Its one goroutine (Run) makes all changes.
type Ledger struct {
	dir     string
	disk    Disk
	catalog *catalog.Catalog
	now     func() time.Time

	requests chan *request

	mu     sync.Mutex // guards what follows: Run writes, all may read
	live   map[bundle.ID]*Record
	chains map[bundle.Name]*chain
	heads  map[place]Head
	moved  map[place]bool // heads that the catalog does not show yet

	staged map[bundle.ID]*Record // the batch under way; Run's own
}

// request is one change on its way.
type request struct {
	id     bundle.ID
	change func(r *Record) error
	chain  func() error // instead: a change of a chain
	done   chan error
	then   func(error) // instead of done
}

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
	c, err := catalog.Create(ctx, filepath.Join(dir, "catalog.db"), migrations())
	if err != nil {
		return nil, err
	}
	l := &Ledger{
		dir: dir, disk: disk, catalog: c, now: now,
		requests: make(chan *request, batchMost),
		live:     make(map[bundle.ID]*Record),
		chains:   make(map[bundle.Name]*chain),
		heads:    make(map[place]Head),
		moved:    make(map[place]bool),
		staged:   make(map[bundle.ID]*Record),
	}
	err = l.loadChains()
	if err == nil && c.Dirty() {
		err = l.rebuild(ctx)
	}
	if err == nil {
		err = l.loadHeads(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open ledger: %w", err), c.Abort())
	}
	return l, nil
}

// Run makes changes until ctx ends and no request waits. It returns an error that wraps ErrFatal when a sync failed.
func (l *Ledger) Run(ctx context.Context) error {
	flush := time.NewTicker(time.Second)
	defer flush.Stop()
	for {
		select {
		case r := <-l.requests:
			if err := l.batch(ctx, r); err != nil {
				return err
			}
		case <-flush.C:
			if err := l.flushHeads(ctx); err != nil {
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
			if err := l.batch(context.Background(), r); err != nil {
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
		return errors.Join(l.flushHeads(context.Background()), l.catalog.Close())
	}
	return l.catalog.Abort()
}

// Change makes one change of one bundle, and returns when it is durable. change gets a copy of the record (an empty one of a bundle that is not known) and may act
// on the disk as well: what it did is covered by the same sync. An error from it leaves everything as it was, and is returned.
func (l *Ledger) Change(ctx context.Context, id bundle.ID, change func(r *Record) error) error {
	return l.ask(ctx, &request{id: id, change: change, done: make(chan error, 1)})
}

// Post makes a change without waiting for it; what it returned goes to then, which must not block. Changes are made in the order in which they were asked for.
func (l *Ledger) Post(id bundle.ID, change func(r *Record) error, then func(error)) {
	l.requests <- &request{id: id, change: change, then: then}
}

func (l *Ledger) ask(ctx context.Context, r *request) error {
	select {
	case l.requests <- r:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// batch makes the first request and all that wait behind it.
func (l *Ledger) batch(ctx context.Context, first *request) error {
	var accepted []*request
	clear(l.staged)
	stored := false
	take := func(r *request) {
		if err := l.stage(r); err != nil {
			r.end(err)
			return
		}
		accepted = append(accepted, r)
		stored = stored || r.chain != nil || l.staged[r.id].State.Stored()
	}
	take(first)
	for len(accepted) < batchMost {
		select {
		case r := <-l.requests:
			take(r)
			continue
		default:
		}
		break
	}
	err := l.commit(ctx, stored)
	for _, r := range accepted {
		r.end(err)
	}
	if errors.Is(err, ErrFatal) {
		return err
	}
	return nil
}

// stage applies one request to the batch's copy of its record.
func (l *Ledger) stage(r *request) error {
	if r.chain != nil {
		return r.chain()
	}
	before, err := l.look(r.id)
	if errors.Is(err, ErrNotFound) {
		before, err = &Record{Bundle: r.id}, nil
	}
	if err != nil {
		return err
	}
	after := before.clone()
	if err := r.change(after); err != nil {
		return err
	}
	if err := before.State.follow(after.State); err != nil {
		return err
	}
	after.Changed = l.now().UTC()
	l.staged[r.id] = after
	return nil
}

// look finds a record: in the batch, in memory, on the disk.
func (l *Ledger) look(id bundle.ID) (*Record, error) {
	if r := l.staged[id]; r != nil {
		return r, nil
	}
	return l.Get(id)
}

// commit makes the batch durable, then visible.
func (l *Ledger) commit(ctx context.Context, stored bool) error {
	if len(l.staged) == 0 && !stored {
		return nil
	}
	for id, r := range l.staged {
		if !r.State.Stored() {
			continue
		}
		text, err := json.Marshal(r)
		if err == nil {
			err = l.disk.Put(l.path(id), text)
		}
		if err != nil {
			return fmt.Errorf("write the record of %s: %w", id, err)
		}
	}
	if stored {
		if err := l.disk.SyncAll(l.dir); err != nil {
			return fmt.Errorf("%w: %w", ErrFatal, err)
		}
	}
	if err := l.show(ctx, l.staged); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, r := range l.staged {
		if r.State.Ended() {
			delete(l.live, id)
		} else {
			l.keep(id, r)
		}
	}
	return nil
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
	r := l.live[id]
	l.mu.Unlock()
	if r != nil {
		return r.clone(), nil
	}
	return ReadRecord(l.disk, l.dir, id)
}

// Forget takes a bundle out of memory whose state has no record file: it was received in part, and is no longer wanted.
func (l *Ledger) Forget(id bundle.ID) {
	l.mu.Lock()
	delete(l.live, id)
	l.mu.Unlock()
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
	var r Record
	if err := json.Unmarshal(text, &r); err != nil || r.Bundle != id {
		return nil, fmt.Errorf("the record of %s is damaged: %w", id, errors.Join(err, errRecord))
	}
	return &r, nil
}

var errRecord = errors.New("not a record of this bundle")

// Purge forgets bundles that have ended, for good. The chain keeps a floor: what lies at or below it is refused from now on, because nobody can tell any more whether
// it has been here (rule Q-2).
func (l *Ledger) Purge(ctx context.Context, ids []bundle.ID) error {
	return l.ask(ctx, &request{done: make(chan error, 1), chain: func() error { return l.purge(ctx, ids) }})
}

func (l *Ledger) purge(ctx context.Context, ids []bundle.ID) error {
	var records []*Record
	for _, id := range ids {
		r, err := l.look(id)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if !r.State.Ended() {
			return fmt.Errorf("purge %s: it is %s", id, r.State)
		}
		records = append(records, r)
	}
	if err := l.raiseFloors(records); err != nil {
		return err
	}
	if err := l.disk.SyncAll(l.dir); err != nil { // the floors first
		return fmt.Errorf("%w: %w", ErrFatal, err)
	}
	for _, r := range records {
		if err := l.disk.RemoveAll(l.path(r.Bundle)); err != nil {
			return fmt.Errorf("purge %s: %w", r.Bundle, err)
		}
	}
	return l.deleteRows(ctx, records)
}
