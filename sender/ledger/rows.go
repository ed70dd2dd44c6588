package ledger

import (
	"context"
	"database/sql"
	"embed"
	"time"

	"ecluse/protocol/bundle"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

const upsert = `INSERT INTO bundles (` + columns + `, counted, cleared)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (bundle) DO UPDATE SET tenant = excluded.tenant, epoch = excluded.epoch, sequence = excluded.sequence, name = excluded.name, state = excluded.state,
reason = excluded.reason, priority = excluded.priority, files = excluded.files, bytes = excluded.bytes, sent_bytes = excluded.sent_bytes,
passes_done = excluded.passes_done, created = excluded.created, finished = excluded.finished, counted = excluded.counted, cleared = excluded.cleared`

// show writes records to the catalog in one transaction.
func (l *Ledger) show(ctx context.Context, records map[bundle.ID]*Record) error {
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
			if err := showLink(tx, r); err != nil {
				return err
			}
		}
		return nil
	})
}

func (l *Ledger) clearRows(ctx context.Context) error {
	return l.catalog.Write(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec(`DELETE FROM bundles; DELETE FROM link`)
		return err
	})
}

// row gives the columns of upsert.
func row(r *Record) []any {
	var sequence *int64
	if r.Sequence != nil {
		s := int64(*r.Sequence)
		sequence = &s
	}
	return []any{
		r.Bundle.String(), string(r.Tenant), r.Epoch.String(), sequence, r.Name, string(r.State), r.Reason, r.Priority.String(),
		r.Files, r.Bytes, r.SentBytes, r.PassesDone, r.Created.UnixNano(), nanos(r.Finished), nanos(r.Counted), nanos(r.Cleared),
	}
}

func nanos(t *time.Time) *int64 {
	if t == nil {
		return nil
	}
	n := t.UnixNano()
	return &n
}
