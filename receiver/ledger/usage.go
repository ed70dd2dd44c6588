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
	"ecluse/protocol/bundle"
)

// count notes when a bundle was quarantined first, and when it ended.
func (r *Record) count(at time.Time) {
	if r.Quarantined == nil && r.State == Quarantined {
		r.Quarantined = copied(&at)
	}
	switch {
	case !r.State.Ended():
		r.Over = nil // what was refused for want of room may come back
	case r.Over == nil:
		r.Over = copied(&at)
	}
}

// countOld has a record that was written before there was an account count from what it knows: from its first packet to its last change.
func (r *Record) countOld() {
	if r.Quarantined == nil && r.Held() {
		switch r.State {
		case Quarantined, Approved, Imported, Rejected:
			r.Quarantined = copied(r.Received)
		}
	}
	if r.Over == nil && r.State.Ended() {
		r.Over = copied(&r.Changed)
	}
}

// countable is the time under which something is noted that counts: the present, or, where a clock was set back into a month that is closed, the first moment behind it.
func (l *Ledger) countable(now time.Time) time.Time {
	if floor := l.closed.Load(); floor > 0 && now.UnixNano() < floor {
		return time.Unix(0, floor).UTC()
	}
	return now.UTC()
}

// CloseUntil tells which months are closed in the account: all before a time.
func (l *Ledger) CloseUntil(floor time.Time) { l.closed.Store(floor.UnixNano()) }

// Counted is how many bytes of a tenant were quarantined since the book was opened.
func (l *Ledger) Counted(tenant bundle.Name) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counted[tenant]
}

// countedSince is how many bytes of a record began to count after another.
func (r *Record) countedSince(before *Record) int64 {
	if r.Quarantined == nil || r.Bytes == nil || before != nil && before.Quarantined != nil {
		return 0
	}
	return *r.Bytes
}

// Usage is what an account is made of: the rows of a catalog.
type Usage struct {
	Open               func() (*sql.DB, error) // for reading; it is closed again
	Imported, Rejected time.Duration           // keep: how long content stays behind the end of its bundle
}

// First implements meter.Rows.
func (u Usage) First(ctx context.Context) (at time.Time, ok bool, err error) {
	err = u.read(func(db *sql.DB) (err error) {
		at, ok, err = catalog.First(ctx, db, `SELECT min(quarantined) FROM bundles`)
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
	countedIn = `SELECT tenant, count(*), coalesce(sum(files), 0), coalesce(sum(bytes), 0) FROM bundles WHERE quarantined >= ? AND quarantined < ? GROUP BY tenant`

	// Content is stored from quarantine on, until keep: lets it go after the end of its bundle. Times are in seconds here.
	storedIn = `WITH kept AS (
		SELECT tenant, bytes, max(quarantined / 1000000000, ?1) AS since,
			min(?2, coalesce(ended / 1000000000 + iif(state = 'imported', ?3, ?4), ?2)) AS until
		FROM (SELECT * FROM bundles INDEXED BY bundles_by_end WHERE quarantined IS NOT NULL AND ended IS NULL
			UNION ALL SELECT * FROM bundles INDEXED BY bundles_by_end WHERE quarantined IS NOT NULL AND ended >= (?1 - max(?3, ?4)) * 1000000000)
		WHERE quarantined < ?2 * 1000000000 AND bytes > 0) ` + usage.KeptSums
)

// Figures implements meter.Rows. There is no link time in them: see package usage.
func (u Usage) Figures(ctx context.Context, m usage.Month, now time.Time) (map[string]usage.Figures, error) {
	all := make(map[string]usage.Figures)
	err := u.read(func(db *sql.DB) error {
		err := catalog.Sums(ctx, db, func(tenant string, n [3]int64) {
			all[tenant] = usage.Figures{Bundles: n[0], Files: n[1], Bytes: n[2]}
		}, 3, countedIn, m.Start().UnixNano(), m.End().UnixNano())
		if err != nil {
			return err
		}
		to := m.End()
		if now.Before(to) {
			to = now
		}
		return catalog.Sums(ctx, db, func(tenant string, n [3]int64) {
			all[tenant] = all[tenant].Plus(usage.Figures{ByteDays: usage.ByteDays(n[0], n[1])})
		}, 2, storedIn, m.Start().Unix(), to.Unix(), int64(u.Imported/time.Second), int64(u.Rejected/time.Second))
	})
	if err != nil {
		return nil, fmt.Errorf("sum up %v: %w", m, err)
	}
	return all, nil
}
