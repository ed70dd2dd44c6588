package dispatch

import (
	"slices"

	"ecluse/protocol/bundle"
	"ecluse/sender/ledger"
)

// head is one sequence that was given out, or a row of them up to it.
type head struct {
	from, sequence uint64
	digest         bundle.Digest // of the manifest of sequence
	isOut          bool          // its first pass has left, or will never leave
}

// heads follows one tenant's sequences from being given out to being out. A heartbeat names a sequence only when it and all before it have left: naming it sooner
// would have the receiver miss what is still on its way.
type heads struct {
	shown head
	list  []head // above shown, ascending
}

// begin notes a sequence of which no pass is out. Those that are signed at once are noted in any order.
func (h *heads) begin(sequence uint64, d bundle.Digest) { h.add(head{sequence, sequence, d, false}) }

func (h *heads) add(x head) {
	at, _ := slices.BinarySearchFunc(h.list, x.sequence, func(x head, sequence uint64) int {
		if x.sequence < sequence {
			return -1
		}
		return 1
	})
	h.list = slices.Insert(h.list, at, x)
}

// out notes that a sequence keeps nothing from being named any more.
func (h *heads) out(sequence uint64) {
	for i := range h.list {
		if h.list[i].sequence == sequence {
			h.list[i].isOut = true
		}
	}
	for len(h.list) > 0 && h.list[0].isOut && h.list[0].from == h.shown.sequence+1 {
		h.shown = h.list[0]
		h.list = h.list[1:]
	}
}

// lower goes back behind what an earlier life had signed and not sent, in ascending order. The rows between are out.
func (h *heads) lower(open []*ledger.Signed) {
	end := h.shown
	at := end.sequence + 1
	for i, s := range open {
		if i == 0 {
			h.shown = head{sequence: s.Sequence - 1, digest: s.Previous}
		} else if s.Sequence > at {
			h.add(head{at, s.Sequence - 1, s.Previous, true})
		}
		h.begin(s.Sequence, s.Digest)
		at = s.Sequence + 1
	}
	if len(open) > 0 && at <= end.sequence {
		h.add(head{at, end.sequence, end.digest, true})
	}
}

// lowerHeads finds what an earlier life has signed and not sent.
func (d *Dispatcher) lowerHeads() error {
	records, err := d.o.Ledger.Unfinished(d.ctx)
	if err != nil {
		return err
	}
	open := make([][]*ledger.Signed, len(d.o.Tenants))
	for _, r := range records {
		tenant, err := d.tenant(r.Tenant)
		if err != nil || r.Sequence == nil || r.PassesDone > 0 || r.Epoch != d.o.Epoch || *r.Sequence > d.heads[tenant].shown.sequence {
			continue
		}
		if s, err := d.o.Ledger.Signed(r); err == nil { // what cannot be read fails when it is taken up
			open[tenant] = append(open[tenant], s)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, list := range open {
		slices.SortFunc(list, func(a, b *ledger.Signed) int { return int(int64(a.Sequence) - int64(b.Sequence)) })
		d.heads[i].lower(list)
	}
	return nil
}
