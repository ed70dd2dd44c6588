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
	offers map[bundle.ID]*opening // of the passes under way
	order  []*opening             // those that did not fit last come first
	ends   []ending
}

// opening is the offer of a pass.
type opening struct {
	offer *record.Offer
	over  bool
}

// ending is a close or an abandon of late.
type ending struct {
	id     bundle.ID
	record transmit.Appender
	until  time.Time
	times  int // that it was repeated
}

func newBeats() beats { return beats{offers: make(map[bundle.ID]*opening)} }

func (b *beats) open(id bundle.ID, o *record.Offer) {
	b.done(id)
	b.offers[id] = &opening{offer: o}
	b.order = append(b.order, b.offers[id])
}

func (b *beats) done(id bundle.ID) {
	if o := b.offers[id]; o != nil {
		o.over = true
		delete(b.offers, id)
	}
}

// end notes a close or an abandon. Of too many, the oldest is not repeated any more.
func (b *beats) end(id bundle.ID, r transmit.Appender, now time.Time) {
	b.ends = slices.DeleteFunc(b.ends, func(e ending) bool { return e.id == id })
	if len(b.ends) == repeatMost {
		oldest := 0
		for i, e := range b.ends {
			if e.until.Before(b.ends[oldest].until) {
				oldest = i
			}
		}
		b.ends = slices.Delete(b.ends, oldest, oldest+1)
	}
	b.ends = append(b.ends, ending{id: id, record: r, until: now.Add(repeatFor)})
}

// take returns what to repeat now, within a number of bytes, of which up to a half is for closes and abandons.
func (b *beats) take(now time.Time, bytes int) []transmit.Appender {
	b.ends = slices.DeleteFunc(b.ends, func(e ending) bool { return e.until.Before(now) })
	kept := 0
	for _, e := range b.ends {
		kept += record.HeaderSize + e.record.Length()
	}
	kept = min(kept, bytes/2)
	list, left := b.takeOffers(bytes - kept)
	return b.takeEnds(list, left+kept)
}

// takeOffers takes from the front; what was taken goes to the back.
func (b *beats) takeOffers(bytes int) (list []transmit.Appender, left int) {
	b.order = slices.DeleteFunc(b.order, func(o *opening) bool { return o.over })
	n := 0
	for n < len(b.order) {
		size := record.HeaderSize + b.order[n].offer.Length()
		if size > bytes {
			break
		}
		bytes -= size
		list = append(list, b.order[n].offer)
		n++
	}
	b.order = append(slices.Clone(b.order[n:]), b.order[:n]...)
	return list, bytes
}

// takeEnds takes first what was repeated least, and of that the newest.
func (b *beats) takeEnds(list []transmit.Appender, bytes int) []transmit.Appender {
	slices.SortStableFunc(b.ends, func(x, y ending) int {
		if x.times != y.times {
			return x.times - y.times
		}
		return y.until.Compare(x.until)
	})
	for i := range b.ends {
		e := &b.ends[i]
		size := record.HeaderSize + e.record.Length()
		if size > bytes {
			break
		}
		bytes -= size
		e.times++
		list = append(list, e.record)
	}
	return list
}

// Beat is transmit.Beat: the heartbeat, then what it repeats, which has half the room at least, however many tenants there are.
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
	again := d.beats.take(now, max(d.o.BeatBytes-record.HeaderSize-h.Length(), d.o.BeatBytes/2))
	return append([]transmit.Appender{h}, slices.DeleteFunc(again, d.mute)...)
}

// mute says, under the lock, that a record is of a tenant that is stopped.
func (d *Dispatcher) mute(r transmit.Appender) bool {
	var name bundle.Name
	switch r := r.(type) {
	case *record.Offer:
		name = r.Tenant
	case *record.Close:
		name = r.Tenant
	case *record.Abandon:
		name = r.Tenant
	}
	i, err := d.tenant(name)
	return err == nil && d.halted[i] != nil
}
