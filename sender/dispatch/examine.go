package dispatch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap"

	"ecluse/internal/examine"
	"ecluse/internal/policy"
	"ecluse/protocol/bundle"
	"ecluse/sender/ledger"
	"ecluse/sender/pack"
)

// Before the first packet of an item leaves it is held against what its tenant lets through, where the tenant has rules. What was signed was looked at before that, and content that has
// changed since is not sent again: nothing is looked at twice.

const (
	examineMost  = 2         // items that are looked at at once, never two of a tenant
	examineHeavy = 256 << 20 // bytes above which an item leaves one place to others: from there on its size is most of the time that it takes, see examine.Patience
	examineFirst = 5 * time.Second
	examineLast  = 5 * time.Minute
)

// examinePause is how long an item waits that could not be looked at for the n-th time.
func examinePause(n int) time.Duration { return min(examineLast, examineFirst<<min(n-1, 10)) }

// examined has an item looked at, when its turn comes, and then sent; where nothing is held against its content it goes at once.
func (d *Dispatcher) examined(t *task) {
	if d.o.Tenants[t.tenant].Rules == nil || t.record.Sequence != nil {
		d.enqueue(t)
		return
	}
	d.mu.Lock()
	d.count(t)
	d.looking[t.record.Bundle] = t
	d.mu.Unlock()
	d.lookouts.Add(t.record.Tenant, t.record.Bundle, int(t.item.Class))
}

// examineAll looks at one item after another until everything ends. There is one for each tenant, as who waits for a place takes nobody else's turn.
func (d *Dispatcher) examineAll() {
	for {
		tenant, id, ok := d.lookouts.Take(d.ctx)
		if !ok {
			return
		}
		d.mu.Lock()
		t := d.looking[id]
		d.mu.Unlock()
		found, err := d.examine(t)
		switch {
		case d.ctx.Err() != nil:
			return
		case err != nil:
			wait := d.lookouts.Later(tenant, id, d.unlooked)
			d.mu.Lock()
			d.unexamined[id] = Unexamined{tenant, err.Error()}
			d.mu.Unlock()
			d.o.Log.Error("not looked into, and not sent", zap.Stringer("bundle", id), zap.String("tenant", string(tenant)), zap.Error(err), zap.Duration("again_in", wait))
			continue
		}
		d.mu.Lock()
		delete(d.looking, id)
		delete(d.unexamined, id)
		d.mu.Unlock()
		d.lookouts.Over(tenant, id)
		if found != nil {
			d.working.Go(func() { d.fall(t, found.Error()) })
			continue
		}
		d.enqueue(t)
	}
}

// examine holds an item against its tenant's rules. found says why it is not to be sent; an error, that nothing is known of it.
func (d *Dispatcher) examine(t *task) (found, err error) {
	tenant := &d.o.Tenants[t.tenant]
	leave, err := d.places.Enter(d.ctx, tenant.Name)
	if err != nil {
		return nil, err
	}
	defer leave()
	w, err := pack.Walk(d.o.Disk, t.path, tenant.Names)
	if err != nil {
		if passing(err) {
			return nil, err
		}
		return err, nil
	}
	seal, bytes := w.Seal(), w.Table.Total()
	w = nil // a table of a million files
	if bytes > examineHeavy {
		leave()
		out, err := d.heavy.Enter(d.ctx, tenant.Name)
		if err != nil {
			return nil, err
		}
		defer out()
		if leave, err = d.places.Enter(d.ctx, tenant.Name); err != nil {
			return nil, err
		}
		defer leave()
	}
	if err := d.o.Disk.MkdirAll(d.o.Scratch); err != nil {
		return nil, err
	}
	free, err := d.o.Disk.Space(d.o.Scratch)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(d.ctx, examine.Patience(bytes), fmt.Errorf("it took longer than %v", examine.Patience(bytes)))
	defer cancel()
	report, err := d.o.Examine(ctx, examine.Job{Root: filepath.Dir(t.path), Item: t.item.Name, Scratch: d.o.Scratch, Room: free.Bytes / (2 * examineMost), Rules: tenant.Rules})
	if err != nil {
		return nil, err
	}
	if !report.Fenced {
		d.o.Log.Warn("the kernel has no landlock: what looks into content can read what the daemon can", zap.Stringer("bundle", t.record.Bundle))
	}
	d.o.Log.Info("looked into", zap.Stringer("bundle", t.record.Bundle), zap.String("tenant", string(tenant.Name)), zap.Int64("files", report.Files), zap.Int("findings", len(report.Findings)+report.More))
	if len(report.Findings) > 0 {
		return fmt.Errorf("not let in by the policy of tenant %s: %s", tenant.Name, policy.Words(report.Findings, report.More)), nil
	}
	t.seen = &seal
	return nil, nil
}

// asSeen holds that an item is still what was looked into.
func (t *task) asSeen(w *pack.Walked) error {
	if t.seen != nil && *t.seen != w.Seal() {
		return &pack.ErrChanged{Path: t.record.Name, What: "it is not what it was when it was looked into"}
	}
	return nil
}

// Unexamined is an item that waits because it could not be looked into.
type Unexamined struct {
	Tenant bundle.Name
	Why    string
}

// Unexamined are the items that wait because they could not be looked into, and are tried again.
func (d *Dispatcher) Unexamined() []Unexamined {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Values(d.unexamined))
}

// errHalted ends a pass of a tenant that was stopped. Its task goes back into its lane, and begins again when the tenant is started.
var errHalted = errors.New("its tenant is stopped")

// Halt has nothing more of a tenant leave from the next block on, for a reason; nil lets it go on. What is being read begins again then: it would keep memory that others need.
func (d *Dispatcher) Halt(tenant int, why error) {
	d.mu.Lock()
	changed := (d.halted[tenant] == nil) != (why == nil)
	d.halted[tenant] = why
	if changed {
		for _, l := range d.lanes {
			l.changed.Broadcast()
		}
	}
	d.mu.Unlock()
	if changed {
		d.o.Link.Halt(tenant, why != nil)
	}
}

// Halted is why nothing of a tenant is sent, or nil.
func (d *Dispatcher) Halted(tenant int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.halted[tenant]
}

// interrupted puts a task back whose pass was cut short by Halt.
func (d *Dispatcher) interrupted(t *task) {
	d.mu.Lock()
	d.beats.done(t.record.Bundle)
	d.endOut(t)
	d.mu.Unlock()
	d.o.Log.Info("interrupted: its tenant is stopped", zap.Stringer("bundle", t.record.Bundle), zap.String("state", string(ledger.Sending)))
	d.place(t, true)
}
