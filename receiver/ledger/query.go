package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"ecluse/internal/catalog"
	"ecluse/protocol/bundle"
)

// Row is one line of a list: what `list --json` prints.
type Row struct {
	Bundle       *string    `json:"bundle"`
	Tenant       string     `json:"tenant"`
	Sender       string     `json:"sender"`
	Epoch        string     `json:"epoch"`
	Sequence     *uint64    `json:"sequence"`
	Name         *string    `json:"name"`
	State        State      `json:"state"`
	Verdict      *Verdict   `json:"verdict"`
	Reason       *string    `json:"reason"`
	Files        *int64     `json:"files"`
	Bytes        *int64     `json:"bytes"`
	MissingBytes *int64     `json:"missing_bytes"`
	Created      *time.Time `json:"created"`
	Received     *time.Time `json:"received"`
	Through      *uint64    `json:"through"` // of what is missing: the last sequence of a row that stands for several, else Sequence
	Since        *time.Time `json:"since"`   // of what is missing: when this receiver came to know
}

// Query selects rows; a zero field selects nothing away.
type Query struct {
	State  State
	Tenant bundle.Name
	Since  time.Time // received at or after
	Limit  int       // the newest that many
	At     uint64    // the row of this sequence, of each chain
	Before *Row      // older ones than this
}

const columns = `bundle, tenant, sender, epoch, sequence, name, state, verdict, reason, files, bytes, missing_bytes, created, received`

const held = `SELECT ` + columns + `, NULL AS through, NULL AS since FROM bundles`

// runs gives each sequence that is missing a row of its own; a run of more than a hundred is one row.
const runs = `WITH RECURSIVE run(sender, tenant, epoch, n, through, last, since) AS (
	SELECT sender, tenant, epoch, first, iif(last - first < 100, first, last), last, since FROM absent
	UNION ALL SELECT sender, tenant, epoch, n + 1, n + 1, last, since FROM run WHERE through < last)
`

const missing = `SELECT NULL, tenant, sender, epoch, n, NULL, 'missing', NULL, 'never-arrived', NULL, NULL, NULL, NULL, NULL, through, since FROM run`

// List returns rows, oldest first by the time they were received; those that never were come last.
func List(ctx context.Context, db *sql.DB, q Query) ([]Row, error) {
	where, args := []string{"1 = 1"}, []any{}
	if q.State != "" {
		where, args = append(where, "state = ?"), append(args, string(q.State))
	}
	if q.Tenant != "" {
		where, args = append(where, "tenant = ?"), append(args, string(q.Tenant))
	}
	if !q.Since.IsZero() {
		where, args = append(where, "received >= ?"), append(args, q.Since.UnixNano())
	}
	if q.At > 0 {
		where, args = append(where, "? BETWEEN sequence AND coalesce(through, sequence)"), append(args, int64(q.At))
	}
	if q.Before != nil {
		where, args = append(where, before), append(args, q.Before.order()...)
	}
	with, from := runs, `(`+held+` UNION ALL `+missing+`)`
	if q.State != "" && q.State != Missing {
		with, from = ``, `(`+held+`)`
	}
	// What was never received is newer than everything.
	text := with + `SELECT ` + columns + `, through, since FROM ` + from + ` WHERE ` + strings.Join(where, " AND ") +
		` ORDER BY received IS NULL DESC, received DESC, sequence DESC, bundle DESC, sender DESC, tenant DESC, epoch DESC`
	return catalog.Newest(ctx, db, q.Limit, scanRow, text, args...)
}

// before is the condition of the rows that List puts before one.
const before = `(coalesce(received, 9223372036854775807), coalesce(sequence, 0), coalesce(bundle, ''), sender, tenant, epoch) < (?, ?, ?, ?, ?, ?)`

// order gives the values that before compares a row by.
func (r *Row) order() []any {
	at, sequence, id := int64(math.MaxInt64), uint64(0), ""
	if r.Received != nil {
		at = r.Received.UnixNano()
	}
	if r.Sequence != nil {
		sequence = *r.Sequence
	}
	if r.Bundle != nil {
		id = *r.Bundle
	}
	return []any{at, int64(sequence), id, r.Sender, r.Tenant, r.Epoch}
}

func scanRow(rows *sql.Rows) (Row, error) {
	var r Row
	var created, received, since *int64
	err := rows.Scan(&r.Bundle, &r.Tenant, &r.Sender, &r.Epoch, &r.Sequence, &r.Name, &r.State, &r.Verdict, &r.Reason, &r.Files, &r.Bytes, &r.MissingBytes, &created, &received,
		&r.Through, &since)
	r.Created, r.Received, r.Since = moment(created), moment(received), moment(since)
	return r, err
}

func moment(nanos *int64) *time.Time {
	if nanos == nil {
		return nil
	}
	t := time.Unix(0, *nanos).UTC()
	return &t
}

// Find returns the bundle whose text is s, or begins with s where that is unique. A whole text is taken as it is: what is coming in may not be in the catalog.
func Find(ctx context.Context, db *sql.DB, s string) (bundle.ID, error) {
	if id, err := bundle.ParseID(s); err == nil {
		return id, nil
	}
	return catalog.Find(ctx, db, s)
}

// InState returns the bundles in a state, oldest first.
func (l *Ledger) InState(ctx context.Context, s State) ([]bundle.ID, error) {
	return l.ids(ctx, `SELECT bundle FROM bundles WHERE state = ? ORDER BY received, bundle`, string(s))
}

// FlaggedAway returns the bundles that were delivered, or are about to be, and that an inspector flags.
func (l *Ledger) FlaggedAway(ctx context.Context) ([]bundle.ID, error) {
	approved, err := l.InState(ctx, Approved)
	if err != nil {
		return nil, err
	}
	// What is imported and clean, which is nearly all, has no reason or the one that is left out: the index by reasons finds the others.
	const q = `SELECT bundle FROM bundles WHERE reason < 'not-inspected' AND state = 'imported' AND verdict = 'flagged'
		UNION ALL SELECT bundle FROM bundles WHERE reason > 'not-inspected' AND state = 'imported' AND verdict = 'flagged'`
	imported, err := l.ids(ctx, q)
	return append(approved, imported...), err
}

// Left returns the bundles that have ended and of which something is left at a destination.
func (l *Ledger) Left(ctx context.Context) ([]bundle.ID, error) {
	return l.ids(ctx, `SELECT bundle FROM bundles WHERE begun = 1 ORDER BY changed, bundle`)
}

// Older returns some of the bundles in a state that changed last before a time, the oldest first.
func (l *Ledger) Older(ctx context.Context, s State, before time.Time) ([]bundle.ID, error) {
	return l.ids(ctx, `SELECT bundle FROM bundles WHERE state = ? AND changed < ? ORDER BY changed LIMIT 1000`, string(s), before.UnixNano())
}

// Refusal is a bundle that was refused at its offer.
type Refusal struct {
	Bundle bundle.ID
	Sender bundle.Name
	Reason bundle.Reason
}

// RefusedUnheld returns what was refused before anything of it was taken, the oldest first.
func (l *Ledger) RefusedUnheld(ctx context.Context) (list []Refusal, err error) {
	reasons := slices.Concat(wantOfRoom, strange)
	q := `SELECT bundle, sender, reason FROM bundles WHERE state = 'refused' AND held = 0 AND reason IN (?` + strings.Repeat(`, ?`, len(reasons)-1) + `) ORDER BY changed, bundle`
	var args []any
	for _, r := range reasons {
		args = append(args, string(r))
	}
	rows, err := l.catalog.DB().QueryContext(ctx, q, args...)
	if err != nil {
		return nil, fmt.Errorf("ask the catalog: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r Refusal
		if err := rows.Scan(catalog.Text(&r.Bundle), &r.Sender, &r.Reason); err != nil {
			return nil, fmt.Errorf("ask the catalog: %w", err)
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// Held returns the bytes of a tenant's bundles that are in quarantine. It is asked at each offer, so it is kept, not counted.
func (l *Ledger) Held(tenant bundle.Name) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes[tenant]
}

// Holding lists the tenants of which content is in quarantine, in order.
func (l *Ledger) Holding() []bundle.Name {
	l.mu.Lock()
	defer l.mu.Unlock()
	var names []bundle.Name
	for t, n := range l.bytes {
		if n > 0 {
			names = append(names, t)
		}
	}
	slices.Sort(names)
	return names
}

// sumHeld counts it.
func (l *Ledger) sumHeld(ctx context.Context) error {
	rows, err := l.catalog.DB().QueryContext(ctx, `SELECT tenant, coalesce(sum(bytes), 0) FROM bundles WHERE state IN ('quarantined', 'approved') GROUP BY tenant`)
	if err != nil {
		return fmt.Errorf("ask the catalog: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var tenant string
		var n int64
		if err := rows.Scan(&tenant, &n); err != nil {
			return fmt.Errorf("ask the catalog: %w", err)
		}
		l.bytes[bundle.Name(tenant)] = n
	}
	return rows.Err()
}

// inQuarantine is how many bytes a record counts for.
func (r *Record) inQuarantine() int64 {
	if r == nil || r.Bytes == nil || r.State != Quarantined && r.State != Approved {
		return 0
	}
	return *r.Bytes
}

func (l *Ledger) ids(ctx context.Context, query string, args ...any) ([]bundle.ID, error) {
	return catalog.IDs(ctx, l.catalog.DB(), query, args...)
}
