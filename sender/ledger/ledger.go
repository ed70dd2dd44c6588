package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
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

// ErrFatal wraps a sync that failed: the process has to end.
var ErrFatal = errors.New("the disk did not keep what was written")

// Record is all that is known of one bundle: claim.json, and what the commands print.
type Record struct {
	Bundle     bundle.ID    `json:"bundle"`
	Tenant     bundle.Name  `json:"tenant"`
	Epoch      bundle.Epoch `json:"epoch"`
	Sequence   *uint64      `json:"sequence"`
	Name       string       `json:"name"`
	State      State        `json:"state"`
	Reason     *string      `json:"reason"`
	Priority   bundle.Class `json:"priority"`
	Files      *int64       `json:"files"`
	Bytes      *int64       `json:"bytes"`
	SentBytes  int64        `json:"sent_bytes"`
	PassesDone int          `json:"passes_done"`
	Created    time.Time    `json:"created"`
	Finished   *time.Time   `json:"finished"`
	Chunks     *int64       `json:"chunks,omitempty"`
	Dirs       *int64       `json:"dirs,omitempty"`
}

func (r *Record) clone() *Record { c := *r; return &c }

// Ledger is the book. Its one goroutine (Run) makes all changes.
type Ledger struct {
	dir      string
	disk     Disk
	catalog  *catalog.Catalog
	now      func() time.Time
	epoch    bundle.Epoch
	requests chan *request

	mu     sync.Mutex
	live   map[bundle.ID]*Record
	chains map[bundle.Name]Link

	staged map[bundle.ID]*Record
}

type request struct {
	id     bundle.ID
	change func(r *Record) error
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

const (
	batchMost   = 512
	liveMost    = 4096
	recordLimit = 1 << 20
)

// Open opens the book under the state directory, and makes the catalog again when it has to be.
func Open(ctx context.Context, dir string, disk Disk, epoch bundle.Epoch, now func() time.Time) (*Ledger, error) {
	for _, d := range []string{"bundles", "chain"} {
		if err := disk.MkdirAll(filepath.Join(dir, d)); err != nil {
			return nil, fmt.Errorf("open ledger: %w", err)
		}
	}
	c, err := catalog.Create(ctx, filepath.Join(dir, "catalog.db"), migrations())
	if err != nil {
		return nil, err
	}
	l := &Ledger{
		dir: dir, disk: disk, catalog: c, now: now, epoch: epoch, requests: make(chan *request, batchMost),
		live: make(map[bundle.ID]*Record), chains: make(map[bundle.Name]Link), staged: make(map[bundle.ID]*Record),
	}
	err = l.loadChains()
	if err == nil && c.Dirty() {
		err = l.rebuild(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open ledger: %w", err), c.Abort())
	}
	return l, nil
}

// Close closes the catalog; after an error, clean is false and the next start makes it again.
func (l *Ledger) Close(clean bool) error {
	if clean {
		return l.catalog.Close()
	}
	return l.catalog.Abort()
}

// Run makes changes until ctx ends and none waits. It returns an error that wraps ErrFatal when a sync failed.
func (l *Ledger) Run(ctx context.Context) error {
	for {
		select {
		case r := <-l.requests:
			if err := l.batch(ctx, r); err != nil {
				return err
			}
		case <-ctx.Done():
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
	}
}

// Change makes one change of one bundle and returns when it is durable. change gets a copy of the record, an empty one of a bundle that is not known; what it does
// on the disk is covered by the same sync. An error from it leaves everything as it was, and is returned.
func (l *Ledger) Change(ctx context.Context, id bundle.ID, change func(r *Record) error) error {
	r := &request{id: id, change: change, done: make(chan error, 1)}
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

// Post makes a change without waiting for it; what it returned goes to done. Changes of one caller are made in their order, also those by Change.
func (l *Ledger) Post(id bundle.ID, change func(r *Record) error, done func(error)) {
	l.requests <- &request{id: id, change: change, then: done}
}

func (l *Ledger) batch(ctx context.Context, first *request) error {
	clear(l.staged)
	var accepted []*request
	take := func(r *request) {
		if err := l.stage(r); err != nil {
			r.end(err)
			return
		}
		accepted = append(accepted, r)
	}
	take(first)
	for len(accepted) < batchMost && len(l.requests) > 0 {
		take(<-l.requests)
	}
	err := l.commit(ctx)
	for _, r := range accepted {
		r.end(err)
	}
	if errors.Is(err, ErrFatal) {
		return err
	}
	return nil
}

func (l *Ledger) stage(r *request) error {
	before := l.staged[r.id]
	if before == nil {
		known, err := l.Get(r.id)
		if errors.Is(err, ErrNotFound) {
			known, err = &Record{Bundle: r.id}, nil
		}
		if err != nil {
			return err
		}
		before = known
	}
	after := before.clone()
	if err := r.change(after); err != nil {
		return err
	}
	if err := before.State.follow(after.State); err != nil {
		return err
	}
	l.staged[r.id] = after
	return nil
}

// commit makes the batch durable: manifests and chains were put by the changes themselves, records here, then one sync, then the catalog.
func (l *Ledger) commit(ctx context.Context) error {
	if len(l.staged) == 0 {
		return nil
	}
	for id, r := range l.staged {
		text, err := json.Marshal(r)
		if err == nil {
			err = l.disk.MkdirAll(l.bundleDir(id))
		}
		if err == nil {
			err = l.disk.Put(filepath.Join(l.bundleDir(id), "claim.json"), text)
		}
		if err != nil {
			return fmt.Errorf("write the record of %s: %w", id, err)
		}
	}
	if err := l.disk.SyncAll(l.dir); err != nil {
		return fmt.Errorf("%w: %w", ErrFatal, err)
	}
	if err := l.show(ctx, l.staged); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, r := range l.staged {
		l.live[id] = r
		for other, o := range l.live {
			if len(l.live) <= liveMost {
				break
			}
			if o.State.Final() && other != id {
				delete(l.live, other)
			}
		}
	}
	return nil
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

// ReadRecord reads a bundle's claim.json, or returns ErrNotFound.
func ReadRecord(disk Disk, state string, id bundle.ID) (*Record, error) {
	text, err := disk.ReadFile(filepath.Join(BundleDir(state, id), "claim.json"), recordLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	if err != nil {
		return nil, fmt.Errorf("read the record of %s: %w", id, err)
	}
	var r Record
	if err := json.Unmarshal(text, &r); err != nil || r.Bundle != id {
		return nil, fmt.Errorf("the record of %s is damaged: %w", id, errors.Join(err, errors.New("not a record of this bundle")))
	}
	return &r, nil
}

// BundleDir is where a bundle's papers stand under the state directory.
func BundleDir(state string, id bundle.ID) string {
	return filepath.Join(state, "bundles", id.String())
}

func (l *Ledger) bundleDir(id bundle.ID) string { return BundleDir(l.dir, id) }

// Unfinished returns the records of all bundles that the daemon still has to do something for, oldest first.
func (l *Ledger) Unfinished(ctx context.Context) ([]*Record, error) {
	rows, err := l.catalog.DB().QueryContext(ctx, `SELECT bundle FROM bundles WHERE state IN ('waiting', 'sending') ORDER BY created, bundle`)
	if err != nil {
		return nil, fmt.Errorf("ask the catalog: %w", err)
	}
	var ids []bundle.ID
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		id, err := bundle.ParseID(s)
		if err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		ids = append(ids, id)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, err
	}
	list := make([]*Record, 0, len(ids))
	for _, id := range ids {
		r, err := l.Get(id)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// rebuild makes the catalog again from the record files.
func (l *Ledger) rebuild(ctx context.Context) error {
	if err := l.clearRows(ctx); err != nil {
		return err
	}
	names, err := l.disk.ReadDir(filepath.Join(l.dir, "bundles"))
	if err != nil {
		return err
	}
	records := make(map[bundle.ID]*Record)
	for i, n := range names {
		id, err := bundle.ParseID(strings.TrimSpace(n))
		if err != nil {
			continue
		}
		r, err := ReadRecord(l.disk, l.dir, id)
		if errors.Is(err, ErrNotFound) {
			continue // made just before a crash; the item itself is still in sending/
		}
		if err != nil {
			return err
		}
		records[id] = r
		if len(records) == batchMost || i == len(names)-1 {
			if err := l.show(ctx, records); err != nil {
				return err
			}
			clear(records)
		}
	}
	return l.show(ctx, records)
}
