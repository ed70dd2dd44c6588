package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"ecluse/internal/catalog"
	"ecluse/internal/group"
	"ecluse/protocol/bundle"
)

// recordFile is a record's text as it shall be, and as it was; the latter is nil where there was none.
type recordFile struct{ text, before []byte }

// batch makes the changes that wait. Only an error that ends the process is returned; the others went to those who asked.
func (l *Ledger) batch(first *request) error {
	for r := first; r != nil; {
		next, err := l.group(r)
		if err != nil {
			if next != nil {
				next.end(err)
			}
			return err
		}
		r = next
	}
	return nil
}

// group makes changes, up to a bound, with one sync; next has come and is to be made after them.
func (l *Ledger) group(first *request) (next *request, err error) {
	clear(l.staged)
	clear(l.before)
	clear(l.links)
	clear(l.texts)
	l.said = l.said[:0]
	var accepted, purges []*request
	take := func(r *request) {
		if r.change == nil {
			purges = append(purges, r)
			return
		}
		if err := l.stage(r); err != nil {
			r.end(err)
			return
		}
		accepted = append(accepted, r)
	}
	next = group.Gather(first, l.requests, func(r *request) (more bool) {
		take(r)
		return len(accepted) < batchMost && len(purges) == 0
	})
	if err = l.commit(); err == nil {
		err = l.settleMany()
	}
	for _, r := range accepted {
		r.end(err)
	}
	for _, r := range purges {
		if !errors.Is(err, ErrFatal) {
			err = l.purge(r.purge)
		}
		r.end(err)
	}
	if errors.Is(err, ErrFatal) {
		return next, err
	}
	return next, nil
}

// stage makes one change in memory. Nothing that was there before is touched on the disk.
func (l *Ledger) stage(r *request) error {
	now := l.staged[r.id]
	var known *Record
	if now == nil {
		var err error
		known, err = l.Get(r.id)
		if errors.Is(err, ErrNotFound) {
			known, err = nil, nil
		}
		if err != nil {
			return err
		}
		if now = known; now == nil {
			now = &Record{Bundle: r.id}
		}
	}
	after := now.clone()
	link, err := r.change(after)
	if err != nil {
		return err
	}
	if after.Bundle != r.id {
		return fmt.Errorf("internal error: a change of %s made it %s", r.id, after.Bundle)
	}
	if err := now.State.follow(after.State); err != nil {
		return err
	}
	after.normalize()
	after.count(l.Countable(l.now()))
	if l.audit != nil {
		l.said = append(l.said, said{r.id, Entries(now, after, link)})
	}
	if l.staged[r.id] == nil {
		l.before[r.id] = known
	}
	l.staged[r.id] = after
	if link != nil {
		l.links[link.Tenant] = *link
	}
	return nil
}

// commit makes the batch durable. Manifests stand there already and mean nothing without a record that counts them; records come before the chains, so that a crash in between leaves
// sequences that are beyond the end of their chain, which Open takes back; then another sync, and then the catalog.
func (l *Ledger) commit() error {
	if len(l.staged) == 0 {
		return nil
	}
	if l.spare != nil && !l.spare.Ready() {
		return fmt.Errorf("note %d changes: %w", len(l.staged), syscall.ENOSPC) // before anything is durable there is a way back
	}
	if err := l.encode(); err != nil {
		return err
	}
	l.pin()
	if err := l.put(); err != nil {
		return err
	}
	if err := l.disk.SyncAll(l.dir); err != nil {
		return fmt.Errorf("%w: %w", ErrFatal, err)
	}
	maps.Copy(l.behind, l.staged)
	if err := l.catchUp(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for tenant, c := range l.links {
		l.chains[tenant] = c
	}
	for id, r := range l.staged {
		l.live[id] = r
	}
	l.thin()
	return nil
}

// catchUp tells the catalog what it does not know. Where there is no room for that it comes later: lists lack it so long, and nothing else does, since a life that ends before makes the
// catalog again. Whatever else keeps the catalog from it leaves the disk ahead, and only a start makes them agree again.
func (l *Ledger) catchUp() error {
	if len(l.behind) == 0 {
		return nil
	}
	l.lagging.Store(true)
	err := l.roomy(func() error { return l.show(context.Background(), l.behind) })
	switch {
	case err == nil:
		clear(l.behind)
		l.lagging.Store(false)
	case !catalog.NoRoom(err):
		return fmt.Errorf("%w: %w", ErrFatal, err)
	}
	return nil
}

// roomy does something once more with the spare room, where the disk is full.
func (l *Ledger) roomy(do func() error) error {
	err := do()
	if catalog.NoRoom(err) && l.spare != nil && l.spare.Give() {
		return do()
	}
	return err
}

func (l *Ledger) encode() error {
	for id, r := range l.staged {
		text, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("write the record of %s: %w", id, err)
		}
		f := recordFile{text: text}
		if b := l.before[id]; b != nil {
			if f.before, err = json.Marshal(b); err != nil {
				return fmt.Errorf("write the record of %s: %w", id, err)
			}
		}
		l.texts[id] = f
	}
	return nil
}

// pin keeps what the records were in memory, so that Get does not tell what is not durable yet.
func (l *Ledger) pin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, b := range l.before {
		if b != nil {
			l.live[id] = b
		}
	}
}

// thin makes room in memory, under the lock: bundles that have ended are read from the disk when somebody asks for them.
func (l *Ledger) thin() {
	if len(l.live) <= liveMost {
		return
	}
	for id, r := range l.live {
		if r.State.Final() {
			delete(l.live, id)
		}
	}
}

// entry is one file of a batch.
type entry struct {
	path         string
	text, before []byte
	fresh        string // what goes with it where there was nothing before
}

// entries lists the files of the batch, the chains last.
func (l *Ledger) entries() (all []entry, err error) {
	for id, f := range l.texts {
		dir := l.bundleDir(id)
		all = append(all, entry{filepath.Join(dir, claimName), f.text, f.before, dir})
	}
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.path, b.path) })
	for _, tenant := range slices.Sorted(maps.Keys(l.links)) {
		e, err := l.entryOf(l.links[tenant])
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

// put writes the files of the batch: all contents, a sync, then the names. When one cannot be written nothing has changed; when one cannot get its name, those that have are put
// back, and when that fails too, what is on the disk is open, and only a start can settle it.
func (l *Ledger) put() error {
	all, err := l.entries()
	if err != nil {
		return err
	}
	for i, e := range all {
		if err := l.prepare(e); err != nil {
			return l.takeBack(all[:i+1], 0, err)
		}
	}
	if err := l.roomy(l.writeAudit); err != nil {
		return l.takeBack(all, 0, err)
	}
	if err := l.disk.SyncAll(l.dir); err != nil {
		return fmt.Errorf("%w: %w", ErrFatal, err)
	}
	for i, e := range all {
		if err := l.disk.Place(e.path); err != nil {
			return l.unsay(l.takeBack(all, i, fmt.Errorf("place %s: %w", e.path, err)))
		}
	}
	return nil
}

func (l *Ledger) prepare(e entry) error {
	err := l.disk.MkdirAll(filepath.Dir(e.path))
	if err == nil {
		err = l.disk.Prepare(e.path, e.text)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", e.path, err)
	}
	return nil
}

// takeBack undoes what was begun, of which the first have their names already.
func (l *Ledger) takeBack(begun []entry, placed int, cause error) error {
	for i, e := range begun {
		var err error
		switch {
		case e.before == nil:
			err = errors.Join(l.disk.Discard(e.path), l.disk.RemoveAll(e.fresh))
		case i < placed:
			err = l.disk.Replace(e.path, e.before)
		default:
			err = l.disk.Discard(e.path)
		}
		if err != nil {
			return fmt.Errorf("%w: %w, and taking it back: %w", ErrFatal, cause, err)
		}
	}
	return cause
}

// newest is the end of a tenant's chain as the batch under way leaves it.
func (l *Ledger) newest(tenant bundle.Name) Link {
	if c, ok := l.links[tenant]; ok {
		return c
	}
	return l.Head(tenant)
}
