package house

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"ecluse/sender/ledger"
	"ecluse/sender/outbox"
)

// keepEvery is how often the clock is held against keep:.
const keepEvery = time.Minute

// keep purges what has stayed long enough.
func (h *House) keep(ctx context.Context) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		if err := h.purge(ctx); err != nil && ctx.Err() == nil {
			h.o.Log.Error("purge", zap.Error(err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (h *House) purge(ctx context.Context) error {
	now := h.Now()
	var errs []error
	for i, b := range h.Outboxes {
		tenant := h.o.Tenants[i].Name
		errs = append(errs, b.PurgeSent(now.Add(-h.o.Keep.Sent), func(k outbox.Kept) bool {
			h.o.Log.Warn("purging what was sent and never confirmed", zap.String("tenant", string(tenant)), zap.Uint64("sequence", k.Sequence), zap.Strings("names", k.Names), zap.Time("sent", k.Since))
			return true
		}))
		errs = append(errs, b.PurgeFailed(now.Add(-h.o.Keep.Failed), func(k outbox.Kept) bool {
			h.o.Log.Warn("purging what failed", zap.String("tenant", string(tenant)), zap.Stringer("bundle", k.ID), zap.Strings("names", k.Names), zap.Time("failed", k.Since))
			return true
		}))
	}
	for _, s := range []ledger.State{ledger.Sent, ledger.Confirmed, ledger.Failed} {
		old, err := h.Ledger.Older(ctx, s, now.Add(-h.o.Keep.Rows))
		errs = append(errs, err)
		if len(old) > 0 {
			errs = append(errs, h.Ledger.Purge(ctx, old))
		}
	}
	return errors.Join(errs...)
}
