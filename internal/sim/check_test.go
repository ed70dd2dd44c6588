package sim

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sort"
	"strconv"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	highhouse "ecluse/receiver/house"
	"ecluse/receiver/ledger"
	lowhouse "ecluse/sender/house"
	lowledger "ecluse/sender/ledger"
)

// firstVisible is the first name of a directory that does not begin with a dot.
func firstVisible(dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err.Error()
	}
	for _, e := range entries {
		if e.Name()[0] != '.' {
			return e.Name()
		}
	}
	return ""
}

// check holds what stands on the disks of both sides, which are down, against everything that was dropped.
func (w *world) check() {
	imports := w.lookAtImports(true)
	lows, highs := w.lowRecords(), w.highRecords()
	w.audited(lows, highs)
	byName := make(map[*item]*lowledger.Record)
	for _, r := range lows {
		it := w.item(r.Tenant, r.Name)
		if it == nil {
			w.fail("the low side has a bundle %s/%s that nobody dropped", r.Tenant, r.Name)
			continue
		}
		other := byName[it]
		if other != nil && w.putBack(other, highs) {
			other = nil
		} else if other != nil && w.putBack(&r, highs) {
			continue
		}
		if other != nil {
			w.fail("%s/%s was sent as two bundles", r.Tenant, r.Name)
		}
		byName[it] = &r
	}
	w.sequences(lows)
	for _, it := range w.items {
		var high *ledger.Record
		r := byName[it]
		if r != nil {
			high = highs[r.Bundle]
			delete(highs, r.Bundle)
		}
		w.account(it, r, high, imports[it])
	}
	if n := w.tally.total(); n < faultsLeast {
		w.fail("%d faults have fired, and %d shall at least", n, faultsLeast)
	}
	for id, r := range highs {
		w.fail("the high side has a bundle %s, %s, that the low side never had", id, r.State)
	}
}

// putBack says whether a bundle came to nothing because a power cut has put its item back into the outbox: the claim was on record, and its rename was not durable yet. The item is
// claimed anew, under another id. Nothing of the first may have reached the other side.
func (w *world) putBack(r *lowledger.Record, highs map[bundle.ID]*ledger.Record) bool {
	return w.tally.has(lowPower) && r.State == lowledger.Failed && r.Sequence == nil && highs[r.Bundle] == nil
}

// account holds one item's fate against what may become of it.
func (w *world) account(it *item, low *lowledger.Record, high *ledger.Record, imported bool) {
	state, reason, where := "nothing", "", ""
	if high != nil {
		state = string(high.State)
		if high.Reason != nil {
			reason = *high.Reason
		}
	}
	if low != nil {
		where = string(low.State)
		if low.Sequence != nil {
			where += " as " + strconv.FormatUint(*low.Sequence, 10)
		}
	}
	w.states[ending(low, state, reason)]++
	w.log.note("%s/%s: low %s, high %s %s, imported %v", it.tenant, it.name, where, state, reason, imported)
	name := string(it.tenant) + "/" + it.name
	if !it.dropped {
		w.fail("%s was never dropped", name)
		return
	}
	if low == nil {
		w.fail("%s is lost: the low side has no record of it", name)
		return
	}
	if lost := w.notThere(it, low); lost != "" {
		w.fail("%s is lost: %s", name, lost)
	}
	if imported != (high != nil && high.State == ledger.Imported) {
		w.fail("%s is %s on record, imported: %v", name, state, imported)
	}
	switch {
	case low.State == lowledger.Failed:
		if !w.tally.has(lowError) {
			w.fail("%s failed although the low side's disk gave no error: %s", name, text(low.Reason))
		}
		if high != nil && high.State != ledger.Abandoned && high.State != ledger.Refused { // a refusal before stands
			w.fail("%s failed on the low side and is %s on the high side", name, state)
		}
	case low.State != lowledger.Sent:
		w.fail("%s is %s on the low side at the end", name, low.State)
	case high == nil:
		w.fail("%s was sent, and the high side knows nothing of it", name)
	case high.State == ledger.Imported && !it.reject:
	case high.State == ledger.Rejected && it.reject:
	case it.again != nil: // refused for a fault of the disk, and dropped again: that one is held to arrive
	default:
		w.fail("%s ended as %s (%s: %s)", name, state, reason, high.Detail)
	}
}

// ending is an item's end in a few words.
func ending(low *lowledger.Record, state, reason string) string {
	switch {
	case low == nil:
		return "lost"
	case low.State == lowledger.Failed:
		return "failed on the low side"
	case state == string(ledger.Imported):
		return state
	}
	return state + ": " + reason
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// notThere says what is wrong with an item's place on the low side.
func (w *world) notThere(it *item, r *lowledger.Record) string {
	house := filepath.Join(w.outbox(it.tenant), ".ecluse")
	if name := filepath.Join(house, "sending", r.Bundle.String()); exists(name) {
		return name + " is still there"
	}
	at := filepath.Join(house, "failed", r.Bundle.String(), it.name)
	if r.State == lowledger.Sent && r.Sequence != nil {
		at = filepath.Join(house, "sent", strconv.FormatUint(*r.Sequence, 10), it.name)
	}
	if !exists(at) {
		return at + " is not there"
	}
	return it.differs(at)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
}

// sequences holds the chains of the low side together: each sequence once, each naming the digest before it.
func (w *world) sequences(list []lowledger.Record) {
	seen := make(map[place]bundle.ID)
	for _, r := range list {
		if r.Sequence == nil {
			continue
		}
		p := place{r.Tenant, *r.Sequence}
		if other, ok := seen[p]; ok {
			w.fail("%s and %s both have sequence %d of %s", other, r.Bundle, p.sequence, p.tenant)
		}
		seen[p] = r.Bundle
	}
}

// lowRecords opens the low side's state at rest and lists all.
func (w *world) lowRecords() []lowledger.Record {
	ctx := context.Background()
	s, err := lowhouse.OpenBy(ctx, disk.New(), w.low.state, w.low.clock)
	if err != nil {
		w.fail("open the low side's state: %v", err)
		return nil
	}
	list, err := s.Ledger.List(ctx, lowledger.Query{})
	if err := errors.Join(err, s.Close(true)); err != nil {
		w.fail("list the low side's bundles: %v", err)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list
}

// highRecords opens the high side's state at rest and reads every record, each of which is of one state.
func (w *world) highRecords() map[bundle.ID]*ledger.Record {
	all := make(map[bundle.ID]*ledger.Record)
	err := highhouse.AtRest(context.Background(), w.high.options(disk.New()), func(ctx context.Context, s *highhouse.State) error {
		rows, err := s.Ledger.List(ctx, ledger.Query{})
		if err != nil {
			return err
		}
		for _, row := range rows {
			if row.Bundle == nil {
				w.fail("sequence %d of %s is missing on the high side", *row.Sequence, row.Tenant)
				continue
			}
			id, err := bundle.ParseID(*row.Bundle)
			if err != nil {
				return err
			}
			r, err := s.Ledger.Get(id)
			if err != nil {
				w.fail("%s is on the list as %s and has no record: %v", *row.Bundle, row.State, err)
				continue
			}
			if r.State != row.State {
				w.fail("%s is %s on the list and %s on record", *row.Bundle, row.State, r.State)
			}
			all[id] = r
		}
		return nil
	})
	if err != nil {
		w.fail("read the high side's records: %v", err)
	}
	return all
}
