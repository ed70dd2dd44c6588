package house

import (
	"errors"
	"sync"
	"time"

	"ecluse/internal/clock"
	"ecluse/internal/meter"
	"ecluse/protocol/bundle"
	"ecluse/sender/ledger"
	"ecluse/sender/outbox"
)

// Rows are what the account of a state is made of.
func Rows(state string, sent time.Duration) meter.Rows { return ledger.Usage(state, sent) }

func (h *House) openMeter() (err error) {
	if h.o.Account == nil {
		return nil
	}
	h.Meter, err = meter.Open(meter.Options{
		Book: meter.At(h.Dir, h.Disk), Rows: Rows(h.Dir, h.o.Keep.Sent), Side: "low", Name: string(h.o.Name), Terms: *h.o.Account,
		Sign: func() (meter.Signer, error) { return h.o.Secrets.identity, nil },
		Now:  h.Now, Aged: h.aged, Lagging: h.Ledger.Lagging, Look: h.landed, Closed: h.Ledger.CloseUntil, Audit: h.Audit, Log: h.o.Log,
	})
	return err
}

// aged is the time by which things have stayed long enough.
func (h *House) aged() time.Time {
	now := h.Now()
	return clock.Aged(h.opened, now.Sub(h.opened), now)
}

// admits is what an outbox asks before it lets an item be claimed.
func (h *House) admits(tenant bundle.Name) func(bytes int64) error {
	if h.Meter == nil {
		return nil
	}
	return func(bytes int64) error {
		if err := h.Meter.Left(string(tenant), h.flights.of(tenant), bytes); err != nil {
			return &outbox.HeldError{Why: err} // also where nobody knows: nothing is wrong with the item
		}
		return nil
	}
}

// flights are the items that are claimed and do not count yet: an envelope that stops holds them too. Of what an earlier life had claimed and not begun to send nobody knows the size until it is sent.
type flights struct {
	mu  sync.Mutex
	all map[bundle.ID]flight
	sum map[bundle.Name]int64
}

type flight struct {
	tenant bundle.Name
	bytes  int64
	since  time.Time
}

func (f *flights) add(id bundle.ID, tenant bundle.Name, bytes int64, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil {
		f.all, f.sum = make(map[bundle.ID]flight), make(map[bundle.Name]int64)
	}
	f.sum[tenant] += bytes - f.all[id].bytes
	f.all[id] = flight{tenant, bytes, now}
}

func (f *flights) of(tenant bundle.Name) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sum[tenant]
}

// unnotedMost is how long a claim may not be on record: it is posted at once.
const unnotedMost = time.Minute

// landed forgets those that count by now, or never will: what is on record about them is about to be read.
func (h *House) landed() {
	f := &h.flights
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, one := range f.all {
		r, err := h.Ledger.Get(id)
		switch {
		case err == nil && r.Counted == nil && r.State != ledger.Failed:
			continue
		case errors.Is(err, ledger.ErrNotFound) && h.Now().Sub(one.since) < unnotedMost:
			continue
		}
		f.sum[one.tenant] -= one.bytes
		delete(f.all, id)
	}
}
