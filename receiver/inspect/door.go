package inspect

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"ecluse/internal/turns"
	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
)

// Door stands before one inspector, whichever tenants require it. A bounded number of items is before it at once, one of a tenant, so that one that hangs holds up who needs it and nobody else. Where an item has
// taken all of its time the inspector is tried as before any item: one that does not find the test virus either is absent, and who comes then is told so at once. It is tried again after a pause that grows, by
// one of them.
//
//	item --> a place --> asked --> its time is over --> tried --> it answers: that item alone failed
//	     heavy: one of fewer first                           \--> absent, for a while: the others are turned back
//
// Tenants take turns for places, and one place no heavy item takes: light ones wait for light ones alone, at most five minutes and a half for each tenant that is before theirs, where the inspector has its usual
// time. Heavy ones of several tenants wait for each other. What hangs over one item only is absent for nobody.
type Door struct {
	places, heavy *turns.Gate
	pause         func(failures int) time.Duration

	mu       sync.Mutex
	absent   error // why it was not there; nil: it was
	failures int   // in a row
	again    time.Time
	trial    chan struct{} // closed when it is known whether it is there; nil: nobody tries it
}

// NewDoor makes one that lets so many items through at once, two at least if light ones are to pass heavy ones. pause says how long an inspector that failed so often in a row is left alone.
func NewDoor(most int, pause func(failures int) time.Duration) *Door {
	return &Door{places: turns.NewGate(most, 1), heavy: turns.NewGate(max(1, most-1), 1), pause: pause}
}

// AbsentError says that an inspector was not asked, as it did not answer others. Its text goes on record, so it says nothing that differs from one attempt to the next.
type AbsentError struct {
	Again time.Duration // until somebody tries it
	Err   error
}

func (e *AbsentError) Error() string {
	return fmt.Sprintf("it does not answer: %v", e.Err)
}

func (e *AbsentError) Unwrap() error { return e.Err }

// probeMost is what an inspector has to show that it is there. A scanner that reads new signatures may take some of it.
const probeMost = time.Minute

// lightMost is how much longer than any item one may be looked at that is light: 256 MiB, or 25,000 files. Above that bytes and files are most of the time that an item may take: see TimeFor.
const lightMost = 25 * time.Second

// Ask has an inspector look at a tenant's item, when there is a place.
func (d *Door) Ask(ctx context.Context, tenant bundle.Name, a *Asked, item Item, now func() time.Time) (*ledger.Inspection, error) {
	for _, gate := range d.way(item) {
		leave, err := gate.Enter(ctx, tenant)
		if err != nil {
			return nil, context.Cause(ctx)
		}
		defer leave()
	}
	if err := d.enter(ctx, a); err != nil {
		return nil, fmt.Errorf("%s: %w", a.Name, err)
	}
	n, err := a.Ask(ctx, item, now)
	var late *LateError
	if errors.As(err, &late) && ctx.Err() == nil {
		d.doubt(ctx, a)
	}
	return n, err
}

// way are the gates on an item's way.
func (d *Door) way(item Item) []*turns.Gate {
	if TimeFor(0, item.Bytes, item.Count) > lightMost {
		return []*turns.Gate{d.heavy, d.places}
	}
	return []*turns.Gate{d.places}
}

// enter says why an inspector is not to be asked. Of those who come when its pause is over one tries it, and the others wait for that.
func (d *Door) enter(ctx context.Context, a *Asked) error {
	d.mu.Lock()
	for d.trial != nil {
		over := d.trial
		d.mu.Unlock()
		select {
		case <-over:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		d.mu.Lock()
	}
	wait := time.Until(d.again)
	if d.absent == nil || wait > 0 {
		defer d.mu.Unlock()
		return d.why(wait)
	}
	return d.try(ctx, a)
}

// why is what who is not to ask is told, under the lock.
func (d *Door) why(wait time.Duration) error {
	if d.absent == nil {
		return nil
	}
	return &AbsentError{wait, d.absent}
}

// doubt has an inspector tried that has taken all of its time, unless somebody is at it.
func (d *Door) doubt(ctx context.Context, a *Asked) {
	d.mu.Lock()
	if d.trial != nil {
		d.mu.Unlock()
		return
	}
	_ = d.try(ctx, a)
}

// try finds out whether an inspector is there. It is called with the lock, and gives it back.
func (d *Door) try(ctx context.Context, a *Asked) error {
	over := make(chan struct{})
	defer close(over)
	d.trial = over
	d.mu.Unlock()
	limit := min(a.Timeout, probeMost)
	short, cancel := context.WithTimeoutCause(ctx, limit, &LateError{limit})
	defer cancel()
	_, err := a.Inspector.Ready(short)
	if err != nil && short.Err() != nil {
		err = context.Cause(short)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.trial = nil
	switch {
	case err == nil:
		d.absent, d.failures = nil, 0
		return nil
	case ctx.Err() != nil: // nobody waits for the answer any more: nothing is known
		return err
	}
	d.failures++
	wait := d.pause(d.failures)
	d.absent, d.again = err, time.Now().Add(wait)
	return d.why(wait)
}
