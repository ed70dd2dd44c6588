package ledger

import (
	"context"
	"fmt"

	"ecluse/internal/catalog"
	"ecluse/protocol/bundle"
	"ecluse/protocol/ticket"
)

// safeMark is how far all of a chain was safe, without a gap, when rows of it were forgotten: nobody can tell any more from the rows. What is forgotten behind a gap is not known to
// be safe.
type safeMark struct {
	Sequence uint64        `json:"sequence"`
	Digest   bundle.Digest `json:"digest"`
}

// Status says what is known of a sender's epoch.
func (l *Ledger) Status(sender bundle.Name, e bundle.Epoch) bundle.EpochStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.chains[sender].status(e)
}

// Chains lists those of paired epochs of which something has been held, sorted.
func (l *Ledger) Chains(ctx context.Context) ([]Chain, error) {
	const q = `SELECT DISTINCT sender, tenant, epoch FROM bundles WHERE held = 1 UNION SELECT sender, tenant, epoch FROM floors ORDER BY sender, tenant, epoch`
	rows, err := l.catalog.DB().QueryContext(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("ask the catalog: %w", err)
	}
	defer rows.Close()
	var list []Chain
	for rows.Next() {
		var c Chain
		if err := rows.Scan(&c.Sender, &c.Tenant, catalog.Text(&c.Epoch)); err != nil {
			return nil, fmt.Errorf("ask the catalog: %w", err)
		}
		if l.Status(c.Sender, c.Epoch) == bundle.EpochPaired {
			list = append(list, c)
		}
	}
	return list, rows.Err()
}

// safeRuns are rows of sequences, above one, whose bundles are durably in quarantine or beyond: the catalog shows what is durable only.
const safeRuns = `WITH safe(n) AS (SELECT DISTINCT sequence FROM bundles WHERE sender = ?1 AND tenant = ?2 AND epoch = ?3 AND sequence > ?4 AND held = 1
	AND state IN ('quarantined', 'approved', 'imported', 'rejected')),
island(n, g) AS (SELECT n, n - row_number() OVER (ORDER BY n) FROM safe),
run(first, last) AS (SELECT min(n), max(n) FROM island GROUP BY g ORDER BY 1 LIMIT ?5)
SELECT r.first, r.last, (SELECT b.digest FROM bundles b WHERE b.sender = ?1 AND b.tenant = ?2 AND b.epoch = ?3 AND b.sequence = r.last AND b.held = 1) FROM run r ORDER BY 1`

// Safe lists the first of the runs of a chain's sequences that are safe, at most so many: no run passes a gap, be it a bundle that is missing, damaged, coming in, or was refused or abandoned.
func (l *Ledger) Safe(ctx context.Context, c Chain, most int) ([]ticket.Run, error) {
	l.mu.Lock()
	var from safeMark
	if known := l.chains[c.Sender]; known != nil {
		from = known.Safe[c.Epoch][c.Tenant]
	}
	l.mu.Unlock()
	var runs []ticket.Run
	if from.Sequence > 0 {
		runs = append(runs, ticket.Run{From: 1, To: from.Sequence, Digest: from.Digest})
	}
	rows, err := l.catalog.DB().QueryContext(ctx, safeRuns, string(c.Sender), string(c.Tenant), c.Epoch.String(), int64(from.Sequence), most)
	if err != nil {
		return nil, fmt.Errorf("ask the catalog: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r ticket.Run
		if err := rows.Scan(&r.From, &r.To, catalog.Text(&r.Digest)); err != nil {
			return nil, fmt.Errorf("ask the catalog: %w", err)
		}
		if last := len(runs) - 1; last >= 0 && runs[last].To+1 == r.From {
			runs[last].To, runs[last].Digest = r.To, r.Digest
		} else {
			runs = append(runs, r)
		}
	}
	return runs, rows.Err()
}

// raiseMark notes how far a chain is safe, before rows of it go, and says whether that is farther than was known.
func (l *Ledger) raiseMark(c *chains, tenant bundle.Name, e bundle.Epoch) (bool, error) {
	runs, err := l.Safe(context.Background(), Chain{c.Sender, tenant, e}, 1)
	if err != nil || len(runs) == 0 || runs[0].From != 1 || runs[0].To <= c.Safe[e][tenant].Sequence {
		return false, err
	}
	if c.Safe == nil {
		c.Safe = make(map[bundle.Epoch]map[bundle.Name]safeMark)
	}
	if c.Safe[e] == nil {
		c.Safe[e] = make(map[bundle.Name]safeMark)
	}
	c.Safe[e][tenant] = safeMark{runs[0].To, runs[0].Digest}
	return true, nil
}
