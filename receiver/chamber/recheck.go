package chamber

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap"

	"ecluse/protocol/bundle"
	"ecluse/receiver/inspect"
	"ecluse/receiver/ledger"
	"ecluse/receiver/quarantine"
)

// Recheck holds everything in quarantine against the present trust: a sender was paired, a key was taken away or came back. What was held only for that is free again,
// and what is clean and needs nobody is released: also what an earlier life did not come to. What is approved and not delivered is tried again. One bundle that
// cannot be looked at keeps nobody else waiting.
func (c *Chamber) Recheck(ctx context.Context) error {
	c.settle.Do(func() { close(c.settled) })
	ids, err := c.o.Ledger.InState(ctx, ledger.Quarantined)
	if err != nil {
		return err
	}
	var failed error
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := c.recheck(id)
		if errors.Is(err, ledger.ErrFatal) {
			c.fatal(err)
			return err
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("recheck %s: %w", id, err))
			c.recheckLater(id)
		}
	}
	approved, err := c.o.Ledger.InState(ctx, ledger.Approved)
	for _, id := range approved {
		if r, err := c.o.Ledger.Get(id); err == nil {
			c.send(r.Tenant, id)
		}
	}
	return errors.Join(failed, err)
}

// recheckNow rechecks one bundle, and later where that fails.
func (c *Chamber) recheckNow(id bundle.ID) {
	if err := c.recheck(id); err != nil {
		c.posted(err)
		c.recheckLater(id)
	}
}

// recheckLater rechecks one bundle after a while, for a reason of ours: an error of the medium. It would wait for the next start, or for a person where nobody is asked for.
func (c *Chamber) recheckLater(id bundle.ID) {
	c.spawn(func() {
		for attempt := 1; ; attempt++ {
			timer := time.NewTimer(c.pause(attempt))
			select {
			case <-timer.C:
			case <-c.ctx.Done():
				timer.Stop()
				return
			}
			err := c.recheck(id)
			if err == nil {
				return
			}
			if c.posted(err); errors.Is(err, ledger.ErrFatal) {
				return
			}
		}
	})
}

func (c *Chamber) recheck(id bundle.ID) error {
	r, err := c.o.Ledger.Get(id)
	if errors.Is(err, ledger.ErrNotFound) || err == nil && r.State != ledger.Quarantined {
		return nil // it was decided, and perhaps forgotten, meanwhile
	}
	if err != nil {
		return err
	}
	want, why, err := c.standing(r)
	if isRejection(err) && c.papers(r) { // what was altered does not become whole again; what is gone may have been moved, and come back
		if _, err = c.fails(id, err); errors.Is(err, errOver) {
			return nil
		}
	}
	if err != nil || want == "" {
		return err
	}
	free := want == bundle.ReasonNotInspected
	word, _ := c.word(r)
	if free && (word == inspect.Waiting || c.o.Tenants[r.Tenant].Override && c.unlooked(r) != "") {
		return c.lookAgain(r)
	}
	settled := want == reason(r)
	if free {
		settled = flagged(r) == (word == inspect.Flagged) && (settled || flagged(r))
	}
	if settled {
		return c.automatic(r.Tenant, id)
	}
	automatic := false
	var after ledger.Record
	err = c.change(id, func(have *ledger.Record) error {
		if have.State != ledger.Quarantined || reason(have) != reason(r) {
			return errOver
		}
		if free {
			c.judge(have)
		} else {
			hold(have, want, why)
		}
		automatic, after = c.byItself(have), *have
		return nil
	})
	if errors.Is(err, errOver) {
		return nil
	}
	if err != nil {
		return err
	}
	c.o.Log.Info("trust has changed", zap.Stringer("bundle", id), zap.String("reason", string(want)))
	if automatic {
		return c.automatic(r.Tenant, id)
	}
	c.reopened(&after)
	return nil
}

// papers says whether the manifest of a bundle in quarantine, and its signature, are there.
func (c *Chamber) papers(r *ledger.Record) bool {
	dir := Dir(c.o.State, r.Tenant, r.Bundle)
	_, manifest := c.o.Disk.Lstat(filepath.Join(dir, quarantine.ManifestName))
	_, signature := c.o.Disk.Lstat(filepath.Join(dir, quarantine.SignatureName))
	return manifest == nil && signature == nil
}

// doubted says why a bundle is not released while nobody can tell what was decided of it (rule Q-6). What was held for that changed then, and is held as long as the doubt stands.
func (c *Chamber) doubted(r *ledger.Record) error {
	if r.Sequence == nil {
		return nil
	}
	changed := r.Changed
	if reason(r) == bundle.ReasonRollback {
		changed = time.Time{}
	}
	return c.o.Ledger.Doubted(r.Sender, r.Tenant, r.Epoch, *r.Sequence, changed)
}

// reason is why a bundle in quarantine is held; not-inspected holds nothing.
func reason(r *ledger.Record) bundle.Reason {
	if r.Reason == nil {
		return bundle.ReasonNotInspected
	}
	return bundle.Reason(*r.Reason)
}

// standing is the reason that the present trust gives a quarantined bundle, and the same one as before where trust is not what decides. Only what was held for its
// epoch asks for the epoch: what was accepted stays so when its sender is installed anew. What the state itself cannot vouch for is held whatever its trust.
func (c *Chamber) standing(r *ledger.Record) (want bundle.Reason, why, err error) {
	if why := c.doubted(r); why != nil && reason(r) != bundle.ReasonEpochNew {
		return bundle.ReasonRollback, why, nil
	}
	switch have := reason(r); {
	case have == bundle.ReasonEpochNew:
		if paired, ok := c.o.Ledger.Paired(r.Sender); !ok || paired != r.Epoch {
			return have, nil, nil
		}
	case flagged(r), slices.Contains([]bundle.Reason{bundle.ReasonSignerRevoked, bundle.ReasonNotInspected, bundle.ReasonRollback, bundle.ReasonInspection, bundle.ReasonInspector, bundle.ReasonRouteStopped, bundle.ReasonRouteExpired}, have):
	default:
		return have, nil, nil
	}
	_, err = quarantine.ReadSigned(c.o.Disk, Dir(c.o.State, r.Tenant, r.Bundle), c.expectOf(r))
	why = c.closed(r.Tenant)
	switch {
	case err == nil && why != nil && !flagged(r):
		want, _ = bundle.ReasonOf(why)
		return want, why, nil
	case err == nil:
		return bundle.ReasonNotInspected, nil, nil
	case trustReason(err):
		return bundle.ReasonSignerRevoked, err, nil
	}
	return "", nil, err
}
