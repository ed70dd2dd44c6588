package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"ecluse/internal/catalog"
	"ecluse/internal/usage"
)

// Countable is the time under which something is noted that counts: the present, or, where a clock was set back into a month that is closed, the first moment behind it.
func (l *Ledger) Countable(now time.Time) time.Time {
	if floor := l.floor.Load(); floor > 0 && now.UnixNano() < floor {
		return time.Unix(0, floor).UTC()
	}
	return now.UTC()
}

// CloseUntil tells which months are closed in the account: all before a time.
func (l *Ledger) CloseUntil(floor time.Time) { l.floor.Store(floor.UnixNano()) }

// Lagging says that the catalog had no room for all that is on record, and does not show it yet.
func (l *Ledger) Lagging() bool { return l.lagging.Load() }

// showLink writes what passes took of the link.
func showLink(tx *sql.Tx, r *Record) error {
	for _, u := range r.Link {
		_, err := tx.Exec(`INSERT INTO link (bundle, month, wire, nanos) VALUES (?, ?, ?, ?) ON CONFLICT (bundle, month) DO UPDATE SET wire = excluded.wire, nanos = excluded.nanos`,
			r.Bundle.String(), u.Month.String(), u.Wire, int64(u.Time))
		if err != nil {
			return err
		}
	}
	return nil
}

// Usage is what an account is made of: the rows of a catalog.
type Usage struct {
	Open func() (*sql.DB, error) // for reading; it is closed again
	Sent time.Duration           // keep.sent: how long an item stays for which no receipt comes
}

// First implements meter.Rows.
func (u Usage) First(ctx context.Context) (at time.Time, ok bool, err error) {
	err = u.read(func(db *sql.DB) (err error) {
		at, ok, err = catalog.First(ctx, db, `SELECT min(created) FROM bundles`)
		return err
	})
	return at, ok, err
}

func (u Usage) read(do func(*sql.DB) error) error {
	db, err := u.Open()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing is on record yet
	}
	if err != nil {
		return err
	}
	defer db.Close()
	return do(db)
}

const (
	countedIn = `SELECT tenant, count(*), coalesce(sum(files), 0), coalesce(sum(bytes), 0) FROM bundles WHERE counted >= ? AND counted < ? GROUP BY tenant`

	linkIn = `SELECT tenant, sum(nanos) FROM link JOIN bundles USING (bundle) WHERE month = ? GROUP BY tenant`

	// An item is stored from its claim on: until a receipt names it, until keep.sent is over, or until it failed. Times are in seconds here.
	storedIn = `WITH kept AS (
		SELECT tenant, bytes, max(created / 1000000000, ?1) AS since,
			min(?2, CASE WHEN state = 'failed' THEN finished / 1000000000 ELSE coalesce(min(coalesce(cleared / 1000000000, ?2), counted / 1000000000 + ?3), ?2) END) AS until
		FROM (SELECT * FROM bundles INDEXED BY bundles_by_counted WHERE counted IS NULL UNION ALL SELECT * FROM bundles INDEXED BY bundles_by_counted WHERE counted >= (?1 - ?3) * 1000000000)
		WHERE created < ?2 * 1000000000 AND bytes > 0) ` + usage.KeptSums
)

// Figures implements meter.Rows.
func (u Usage) Figures(ctx context.Context, m usage.Month, now time.Time) (map[string]usage.Figures, error) {
	all := make(map[string]usage.Figures)
	err := u.read(func(db *sql.DB) error {
		err := catalog.Sums(ctx, db, func(tenant string, n [3]int64) {
			all[tenant] = usage.Figures{Bundles: n[0], Files: n[1], Bytes: n[2]}
		}, 3, countedIn, m.Start().UnixNano(), m.End().UnixNano())
		if err != nil {
			return err
		}
		err = catalog.Sums(ctx, db, func(tenant string, n [3]int64) {
			link := usage.LinkTime(n[0])
			all[tenant] = all[tenant].Plus(usage.Figures{Link: &link})
		}, 1, linkIn, m.String())
		if err != nil {
			return err
		}
		to := m.End()
		if now.Before(to) {
			to = now
		}
		return catalog.Sums(ctx, db, func(tenant string, n [3]int64) {
			all[tenant] = all[tenant].Plus(usage.Figures{ByteDays: usage.ByteDays(n[0], n[1])})
		}, 2, storedIn, m.Start().Unix(), to.Unix(), int64(u.Sent/time.Second))
	})
	if err != nil {
		return nil, fmt.Errorf("sum up %v: %w", m, err)
	}
	for t, f := range all {
		if f.Link == nil {
			f.Link = new(usage.LinkTime)
			all[t] = f
		}
	}
	return all, nil
}
