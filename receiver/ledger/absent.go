package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"ecluse/internal/audit"
	"ecluse/internal/catalog"
	"ecluse/protocol/bundle"
)

// The table absent holds what is missing: runs of sequences up to a chain's head of which no bundle is known, and since when this receiver knows that they are. A head of 2^53 is one
// run, and a gap stays in it however far the chain goes on. Run of the Ledger keeps it in step: heads that move add to it, bundles whose sequence becomes known and floors that rise
// take from it. A start counts it anew, and keeps the times.

// Absence is one run of sequences of which nothing is here.
type Absence struct {
	Chain
	First, Last uint64
	Since       time.Time
	Told        uint64 // the last of them of which the audit log tells, or one before First
}

// sameRun is how far apart two neighbouring runs may have become known and still are one: a sender that goes on while nothing comes through makes a run a minute.
const sameRun = time.Minute

// cut takes the sequences from first to last out of the runs of a chain.
func cut(tx *sql.Tx, p Chain, first, last uint64) error {
	const overlapping = `WHERE sender = ? AND tenant = ? AND epoch = ? AND first <= ? AND last >= ?`
	runs, err := readAbsent(context.Background(), tx, overlapping, string(p.Sender), string(p.Tenant), p.Epoch.String(), int64(last), int64(first))
	if err != nil {
		return err
	}
	for _, r := range runs {
		const gone = `DELETE FROM absent WHERE sender = ? AND tenant = ? AND epoch = ? AND first = ?`
		if _, err := tx.Exec(gone, string(p.Sender), string(p.Tenant), p.Epoch.String(), int64(r.First)); err != nil {
			return err
		}
		if r.First < first {
			err = putRun(tx, p, Absence{First: r.First, Last: first - 1, Since: r.Since, Told: min(r.Told, first-1)})
		}
		if r.Last > last && err == nil {
			err = putRun(tx, p, Absence{First: last + 1, Last: r.Last, Since: r.Since, Told: r.Told})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// recount finds anew what is missing of a chain between two sequences. known notes in a run since when it has been known, and what was told of it.
func recount(tx *sql.Tx, p Chain, first, last uint64, known func(*Absence)) error {
	if first > last {
		return nil
	}
	if err := cut(tx, p, first, last); err != nil {
		return err
	}
	runs, err := gaps(tx, p, first, last)
	if err != nil {
		return err
	}
	for _, r := range runs {
		known(&r)
		if err := putRun(tx, p, r); err != nil {
			return err
		}
	}
	return nil
}

// gaps are the runs between two sequences of which no bundle is on record.
func gaps(tx *sql.Tx, p Chain, first, last uint64) (runs []Absence, err error) {
	const present = `SELECT DISTINCT sequence FROM bundles WHERE sender = ? AND tenant = ? AND epoch = ? AND sequence BETWEEN ? AND ? ORDER BY sequence`
	rows, err := tx.Query(present, string(p.Sender), string(p.Tenant), p.Epoch.String(), int64(first), int64(last))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	next := first
	for rows.Next() {
		var have uint64
		if err := rows.Scan(&have); err != nil {
			return nil, err
		}
		if have > next {
			runs = append(runs, Absence{First: next, Last: have - 1})
		}
		next = have + 1
	}
	if next <= last {
		runs = append(runs, Absence{First: next, Last: last})
	}
	return runs, rows.Err()
}

// putRun adds a run, to the one before it where both became known together.
func putRun(tx *sql.Tx, p Chain, r Absence) error {
	const before = `WHERE sender = ? AND tenant = ? AND epoch = ? AND first < ? ORDER BY first DESC LIMIT 1`
	near, err := readAbsent(context.Background(), tx, before, string(p.Sender), string(p.Tenant), p.Epoch.String(), int64(r.First))
	if err != nil {
		return err
	}
	if len(near) == 1 && near[0].Last+1 == r.First && r.Since.Sub(near[0].Since).Abs() < sameRun {
		r.First, r.Since = near[0].First, near[0].Since
	}
	_, err = tx.Exec(`INSERT INTO absent (sender, tenant, epoch, first, last, since, told) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (sender, tenant, epoch, first) DO UPDATE SET last = excluded.last`,
		string(p.Sender), string(p.Tenant), p.Epoch.String(), int64(r.First), int64(r.Last), r.Since.UnixNano(), int64(r.Told))
	return err
}

// cutShown takes the sequences of records that are shown out of the runs, and gives back one that a record has left for another.
func (l *Ledger) cutShown(tx *sql.Tx, records map[bundle.ID]*Record) error {
	var any bool
	if err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM absent)`).Scan(&any); err != nil {
		return err
	}
	if err := l.askAgain(tx, records); err != nil {
		return err
	}
	for id, r := range records {
		if r.Sequence == nil {
			continue
		}
		p := Chain{r.Sender, r.Tenant, r.Epoch}
		if any {
			if err := cut(tx, p, *r.Sequence, *r.Sequence); err != nil {
				return err
			}
		}
		before := l.before[id]
		if before == nil || before.Sequence == nil || *before.Sequence == *r.Sequence {
			continue
		}
		if err := l.leave(tx, p, *before.Sequence); err != nil {
			return err
		}
	}
	return nil
}

// leave gives back a sequence that a record has left, unless another one has it.
func (l *Ledger) leave(tx *sql.Tx, p Chain, left uint64) error {
	var head uint64
	err := tx.QueryRow(`SELECT sequence FROM heads WHERE sender = ? AND tenant = ? AND epoch = ?`, string(p.Sender), string(p.Tenant), p.Epoch.String()).Scan(&head)
	if err == nil && left <= head {
		err = recount(tx, p, left, left, l.asOfNow)
	}
	return ignoring(err, sql.ErrNoRows)
}

func (l *Ledger) asOfNow(r *Absence) { r.Since = l.now().UTC() }

// recountAll finds anew what is missing of every chain whose head is shown, and keeps since when that was known.
func (l *Ledger) recountAll(ctx context.Context) error {
	return l.catalog.Write(ctx, func(tx *sql.Tx) error {
		known, err := readAbsent(ctx, tx, `ORDER BY sender, tenant, epoch, first`)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM absent`); err != nil {
			return err
		}
		old := make(map[Chain][]Absence)
		for _, r := range known {
			old[r.Chain] = append(old[r.Chain], r)
		}
		for p, h := range l.heads {
			if l.chains[p.Sender].status(p.Epoch) == bundle.EpochReplaced {
				continue
			}
			err := recount(tx, p, l.floor(p)+1, h.Sequence, func(r *Absence) {
				for _, o := range old[p] {
					if o.First > r.Last || o.Last < r.First {
						continue
					}
					r.Since = o.Since // the first of several is the oldest, or nearly
					if o.First <= r.First {
						r.Told = min(o.Told, r.Last)
					}
					return
				}
				l.asOfNow(r)
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// giveUp takes what is missing of replaced epochs out of the runs: nothing of it is taken any more.
func (l *Ledger) giveUp(ctx context.Context) error {
	var told []audit.Entry
	err := l.catalog.Write(ctx, func(tx *sql.Tx) error {
		told = nil
		for _, c := range l.linked {
			for _, e := range c.Replaced {
				list, err := toldOf(tx, bundle.MaxSequence, "its epoch was replaced", `sender = ? AND epoch = ?`, string(c.Sender), e.String())
				if err != nil {
					return err
				}
				told = append(told, list...)
				if _, err := tx.Exec(`DELETE FROM absent WHERE sender = ? AND epoch = ?`, string(c.Sender), e.String()); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err == nil {
		l.tellAll(told)
	}
	return err
}

// Absences are runs that became known after one time and not after another, the oldest first, at most so many.
func (l *Ledger) Absences(ctx context.Context, after, until time.Time, most int) ([]Absence, error) {
	return readAbsent(ctx, l.catalog.DB(), `WHERE since > ? AND since <= ? ORDER BY since, first LIMIT ?`, after.UnixNano(), until.UnixNano(), most)
}

// readAbsent reads runs of the table, those that a condition selects.
func readAbsent(ctx context.Context, db interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
}, which string, args ...any) (list []Absence, err error) {
	rows, err := db.QueryContext(ctx, `SELECT sender, tenant, epoch, first, last, since, told FROM absent `+which, args...)
	if err != nil {
		return nil, fmt.Errorf("list what is missing: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r Absence
		var since int64
		if err := rows.Scan(&r.Sender, &r.Tenant, catalog.Text(&r.Epoch), &r.First, &r.Last, &since, &r.Told); err != nil {
			return nil, fmt.Errorf("list what is missing: %w", err)
		}
		r.Since = time.Unix(0, since).UTC()
		list = append(list, r)
	}
	return list, rows.Err()
}
