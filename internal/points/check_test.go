package points

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"ecluse/protocol/bundle"
	"ecluse/receiver/deliver"
	"ecluse/receiver/ledger"
	lowledger "ecluse/sender/ledger"
)

// check holds what both sides say and what stands on their disks, at rest, against everything that was dropped.
func (w *world) check() {
	w.looking.Add(1) // what is read for this is no act of production: nothing strikes it
	defer w.looking.Add(-1)
	for w.low.dead() || w.high.dead() { // it was struck in the very instant before
		w.looking.Add(-1)
		w.rest()
		w.looking.Add(1)
	}
	l, h := w.low.house.Load(), w.high.house.Load()
	if l == nil || h == nil {
		w.fail("a side is down at the end")
		return
	}
	w.marks(h)
	if w.over {
		w.purged()
		return
	}
	lows, err := l.Ledger.List(context.Background(), lowledger.Query{})
	if err != nil {
		w.fail("list the low side's bundles: %v", err)
	}
	highs, missing := w.highRecords()
	w.audited(lows, highs)
	w.sequences(lows)
	imports := w.lookAtImports(false)
	mine, takenBack := w.match(lows)
	for _, it := range w.items {
		if !it.dropped {
			continue
		}
		r := mine[it]
		if r == nil {
			w.fail("%s/%s is lost: the low side has no record of it", it.tenant, it.name)
			continue
		}
		w.account(it, r, highs[r.Bundle], imports[it])
		delete(highs, r.Bundle)
		if it.fate == forgone && r.Sequence != nil {
			delete(missing, place{it.tenant, *r.Sequence})
		}
	}
	for p := range missing {
		w.fail("sequence %d of %s is missing on the high side", p.sequence, p.tenant)
	}
	for id, r := range highs {
		if incomplete(r) && (takenBack[id] || r.Sequence == nil && w.powerCut("low")) { // or its record on the low side was not durable either
			continue
		}
		w.fail("the high side has a bundle %s, %s, that belongs to nothing that was dropped", id, r.State)
	}
}

// match finds which record is of which item: by the name, and where there are several by what stands in the record's place; what was cleared is of the one that is left.
// A power cut may take a claim back of which there is a record already: the item is claimed anew, as another bundle, and the first one fails without content.
func (w *world) match(lows []lowledger.Record) (mine map[*item]*lowledger.Record, takenBack map[bundle.ID]bool) {
	takenBack = make(map[bundle.ID]bool)
	sort.SliceStable(lows, func(i, j int) bool { return sequenceOf(&lows[i]) < sequenceOf(&lows[j]) })
	mine = make(map[*item]*lowledger.Record)
	for _, surely := range []bool{true, false} {
		for i := range lows {
			r := &lows[i]
			var found *item
			taken := false
			for _, it := range w.items {
				taken = taken || mine[it] == r
				fits := it.tenant == r.Tenant && it.name == r.Name && it.dropped && mine[it] == nil
				if fits && found == nil && (!surely || it.differs(w.lowPlace(r)) == "") {
					found = it
				}
			}
			switch {
			case taken:
			case found != nil:
				mine[found] = r
			case !surely && r.State == lowledger.Failed && r.Sequence == nil && w.powerCut("low") && !exists(w.lowPlace(r)):
				takenBack[r.Bundle] = true
			case !surely:
				w.fail("%s/%s, %s on the low side, is one bundle too many", r.Tenant, r.Name, r.State)
			}
		}
	}
	return mine, takenBack
}

// powerCut says whether the power of a side is cut in the case; a lost sync ends like that, and an error that lasts may come to one.
func (w *world) powerCut(side string) bool {
	cuts := func(b blow) bool {
		return b.Fault == cutOrdered || b.Fault == cutLoose || b.Fault == errorAll || b.Fault == errorPath || b.Fault == errorOnce && isSync(b.Site.Class)
	}
	return w.trial.Side == side && (cuts(w.trial.First) || cuts(w.trial.Then))
}

// incomplete says that the high side has no more of a bundle than a part, and knows it.
func incomplete(r *ledger.Record) bool {
	return r.State == ledger.Abandoned || r.State == ledger.Damaged || r.ForWantOfRoom()
}

func sequenceOf(r *lowledger.Record) uint64 {
	if r.Sequence == nil {
		return ^uint64(0)
	}
	return *r.Sequence
}

// lowPlace is where an item stands that has been put away.
func (w *world) lowPlace(r *lowledger.Record) string {
	house := filepath.Join(w.outboxOf(r.Tenant), ".ecluse")
	if r.State == lowledger.Failed || r.Sequence == nil {
		return filepath.Join(house, "failed", r.Bundle.String(), r.Name)
	}
	return filepath.Join(house, "sent", strconv.FormatUint(*r.Sequence, 10), r.Name)
}

// account holds one item's fate against what may become of it.
func (w *world) account(it *item, low *lowledger.Record, high *ledger.Record, imported int) {
	state := ledger.State("nothing")
	reason := ""
	if high != nil {
		state = high.State
		if high.Reason != nil {
			reason = *high.Reason
		}
	}
	w.note("%s/%s: low %s, high %s %s, at %d destinations", it.tenant, it.name, low.State, state, reason, imported)
	w.ends[fmt.Sprintf("%s, %s %s", low.State, state, reason)]++
	w.placed(it, low, high)
	w.delivered(it, state, imported)
	name := string(it.tenant) + "/" + it.name
	if low.State == lowledger.Failed {
		switch {
		case it.fate != fails && it.fate != changes && !(w.trial.Side == "low" && w.hadError()):
			w.fail("%s failed although the low side's disk gave no error: %s", name, text(low.Reason))
		case high != nil && !incomplete(high): // whoever dies before the farewell does not say it
			w.fail("%s failed on the low side and is %s on the high side", name, state)
		}
		return
	}
	want := map[fate]ledger.State{arrives: ledger.Imported, rejected: ledger.Rejected}
	switch {
	case it.fate == fails:
		w.fail("%s is %s, though it cannot travel", name, low.State)
	case it.fate == forgone, it.fate == changes:
	case high == nil:
		w.fail("%s was sent, and the high side knows nothing of it", name)
	case state != want[it.fate]:
		w.fail("%s ended as %s (%s: %s)", name, state, reason, high.Detail)
	}
}

// hadError says whether the case lets the disk fail.
func (w *world) hadError() bool { return w.trial.First.Fault.isError() || w.trial.Then.Fault.isError() }

// troubled says whether a side's disk refuses something in the case without that its process is killed.
func (w *world) troubled(side string) bool {
	return w.trial.Side == side && (w.trial.First.Fault.refuses() || w.trial.Then.Fault.refuses())
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// placed holds the low side's place of an item: what was put away stands there whole, with its reason where it failed, and nothing is left in sending/.
func (w *world) placed(it *item, r *lowledger.Record, high *ledger.Record) {
	name := string(it.tenant) + "/" + it.name
	if at := filepath.Join(w.outboxOf(r.Tenant), ".ecluse", "sending", r.Bundle.String()); exists(at) {
		w.fail("%s is %s, and %s is still there", name, r.State, at)
	}
	at := w.lowPlace(r)
	switch r.State {
	case lowledger.Confirmed:
		if high == nil || !high.State.Stored() {
			w.fail("%s is confirmed, and the high side does not have it", name)
		}
		if exists(at) && !w.troubled("low") { // what cannot be removed goes with keep.sent
			w.fail("%s is confirmed, and %s is still there", name, at)
		}
		return
	case lowledger.Failed:
		if reason, err := os.ReadFile(filepath.Join(filepath.Dir(at), "REASON.txt")); err != nil || !strings.Contains(string(reason), "was not sent") {
			w.fail("%s failed, and the reason is not beside it: %q, %v", name, reason, err)
		}
	case lowledger.Sent:
	default:
		w.fail("%s is %s on the low side at the end", name, r.State)
		return
	}
	if d := it.differs(at); d != "" {
		w.fail("%s is lost: %s: %s", name, at, d)
	}
}

// delivered holds what stands at the destinations against the high side's word.
func (w *world) delivered(it *item, state ledger.State, imported int) {
	want := 0
	for _, to := range destinations {
		if to.tenant == it.tenant && state == ledger.Imported {
			want++
		}
	}
	if it.tenant == tenants[1] && it.name == "report" && imported == want-1 {
		return // the other one has replaced it
	}
	if imported != want {
		w.fail("%s/%s is %s, and stands at %d of %d destinations", it.tenant, it.name, state, imported, want)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
}

// sequences holds the chains of the low side together: each sequence once.
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

// place is a bundle's place in a chain.
type place struct {
	tenant   bundle.Name
	sequence uint64
}

// highRecords reads every record of the high side, each of which is of one state, and what is missing there.
func (w *world) highRecords() (all map[bundle.ID]*ledger.Record, missing map[place]bool) {
	all, missing = make(map[bundle.ID]*ledger.Record), make(map[place]bool)
	h := w.high.house.Load()
	rows, err := h.Ledger.List(context.Background(), ledger.Query{})
	if err != nil {
		w.fail("list the high side's bundles: %v", err)
	}
	for _, row := range rows {
		if row.Bundle == nil {
			missing[place{bundle.Name(row.Tenant), *row.Sequence}] = true
			continue
		}
		id, err := bundle.ParseID(*row.Bundle)
		if err != nil {
			w.fail("read the high side's list: %v", err)
			continue
		}
		r, err := h.Ledger.Get(id)
		if err != nil && w.hadError() {
			r, err = h.Ledger.Get(id) // the fault may have struck just here
		}
		if err != nil {
			w.fail("%s is on the list as %s and has no record: %v", id, row.State, err)
			continue
		}
		if r.State != row.State {
			w.fail("%s is %s on the list and %s on record", id, row.State, r.State)
		}
		all[id] = r
	}
	return all, missing
}

// lookAtImports holds what consumers see against what was dropped: nothing but whole items, each once, each with its own tenant. At the end nothing else may stand there at all. It
// says at how many destinations an item stands, or was taken from.
func (w *world) lookAtImports(end bool) (have map[*item]int) {
	have = make(map[*item]int)
	for _, to := range destinations {
		entries, err := os.ReadDir(w.at(to))
		if err != nil {
			w.fail("look at %s: %v", to.dir, err)
		}
		here := make(map[*item]bool)
		w.mu.Lock()
		for it, from := range w.taken {
			if from == to.dir {
				here[it] = true
			}
		}
		w.mu.Unlock()
		for _, e := range entries {
			if e.Name()[0] == '.' {
				if end {
					w.fail("%s/%s was left behind", to.dir, e.Name())
				}
				continue
			}
			it, why := w.identify(to, e.Name())
			switch {
			case it == nil:
				w.fail("%s/%s is nothing that was dropped for this tenant: %s", to.dir, e.Name(), why)
			case here[it]:
				w.fail("%s/%s was delivered twice", to.dir, e.Name())
			default:
				here[it] = true
			}
		}
		for it := range here {
			have[it]++
		}
	}
	return have
}

// identify says which item stands under a name of a destination.
func (w *world) identify(to destination, name string) (it *item, why string) {
	bare := name
	if to.clash == deliver.KeepBoth {
		bare = aVersion.ReplaceAllString(name, "")
	}
	why = "nothing of that name"
	for _, it := range w.items {
		if it.tenant != to.tenant || it.name != bare {
			continue
		}
		if why = it.differs(filepath.Join(w.at(to), name)); why == "" {
			return it, ""
		}
	}
	return nil, why
}

// purged holds both sides against keep:, days later.
func (w *world) purged() {
	l, h := w.low.house.Load(), w.high.house.Load()
	if l == nil || h == nil {
		w.fail("a side is down at the end")
		return
	}
	w.marks(h)
	for _, t := range tenants {
		for _, place := range []string{"sending", "sent", "failed"} {
			entries, err := os.ReadDir(filepath.Join(w.outboxOf(t), ".ecluse", place))
			if err != nil || len(entries) > 0 {
				w.fail("%s: %d are still in %s: %v", t, len(entries), place, err)
			}
		}
	}
	left, err := l.Ledger.List(context.Background(), lowledger.Query{})
	if len(left) > len(tenants) || err != nil { // the end of each chain stays on record
		w.fail("%d bundles are still on record on the low side: %v", len(left), err)
	}
	rows, err := h.Ledger.List(context.Background(), ledger.Query{})
	if err != nil {
		w.fail("list the high side's bundles: %v", err)
	}
	for _, r := range rows {
		w.note("left on the high side: %s %s", r.State, text(r.Name))
		if r.State != ledger.Abandoned && r.State != ledger.Missing { // the one that was given up only now, or that never came
			w.fail("%s is still on record on the high side, %s", text(r.Name), r.State)
		}
	}
	for _, place := range []string{"quarantine/*/*", "receiving/*"} {
		if found, _ := filepath.Glob(filepath.Join(w.high.state, place)); len(found) > 0 {
			w.fail("%d are still in %s: %s", len(found), place, found[0])
		}
	}
}
