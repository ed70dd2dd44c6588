package ledger

import (
	"context"
	"database/sql"
	"math"
	"strings"
	"time"

	"ecluse/internal/catalog"
	"ecluse/protocol/bundle"
)

// Dir is the state directory, where the book stands.
func (l *Ledger) Dir() string { return l.dir }

// Query selects records; zero fields select nothing away.
type Query struct {
	State  State
	Tenant bundle.Name
	Since  time.Time // created at or after
	Limit  int       // the newest that many
	Prefix string    // of the bundle's text
	Before *Record   // older ones than this
}

const columns = `bundle, tenant, epoch, sequence, name, state, reason, priority, files, bytes, sent_bytes, passes_done, created, finished`

// List returns records, oldest first by the time they were claimed: what `list --json` prints.
func List(ctx context.Context, db *sql.DB, q Query) ([]Record, error) {
	where, args := []string{"1 = 1"}, []any{}
	if q.State != "" {
		where, args = append(where, "state = ?"), append(args, string(q.State))
	}
	if q.Tenant != "" {
		where, args = append(where, "tenant = ?"), append(args, string(q.Tenant))
	}
	if !q.Since.IsZero() {
		where, args = append(where, "created >= ?"), append(args, q.Since.UnixNano())
	}
	if q.Prefix != "" {
		where, args = append(where, "bundle >= ? AND bundle < ?"), append(args, q.Prefix, q.Prefix+"~")
	}
	if q.Before != nil {
		sequence := int64(math.MaxInt64)
		if q.Before.Sequence != nil {
			sequence = int64(*q.Before.Sequence)
		}
		where = append(where, "(created, coalesce(sequence, 9223372036854775807), bundle) < (?, ?, ?)")
		args = append(args, q.Before.Created.UnixNano(), sequence, q.Before.Bundle.String())
	}
	text := `SELECT ` + columns + ` FROM bundles WHERE ` + strings.Join(where, " AND ") + ` ORDER BY created DESC, sequence IS NULL DESC, sequence DESC, bundle DESC`
	return catalog.Newest(ctx, db, q.Limit, scanRecord, text, args...)
}

func scanRecord(rows *sql.Rows) (r Record, err error) {
	var created int64
	var finished *int64
	err = rows.Scan(catalog.Text(&r.Bundle), &r.Tenant, catalog.Text(&r.Epoch), &r.Sequence, &r.Name, &r.State, &r.Reason, catalog.Text(&r.Priority), &r.Files, &r.Bytes, &r.SentBytes, &r.PassesDone, &created, &finished)
	r.Created = time.Unix(0, created).UTC()
	if finished != nil {
		t := time.Unix(0, *finished).UTC()
		r.Finished = &t
	}
	return r, err
}

// Unfinished returns the records of all bundles that the daemon still has to do something for, oldest first.
func (l *Ledger) Unfinished(ctx context.Context) ([]*Record, error) {
	found, err := l.ids(ctx, `SELECT bundle FROM bundles WHERE state IN ('waiting', 'sending') ORDER BY created, bundle`)
	if err != nil {
		return nil, err
	}
	list := make([]*Record, 0, len(found))
	for _, id := range found {
		r, err := l.Get(id)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

func (l *Ledger) ids(ctx context.Context, query string, args ...any) ([]bundle.ID, error) {
	return catalog.IDs(ctx, l.catalog.DB(), query, args...)
}
