package ledger

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"maps"
	"path/filepath"
	"strings"
	"time"

	"ecluse/internal/catalog"
	"ecluse/protocol/bundle"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

const upsert = `INSERT INTO bundles (bundle, tenant, sender, epoch, sequence, name, state, verdict, reason, files, bytes, missing_bytes, created, received, changed, digest, previous, held, quarantined, ended, begun)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (bundle) DO UPDATE SET tenant = excluded.tenant, sender = excluded.sender, epoch = excluded.epoch, sequence = excluded.sequence, name = excluded.name,
state = excluded.state, verdict = excluded.verdict, reason = excluded.reason, files = excluded.files, bytes = excluded.bytes, missing_bytes = excluded.missing_bytes,
created = excluded.created, received = excluded.received, changed = excluded.changed, digest = excluded.digest, previous = excluded.previous, held = excluded.held,
quarantined = excluded.quarantined, ended = excluded.ended, begun = excluded.begun`

// show writes records to the catalog in one transaction, as the group of a number; 0 changes no number.
func (l *Ledger) show(ctx context.Context, records map[bundle.ID]*Record, commit uint64) error {
	if len(records) == 0 {
		return nil
	}
	put, err := l.catalog.Prepared(ctx, upsert)
	if err != nil {
		return err
	}
	return l.catalog.Write(ctx, func(tx *sql.Tx) error {
		s := tx.Stmt(put)
		for _, r := range records {
			if _, err := s.Exec(row(r)...); err != nil {
				return err
			}
		}
		if err := l.cutShown(tx, records); err != nil {
			return err
		}
		if commit == 0 {
			return nil
		}
		return markCatalog(tx, commit)
	})
}

// row gives the columns of upsert.
func row(r *Record) []any {
	var digest, previous *string
	if r.Manifest != nil {
		d, p := r.Manifest.Digest.String(), r.Manifest.Previous.String()
		digest, previous = &d, &p
	}
	var sequence *int64
	if r.Sequence != nil {
		s := int64(*r.Sequence)
		sequence = &s
	}
	return []any{
		r.Bundle.String(), string(r.Tenant), string(r.Sender), r.Epoch.String(), sequence, r.Name, string(r.State), (*string)(r.Verdict), r.Reason,
		r.Files, r.Bytes, r.MissingBytes, nanos(r.Created), nanos(r.Received), r.Changed.UnixNano(), digest, previous, r.Held(), nanos(r.Quarantined), nanos(r.Over), r.Left(),
	}
}

func nanos(t *time.Time) *int64 {
	if t == nil {
		return nil
	}
	n := t.UnixNano()
	return &n
}

// refresh brings the catalog in line with the disk.
func (l *Ledger) refresh(ctx context.Context, all bool) error {
	if !all {
		return l.forgetComing(ctx)
	}
	err := l.catalog.Write(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec(`DELETE FROM bundles; DELETE FROM floors`)
		if err != nil {
			return err
		}
		_, err = l.showFloors(tx)
		return err
	})
	if err != nil {
		return err
	}
	root := filepath.Join(l.dir, "bundles")
	groups, err := l.disk.ReadDir(root)
	if err != nil {
		return err
	}
	var damaged []error
	for _, g := range groups {
		if !isGroup(g) {
			continue
		}
		errs, err := l.rebuildGroup(ctx, filepath.Join(root, g))
		if err != nil {
			return err
		}
		damaged = append(damaged, errs...)
	}
	return errors.Join(damaged[:min(len(damaged), damagedMost)]...)
}

// forgetComing takes out of a catalog that was closed in order what was being received: its owner adds it afterwards, for its staging directory may be gone. Such a bundle has no record file,
// or one that says that it was refused before, for want of room: without the rest of it that is what it is.
func (l *Ledger) forgetComing(ctx context.Context) error {
	refused := make(map[bundle.ID]*Record)
	err := l.catalog.Write(ctx, func(tx *sql.Tx) error {
		rows, err := tx.Query(`DELETE FROM bundles WHERE state IN ('receiving', 'damaged') RETURNING bundle`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id bundle.ID
			if err := rows.Scan(catalog.Text(&id)); err != nil {
				return err
			}
			switch r, err := ReadRecord(l.disk, l.dir, id); {
			case err == nil:
				refused[id] = r
			case !errors.Is(err, ErrNotFound):
				return err
			}
		}
		return rows.Err()
	})
	if err != nil {
		return err
	}
	return l.show(ctx, refused, 0)
}

// damagedMost bounds how many damaged record files are named at once.
const damagedMost = 10

// rebuildGroup shows the records of one directory. Those that cannot be read are named: without them nobody can tell any more what has been here.
func (l *Ledger) rebuildGroup(ctx context.Context, dir string) (damaged []error, err error) {
	names, err := l.disk.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	records := make(map[bundle.ID]*Record)
	for _, n := range names {
		name, ok := strings.CutSuffix(n, ".json")
		id, err := bundle.ParseID(name)
		if !ok || err != nil {
			continue // a temporary of an earlier life
		}
		r, err := ReadRecord(l.disk, l.dir, id)
		if err != nil {
			damaged = append(damaged, err)
			continue
		}
		records[id] = r
	}
	return damaged, l.show(ctx, records, 0)
}

// loadHeads takes the heads up where the catalog has them.
func (l *Ledger) loadHeads(ctx context.Context) error {
	rows, err := l.catalog.DB().QueryContext(ctx, `SELECT sender, tenant, epoch, sequence, digest FROM heads`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var c Chain
		var h Head
		if err := rows.Scan(&c.Sender, &c.Tenant, catalog.Text(&c.Epoch), &h.Sequence, catalog.Text(&h.Digest)); err != nil {
			return err
		}
		l.heads[c] = h
	}
	return rows.Err()
}

// flushHeads shows the heads that moved. Where it fails they have still moved.
func (l *Ledger) flushHeads(ctx context.Context) (err error) {
	l.mu.Lock()
	moved := make(map[Chain]Head, len(l.moved))
	floors := make(map[Chain]uint64, len(l.moved))
	for p := range maps.Keys(l.moved) {
		if l.chains[p.Sender].status(p.Epoch) != bundle.EpochReplaced {
			moved[p], floors[p] = l.heads[p], l.floor(p)
		}
	}
	clear(l.moved)
	l.mu.Unlock()
	if len(moved) == 0 {
		return nil
	}
	defer func() {
		if err != nil {
			l.mu.Lock()
			for p := range moved {
				l.moved[p] = true
			}
			l.mu.Unlock()
		}
	}()
	now := l.now().UnixNano()
	return l.catalog.Write(ctx, func(tx *sql.Tx) error {
		for p, h := range moved {
			var shown uint64
			err := tx.QueryRow(`SELECT coalesce(max(sequence), 0) FROM heads WHERE sender = ? AND tenant = ? AND epoch = ?`, string(p.Sender), string(p.Tenant), p.Epoch.String()).Scan(&shown)
			if err == nil {
				err = recount(tx, p, max(shown, floors[p])+1, h.Sequence, l.asOfNow)
			}
			if err != nil {
				return err
			}
			_, err = tx.Exec(`INSERT INTO heads (sender, tenant, epoch, sequence, digest, changed) VALUES (?, ?, ?, ?, ?, ?)
				ON CONFLICT (sender, tenant, epoch) DO UPDATE SET sequence = excluded.sequence, digest = excluded.digest, changed = excluded.changed`,
				string(p.Sender), string(p.Tenant), p.Epoch.String(), int64(h.Sequence), h.Digest.String(), now)
			if err != nil {
				return err
			}
		}
		return nil
	})
}
