package dispatch

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"ecluse/sender/ledger"
)

// What passes take of the wire is noted when they end, and of those that last, once a minute. So whatever ends the process takes no more away from the account than what the link carries in
// a minute, of all passes together. A pass that is cut short leaves what it took to be noted with the next one.

// tollEvery is how often that is.
const tollEvery = time.Minute

// errUnbegun is returned for a bundle of which the ledger does not know yet that it is being sent.
var errUnbegun = errors.New("it is not on record as being sent")

// toll notes what passes have taken so far, until everything ends.
func (d *Dispatcher) toll() {
	for d.sleep(d.tolled) {
		d.mu.Lock()
		var under []*task
		for _, t := range d.tasks {
			if t.out != nil {
				under = append(under, t)
			}
		}
		d.mu.Unlock()
		for _, t := range under {
			if err := d.pay(t); err != nil && d.ctx.Err() == nil && !errors.Is(err, errUnbegun) {
				d.o.Log.Error("note what a pass takes of the link: it is noted later", zap.Stringer("bundle", t.record.Bundle), zap.Error(err))
			}
		}
	}
}

// pay notes what a pass that is under way has taken and is not noted. Where the ledger does not take it, it is owed still.
func (d *Dispatcher) pay(t *task) error {
	t.paying.Lock()
	defer t.paying.Unlock()
	d.mu.Lock()
	d.owe(t)
	owed := t.owed
	t.owed = 0
	d.mu.Unlock()
	if owed == 0 {
		return nil
	}
	err := d.o.Ledger.Change(context.WithoutCancel(d.ctx), t.record.Bundle, func(have *ledger.Record) error {
		if have.State == "" || have.State == ledger.Waiting {
			return errUnbegun
		}
		have.Took(d.o.Ledger.Countable(d.o.Now().UTC()), owed, d.o.Rate)
		return nil
	})
	if err != nil {
		d.mu.Lock()
		t.owed += owed
		d.mu.Unlock()
	}
	return err
}

// owe counts what the present pass has taken since it was counted last. The lock is held.
func (d *Dispatcher) owe(t *task) {
	if t.out != nil {
		wire := t.out.Wire()
		t.owed += wire - t.counted
		t.counted = wire
	}
}

// endOut ends the present pass of a task; what it has taken is owed. The lock is held.
func (d *Dispatcher) endOut(t *task) {
	d.owe(t)
	t.out, t.counted = nil, 0
}
