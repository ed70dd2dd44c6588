package chamber

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"ecluse/protocol/bundle"
	"ecluse/receiver/deliver/remote"
	"ecluse/receiver/ledger"
)

// bringAll works for one destination that is no directory until the chamber ends. Bundles go there one by one, in their order. While the destination is away the first of them is tried, and the others
// keep their places behind it: nothing old arrives after what is newer because somebody's timer was longer. What fails by itself is tried again later, and holds up nobody.
func (c *Chamber) bringAll(o *outlet) {
	defer func() { o.close(c.ctx.Err()) }()
	for failures := 0; ; {
		ids, ok := o.take(c.ctx, c.o.Now)
		if !ok {
			return
		}
		batch, _ := c.batch(o, ids)
		if len(batch) == 0 { // nothing was asked of the destination
			o.idle(failures > 0)
		}
		for _, r := range batch {
			away := c.bring(o, r, failures+1)
			o.idle(away)
			if !away {
				failures = 0
				continue
			}
			failures++
			timer := time.NewTimer(c.pause(failures))
			select {
			case <-timer.C:
			case <-o.hurry:
			case <-c.ctx.Done():
			}
			timer.Stop()
		}
	}
}

// bring brings one bundle there. It says whether the destination is away; failures counts that for the attempt that would follow.
func (c *Chamber) bring(o *outlet, r *ledger.Record, failures int) (away bool) {
	id, to := r.Bundle, o.to.Name()
	if done(r, to) {
		o.over(id, nil)
		return false
	}
	before := delivery(r, to)
	signed, err := c.signedOf(r)
	if trustReason(err) {
		err = bundle.Reject(bundle.ReasonSignerRevoked, "G-2", "%v", err)
	}
	if err != nil { // of its papers, which say nothing of a destination
		return c.unbrought(o, r, fault{err: err}, failures)
	}
	may, err := c.setOut(id, to, signed.Manifest.Name)
	if err != nil {
		return c.unbrought(o, r, fault{to, err, may}, failures)
	}
	began := time.Now()
	ctx, end := c.whileOpen(r.Tenant)
	defer end()
	job := remote.Job{
		Signed: signed, Dir: Dir(c.o.State, r.Tenant, id), Disk: c.o.Disk, Again: before != nil && (before.Name != "" || before.Error != ""),
		Note: func(begun string) error { return c.noteBegun(id, to, begun) },
	}
	if before != nil {
		job.Begun = before.Begun
	}
	name, err := o.to.Deliver(ctx, job)
	c.stale(id) // a program has had its hands on it
	if err != nil {
		may = remote.IsMaybe(err) || may && !remote.Answered(err) // who is away says nothing of what came through before
		if why := c.closed(r.Tenant); why != nil {
			err = why
		}
		return c.unbrought(o, r, fault{to, err, may}, failures)
	}
	err = c.change(id, func(have *ledger.Record) error {
		now := c.o.Now().UTC()
		e := entry(have, to)
		e.Name, e.Done, e.Error, e.Begun, e.Retry = name, &now, "", "", false
		err := c.settleDelivery(have)
		*r = *have
		return err
	})
	if err != nil { // it stands there, and is on record as about to: the next attempt finds it
		return c.unbrought(o, r, fault{to, err, true}, failures)
	}
	c.o.Log.Info("delivered", zap.Stringer("bundle", id), zap.String("to", to), zap.String("name", name), zap.Duration("in", time.Since(began)))
	if r.State == ledger.Imported {
		c.ended(r)
	}
	o.over(id, nil)
	return false
}

// setOut notes that a bundle may be at a destination from here on. may says that an attempt before this one may have brought it there.
func (c *Chamber) setOut(id bundle.ID, to, name string) (may bool, err error) {
	err = c.change(id, func(r *ledger.Record) error {
		if r.State != ledger.Approved {
			return errOver
		}
		e := entry(r, to)
		may = e.Name != "" || e.Retry
		if err := c.through(r); err != nil {
			return err
		}
		switch {
		case may:
			return errTold
		case e.Error != "":
			e.Retry = true // the log has told of the first attempt, and tells of what comes of this one where that is new
		default:
			e.Name = name
		}
		return nil
	})
	if errors.Is(err, errTold) {
		err = nil
	}
	return may, err
}

// noteBegun makes durable what a destination has begun, so that another attempt can go on with it, or take it back.
func (c *Chamber) noteBegun(id bundle.ID, to, begun string) error {
	return c.change(id, func(r *ledger.Record) error {
		if r.State != ledger.Approved {
			return errOver
		}
		entry(r, to).Begun = begun
		return nil
	})
}

// abandonMost is how long a destination may take to take back what it has begun.
const abandonMost = 10 * time.Second

// recall has what is begun at destinations of a bundle that has ended taken back, by those who may be at them. Where nobody is, the next start does it.
func (c *Chamber) recall(r *ledger.Record) {
	if c.resting || !r.Left() {
		return
	}
	for _, o := range c.remotes[r.Tenant] {
		if owes(o, r) {
			o.add(r.Bundle)
		}
	}
}

// recallAll does it for what earlier lives have left.
func (c *Chamber) recallAll(ctx context.Context) error {
	ids, err := c.o.Ledger.Left(ctx)
	for _, id := range ids {
		r, err := c.o.Ledger.Get(id)
		if err != nil {
			c.o.Log.Error("what was begun at a destination cannot be taken back", zap.Stringer("bundle", id), zap.Error(err))
			continue
		}
		c.recall(r)
	}
	return err
}

// owes says whether a destination has something of a bundle to take back, and can.
func owes(o *outlet, r *ledger.Record) bool {
	_, can := o.to.(remote.Resumer)
	d := delivery(r, o.to.Name())
	return can && d != nil && d.Left()
}

// owed says whether a destination that is configured has still something of a bundle. One that is not will never be asked.
func (c *Chamber) owed(r *ledger.Record) bool {
	return r.Left() && slices.ContainsFunc(c.remotes[r.Tenant], func(o *outlet) bool { return owes(o, r) })
}

// abandonBegun has a destination take back what it has begun of a bundle that will not go there. It says whether nothing of it is left, and notes that.
func (c *Chamber) abandonBegun(o *outlet, id bundle.ID) bool {
	r, err := c.o.Ledger.Get(id) // what was noted since counts too
	if errors.Is(err, ledger.ErrNotFound) {
		return true
	}
	if err != nil {
		c.o.Log.Warn("it is not known what was begun at a destination", zap.Stringer("bundle", id), zap.String("at", o.to.Name()), zap.Error(err))
		return false
	}
	if !owes(o, r) {
		return true
	}
	d, to := delivery(r, o.to.Name()), o.to.(remote.Resumer)
	ctx, cancel := context.WithTimeout(c.ctx, abandonMost)
	defer cancel()
	if err := to.Abandon(ctx, d.Begun); err != nil {
		c.o.Log.Warn("what was begun at a destination could not be taken back", zap.Stringer("bundle", id), zap.String("at", d.Destination), zap.Error(err))
		return false
	}
	err = c.change(id, func(have *ledger.Record) error {
		if e := delivery(have, d.Destination); e == nil || e.Begun != d.Begun {
			return errOver
		}
		entry(have, d.Destination).Begun = ""
		return nil
	})
	c.posted(err)
	return err == nil || errors.Is(err, errOver)
}

// unbrought books an attempt that failed.
func (c *Chamber) unbrought(o *outlet, r *ledger.Record, f fault, failures int) (away bool) {
	id, err := r.Bundle, f.err
	switch {
	case errors.Is(err, ledger.ErrFatal):
		o.over(id, err)
		c.fatal(err)
	case c.ctx.Err() != nil:
		o.over(id, c.ctx.Err()) // it stays approved, and the next life goes on
	case errors.Is(err, errOver):
		c.dropAt(o, r, refused("bundle %s is no longer approved", id))
	default:
		away = remote.IsAway(err)
		faults := []fault{f}
		c.undelivered(o, r, faults, err, func() time.Duration {
			if away {
				wait := c.pause(failures)
				o.away(id, err, c.o.Now(), wait)
				return wait
			}
			return o.later(id, faults, toldOf(faults, err), c.o.Now(), c.pause)
		})
	}
	return away
}

// broughtAll says whether a bundle stands at all of its tenant's destinations that are no directories.
func (c *Chamber) broughtAll(r *ledger.Record) bool {
	return !slices.ContainsFunc(c.o.Tenants[r.Tenant].Remotes, func(d remote.Destination) bool { return !done(r, d.Name()) })
}

// isRemote says whether a destination of a tenant is no directory.
func (c *Chamber) isRemote(tenant bundle.Name, name string) bool {
	return slices.ContainsFunc(c.o.Tenants[tenant].Remotes, func(d remote.Destination) bool { return d.Name() == name })
}
