package dispatch

import (
	"slices"
	"strings"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
	"ecluse/sender/transmit"
)

// Closes and abandons are repeated in heartbeats for a while, so that the end of a bundle is not lost with one block.
const (
	repeatFor  = 10 * time.Second
	repeatMost = 256
)

// beats gathers what heartbeats repeat. It is part of the Dispatcher, under its lock.
type beats struct {
	offers map[bundle.ID]*record.Offer // of the passes under way
	order  []bundle.ID
	ends   []ending
}

// ending is a close or an abandon of late.
type ending struct {
	id     bundle.ID
	record transmit.Appender
	until  time.Time
}

func newBeats() beats { return beats{offers: make(map[bundle.ID]*record.Offer)} }

func (b *beats) open(id bundle.ID, o *record.Offer) {
	b.offers[id] = o
	b.order = append(b.order, id)
}

func (b *beats) done(id bundle.ID) { delete(b.offers, id) }

func (b *beats) closed(id bundle.ID, c *record.Close, now time.Time) { b.end(id, c, now) }

func (b *beats) abandoned(id bundle.ID, a *record.Abandon, now time.Time) { b.end(id, a, now) }

func (b *beats) end(id bundle.ID, r transmit.Appender, now time.Time) {
	b.ends = append(b.ends, ending{id, r, now.Add(repeatFor)})
	if len(b.ends) > repeatMost {
		b.ends = b.ends[1:]
	}
}

// take returns what to repeat now, within a number of bytes. Offers that did not fit come first the next time.
func (b *beats) take(now time.Time, bytes int) []transmit.Appender {
	var list []transmit.Appender
	add := func(r transmit.Appender) bool {
		bytes -= record.HeaderSize + r.Length()
		if bytes < 0 {
			return false
		}
		list = append(list, r)
		return true
	}
	var rest, repeated []bundle.ID
	for i, id := range b.order {
		o := b.offers[id]
		if o == nil {
			continue
		}
		if !add(o) {
			rest = append(rest, b.order[i:]...)
			break
		}
		repeated = append(repeated, id)
	}
	b.order = append(rest, repeated...)
	for len(b.ends) > 0 && b.ends[0].until.Before(now) {
		b.ends = b.ends[1:]
	}
	for i := len(b.ends) - 1; i >= 0; i-- { // the newest first
		if !add(b.ends[i].record) {
			break
		}
	}
	return list
}

// head is one sequence that was given out.
type head struct {
	sequence uint64
	digest   bundle.Digest
	isOut    bool // its first pass has left
}

// heads follows one tenant's sequences from being given out to being out. A heartbeat names a sequence only when it and all before it have left: naming it sooner
// would have the receiver miss what is still on its way.
type heads struct {
	shown head
	list  []head // above shown, ascending
}

// begin notes a sequence of which no pass is out. After a restart the chain's end is shown at once: what an earlier life had not sent counts as missing until its
// pass, which is under way, has arrived.
func (h *heads) begin(sequence uint64) {
	if sequence > h.shown.sequence {
		h.list = append(h.list, head{sequence: sequence})
	}
}

func (h *heads) find(sequence uint64) *head {
	for i := range h.list {
		if h.list[i].sequence == sequence {
			return &h.list[i]
		}
	}
	return nil
}

func (h *heads) digest(sequence uint64, d bundle.Digest) {
	if x := h.find(sequence); x != nil {
		x.digest = d
	}
}

func (h *heads) out(sequence uint64) {
	if x := h.find(sequence); x != nil {
		x.isOut = true
	}
	for len(h.list) > 0 && h.list[0].isOut {
		h.shown = h.list[0]
		h.list = h.list[1:]
	}
}

// Beat is transmit.Beat: the heartbeat, then what it repeats.
func (d *Dispatcher) Beat() []transmit.Appender {
	bundles, bytes := d.Waiting()
	now := d.o.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	h := &record.Heartbeat{Clock: now.UnixNano(), Epoch: d.o.Epoch, TicketKey: d.o.TicketKey, Waiting: uint32(bundles), WaitingBytes: uint64(bytes)}
	for i, t := range d.o.Tenants {
		h.Tenants = append(h.Tenants, record.TenantHead{Tenant: t.Name, Sequence: d.heads[i].shown.sequence, Manifest: d.heads[i].shown.digest})
	}
	slices.SortFunc(h.Tenants, func(a, b record.TenantHead) int { return strings.Compare(string(a.Tenant), string(b.Tenant)) })
	return append([]transmit.Appender{h}, d.beats.take(now, d.o.BeatBytes)...)
}
