package chamber

import (
	"context"
	"maps"
	"slices"

	"go.uber.org/zap"

	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
)

// What is refused at its offer leaves a record: a file, a row, and an entry in the audit log that stays for ever. A sender can offer without end, so of each sender the newest are kept,
// and what is beyond is counted; and where the audit log counts instead of telling (Ledger.Fold) there is no record at all. Nothing is lost by that: of a bundle that nobody remembers the
// next offer is judged anew. So it is with what its sender abandons before anything of it has come.
const (
	refusalsMost  = 1000 // of one sender
	refusalsShare = 100  // are removed at once, the oldest, with the syncs of one
)

// refusals are what was refused at its offer, of all senders. A bundle stands in one of the lists at most, and has a reason while it does.
type refusals struct {
	kept    map[bundle.Name][]bundle.ID // oldest first
	folded  map[bundle.Name][]bundle.ID // the same of those that were counted only: their offers are repeated
	removed map[bundle.Name]uint64      // beyond, since the start
	reasons map[bundle.ID]bundle.Reason // of those in kept and folded, to tell a repetition
	counts  map[bundle.Reason]uint64    // of abandons that were ignored, since the start
}

func newRefusals() refusals {
	return refusals{
		kept: make(map[bundle.Name][]bundle.ID), folded: make(map[bundle.Name][]bundle.ID), removed: make(map[bundle.Name]uint64), reasons: make(map[bundle.ID]bundle.Reason), counts: make(map[bundle.Reason]uint64),
	}
}

// loadRefusals takes up what earlier lives have refused.
func (c *Chamber) loadRefusals(ctx context.Context) error {
	list, err := c.o.Ledger.RefusedUnheld(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range list {
		c.refusals.kept[r.Sender] = append(c.refusals.kept[r.Sender], r.Bundle)
		c.refusals.reasons[r.Bundle] = r.Reason
	}
	return nil
}

// worthNoting says whether a refusal is news. One that repeats what is on record is not; a new one may take the place of the oldest. What ends an admitted bundle is never only counted.
func (c *Chamber) worthNoting(sender, tenant bundle.Name, id bundle.ID, refused error, ends bool) bool {
	reason, _ := bundle.ReasonOf(refused)
	c.mu.Lock()
	defer c.mu.Unlock()
	f := &c.refusals
	before, known := f.reasons[id]
	if known && before == reason && !ends {
		return false
	}
	f.reasons[id] = reason
	if _, configured := c.o.Tenants[tenant]; !configured {
		tenant = ""
	}
	if !ends && c.o.Ledger.Fold(ledger.Refused, sender, tenant, reason) {
		f.removed[sender]++
		if !known {
			f.fold(sender, id)
		}
		return false
	}
	if known && slices.Contains(f.kept[sender], id) {
		return true
	}
	if known {
		f.take(id)
	}
	f.kept[sender] = append(f.kept[sender], id)
	if len(f.kept[sender]) < refusalsMost+refusalsShare {
		return true
	}
	old := f.kept[sender][:refusalsShare]
	f.kept[sender] = append([]bundle.ID(nil), f.kept[sender][refusalsShare:]...)
	f.removed[sender] += uint64(len(old))
	for _, o := range old {
		delete(f.reasons, o)
	}
	c.spawn(func() { c.forgetRefused(sender, old) })
	return true
}

// take takes a bundle out of the list in which it stands.
func (f *refusals) take(id bundle.ID) {
	for _, lists := range []map[bundle.Name][]bundle.ID{f.kept, f.folded} {
		for sender, list := range lists {
			if i := slices.Index(list, id); i >= 0 {
				lists[sender] = slices.Delete(list, i, i+1)
			}
		}
	}
}

// fold remembers one that is told by a count only.
func (f *refusals) fold(sender bundle.Name, id bundle.ID) {
	f.folded[sender] = append(f.folded[sender], id)
	if len(f.folded[sender]) < refusalsMost+refusalsShare {
		return
	}
	for _, o := range f.folded[sender][:refusalsShare] {
		delete(f.reasons, o)
	}
	f.folded[sender] = append([]bundle.ID(nil), f.folded[sender][refusalsShare:]...)
}

// forgetRefused removes records of refusals, but for those of which something has come since.
func (c *Chamber) forgetRefused(sender bundle.Name, ids []bundle.ID) {
	var ended []bundle.ID
	for _, id := range ids {
		if r, err := c.o.Ledger.Get(id); err == nil && r.State == ledger.Refused && !r.Held() {
			ended = append(ended, id)
		}
	}
	if len(ended) == 0 {
		return
	}
	if err := c.o.Ledger.Purge(context.WithoutCancel(c.ctx), ended); err != nil {
		c.posted(err)
		return
	}
	c.o.Log.Warn("refusals are no longer on record: the sender has too many", zap.String("sender", string(sender)), zap.Int("bundles", len(ended)))
}

// admitted forgets that a bundle was refused.
func (c *Chamber) admitted(id bundle.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.refusals.reasons[id]; known {
		delete(c.refusals.reasons, id)
		c.refusals.take(id)
	}
}

// Refusals says how many refusals of each sender are beyond those on record, and how many records of which reason were ignored, since the start.
func (c *Chamber) Refusals() (beyond map[bundle.Name]uint64, ignored map[bundle.Reason]uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.refusals.removed), maps.Clone(c.refusals.counts)
}

// ignore counts a record that means nothing. The log gets one line for each reason and minute, from the counts.
func (c *Chamber) ignore(reason bundle.Reason) {
	c.mu.Lock()
	c.refusals.counts[reason]++
	c.mu.Unlock()
}
