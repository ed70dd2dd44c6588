package ledger

import (
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

// CloseUntil tells which months are closed in the account: all before a time.
func (l *Ledger) CloseUntil(floor time.Time) { l.closed.Raise(floor) }

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

// Usage is what the account of a state is made of. keep: says how long content stays behind the end of its bundle. There is no link time in it: see package usage.
func Usage(state string, imported, rejected time.Duration) catalog.Account {
	return catalog.Account{Path: catalog.Path(state), Oldest: `SELECT min(quarantined) FROM bundles`, Counted: countedIn, Stored: storedIn, Keep: []time.Duration{imported, rejected}}
}
