package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"ecluse/protocol/bundle"
)

// rebuild makes the catalog again from the record files, after a life that did not end in order. Whatever of its last batch is on the disk was perhaps never synced, and nothing
// of it has left: each bundle of it either is whole, or can be made so, and durable when this returns, or is taken back.
func (l *Ledger) rebuild(ctx context.Context, lost []bundle.Name) error {
	if len(lost) > 0 {
		if err := l.findHeads(lost); err != nil {
			return err
		}
	}
	if err := l.complete(); err != nil {
		return err
	}
	if err := l.clearRows(ctx); err != nil {
		return err
	}
	records := make(map[bundle.ID]*Record)
	flush := func() error {
		defer clear(records)
		return l.show(ctx, records)
	}
	err := l.each(func(r *Record) error {
		if err := l.settle(r); err != nil {
			return err
		}
		if records[r.Bundle] = r; len(records) == batchMost {
			return flush()
		}
		return nil
	}, func(id bundle.ID) error {
		// It was made, or purged, just before the crash. An item that was claimed is still in sending/ and begins afresh.
		return l.disk.RemoveAll(l.bundleDir(id))
	})
	if err == nil {
		err = flush()
	}
	if err == nil {
		err = l.disk.SyncAll(l.dir)
	}
	return err
}

// each gives the record of every bundle on the disk, and the ids of those that have none.
func (l *Ledger) each(f func(r *Record) error, none func(id bundle.ID) error) error {
	names, err := l.disk.ReadDir(filepath.Join(l.dir, "bundles"))
	if err != nil {
		return err
	}
	for _, n := range names {
		id, err := bundle.ParseID(n)
		if err != nil {
			continue
		}
		r, err := ReadRecord(l.disk, l.dir, id)
		if errors.Is(err, errTorn) {
			r, err = l.salvage(id)
		}
		switch {
		case errors.Is(err, ErrNotFound):
			err = none(id)
		case err == nil:
			err = f(r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// settle holds a bundle that has not ended against the end of its chain.
func (l *Ledger) settle(r *Record) error {
	if r.Epoch != l.epoch {
		return nil
	}
	head := l.Head(r.Tenant)
	switch {
	case r.Sequence == nil && r.State.Final():
		return nil
	case r.Sequence == nil:
		return l.unsign(r)
	case *r.Sequence > head.Sequence && (r.State.Final() || r.PassesDone > 0):
		return fmt.Errorf("the chain of %s ends at %d, but %d was sent: the state is from several times, and a sequence could be used twice; begin a new life (ecluse-sender renew --epoch)",
			r.Tenant, head.Sequence, *r.Sequence)
	case r.State.Final():
		return nil
	case *r.Sequence > head.Sequence:
		return l.unsign(r)
	}
	if r.PassesDone > 0 {
		return nil
	}
	_, err := l.Signed(r)
	if damaged(err) {
		return l.unsign(r) // its sequence is left out for good
	}
	return err
}

// damaged tells that a manifest or a signature is not what was written, which a power cut before the sync can do, from a disk that cannot be read.
func damaged(err error) bool {
	_, rejected := bundle.ReasonOf(err)
	return rejected || errors.Is(err, fs.ErrNotExist) || errors.Is(err, errOther)
}

// unsign takes a signature back of which nothing has left: the bundle waits to be signed afresh.
func (l *Ledger) unsign(r *Record) error {
	if r.Sequence != nil {
		r.Sequence = nil
		text, err := json.Marshal(r)
		if err == nil {
			err = l.disk.Replace(filepath.Join(l.bundleDir(r.Bundle), claimName), text)
		}
		if err != nil {
			return fmt.Errorf("write the record of %s: %w", r.Bundle, err)
		}
	}
	for _, name := range []string{manifestName, signatureName} {
		if err := l.disk.RemoveAll(filepath.Join(l.bundleDir(r.Bundle), name)); err != nil {
			return fmt.Errorf("take back the manifest of %s: %w", r.Bundle, err)
		}
	}
	return nil
}

// salvage makes a record again from the manifest of a bundle whose record is torn; without a manifest nothing of the bundle has left, and it is ErrNotFound.
func (l *Ledger) salvage(id bundle.ID) (*Record, error) {
	m, err := l.Manifest(id)
	if err == nil && m.Bundle != id {
		err = errOther
	}
	if damaged(err) {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	if err != nil {
		return nil, err
	}
	sequence, files, dirs, chunks, bytes := m.Sequence, int64(m.Table.Files()), int64(m.Table.Dirs()), int64(len(m.Marks)), m.Table.Total()
	r := &Record{
		Bundle: id, Tenant: m.Tenant, Epoch: m.Epoch, Sequence: &sequence, Name: m.Name, State: Sending, Priority: bundle.Normal,
		Files: &files, Bytes: &bytes, Chunks: &chunks, Dirs: &dirs, Created: unixTime(m.Created),
	}
	text, err := json.Marshal(r)
	if err == nil {
		err = l.disk.Replace(filepath.Join(l.bundleDir(id), claimName), text)
	}
	if err != nil {
		return nil, fmt.Errorf("write the record of %s: %w", id, err)
	}
	return r, nil
}

// findHeads finds the ends of chains whose files are torn: the highest sequence that a bundle of this epoch holds. Purge never takes that one.
func (l *Ledger) findHeads(lost []bundle.Name) error {
	found := make(map[bundle.Name]Link)
	err := l.each(func(r *Record) error {
		if r.Sequence == nil || r.Epoch != l.epoch || !slices.Contains(lost, r.Tenant) || *r.Sequence <= found[r.Tenant].Sequence {
			return nil
		}
		signed, err := l.Signed(r)
		if damaged(err) && r.PassesDone == 0 && !r.State.Final() {
			return nil
		}
		if err != nil {
			return err
		}
		found[r.Tenant] = Link{Tenant: r.Tenant, Epoch: r.Epoch, Sequence: signed.Sequence, Digest: signed.Digest}
		return nil
	}, func(bundle.ID) error { return nil })
	for _, tenant := range lost {
		if c, ok := found[tenant]; ok && err == nil {
			var e entry
			if e, err = l.entryOf(c); err == nil {
				err = l.disk.Replace(e.path, e.text)
			}
			l.chains[tenant] = c
		} else if err == nil {
			err = l.disk.RemoveAll(l.chainPath(tenant))
		}
	}
	return err
}
