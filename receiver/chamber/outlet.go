package chamber

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"ecluse/protocol/bundle"
	"ecluse/receiver/deliver/remote"
	"ecluse/receiver/ledger"
)

// outlet is one tenant's second gate to its directories, or to one destination that is no directory: a queue of approved bundles, and who waits for them. Tenants do not wait for each other's
// destinations, nor directories for what is none, nor those for each other.
type outlet struct {
	tenant Tenant
	to     remote.Destination // nil: the tenant's directories
	most   int                // bundles that are taken together
	wake   chan struct{}      // holds one token when the queue is not empty
	hurry  chan struct{}      // holds one token when somebody asks for what has failed

	mu      sync.Mutex
	shut    error // not nil: nothing goes through any more
	queue   []bundle.ID
	queued  map[bundle.ID]bool
	failed  map[bundle.ID]*failure
	under   []bundle.ID // what is on its way, since began
	began   time.Time
	down    *outage                    // of a destination that is no directory; nil: it is not known to be away
	waiters map[bundle.ID][]chan error // for an attempt that has not begun
	served  map[bundle.ID][]chan error // for the one under way
}

// failure is a bundle that could not be delivered. It has one timer, however many attempts people make in between.
type failure struct {
	times  int // in a row
	since  time.Time
	next   time.Time
	faults []fault
	again  *time.Timer
}

// outage is a destination that is away.
type outage struct {
	id    bundle.ID // the bundle that is tried; what is behind it keeps its place
	err   error     // of the last attempt
	since time.Time
	next  time.Time
}

func newOutlet(t Tenant, to remote.Destination, most int) *outlet {
	return &outlet{
		tenant: t, to: to, most: most, wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1),
		queued: make(map[bundle.ID]bool), failed: make(map[bundle.ID]*failure), waiters: make(map[bundle.ID][]chan error),
		served: make(map[bundle.ID][]chan error),
	}
}

// add queues a bundle, once.
func (o *outlet) add(id bundle.ID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.shut != nil || o.queued[id] {
		return
	}
	o.queued[id] = true
	o.queue = append(o.queue, id)
	o.rouse()
}

// rouse leaves a token, under the lock.
func (o *outlet) rouse() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take waits for bundles, and takes those that are there; false when ctx ends.
func (o *outlet) take(ctx context.Context, now func() time.Time) ([]bundle.ID, bool) {
	select {
	case <-o.wake:
	case <-ctx.Done():
		return nil, false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	n := min(o.most, len(o.queue))
	batch := o.queue[:n:n]
	o.queue = o.queue[n:]
	o.under, o.began = batch, now()
	for _, id := range batch {
		delete(o.queued, id)
		o.serve(id)
	}
	if o.to != nil { // what one bundle finds there holds for all
		for id := range o.waiters {
			o.serve(id)
		}
		select {
		case <-o.hurry: // this is the attempt that they have asked for
		default:
		}
	}
	if len(o.queue) > 0 {
		o.rouse()
	}
	return batch, true
}

// serve has those who wait for a bundle wait for the attempt that begins, under the lock.
func (o *outlet) serve(id bundle.ID) {
	if w := o.waiters[id]; w != nil {
		o.served[id] = append(o.served[id], w...)
		delete(o.waiters, id)
	}
}

// await registers somebody who waits for the end of the next attempt. One that is under way says nothing of what has been mended since it began.
func (o *outlet) await(id bundle.ID) (<-chan error, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.shut != nil {
		return nil, o.shut
	}
	done := make(chan error, 1)
	o.waiters[id] = append(o.waiters[id], done)
	return done, nil
}

// tell tells who waits what became of a bundle, under the lock.
func (o *outlet) tell(id bundle.ID, err error) {
	for _, w := range o.served[id] {
		w <- err // buffered
	}
	delete(o.served, id)
}

// over ends a bundle's time here: it was delivered, or will not be.
func (o *outlet) over(id bundle.ID, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tell(id, err)
	if f := o.failed[id]; f != nil {
		f.again.Stop()
		delete(o.failed, id)
	}
}

// later has a bundle that could not be delivered tried again, after what pause says of the failures in a row.
func (o *outlet) later(id bundle.ID, faults []fault, err error, now time.Time, pause func(failures int) time.Duration) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tell(id, err)
	f := o.failed[id]
	if f == nil {
		f = &failure{since: now, again: time.AfterFunc(time.Hour, func() { o.add(id) })}
		o.failed[id] = f
	}
	f.times++
	wait := pause(f.times)
	f.faults, f.next = faults, now.Add(wait)
	if o.shut == nil {
		f.again.Reset(wait)
	} else {
		f.again.Stop()
	}
	return wait
}

// away puts a bundle back to the front, whose destination cannot be used: what is behind it keeps its place, and all who waited when the attempt began are told.
func (o *outlet) away(id bundle.ID, err error, now time.Time, wait time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.down == nil {
		o.down = &outage{since: now}
	}
	o.down.id, o.down.err, o.down.next = id, err, now.Add(wait)
	for other := range o.served {
		o.tell(other, &DestinationError{o.to.Name(), err})
	}
	if o.shut == nil && !o.queued[id] {
		o.queued[id] = true
		o.queue = append([]bundle.ID{id}, o.queue...)
		o.rouse()
	}
}

// idle says that what was taken has had its attempt, and whether its destination was away.
func (o *outlet) idle(away bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.under = nil
	if !away {
		o.down = nil
	}
}

// ask has what waits for its destination tried now.
func (o *outlet) ask() {
	select {
	case o.hurry <- struct{}{}:
	default:
	}
}

// close ends the outlet: nobody waits any more, and no timer runs.
func (o *outlet) close(why error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.shut = why
	for id := range o.waiters {
		o.serve(id)
	}
	for id := range o.served {
		o.tell(id, why)
	}
	for _, f := range o.failed {
		f.again.Stop()
	}
}

// send queues an approved bundle for its tenant's destinations. It is false where the tenant is not configured.
func (c *Chamber) send(tenant bundle.Name, id bundle.ID) bool {
	o := c.outlets[tenant]
	if o != nil && !c.resting {
		o.add(id)
		for _, r := range c.remotes[tenant] {
			r.add(id)
		}
	}
	return o != nil
}

// Deliver tries to deliver an approved bundle now, and waits for what becomes of it.
func (c *Chamber) Deliver(ctx context.Context, id bundle.ID) error {
	r, err := c.o.Ledger.Get(id)
	if err != nil {
		return err
	}
	o := c.outlets[r.Tenant]
	switch {
	case r.State == ledger.Imported:
		return nil
	case r.State != ledger.Approved:
		return refused("bundle %s is %s: only what is approved is delivered", id, r.State)
	case o == nil:
		return fmt.Errorf("tenant %q is not configured any more", r.Tenant)
	}
	all := append([]*outlet{o}, c.remotes[r.Tenant]...)
	waits := make([]<-chan error, len(all))
	for i, o := range all {
		if waits[i], err = o.await(id); err != nil {
			return err
		}
		o.add(id)
		o.ask()
	}
	var failed []error
	for _, done := range waits {
		select {
		case err := <-done:
			failed = append(failed, err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return errors.Join(failed...)
}

// deliverAll works for one outlet until the chamber ends.
func (c *Chamber) deliverAll(o *outlet) {
	defer func() { o.close(c.ctx.Err()) }()
	for {
		ids, ok := o.take(c.ctx, c.o.Now)
		if !ok {
			return
		}
		for len(ids) > 0 && c.ctx.Err() == nil {
			var batch []*ledger.Record
			batch, ids = c.batch(o, ids)
			c.deliverBatch(o, batch)
		}
		o.idle(false)
	}
}

// batch takes as many of the bundles as fit into memory together.
func (c *Chamber) batch(o *outlet, ids []bundle.ID) (batch []*ledger.Record, rest []bundle.ID) {
	files := int64(0)
	for i, id := range ids {
		r, err := c.o.Ledger.Get(id)
		switch {
		case err == nil && r.State == ledger.Imported:
			o.over(id, nil)
			continue
		case err == nil && r.State != ledger.Approved: // somebody has rejected it
			c.dropAt(o, r, refused("bundle %s is %s, and no longer approved", id, r.State))
			continue
		case err == nil && c.doubted(r) != nil:
			why := c.doubted(r)
			c.withdrawBy(o, r)
			c.o.Log.Error("not delivered", zap.Stringer("bundle", id), zap.Error(why))
			o.over(id, refused("bundle %s: %v (ecluse-receiver anchor says what can be done)", id, why))
			continue
		case err == nil && c.closed(r.Tenant) != nil:
			c.keepApproved(o, r, c.closed(r.Tenant))
			continue
		case errors.Is(err, ledger.ErrNotFound):
			o.over(id, err)
			continue
		case err != nil:
			o.later(id, []fault{{err: err}}, err, c.o.Now(), c.pause)
			continue
		}
		if r.Files != nil {
			files += *r.Files
		}
		if len(batch) > 0 && files > batchFiles {
			return batch, ids[i:]
		}
		batch = append(batch, r)
	}
	return batch, nil
}
