package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"ecluse/internal/catalog"
	"ecluse/protocol/bundle"
)

// CountAll returns how many bundles are in each state, with those that are known only by their sequence.
func CountAll(ctx context.Context, db *sql.DB) (map[State]int64, error) {
	m, err := catalog.Counts[State](ctx, db)
	if err != nil {
		return nil, err
	}
	var n int64
	if err := db.QueryRowContext(ctx, `SELECT coalesce(sum(last - first + 1), 0) FROM absent`).Scan(&n); err != nil {
		return nil, fmt.Errorf("count bundles: %w", err)
	}
	if n > 0 {
		m[Missing] = n
	}
	return m, nil
}

// Counts returns how many bundles are in each state.
func (l *Ledger) Counts(ctx context.Context) (map[State]int64, error) {
	return CountAll(ctx, l.catalog.DB())
}

// Failing returns how many approved bundles have a reason why they are not delivered.
func (l *Ledger) Failing(ctx context.Context) (n int64, err error) {
	const q = `SELECT count(*) FROM bundles WHERE state = 'approved' AND reason IS NOT NULL AND reason <> 'not-inspected'`
	if err := l.catalog.DB().QueryRowContext(ctx, q).Scan(&n); err != nil {
		return 0, fmt.Errorf("count bundles: %w", err)
	}
	return n, nil
}

// Suspect counts, by reason, the bundles that are held for it, and those that were refused for it since a time.
func (l *Ledger) Suspect(ctx context.Context, reasons []bundle.Reason, since time.Time) (map[bundle.Reason]int64, error) {
	const q = `SELECT count(*) FROM bundles WHERE reason = ? AND (state = 'quarantined' OR state = 'refused' AND changed >= ?)`
	m := make(map[bundle.Reason]int64)
	for _, r := range reasons {
		var n int64
		if err := l.catalog.DB().QueryRowContext(ctx, q, string(r), since.UnixNano()).Scan(&n); err != nil {
			return nil, fmt.Errorf("count bundles: %w", err)
		}
		if n > 0 {
			m[r] = n
		}
	}
	return m, nil
}

// RefusedSince counts, by reason, the bundles that were refused since a time.
func (l *Ledger) RefusedSince(ctx context.Context, since time.Time) (map[bundle.Reason]int64, error) {
	rows, err := l.catalog.DB().QueryContext(ctx, `SELECT reason, count(*) FROM bundles WHERE state = 'refused' AND changed >= ? GROUP BY reason`, since.UnixNano())
	if err != nil {
		return nil, fmt.Errorf("count bundles: %w", err)
	}
	defer rows.Close()
	m := make(map[bundle.Reason]int64)
	for rows.Next() {
		var reason sql.NullString
		var n int64
		if err := rows.Scan(&reason, &n); err != nil {
			return nil, fmt.Errorf("count bundles: %w", err)
		}
		m[bundle.Reason(reason.String)] = n
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("count bundles: %w", err)
	}
	return m, nil
}

// Newest returns when the newest of a tenant's bundles that are on record was imported; zero for none.
func (l *Ledger) Newest(ctx context.Context, tenant bundle.Name) (time.Time, error) {
	var at *int64
	if err := l.catalog.DB().QueryRowContext(ctx, `SELECT max(changed) FROM bundles WHERE state = 'imported' AND tenant = ?`, string(tenant)).Scan(&at); err != nil {
		return time.Time{}, fmt.Errorf("ask the catalog: %w", err)
	}
	if at == nil {
		return time.Time{}, nil
	}
	return *moment(at), nil
}

// List is the function List over the open catalog.
func (l *Ledger) List(ctx context.Context, q Query) ([]Row, error) {
	return List(ctx, l.catalog.DB(), q)
}

// Find is the function Find over the open catalog.
func (l *Ledger) Find(ctx context.Context, s string) (bundle.ID, error) {
	return Find(ctx, l.catalog.DB(), s)
}

// FromCatalog returns what the catalog says of a bundle that has no record file: one that is coming in, or is damaged.
func FromCatalog(ctx context.Context, db *sql.DB, id bundle.ID) (*Record, error) {
	rows, err := db.QueryContext(ctx, held+` WHERE bundle = ?`, id.String())
	if err != nil {
		return nil, fmt.Errorf("find bundle: %w", err)
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return nil, fmt.Errorf("find bundle: %w", err)
		}
		return nil, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	row, err := scanRow(rows)
	if err != nil {
		return nil, fmt.Errorf("find bundle: %w", err)
	}
	epoch, err := bundle.ParseEpoch(row.Epoch)
	if err != nil {
		return nil, fmt.Errorf("find bundle: %w", err)
	}
	return &Record{
		Bundle: id, Tenant: bundle.Name(row.Tenant), Sender: bundle.Name(row.Sender), Epoch: epoch, Sequence: row.Sequence, Name: row.Name, State: row.State,
		Verdict: row.Verdict, Reason: row.Reason, Files: row.Files, Bytes: row.Bytes, MissingBytes: row.MissingBytes, Created: row.Created, Received: row.Received,
	}, rows.Err()
}
