package chamber

import (
	"errors"
	"fmt"
	"slices"
	"strings"
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
)

// way is one bundle on its way through one batch.
type way struct {
	record *ledger.Record
	signed *quarantine.Signed
	landed bool // an earlier life has delivered it to every directory, and did not come to note it
	err    error
	faults []fault // what directories said that did not take it
}

// fault is why a bundle was not delivered, and the destination that it is about, if it is; may says that it may stand there all the same.
type fault struct {
	at  string
	err error
	may bool
}

// deliverBatch takes bundles to each directory in turn: their order is the order in which people find it. What fails at one is tried at the next all the same, and stays in quarantine.
func (c *Chamber) deliverBatch(o *outlet, records []*ledger.Record) {
	var ways []*way
	for _, r := range records {
		if c.elsewhere(o, r) {
			o.over(r.Bundle, nil)
			continue
		}
		w := &way{record: r}
		w.signed, w.err = c.signedOf(r)
		if trustReason(w.err) {
			w.err = bundle.Reject(bundle.ReasonSignerRevoked, "G-2", "%v", w.err)
		}
		if w.err == nil && slices.ContainsFunc(o.tenant.Destinations, func(d deliver.Options) bool { return !done(r, d.Directory) }) {
			w.err = c.halted(r) // else a copy of it is made there before note says so
		}
		if isRejection(w.err) && c.landed(o, r) { // that was whole when it left, whatever became of it in quarantine since
			w.landed, w.err = true, nil
		}
		ways = append(ways, w)
	}
	for _, w := range ways {
		if w.err != nil {
			c.withdraw(w.record, nil)
		}
	}
	for i, d := range o.tenant.Destinations {
		last := i == len(o.tenant.Destinations)-1
		d.Keep = !last || c.o.Keep.Imported > 0 || slices.ContainsFunc(ways, func(w *way) bool { return len(w.faults) > 0 || !c.broughtAll(w.record) })
		d.May = func() error { return c.closed(o.tenant.Name) }
		c.deliverTo(ways, d, last)
	}
	if len(o.tenant.Destinations) == 0 {
		c.noteAll(ways, func(w *way, r *ledger.Record) error {
			if err := c.through(r); err != nil {
				return err
			}
			return c.settleDelivery(r)
		})
	}
	for _, w := range ways {
		if w.err == nil && len(w.faults) > 0 {
			w.err = w.faults[0].err
		}
		c.outcome(o, w)
	}
}

// elsewhere says that only destinations that are no directory have still to take a bundle.
func (c *Chamber) elsewhere(o *outlet, r *ledger.Record) bool {
	return !c.broughtAll(r) && !slices.ContainsFunc(o.tenant.Destinations, func(d deliver.Options) bool { return !done(r, d.Directory) })
}

// landed says whether a bundle stands in each of its directories, or has stood there.
func (c *Chamber) landed(o *outlet, r *ledger.Record) bool {
	for _, d := range o.tenant.Destinations {
		e := delivery(r, d.Directory)
		switch {
		case e == nil || e.Name == "":
			return false
		case e.Done != nil:
			continue
		}
		if stands, err := deliver.Landed(c.o.Disk, d.Directory, e.Name, e.Inode); err != nil || !stands {
			return false // an error of its own will be told when it is delivered
		}
	}
	return len(o.tenant.Destinations) > 0
}

// deliverTo is one destination's part of a batch.
func (c *Chamber) deliverTo(ways []*way, d deliver.Options, last bool) {
	var going []*way
	var jobs []deliver.Job
	for _, w := range ways {
		if w.err != nil || (w.landed || done(w.record, d.Directory)) && !last {
			continue
		}
		if w.landed || done(w.record, d.Directory) {
			c.noteAll([]*way{w}, func(w *way, r *ledger.Record) error {
				now := c.o.Now().UTC()
				for _, d := range c.o.Tenants[r.Tenant].Destinations {
					if e := delivery(r, d.Directory); w.landed && (e == nil || e.Done == nil) {
						e := entry(r, d.Directory)
						e.Done, e.Error = &now, ""
					}
				}
				return c.settleDelivery(r)
			})
			continue
		}
		r := w.record
		going = append(going, w)
		job := jobOf(r.Bundle, w.signed, Dir(c.o.State, r.Tenant, r.Bundle))
		job.Previous = delivery(r, d.Directory)
		now, fresh := c.freshOf(r.Bundle)
		job.Verified, job.Prepared = fresh, fresh && now.prepared && job.Previous != nil && job.Previous.Name != "" // what was held at first has no intent
		jobs = append(jobs, job)
	}
	if len(jobs) == 0 {
		return
	}
	results := deliver.Batch(c.ctx, c.o.Disk, jobs, d, c.note(d.Directory))
	outcomes := make(map[*way]deliver.Outcome, len(going))
	for i, w := range going {
		w.takes(d.Directory, results[i].Err)
		outcomes[w] = results[i].Outcome
		c.noteTransfer(d.Directory, results[i])
		if results[i].Left != "" {
			c.o.Log.Warn("what was replaced could not be removed", zap.Stringer("bundle", w.record.Bundle), zap.String("left", results[i].Left))
		}
	}
	well := slices.DeleteFunc(going, func(w *way) bool {
		return slices.ContainsFunc(w.faults, func(f fault) bool { return f.at == d.Directory })
	})
	c.noteAll(well, func(w *way, r *ledger.Record) error {
		now := c.o.Now().UTC()
		e := entry(r, d.Directory)
		e.Name, e.Done, e.Error = outcomes[w].Final, &now, ""
		if last {
			return c.settleDelivery(r)
		}
		return nil
	})
}

// takes notes what a directory said. What is about the bundle, or about us, ends its way; what is about the directory does not.
func (w *way) takes(directory string, err error) {
	if err == nil {
		return
	}
	w.faults = append(w.faults, fault{at: directory, err: err})
	if reason, known := bundle.ReasonOf(err); !known || reason == bundle.ReasonContentMismatch || errors.Is(err, ledger.ErrFatal) {
		w.err = err
	}
}

// withdraw takes back the intents of what was never moved, but for the destinations that it is still to go to: nobody can reject a bundle that may be there already.
func (c *Chamber) withdraw(r *ledger.Record, but []deliver.Options) {
	if r.Name == nil {
		return
	}
	for _, e := range r.Deliveries {
		if e.Done != nil || e.Name == "" || slices.ContainsFunc(but, func(d deliver.Options) bool { return d.Directory == e.Destination }) {
			continue
		}
		job := deliver.Job{ID: r.Bundle, Name: *r.Name, Dir: Dir(c.o.State, r.Tenant, r.Bundle), Previous: &e}
		for _, err := range deliver.Withdraw(c.o.Disk, []deliver.Job{job}, c.note(e.Destination)) {
			c.posted(err)
		}
	}
}

// discard removes what attempts of earlier lives have left where a bundle was to go: nobody else would.
func (c *Chamber) discard(r *ledger.Record) {
	if r.Name == nil {
		return
	}
	for _, d := range c.o.Tenants[r.Tenant].Destinations {
		if err := deliver.Discard(c.o.Disk, d.Directory, *r.Name, r.Bundle); err != nil {
			c.o.Log.Warn("what an attempt to deliver has left could not be removed", zap.Stringer("bundle", r.Bundle), zap.String("from", d.Directory), zap.Error(err))
		}
	}
}

// settleDelivery ends a bundle well when all of its destinations have it. Else the record says why the first of those has not that has failed, if any.
func (c *Chamber) settleDelivery(r *ledger.Record) error {
	if r.State != ledger.Approved {
		return errOver // another destination has found that it is not what was signed
	}
	if why := overridden(r); flagged(r) && why != "" {
		verdict(r, ledger.Flagged, why, r.Detail)
	} else {
		c.judgeImported(r) // a delivery that had failed leaves no reason behind
	}
	all := true
	for _, name := range slices.Backward(c.o.Tenants[r.Tenant].destinations()) {
		e := delivery(r, name)
		all = all && e != nil && e.Done != nil
		if e != nil && e.Done == nil && e.Error != "" {
			text, _, _ := strings.Cut(e.Error, ":")
			if _, err := bundle.ParseReason(text); err != nil {
				text = string(bundle.ReasonDestination)
			}
			r.Reason, r.Detail = &text, e.Error
		}
	}
	if all {
		r.State = ledger.Imported
	}
	return nil
}

// overridden is the reason in spite of which people have released a flagged bundle, or "".
func overridden(r *ledger.Record) (why bundle.Reason) {
	for _, d := range r.Decisions {
		if d.Approve {
			why = d.Override
		}
	}
	return why
}

// destinations are the names of all of them, as records have them.
func (t Tenant) destinations() (names []string) {
	for _, d := range t.Destinations {
		names = append(names, d.Directory)
	}
	for _, d := range t.Remotes {
		names = append(names, d.Name())
	}
	return names
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

// changeAll makes one change of each bundle and returns when all are durable: they share the sync.
func (c *Chamber) changeAll(ids []bundle.ID, change func(i int, r *ledger.Record) error) []error {
	errs := make([]error, len(ids))
	var all sync.WaitGroup
	for i, id := range ids {
		all.Go(func() { errs[i] = c.change(id, func(r *ledger.Record) error { return change(i, r) }) })
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
				return fmt.Errorf("bundle %s is %s: %w", r.Bundle, r.State, deliver.ErrOver)
			}
			if err := c.through(r); err != nil && intents[i].Final != "" { // to take one back is always allowed
				return err
			}
			noteIntent(r, directory, intents[i])
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

// noteIntent puts into a record what is about to be renamed to which name of a destination.
func noteIntent(r *ledger.Record, directory string, i deliver.Intent) {
	e := entry(r, directory)
	e.Name, e.Inode, e.Moved = i.Final, i.Inode, i.Moved
}

// jobOf is a bundle on its way from a directory.
func jobOf(id bundle.ID, signed *quarantine.Signed, dir string) deliver.Job {
	m := signed.Manifest
	return deliver.Job{ID: id, Name: m.Name, Sequence: m.Sequence, Table: m.Table, Dir: dir}
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
	switch {
	case errors.Is(w.err, ledger.ErrFatal):
		o.over(id, w.err)
		c.fatal(w.err)
	case w.err != nil && c.ctx.Err() != nil:
		o.over(id, c.ctx.Err()) // it stays approved, and the next life goes on
	case w.err != nil:
		faults := w.faults
		if len(faults) == 0 {
			faults = []fault{{err: w.err}}
		}
		c.undelivered(o, w.record, faults, w.err, func() time.Duration { return o.later(id, faults, toldOf(faults, w.err), c.o.Now(), c.pause) })
	case w.record.State == ledger.Imported:
		c.ended(w.record)
		o.over(id, nil)
	default:
		c.o.Log.Info("delivered to its directories", zap.Stringer("bundle", id), zap.Strings("at", places(w.record)))
		o.over(id, nil)
	}
}

// ended is told of a bundle that all of its destinations have.
func (c *Chamber) ended(r *ledger.Record) {
	c.stale(r.Bundle)
	c.noteUnseen(r)
	c.o.Log.Info("imported", zap.Stringer("bundle", r.Bundle), zap.String("tenant", string(r.Tenant)), zap.Strings("at", places(r)))
	c.arrived(r.Tenant)
	c.keepUntil(r, c.o.Now())
}

// places are where a bundle stands.
func places(r *ledger.Record) (at []string) {
	for _, d := range r.Deliveries {
		if d.Done != nil {
			at = append(at, strings.TrimSuffix(d.Destination, "/")+"/"+d.Name)
		}
	}
	return at
}

// undelivered notes why a delivery failed, and where. Content that is not what was signed is refused, unless a destination has it already, or is about to: that was whole when it left.
func (c *Chamber) undelivered(o *outlet, of *ledger.Record, faults []fault, why error, later func() time.Duration) {
	id := of.Bundle
	c.stale(id) // it will wait: nobody knows for how long
	reason, known := bundle.ReasonOf(why)
	var after ledger.Record
	err := c.change(id, func(r *ledger.Record) error {
		if r.State != ledger.Approved {
			return errOver
		}
		before := r.Same()
		for _, f := range faults {
			if f.at == "" {
				continue
			}
			e := entry(r, f.at)
			e.Error = f.err.Error()
			switch {
			case o.to == nil:
			case !f.may:
				e.Name, e.Retry = "", false // it is not there: somebody may reject it
			case e.Retry:
				e.Name, e.Retry = *r.Name, false
			}
		}
		began := slices.ContainsFunc(r.Deliveries, func(d ledger.Delivery) bool {
			return d.Done != nil || d.May() && c.isRemote(r.Tenant, d.Destination)
		})
		if c.found(r) != nil && c.callBack(r) { // it was under way when it was flagged
			after = *r
			return nil
		}
		to := ledger.Approved
		if known && reason == bundle.ReasonContentMismatch && !began {
			to = ledger.Refused
		}
		setReason(r, to, why)
		if !known {
			text := string(bundle.ReasonDestination)
			r.Reason = &text
		}
		after = *r
		if before(r) { // an outage is told once, however often it is tried again
			return errTold
		}
		return nil
	})
	if errors.Is(err, errTold) {
		err = nil
	}
	if c.posted(err); err == nil {
		c.noteUnseen(&after) // what was flagged on its way may stand nowhere now
	}
	switch {
	case errors.Is(err, errOver): // it was rejected meanwhile
		c.dropAt(o, of, toldOf(faults, why))
	case err == nil && after.State == ledger.Refused:
		c.o.Log.Error("refused at the second gate", zap.Stringer("bundle", id), zap.Error(why))
		c.keepUntil(&after, c.o.Now())
		c.dropAt(o, &after, toldOf(faults, why))
	case err == nil && after.State == ledger.Quarantined:
		c.calledBack(&after)
		c.dropAt(o, &after, toldOf(faults, why))
	default:
		wait := later()
		c.o.Log.Warn("not delivered; it stays approved", zap.Stringer("bundle", id), zap.String("to", faults[0].at), zap.Error(why), zap.Duration("again_in", wait))
	}
}

// withdrawBy takes back all intents, by the one goroutine that may be at the directories.
func (c *Chamber) withdrawBy(o *outlet, r *ledger.Record) {
	if o.to == nil {
		c.withdraw(r, nil)
	}
}

// dropAt ends the time of a bundle that will not be delivered, by the one goroutine that may be at its destinations: what attempts have left there is removed, or tried to be again later.
func (c *Chamber) dropAt(o *outlet, r *ledger.Record, err error) {
	switch {
	case o.to == nil:
		c.discard(r)
	case !c.abandonBegun(o, r.Bundle):
		o.later(r.Bundle, nil, err, c.o.Now(), c.pause)
		return
	}
	o.over(r.Bundle, err)
}
