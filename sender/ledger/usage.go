package ledger

import (
	"context"
	"database/sql"
	"time"

	"ecluse/internal/catalog"
	"ecluse/internal/usage"
)

// Countable is the time under which something is noted that counts, in no month that is closed.
func (l *Ledger) Countable(now time.Time) time.Time { return l.closed.Countable(now) }

// CloseUntil tells which months are closed in the account: all before a time.
func (l *Ledger) CloseUntil(floor time.Time) { l.closed.Raise(floor) }

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

// Usage is what the account of a state is made of. keep.sent says how long an item stays for which no receipt comes.
func Usage(state string, sent time.Duration) catalog.Account {
	return catalog.Account{Path: catalog.Path(state), Oldest: `SELECT min(created) FROM bundles`, Counted: countedIn, Stored: storedIn, Keep: []time.Duration{sent}, Beside: addLink}
}

// addLink adds what passes took of the link.
func addLink(ctx context.Context, db *sql.DB, m usage.Month, all map[string]usage.Figures) error {
	err := catalog.Sums(ctx, db, func(tenant string, n [3]int64) {
		link := usage.LinkTime(n[0])
		all[tenant] = all[tenant].Plus(usage.Figures{Link: &link})
	}, 1, linkIn, m.String())
	for t, f := range all {
		if f.Link == nil {
			f.Link = new(usage.LinkTime)
			all[t] = f
		}
	}
	return err
}
