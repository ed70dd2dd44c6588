package chamber

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"

	"ecluse/protocol/bundle"
	"ecluse/receiver/deliver"
	"ecluse/receiver/ledger"
	"ecluse/receiver/quarantine"
)

const (
	batchMost  = 256     // bundles delivered together
	batchFiles = 200_000 // files of a batch of several: their tables are in memory

	retryFirst = 5 * time.Second
	retryMost  = 5 * time.Minute

	// freshFor is how long what this process has just read and found right need not be read again before it is moved.
	freshFor = time.Minute
)

// outlet is one tenant's second gate: a queue of approved bundles, and who waits for them. Tenants do not wait for each other's destinations.
type outlet struct {
	tenant Tenant
	wake   chan struct{} // holds one token when the queue is not empty

	mu      sync.Mutex
	queue   []bundle.ID
	queued  map[bundle.ID]bool
	tries   map[bundle.ID]int
	waiters map[bundle.ID][]chan error
}

func newOutlet(t Tenant) *outlet {
	return &outlet{
		tenant: t, wake: make(chan struct{}, 1),
		queued: make(map[bundle.ID]bool), tries: make(map[bundle.ID]int), waiters: make(map[bundle.ID][]chan error),
	}
}

// add queues a bundle, once.
func (o *outlet) add(id bundle.ID) {
	o.mu.Lock()
	if !o.queued[id] {
		o.queued[id] = true
		o.queue = append(o.queue, id)
	}
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take waits for bundles, and takes those that are there; nil when ctx ends.
func (o *outlet) take(ctx context.Context) []bundle.ID {
	select {
	case <-o.wake:
	case <-ctx.Done():
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	n := min(batchMost, len(o.queue))
	batch := o.queue[:n:n]
	o.queue = o.queue[n:]
	for _, id := range batch {
		delete(o.queued, id)
	}
	if len(o.queue) > 0 {
		select {
		case o.wake <- struct{}{}:
		default:
		}
	}
	return batch
}

// ended tells who waits what became of an attempt, and returns how many have failed in a row.
func (o *outlet) ended(id bundle.ID, err error) (failures int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, w := range o.waiters[id] {
		w <- err // buffered
	}
	delete(o.waiters, id)
	if err == nil {
		delete(o.tries, id)
		return 0
	}
	o.tries[id]++
	return o.tries[id]
}

// send queues an approved bundle for its tenant's destinations.
func (c *Chamber) send(tenant bundle.Name, id bundle.ID) {
	if o := c.outlets[tenant]; o != nil && !c.resting {
		o.add(id)
	}
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
	done := make(chan error, 1)
	o.mu.Lock()
	o.waiters[id] = append(o.waiters[id], done)
	o.mu.Unlock()
	o.add(id)
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// deliverAll works for one outlet until the chamber ends.
func (c *Chamber) deliverAll(o *outlet) {
	for {
		ids := o.take(c.ctx)
		if ids == nil {
			return
		}
		for len(ids) > 0 && c.ctx.Err() == nil {
			var batch []*ledger.Record
			batch, ids = c.batch(o, ids)
			c.deliverBatch(o, batch)
		}
	}
}

// batch takes as many of the bundles as fit into memory together.
func (c *Chamber) batch(o *outlet, ids []bundle.ID) (batch []*ledger.Record, rest []bundle.ID) {
	files := int64(0)
	for i, id := range ids {
		r, err := c.o.Ledger.Get(id)
		if err != nil || r.State != ledger.Approved {
			o.ended(id, errors.Join(err, fmt.Errorf("bundle %s is not approved any more", id)))
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

// way is one bundle on its way through one batch.
type way struct {
	record *ledger.Record
	signed *quarantine.Signed
	err    error
}

// deliverBatch takes bundles to each destination in turn. What fails at one is not tried at the next: the order of destinations is the order in which people find it.
func (c *Chamber) deliverBatch(o *outlet, records []*ledger.Record) {
	ways := make([]*way, len(records))
	for i, r := range records {
		w := &way{record: r}
		w.signed, w.err = quarantine.ReadSigned(Dir(c.o.State, r.Tenant, r.Bundle), c.expectOf(r))
		ways[i] = w
	}
	for i, d := range o.tenant.Destinations {
		last := i == len(o.tenant.Destinations)-1
		d.Keep = !last || c.o.Keep.Imported > 0
		c.deliverTo(ways, d, last)
	}
	if len(o.tenant.Destinations) == 0 {
		c.noteAll(ways, func(w *way, r *ledger.Record) error { return c.imported(r) })
	}
	for _, w := range ways {
		c.outcome(o, w)
	}
}

// deliverTo is one destination's part of a batch.
func (c *Chamber) deliverTo(ways []*way, d deliver.Options, last bool) {
	var going []*way
	var jobs []deliver.Job
	for _, w := range ways {
		if w.err != nil || done(w.record, d.Directory) && !last {
			continue
		}
		if done(w.record, d.Directory) {
			c.noteAll([]*way{w}, func(_ *way, r *ledger.Record) error { return c.imported(r) })
			continue
		}
		r := w.record
		going = append(going, w)
		jobs = append(jobs, deliver.Job{
			ID: r.Bundle, Name: w.signed.Manifest.Name, Sequence: w.signed.Manifest.Sequence, Table: w.signed.Manifest.Table,
			Dir: Dir(c.o.State, r.Tenant, r.Bundle), Verified: c.isFresh(r.Bundle), Previous: delivery(r, d.Directory),
		})
	}
	if len(jobs) == 0 {
		return
	}
	results := deliver.Batch(c.ctx, jobs, d, c.note(d.Directory))
	outcomes := make(map[*way]deliver.Outcome, len(going))
	for i, w := range going {
		w.err = results[i].Err
		outcomes[w] = results[i].Outcome
		if results[i].Left != "" {
			c.o.Log.Warn("what was replaced could not be removed", zap.Stringer("bundle", w.record.Bundle), zap.String("left", results[i].Left))
		}
	}
	c.noteAll(going, func(w *way, r *ledger.Record) error {
		now := c.o.Now().UTC()
		e := entry(r, d.Directory)
		e.Name, e.Done, e.Error = outcomes[w].Final, &now, ""
		if last {
			return c.imported(r)
		}
		return nil
	})
}

// imported ends a bundle well.
func (c *Chamber) imported(r *ledger.Record) error {
	r.State, r.Reason, r.Detail = ledger.Imported, nil, ""
	return nil
}

// noteAll changes the records of those that go well so far, all in one durable step.
func (c *Chamber) noteAll(ways []*way, change func(*way, *ledger.Record) error) {
	var well []*way
	var ids []bundle.ID
	for _, w := range ways {
		if w.err == nil {
			well, ids = append(well, w), append(ids, w.record.Bundle)
		}
	}
	for i, err := range c.changeAll(ids, func(i int, r *ledger.Record) error {
		if err := change(well[i], r); err != nil {
			return err
		}
		*well[i].record = *r
		return nil
	}) {
		well[i].err = err
	}
}

// changeAll makes one change of each bundle and waits until all are durable: they share the sync.
func (c *Chamber) changeAll(ids []bundle.ID, change func(i int, r *ledger.Record) error) []error {
	errs := make([]error, len(ids))
	var all sync.WaitGroup
	all.Add(len(ids))
	for i, id := range ids {
		c.o.Ledger.Post(id, func(r *ledger.Record) error { return change(i, r) }, func(err error) {
			errs[i] = err
			all.Done()
		})
	}
	all.Wait()
	return errs
}

// note is deliver.Note: intents of one destination become durable in the bundles' records.
func (c *Chamber) note(directory string) deliver.Note {
	return func(intents []deliver.Intent) []error {
		ids := make([]bundle.ID, len(intents))
		for i, n := range intents {
			ids[i] = n.ID
		}
		errs := c.changeAll(ids, func(i int, r *ledger.Record) error {
			if r.State != ledger.Approved {
				return fmt.Errorf("bundle %s is %s, and no longer approved", r.Bundle, r.State)
			}
			e := entry(r, directory)
			e.Name, e.Inode = intents[i].Final, intents[i].Inode
			return nil
		})
		for i, err := range errs {
			if err != nil && !errors.Is(err, ledger.ErrFatal) {
				errs[i] = fmt.Errorf("%w: %w", deliver.ErrNotNoted, err)
			}
		}
		return errs
	}
}

// entry is the part of a record that is about one destination; it is made if it is not there.
func entry(r *ledger.Record, directory string) *ledger.Delivery {
	for i := range r.Deliveries {
		if r.Deliveries[i].Destination == directory {
			return &r.Deliveries[i]
		}
	}
	r.Deliveries = append(r.Deliveries, ledger.Delivery{Destination: directory})
	return &r.Deliveries[len(r.Deliveries)-1]
}

func done(r *ledger.Record, directory string) bool {
	d := delivery(r, directory)
	return d != nil && d.Done != nil
}

func delivery(r *ledger.Record, directory string) *ledger.Delivery {
	for _, d := range r.Deliveries {
		if d.Destination == directory {
			return &d
		}
	}
	return nil
}

// outcome books what became of a bundle's attempt.
func (c *Chamber) outcome(o *outlet, w *way) {
	id := w.record.Bundle
	if c.ctx.Err() != nil {
		o.ended(id, c.ctx.Err())
		return
	}
	if w.err == nil {
		o.ended(id, nil)
		c.stale(id)
		var at []string
		for _, d := range w.record.Deliveries {
			at = append(at, filepath.Join(d.Destination, d.Name))
		}
		c.o.Log.Info("imported", zap.Stringer("bundle", id), zap.String("tenant", string(w.record.Tenant)), zap.Strings("at", at))
		if c.o.Keep.Imported == 0 {
			if err := c.removeContent(w.record); err != nil {
				c.o.Log.Error("purge", zap.Error(err))
			}
		}
		return
	}
	if errors.Is(w.err, ledger.ErrFatal) {
		c.o.Fatal(w.err)
		return
	}
	c.undelivered(o, w)
}

// undelivered notes why a delivery failed. Content that is not what was signed is refused, unless a destination has it already: that was whole when it left.
func (c *Chamber) undelivered(o *outlet, w *way) {
	id := w.record.Bundle
	reason, known := bundle.ReasonOf(w.err)
	err := c.o.Ledger.Change(c.ctx, id, func(r *ledger.Record) error {
		if r.State != ledger.Approved {
			return nil
		}
		setReason(r, ledger.Approved, w.err)
		if !known {
			text := string(bundle.ReasonDestination)
			r.Reason = &text
		}
		began := false
		for _, d := range r.Deliveries {
			began = began || d.Done != nil
		}
		if known && reason == bundle.ReasonContentMismatch && !began {
			r.State = ledger.Refused
		}
		*w.record = *r
		return nil
	})
	c.posted(err)
	failures := o.ended(id, w.err)
	if w.record.State == ledger.Refused {
		c.o.Log.Error("refused at the second gate", zap.Stringer("bundle", id), zap.Error(w.err))
		return
	}
	wait := min(retryMost, retryFirst<<min(failures-1, 10))
	c.o.Log.Warn("not delivered; it stays approved", zap.Stringer("bundle", id), zap.Error(w.err), zap.Duration("again_in", wait))
	time.AfterFunc(wait, func() {
		if c.ctx.Err() == nil {
			o.add(id)
		}
	})
}

// fresh notes that all content of a bundle was held against its manifest by this process just now.
func (c *Chamber) fresh(id bundle.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for old, at := range c.verified {
		if now.Sub(at) > freshFor {
			delete(c.verified, old)
		}
	}
	c.verified[id] = now
}

func (c *Chamber) stale(id bundle.ID) {
	c.mu.Lock()
	delete(c.verified, id)
	c.mu.Unlock()
}

func (c *Chamber) isFresh(id bundle.ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.verified[id]
	return ok && time.Since(at) <= freshFor
}
