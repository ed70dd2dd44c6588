package house

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"ecluse/internal/clock"
	"ecluse/protocol/bundle"
	"ecluse/sender/ledger"
	"ecluse/sender/outbox"
)

// stagedMost is how long send may take to copy an item.
const stagedMost = 7 * 24 * time.Hour

// keepEvery is how often the clock is held against keep:.
const keepEvery = time.Minute

// keep purges what has stayed long enough.
func (h *House) keep(ctx context.Context) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	h.clearConfirmed(ctx)
	for {
		if err := h.purge(ctx); err != nil && ctx.Err() == nil {
			h.o.Log.Error("purge what has stayed long enough", zap.Error(err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// clearConfirmed removes from sent/ what a receipt has confirmed while no daemon ran, or just before an earlier life ended.
func (h *House) clearConfirmed(ctx context.Context) {
	for i, b := range h.Outboxes {
		err := b.PurgeSent(h.Now().Add(time.Hour), func(k outbox.Kept) bool {
			if r := h.confirmed(ctx, h.o.Tenants[i].Name, k); r != nil {
				if err := b.Clear(outbox.Item{Tenant: r.Tenant, Name: r.Name, ID: r.Bundle}, k.Sequence); err != nil {
					h.o.Log.Error("clear what was confirmed", zap.Stringer("bundle", r.Bundle), zap.Error(err))
				}
			}
			return false
		})
		if err != nil && ctx.Err() == nil {
			h.o.Log.Error("clear what was confirmed", zap.Error(err))
		}
	}
}

// confirmed gives the record of what stands in sent/, where a receipt has confirmed it.
func (h *House) confirmed(ctx context.Context, tenant bundle.Name, k outbox.Kept) *ledger.Record {
	if k.Earlier {
		return nil
	}
	id, err := h.Ledger.At(ctx, tenant, k.Sequence)
	if err != nil {
		return nil
	}
	r, err := h.Ledger.Get(id)
	if err != nil || r.State != ledger.Confirmed || !slices.Contains(k.Names, r.Name) {
		return nil
	}
	return r
}

func (h *House) purge(ctx context.Context) error {
	now := h.Now()
	now = clock.Aged(h.opened, now.Sub(h.opened), now)
	var errs []error
	for i, b := range h.Outboxes {
		tenant := h.o.Tenants[i].Name
		errs = append(errs, b.PurgeSent(now.Add(-h.o.Keep.Sent), func(k outbox.Kept) bool {
			if h.confirmed(ctx, tenant, k) != nil {
				return true
			}
			h.o.Log.Warn("purging what was sent and never confirmed", zap.String("tenant", string(tenant)), zap.Uint64("sequence", k.Sequence), zap.Strings("names", k.Names), zap.Time("sent", k.Since))
			return true
		}))
		errs = append(errs, b.PurgeStaged(now.Add(-stagedMost)))
		errs = append(errs, b.PurgeFailed(now.Add(-h.o.Keep.Failed), func(k outbox.Kept) bool {
			h.o.Log.Warn("purging what failed", zap.String("tenant", string(tenant)), zap.Stringer("bundle", k.ID), zap.Strings("names", k.Names), zap.Time("failed", k.Since))
			return true
		}))
	}
	before := now.Add(-h.o.Keep.Rows)
	if h.Meter != nil {
		before = h.Meter.Purgeable(before, h.o.Keep.Sent)
	}
	for _, s := range []ledger.State{ledger.Sent, ledger.Confirmed, ledger.Failed} {
		old, err := h.Ledger.Older(ctx, s, before)
		errs = append(errs, err)
		if len(old) > 0 {
			errs = append(errs, h.Ledger.Purge(ctx, old))
		}
	}
	return errors.Join(errs...)
}
