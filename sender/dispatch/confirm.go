package dispatch

import (
	"context"
	"errors"

	"go.uber.org/zap"

	"ecluse/protocol/bundle"
	"ecluse/sender/ledger"
	"ecluse/sender/outbox"
)

// Confirm notes durably that a bundle is safe on the high side, and then clears its item from sent/. One that is confirmed already stays so; one that is being sent, or failed,
// is ErrNotSent.
func (d *Dispatcher) Confirm(ctx context.Context, id bundle.ID) error {
	if r, err := d.o.Ledger.Get(id); err != nil || r.State != ledger.Confirmed {
		if _, err := d.sent(ctx, id); err != nil && ctx.Err() == nil {
			return errors.Join(err, ErrNotSent)
		}
		if err := Settle(d.ctx, d.o.Ledger, id); err != nil { // not with ctx: what is noted is to be cleared
			return err
		}
	}
	r, err := d.o.Ledger.Get(id)
	if err != nil {
		return err
	}
	tenant, err := d.tenant(r.Tenant)
	if err != nil {
		return err
	}
	d.clear(tenant, r)
	return nil
}

// ErrNotSent is returned for a bundle that a receipt names and that is not simply sent: a later pass is under way, or it failed.
var ErrNotSent = errors.New("it is not settled here")

// Settle notes durably that a receipt named a bundle.
func Settle(ctx context.Context, l *ledger.Ledger, id bundle.ID) error {
	return l.Change(ctx, id, func(have *ledger.Record) error {
		if have.State != ledger.Sent && have.State != ledger.Confirmed {
			return ErrNotSent
		}
		have.State, have.Reason = ledger.Confirmed, nil
		return nil
	})
}

// clear takes a confirmed bundle's item out of sent/. What cannot be removed is told, and goes with keep.sent.
func (d *Dispatcher) clear(tenant int, r *ledger.Record) {
	item := outbox.Item{Tenant: r.Tenant, Name: r.Name, ID: r.Bundle}
	if err := d.o.Tenants[tenant].Outbox.Clear(item, *r.Sequence); err != nil {
		d.o.Log.Error("clear what was confirmed", zap.Stringer("bundle", r.Bundle), zap.Error(err))
	}
}
