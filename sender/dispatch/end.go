package dispatch

import (
	"context"
	"errors"
	"syscall"
	"time"

	"go.uber.org/zap"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
	"ecluse/sender/ledger"
	"ecluse/sender/transmit"
)

// passOut is called when the last shard of a pass has left. The link's goroutine calls it, so it only starts what is to be done.
func (d *Dispatcher) passOut(t *task, out *transmit.Out) {
	d.working.Go(func() {
		if out.Cut() {
			d.interrupted(t)
			return
		}
		d.passDone(t, out.Content())
	})
}

func (d *Dispatcher) passDone(t *task, content int64) {
	if d.ctx.Err() != nil {
		return
	}
	d.left(t)
	d.mu.Lock()
	more := !t.repair && t.record.PassesDone+1 < d.o.Passes
	t.record.PassesDone++
	d.mu.Unlock()
	err := d.note(t, func(have *ledger.Record) error {
		have.PassesDone++
		have.SentBytes += content
		now := d.o.Now().UTC()
		have.Took(d.o.Ledger.Countable(now), t.took, d.o.Rate)
		if !more {
			have.State, have.Reason, have.Finished, have.Asked = ledger.Sent, nil, &now, nil
		}
		return nil
	})
	if err != nil {
		d.unnoted(t, err)
		return
	}
	if more {
		d.later(t, d.o.Apart)
		return
	}
	d.putAway(t)
	d.forget(t)
	d.o.Log.Info("sent", zap.Stringer("bundle", t.record.Bundle), zap.String("tenant", string(t.record.Tenant)), zap.Uint64("sequence", *t.record.Sequence), zap.String("name", t.record.Name), zap.Int64("bytes", content))
}

// left ends a pass: nothing of it is repeated, its sequence no longer keeps heartbeats from naming it and what follows, and what it has taken of the wire is to be noted. What of one that was given up is in
// flight still, or in the feed, is nobody's. It waits for a note that is being made: where the ledger does not take that, what it was to say is owed again, and noted with the pass's end.
func (d *Dispatcher) left(t *task) {
	t.paying.Lock()
	defer t.paying.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.endOut(t)
	t.took, t.owed = t.owed, 0
	d.beats.done(t.record.Bundle)
	if t.record.Sequence != nil {
		d.heads[t.tenant].out(*t.record.Sequence)
	}
}

// later waits, and then queues a task for its next pass.
func (d *Dispatcher) later(t *task, wait time.Duration) {
	if d.sleep(wait) {
		d.enqueue(t)
	}
}

// sleep is false when everything ends meanwhile.
func (d *Dispatcher) sleep(wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-d.ctx.Done():
		return false
	}
}

// retryAfter is how long what this machine had no room for waits.
const retryAfter = 10 * time.Second

// ownError is a failure of our own state: it says nothing about the item, which waits until it is mended.
type ownError struct{ error }

func (e ownError) Unwrap() error { return e.error }

// own tells failures of the state's disk from what a bundle itself is the cause of.
func own(err error) error {
	if n := syscall.Errno(0); errors.As(err, &n) {
		return ownError{err}
	}
	return err
}

// passing says whether a failure is this machine's and passes: a full disk, too many open files.
func passing(err error) bool {
	if o := (ownError{}); errors.As(err, &o) {
		return true
	}
	for _, e := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// postpone has a task tried again later, as a whole.
func (d *Dispatcher) postpone(t *task, cause error) {
	d.o.Log.Error("there is no room here for this: it is tried again", zap.Stringer("bundle", t.record.Bundle), zap.Duration("in", d.retry), zap.Error(cause))
	d.mu.Lock()
	d.beats.done(t.record.Bundle)
	d.endOut(t)
	d.mu.Unlock()
	d.working.Go(func() { d.later(t, d.retry) })
}

// know posts that a new bundle is claimed. It is posted again with what follows, since a disk that was full may have lost it.
func (d *Dispatcher) know(t *task) {
	if t.known == nil {
		return
	}
	d.o.Ledger.Post(t.record.Bundle, func(have *ledger.Record) error {
		if have.State == "" {
			*have = *t.known
		}
		return nil
	}, d.failed)
}

// sending posts that content of a bundle may leave from now on.
func (d *Dispatcher) sending(t *task) {
	d.know(t)
	d.mu.Lock()
	now := *t.record
	d.mu.Unlock()
	d.o.Ledger.Post(now.Bundle, func(have *ledger.Record) error {
		have.State, have.Files, have.Dirs, have.Bytes, have.Chunks = ledger.Sending, now.Files, now.Dirs, now.Bytes, now.Chunks
		return nil
	}, d.failed)
}

// note makes a change of a bundle that is being sent, and returns when it is durable, however long the disk is full.
func (d *Dispatcher) note(t *task, change func(*ledger.Record) error) error {
	for {
		if r, err := d.o.Ledger.Get(t.record.Bundle); err != nil || r.State == ledger.Waiting {
			if t.offer {
				d.sending(t)
			} else {
				d.know(t)
			}
		}
		err := d.o.Ledger.Change(d.ctx, t.record.Bundle, change)
		if err == nil || d.ctx.Err() != nil || errors.Is(err, ledger.ErrFatal) {
			return err
		}
		r, lost := d.o.Ledger.Get(t.record.Bundle)
		if lost == nil && r.State != ledger.Waiting && !passing(own(err)) { // else what had to come before it was not taken
			return err
		}
		d.o.Log.Error("the state cannot be written: it is tried again", zap.Stringer("bundle", t.record.Bundle), zap.Duration("in", d.retry), zap.Error(err))
		if !d.sleep(d.retry) {
			return d.ctx.Err()
		}
	}
}

// unnoted ends a task whose end the ledger did not take. The item stays where it is, for the next start.
func (d *Dispatcher) unnoted(t *task, err error) {
	d.failed(err)
	if !errors.Is(err, ledger.ErrFatal) && d.ctx.Err() == nil {
		d.forget(t)
	}
}

// putAway moves a sent item to sent/<sequence>/.
func (d *Dispatcher) putAway(t *task) {
	if t.repair {
		return // it stands there already
	}
	when := d.o.Now()
	if t.record.Finished != nil {
		when = *t.record.Finished // also where an earlier life has noted it, and did not come to this
	}
	d.move(t, "put away what was sent", func() error { return d.o.Tenants[t.tenant].Outbox.Sent(t.item, *t.record.Sequence, when) })
}

// bury moves a failed item to failed/<id>/, with its reason, and tells the receiver.
func (d *Dispatcher) bury(t *task, reason string) {
	d.move(t, "put away what failed", func() error { return d.o.Tenants[t.tenant].Outbox.Failed(t.item, reason) })
	if !d.sayFarewell(t, reason) {
		d.forget(t)
	}
}

// move puts an item away, however long the outbox's disk is full. What cannot be moved for another reason stays, for the next start.
func (d *Dispatcher) move(t *task, what string, f func() error) {
	for {
		err := f()
		if err == nil {
			return
		}
		d.o.Log.Error(what, zap.Stringer("bundle", t.record.Bundle), zap.Error(err))
		if !passing(err) || !d.sleep(d.retry) {
			return
		}
	}
}

// giveUp ends a bundle that cannot be sent. Before its signature it fails, and the receiver is told; after it, the receiver may have it whole, so what was sent
// stands and only the present pass ends.
func (d *Dispatcher) giveUp(l *lane, t *task, cause error) {
	switch {
	case d.ctx.Err() != nil:
		return
	case errors.Is(cause, ledger.ErrFatal):
		d.failed(cause)
		return
	case errors.Is(cause, errHalted):
		d.interrupted(t)
		return
	case passing(cause):
		d.postpone(t, cause)
		return
	}
	d.left(t)
	d.beside(l, func() { d.fall(t, cause.Error()) })
}

// fall notes that a bundle is given up, and what its last pass took of the wire, puts it away, and says farewell.
func (d *Dispatcher) fall(t *task, reason string) {
	r := t.record
	log := d.o.Log.With(zap.Stringer("bundle", r.Bundle), zap.String("tenant", string(r.Tenant)), zap.String("name", r.Name), zap.String("reason", reason))
	state := ledger.Failed
	if t.again() {
		state = ledger.Sent
	}
	err := d.note(t, func(have *ledger.Record) error {
		now := d.o.Now().UTC()
		have.Took(d.o.Ledger.Countable(now), t.took, d.o.Rate)
		have.State, have.Reason, have.Finished, have.Asked = state, &reason, &now, nil
		return nil
	})
	if err != nil {
		d.unnoted(t, err)
		return
	}
	if state == ledger.Sent {
		log.Warn("a later pass was not sent")
		d.putAway(t)
		d.forget(t)
		return
	}
	log.Warn("failed")
	d.bury(t, reason)
}

// sayFarewell queues an abandon, where the receiver has heard of the bundle and cannot have it whole. It is false where there is nothing to say.
func (d *Dispatcher) sayFarewell(t *task, reason string) bool {
	if !t.offer || t.record.Sequence != nil {
		return false
	}
	t.farewell = record.AbandonReason(reason)
	d.enqueue(t)
	return true
}

// abandon tells the receiver that nothing more comes of a bundle.
func (d *Dispatcher) abandon(l *lane, t *task) {
	defer d.forget(t)
	r := t.record
	a := &record.Abandon{Bundle: r.Bundle, Epoch: d.o.Epoch, Tenant: r.Tenant, Reason: t.farewell}
	blob, err := d.o.Signer.SignAbandon(bundle.AbandonMessage(r.Bundle, d.o.Epoch, r.Tenant, a.Reason))
	if err != nil {
		d.o.Log.Error("sign abandon", zap.Stringer("bundle", r.Bundle), zap.Error(err))
		return
	}
	a.Signature = blob
	d.mu.Lock()
	d.beats.end(r.Bundle, a, d.o.Now())
	d.mu.Unlock()
	if err := l.feed.Put(d.ctx, transmit.Piece{Record: a}); err != nil && !errors.Is(err, context.Canceled) {
		d.o.Log.Error("send abandon", zap.Stringer("bundle", r.Bundle), zap.Error(err))
	}
}
