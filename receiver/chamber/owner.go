package chamber

import (
	"fmt"
	"maps"
	"time"

	"go.uber.org/zap"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
	"ecluse/receiver/assemble"
	"ecluse/receiver/ledger"
)

// Closed implements assemble.Owner. From here on the bundle's place in the chain is known, so that it does not count as missing: while it is verified, while it is
// incomplete, and when it was refused before a byte of it was taken.
func (c *Chamber) Closed(s assemble.Source, end *record.Close) {
	sequence := end.Sequence
	if known, err := c.o.Ledger.Get(end.Bundle); err == nil && (known.Sequence != nil || known.Sender != s.Sender) {
		return // a close is repeated for a while
	}
	c.o.Ledger.Post(end.Bundle, func(r *ledger.Record) error {
		if r.State == "" || r.Sequence != nil || r.Sender != s.Sender || r.State.Ended() && r.State != ledger.Refused {
			return errOver
		}
		r.Sequence = &sequence
		return nil
	}, c.posted)
}

// Damaged implements assemble.Owner.
func (c *Chamber) Damaged(id bundle.ID, m assemble.Missing) {
	if m.Chunks == 0 {
		return // it is whole: see again
	}
	c.rests(id, c.o.Now())
	c.o.Ledger.Post(id, func(r *ledger.Record) error {
		reason := string(bundle.ReasonGaps)
		r.State, r.Reason, r.MissingBytes = ledger.Damaged, &reason, &m.Bytes
		r.Detail = fmt.Sprintf("%d chunks are missing", m.Chunks)
		if m.Chunks < 0 {
			r.Detail = "its end never came"
		}
		return nil
	}, c.posted)
	c.o.Log.Warn("damaged", zap.Stringer("bundle", id), zap.Int("missing_chunks", m.Chunks), zap.Int64("missing_bytes", m.Bytes))
}

// Receiving implements assemble.Owner.
func (c *Chamber) Receiving(id bundle.ID) {
	c.rests(id, time.Time{})
	c.o.Ledger.Post(id, func(r *ledger.Record) error {
		if r.State == "" { // it was abandoned, and is only counted
			return errOver
		}
		r.State, r.Reason, r.Detail = ledger.Receiving, nil, ""
		return nil
	}, c.posted)
}

// Failed implements assemble.Owner.
func (c *Chamber) Failed(id bundle.ID, err error, fatal bool) {
	if fatal {
		c.fatal(err)
		return
	}
	c.o.Log.Error("the disk would not take it", zap.Stringer("bundle", id), zap.Error(err))
}

// Heart is the newest heartbeat of a sender.
type Heart struct {
	At      time.Time // ours
	Clock   time.Time // the sender's
	Waiting uint32
	Bytes   uint64
	Link    string
}

// Beat implements assemble.Owner.
func (c *Chamber) Beat(s assemble.Source, h *record.Heartbeat) {
	c.mu.Lock()
	c.heart[s.Sender] = Heart{At: c.o.Now(), Clock: time.Unix(0, h.Clock).UTC(), Waiting: h.Waiting, Bytes: h.WaitingBytes, Link: s.Link}
	c.mu.Unlock()
	if h.Epoch != s.Epoch {
		return // a session has one epoch, and its key speaks for no other
	}
	for _, t := range h.Tenants {
		if t.Sequence > 0 && c.o.Trust.allows(s.Sender, t.Tenant) {
			c.o.Ledger.Beat(s.Sender, t.Tenant, h.Epoch, ledger.Head{Sequence: t.Sequence, Digest: t.Manifest})
		}
	}
}

// Hearts returns the newest heartbeat of each sender.
func (c *Chamber) Hearts() map[bundle.Name]Heart {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.heart)
}
