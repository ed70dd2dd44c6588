package ledger

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"ecluse/internal/audit"
	"ecluse/protocol/bundle"
)

// What is missing has no record, so its entries in the audit log are made here: `missing` of a run of sequences that is still missing when the log looks, once a minute; `found` of each of
// those that comes; `given-up` of those that nobody waits for any more. A heartbeat is often ahead of the bundle that it tells of, and that is no loss: what comes within the minute may
// have neither. The catalog knows of what the log has told. It is made again after a crash, and then what is missing is told once more; never is it not told.

// tellEvery is how often in seconds the log looks at what is missing, tellMost how many runs it tells of at once, and aheadMost how far a heartbeat may be ahead of its bundle.
const (
	tellEvery = 60
	tellMost  = 500
	aheadMost = 10 * time.Second
)

// absent is what an entry says of a run.
type absent struct {
	Epoch   bundle.Epoch `json:"epoch"`
	First   uint64       `json:"first"`
	Through uint64       `json:"through"`
	Since   string       `json:"since"`
}

func (r Absence) entry(event string, first, last uint64, why string) audit.Entry {
	text := fmt.Sprintf("sequence %d", first)
	if last > first {
		text = fmt.Sprintf("sequences %d to %d", first, last)
	}
	if why != "" {
		text += ": " + why
	}
	return audit.Entry{Event: event, Sender: string(r.Sender), Tenant: string(r.Tenant), Sequence: first, Text: text,
		Data: asJSON(absent{r.Epoch, first, last, r.Since.UTC().Format("2006-01-02T15:04:05.999Z")})}
}

// tellMissing tells the log of what is missing and was not told. The entries come before the mark that they are there, and are durable with the next sync.
func (l *Ledger) tellMissing(ctx context.Context) error {
	if l.audit == nil {
		return nil
	}
	runs, err := readAbsent(ctx, l.catalog.DB(), `WHERE told < last AND since <= ? ORDER BY since, first LIMIT ?`, l.now().Add(-aheadMost).UnixNano(), tellMost)
	if err != nil || len(runs) == 0 {
		return err
	}
	var list []audit.Entry
	var news []Absence
	for _, r := range runs {
		if from := l.untold(r); from <= r.Last {
			list, news = append(list, r.entry("missing", from, r.Last, "")), append(news, Absence{Chain: r.Chain, First: from, Last: r.Last})
		}
	}
	if len(list) > 0 {
		if err := l.audit.Append(list...); err != nil {
			return err
		}
	}
	for _, r := range news {
		l.noteTold(r.Chain, span{r.First, r.Last})
	}
	err = l.markTold(ctx, runs)
	if err == nil {
		l.told = nil
	}
	return err
}

// span is a run of sequences.
type span struct{ first, last uint64 }

// untold is the first sequence of a run of which the log does not tell. What the catalog did not take is remembered for this life: it would be told again each minute.
func (l *Ledger) untold(r Absence) uint64 {
	from := max(r.First, r.Told+1)
	for _, s := range l.told[r.Chain] { // in their order
		if s.first <= from && from <= s.last {
			from = s.last + 1
		}
	}
	return from
}

func (l *Ledger) noteTold(c Chain, s span) {
	if l.told == nil {
		l.told = make(map[Chain][]span)
	}
	all := append(l.told[c], s)
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	l.told[c] = all
}

// markTold has the catalog know that the log tells of all of some runs.
func (l *Ledger) markTold(ctx context.Context, runs []Absence) error {
	return l.catalog.Write(ctx, func(tx *sql.Tx) error {
		for _, r := range runs {
			_, err := tx.Exec(`UPDATE absent SET told = ? WHERE sender = ? AND tenant = ? AND epoch = ? AND first = ?`, int64(r.Last), string(r.Sender), string(r.Tenant), r.Epoch.String(), int64(r.First))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// tellAgain has a log that was begun anew be told of all that is missing.
func (l *Ledger) tellAgain(ctx context.Context) error {
	return l.catalog.Write(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec(`UPDATE absent SET told = 0`)
		return err
	})
}

// foundBy is the entry of a sequence that was told to be missing and is known by a record now, or none. A record that gives it up says so itself.
func (l *Ledger) foundBy(before, after *Record) (list []audit.Entry, err error) {
	if l.audit == nil || after.Sequence == nil || after.State == Abandoned || before != nil && before.Sequence != nil && *before.Sequence == *after.Sequence {
		return nil, nil
	}
	s, err := l.catalog.Prepared(context.Background(), toldAbsent)
	if err != nil {
		return nil, err
	}
	return l.foundIn(s.QueryRow(sequenceOf(after)...), after)
}

// askAgain asks, before records are shown, for the entries of those of which foundBy had no answer.
func (l *Ledger) askAgain(tx *sql.Tx, records map[bundle.ID]*Record) error {
	l.found = nil
	slices.SortFunc(l.unsure, func(a, b bundle.ID) int { return bytes.Compare(a[:], b[:]) })
	for _, id := range slices.Compact(l.unsure) {
		r := records[id]
		if r == nil || r.Sequence == nil || r.State == Abandoned {
			continue // its change failed, or says itself that it is given up
		}
		list, err := l.foundIn(tx.QueryRow(toldAbsent, sequenceOf(r)...), r)
		if err != nil {
			return err
		}
		l.found = append(l.found, list...)
	}
	return nil
}

// toldAbsent asks whether a sequence is missing, and was told to be.
const toldAbsent = `SELECT EXISTS (SELECT 1 FROM absent WHERE sender = ?1 AND tenant = ?2 AND epoch = ?3 AND first <= ?4 AND last >= ?4 AND told >= ?4)`

func sequenceOf(r *Record) []any {
	return []any{string(r.Sender), string(r.Tenant), r.Epoch.String(), int64(*r.Sequence)}
}

func (l *Ledger) foundIn(answer *sql.Row, r *Record) ([]audit.Entry, error) {
	var told bool
	if err := answer.Scan(&told); err != nil || !told {
		return nil, err
	}
	return []audit.Entry{{
		At: l.now().UTC(), Event: "found", Bundle: r.Bundle.String(), Tenant: string(r.Tenant), Sender: string(r.Sender), State: string(r.State), Sequence: *r.Sequence,
	}}, nil
}

// toldOf are entries of what was told to be missing of some runs, as far as a sequence, and is about to be taken out of them.
func toldOf(tx *sql.Tx, through uint64, why, which string, args ...any) (list []audit.Entry, err error) {
	runs, err := readAbsent(context.Background(), tx, `WHERE told >= first AND `+which, args...)
	for _, r := range runs {
		list = append(list, r.entry("given-up", r.First, min(r.Last, r.Told, through), why))
	}
	return list, err
}

// tellAll tells the log of what is done already.
func (l *Ledger) tellAll(list []audit.Entry) {
	if l.audit == nil {
		return
	}
	for _, e := range list {
		l.audit.Tell(e)
	}
}
