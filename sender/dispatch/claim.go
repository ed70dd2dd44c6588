package dispatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"ecluse/protocol/bundle"
	"ecluse/protocol/ticket"
	"ecluse/sender/ledger"
	"ecluse/sender/outbox"
)

// Submit takes an item that has just been claimed.
func (d *Dispatcher) Submit(item outbox.Item) error {
	tenant, err := d.tenant(item.Tenant)
	if err != nil {
		return err
	}
	r := &ledger.Record{Bundle: item.ID, Tenant: item.Tenant, Epoch: d.o.Epoch, Name: item.Name, State: ledger.Waiting, Priority: item.Class, Created: item.Created.UTC().Truncate(time.Second)}
	first := *r // r changes with the task
	t := &task{record: r, item: item, tenant: tenant, path: item.Path, known: &first}
	d.know(t)
	d.examined(t)
	return nil
}

// Resume takes up what an earlier life had claimed: items, and the records that the ledger has of some of them.
func (d *Dispatcher) Resume(item outbox.Item, r *ledger.Record) error {
	if r == nil || r.State == "" {
		return d.Submit(item)
	}
	tenant, err := d.tenant(item.Tenant)
	if err != nil {
		return err
	}
	item.Class = r.Priority
	t := &task{record: r, item: item, tenant: tenant, path: item.Path, offer: r.Bytes != nil}
	switch r.State {
	case ledger.Sent, ledger.Confirmed:
		d.hold(t)
		d.working.Go(func() {
			d.putAway(t)
			if r.State == ledger.Confirmed {
				d.clear(tenant, r)
			}
			d.forget(t)
		})
	case ledger.Failed:
		d.hold(t)
		d.working.Go(func() { d.bury(t, reasonOf(r)) })
	default:
		d.examined(t)
	}
	return nil
}

func reasonOf(r *ledger.Record) string {
	if r.Reason == nil {
		return ""
	}
	return *r.Reason
}

// ErrNotHere is returned for a bundle whose content is no longer on this side.
var ErrNotHere = errors.New("its content is no longer here")

// ErrFormerEpoch is returned for a bundle of an earlier life of this sender: the high side accepts nothing of it any more.
var ErrFormerEpoch = errors.New("it is of a former epoch, which the high side does not accept any more: drop its item anew")

// Resend sends a bundle again that was sent: all of it, or the chunks that are asked for, with the close. No range is all.
func (d *Dispatcher) Resend(ctx context.Context, id bundle.ID, asked []ticket.Range) error {
	r, err := d.sent(ctx, id)
	if err != nil {
		return err
	}
	if err := RefuseFormer(d.o.Ledger, r); err != nil {
		return err
	}
	tenant, err := d.tenant(r.Tenant)
	if err != nil {
		return err
	}
	path, ok := d.o.Tenants[tenant].Outbox.SentPath(*r.Sequence, r.Name)
	if !ok {
		return fmt.Errorf("bundle %s: %w: keep.sent is over, or somebody took it", id, ErrNotHere)
	}
	if err := Again(d.ctx, d.o.Ledger, id, asked); err != nil { // not with ctx: once it is noted it is to be done, whether or not somebody still waits for it
		return err
	}
	d.repair(tenant, r, path, asked)
	return nil
}

// sent returns the record of a bundle that was sent, when its item stands in sent/: the record says so a moment before.
func (d *Dispatcher) sent(ctx context.Context, id bundle.ID) (*ledger.Record, error) {
	r, err := d.o.Ledger.Get(id)
	if err != nil {
		return nil, err
	}
	if r.State == ledger.Confirmed {
		return nil, fmt.Errorf("bundle %s: %w: a receipt said that it is safe on the high side, and it was cleared", id, ErrNotHere)
	}
	if r.State != ledger.Sent || r.Sequence == nil {
		return nil, fmt.Errorf("bundle %s is %s: only what was sent can be sent again", id, r.State)
	}
	d.mu.Lock()
	t := d.tasks[id]
	d.mu.Unlock()
	if t == nil {
		return r, nil
	}
	select {
	case <-t.ended:
		return r, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-d.ctx.Done():
		return nil, d.ctx.Err()
	}
}

// RefuseFormer refuses what an earlier life of this sender has sent.
func RefuseFormer(l *ledger.Ledger, r *ledger.Record) error {
	if r.Epoch != l.Epoch() {
		return fmt.Errorf("bundle %s: %w", r.Bundle, ErrFormerEpoch)
	}
	return nil
}

// Again notes durably that a bundle that was sent is to be sent once more: all of it, or some chunks.
func Again(ctx context.Context, l *ledger.Ledger, id bundle.ID, asked []ticket.Range) error {
	return l.Change(ctx, id, func(have *ledger.Record) error {
		if have.State != ledger.Sent {
			return fmt.Errorf("bundle %s is %s: only what was sent can be sent again", id, have.State)
		}
		if err := RefuseFormer(l, have); err != nil {
			return err
		}
		have.State, have.Reason, have.Finished, have.Asked = ledger.Sending, nil, nil, asked
		return nil
	})
}

// Reopen takes up a bundle that an earlier life was to send, and that it had not claimed: a repair. One whose content is nowhere fails.
func (d *Dispatcher) Reopen(ctx context.Context, id bundle.ID) error {
	r, err := d.o.Ledger.Get(id)
	if err != nil {
		return err
	}
	tenant, err := d.tenant(r.Tenant)
	if err != nil {
		return err
	}
	if r.Sequence != nil {
		if path, ok := d.o.Tenants[tenant].Outbox.SentPath(*r.Sequence, r.Name); ok {
			d.repair(tenant, r, path, r.Asked)
			return nil
		}
	}
	state, reason := ledger.Failed, "its content is gone: somebody has taken it out of sending/, or a power cut has put it back where it was dropped, and it is sent as another bundle"
	if r.PassesDone > 0 {
		state, reason = ledger.Sent, "it was to be sent again, and its content is gone"
	}
	err = d.o.Ledger.Change(ctx, id, func(have *ledger.Record) error {
		now := d.o.Now().UTC()
		have.State, have.Reason, have.Finished = state, &reason, &now
		return nil
	})
	if err != nil {
		return err
	}
	d.o.Log.Warn("taken up again in vain", zap.Stringer("bundle", id), zap.String("name", r.Name), zap.String("reason", reason))
	t := &task{record: r, item: outbox.Item{Tenant: r.Tenant, Name: r.Name, ID: id, Class: r.Priority}, tenant: tenant, offer: r.Bytes != nil}
	d.left(t)
	if state == ledger.Failed {
		d.sayFarewell(t, reason)
	}
	return nil
}

// repair queues what stands in sent/ for one more pass.
func (d *Dispatcher) repair(tenant int, r *ledger.Record, path string, asked []ticket.Range) {
	item := outbox.Item{Tenant: r.Tenant, Name: r.Name, ID: r.Bundle, Class: r.Priority, Created: r.Created, Path: path}
	d.enqueue(&task{record: r, item: item, tenant: tenant, path: path, repair: true, asked: asked})
}
