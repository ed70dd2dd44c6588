package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"syscall"

	"golang.org/x/mod/sumdb/tlog"

	"ecluse/internal/group"
	"ecluse/internal/journal"
	"ecluse/protocol/bundle"
)

// batch makes the first request and all that wait behind it. It knows no context: what is on the disk must reach the catalog too.
func (l *Ledger) batch(first *request) error {
	var accepted []*request
	clear(l.staged)
	clear(l.before)
	clear(l.texts)
	clear(l.digests)
	l.linked, l.said, l.unsure = nil, l.said[:0], nil
	sync := false
	l.waited = false
	take := func(r *request) {
		if err := l.stage(r); err != nil {
			r.end(err)
			return
		}
		accepted = append(accepted, r)
		l.waited = l.waited || !r.Posted()
		sync = sync || r.chain != nil || l.texts[r.id] != nil
	}
	group.Gather(first, l.requests, func(r *request) (more bool) {
		take(r)
		return len(accepted) < batchMost
	})
	failed, err := l.commit(sync)
	for _, r := range accepted {
		switch {
		case err != nil:
			r.end(err)
		case r.after != nil:
			e := r.after()
			r.end(e)
			if errors.Is(e, ErrFatal) {
				err = e
			}
		default:
			r.end(failed[r.id])
		}
	}
	if errors.Is(err, ErrFatal) {
		return err
	}
	return nil
}

// stage applies one request to the batch's copy of its record. What cannot be written fails here, alone.
func (l *Ledger) stage(r *request) error {
	switch {
	case r.after != nil:
		return nil
	case r.chain != nil:
		return r.chain()
	}
	before, err := l.look(r.id)
	if errors.Is(err, ErrNotFound) {
		before, err = nil, nil
	}
	if err != nil {
		return err
	}
	last, after := before, &Record{Bundle: r.id}
	var says []said
	for _, step := range r.steps {
		if last != nil {
			after = last.clone()
		}
		if err := step(after); err != nil {
			return err
		}
		if err := last.follow(after); err != nil {
			return err
		}
		now := l.now().UTC()
		after.Bundle = r.id
		if last == nil || last.State != Imported && !after.retries(last) && !(last.State.Ended() && after.tookBack(last)) { // what is said of that later does not have it kept for longer
			after.Changed = now
		}
		after.count(l.closed.Countable(now))
		if l.audit != nil {
			found, err := l.foundBy(last, after)
			if err != nil { // the catalog is a copy: nothing is refused for what it cannot say, and it is asked once more when it is shown this
				l.unsure = append(l.unsure, r.id)
			}
			for _, e := range append(found, Entries(last, after, now)...) {
				says = append(says, said{r.id, e})
			}
		}
		last = after
	}
	if after.State.Stored() {
		text, err := json.Marshal(after)
		if err != nil {
			return fmt.Errorf("write the record of %s: %w", r.id, err)
		}
		sealed := journal.Seal(text)
		if len(sealed) > recordLimit { // the next start could not read it
			return fmt.Errorf("write the record of %s: it would have %d bytes, and at most %d are read", r.id, len(sealed), recordLimit)
		}
		l.texts[r.id] = sealed
		if l.audit != nil {
			l.digests[r.id] = digestOf(text)
		}
	}
	l.said = append(l.said, says...)
	if l.staged[r.id] == nil {
		l.before[r.id] = before
	}
	l.staged[r.id] = after.clone() // change may have kept the one that it was given
	return nil
}

// look finds a record: in the batch, in memory, on the disk.
func (l *Ledger) look(id bundle.ID) (*Record, error) {
	if r := l.staged[id]; r != nil {
		return r, nil
	}
	return l.Get(id)
}

// commit makes the batch durable, then visible. A record whose file cannot be written stays as it was, and fails alone.
func (l *Ledger) commit(sync bool) (failed map[bundle.ID]error, err error) {
	if len(l.staged) == 0 && !sync {
		return nil, nil
	}
	l.mu.Lock()
	for id := range l.texts {
		l.hidden[id] = l.before[id]
	}
	l.mu.Unlock()
	failed, commit, err := l.put()
	if err != nil {
		return nil, err
	}
	if sync {
		if err := l.syncNames(commit); err != nil {
			return nil, err
		}
	}
	if err := l.tell(commit); err != nil {
		if sync {
			err = fmt.Errorf("%w: %w", ErrFatal, err) // or judgements would be made by a catalog that does not know what is on the disk
		}
		return nil, err
	}
	l.tellRest(failed)
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, r := range l.staged {
		l.bytes[r.Tenant] += r.inQuarantine() - l.before[id].inQuarantine()
		l.counted[r.Tenant] += r.countedSince(l.before[id])
		if r.State.Ended() {
			delete(l.live, id)
		} else {
			l.keep(id, r)
		}
	}
	clear(l.hidden)
	return failed, nil
}

// syncNames makes the batch durable, and has the anchor know it.
func (l *Ledger) syncNames(commit uint64) error {
	var size uint64
	var root tlog.Hash
	if l.audit != nil {
		size, root = l.audit.Place() // of what this sync covers
	}
	if err := l.disk.SyncAll(l.dir); err != nil {
		return fmt.Errorf("%w: %w", ErrFatal, err)
	}
	l.commits = commit
	l.anchor.committed(commit, l.before, l.staged, l.linked)
	if l.audit != nil {
		l.anchor.audited(size, root)
	}
	return nil
}

// tell has the catalog know the batch.
func (l *Ledger) tell(commit uint64) error {
	ctx := context.Background()
	if err := l.roomy(func() error { return l.show(ctx, l.staged, commit) }); err != nil {
		return err
	}
	l.tellAll(l.found)
	l.found = nil
	if err := l.raiseMarks(ctx); err != nil || len(l.linked) == 0 {
		return err
	}
	return l.roomy(func() error { return l.giveUp(ctx) })
}

// put writes the record files of the batch: all contents, a sync, then the names, which another sync makes durable. commit is the number of the group that they are, or that of the
// last one where there is nothing new to number.
func (l *Ledger) put() (failed map[bundle.ID]error, commit uint64, err error) {
	failed, commit = make(map[bundle.ID]error), l.commits
	var number error // of the group: bundles/ is never older than it says, and where there is no room for it there is none for a record
	switch {
	case len(l.texts) == 0:
	case l.spare != nil && (!l.spare.Ready() || !l.waited && !l.spare.Plenty()):
		number = syscall.ENOSPC // of a record that is durable the catalog has to hear, and there would be no room for that
	default:
		number = l.roomy(func() error { return l.prepareStamp(l.commits + 1) })
	}
	l.eachRecord(failed, func(path string, text []byte) error {
		if number != nil {
			return number
		}
		return l.roomy(func() error { return l.disk.Prepare(path, text) })
	})
	var written []bundle.ID
	if number == nil && len(l.texts) > len(failed) {
		if number = l.roomy(func() error { return l.write(failed) }); number == nil {
			written = l.writtenOf(failed)
		}
	}
	if number == nil && len(l.texts) > len(failed) { // no record gets its name before all of it is durable, and with it what its change did on the disk
		anchored := l.prepareAnchor() // of what was durable before; where the disk is full, a later one tells more
		if err := l.disk.SyncAll(l.dir); err != nil {
			return nil, 0, fmt.Errorf("%w: %w", ErrFatal, err)
		}
		if number = l.disk.Place(l.stampPath()); number == nil {
			commit++
		}
		if anchored {
			l.anchor.place()
		}
	}
	l.eachRecord(failed, func(path string, _ []byte) error {
		if number != nil {
			return number
		}
		return l.disk.Place(path)
	})
	l.unsay(failed, written)
	return failed, commit, nil
}

// eachRecord does one step for the record files of the batch, and takes those out of it for which it cannot be done.
func (l *Ledger) eachRecord(failed map[bundle.ID]error, step func(path string, text []byte) error) {
	ids := slices.SortedFunc(maps.Keys(l.texts), func(a, b bundle.ID) int { return bytes.Compare(a[:], b[:]) })
	for _, id := range ids {
		if failed[id] != nil {
			continue
		}
		if err := step(l.path(id), l.texts[id]); err != nil {
			failed[id] = fmt.Errorf("write the record of %s: %w", id, err)
			delete(l.staged, id)
		}
	}
}
