package chamber

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
	"ecluse/receiver/quarantine"
	"ecluse/receiver/release"
)

// RefusedError is a request that a check does not allow. Nothing changed by it, unless it says so.
type RefusedError struct{ Text string }

func (e *RefusedError) Error() string { return e.Text }

func refused(format string, args ...any) *RefusedError {
	return &RefusedError{fmt.Sprintf(format, args...)}
}

// expectOf is what a bundle in quarantine must still agree with. It was held against our key when it was accepted; that key may have been replaced since.
func (c *Chamber) expectOf(r *ledger.Record) quarantine.Expect {
	var received time.Time
	if r.Received != nil {
		received = *r.Received
	}
	e := c.expect(r.Sender, r.Tenant, received)
	if r.Manifest != nil {
		e.Manifest, e.Receiver = r.Manifest.Digest, bundle.Digest{}
	}
	return e
}

// OnlyVerified says in words what can be verified.
const OnlyVerified = "only what is quarantined, or approved and not delivered, is verified"

// check verifies all of a bundle in quarantine, when its turn comes.
func (c *Chamber) check(r *ledger.Record) error {
	select {
	case c.asked <- struct{}{}:
		defer func() { <-c.asked }()
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
	_, err := within(c, func() (*quarantine.Signed, error) {
		return quarantine.Check(c.o.Disk, Dir(c.o.State, r.Tenant, r.Bundle), c.expectOf(r))
	})
	return err
}

// Verify checks a bundle that stands in quarantine: papers, trust, and every byte. It changes nothing.
func (c *Chamber) Verify(id bundle.ID) (*ledger.Record, error) {
	r, err := c.o.Ledger.Get(id)
	if err != nil {
		return nil, err
	}
	if r.State != ledger.Quarantined && r.State != ledger.Approved {
		return r, refused("bundle %s is %s: %s", id, r.State, OnlyVerified)
	}
	return r, c.check(r)
}

// Decide takes one person's decision. Before an approval counts, the whole bundle is verified once more; what no longer holds is refused for good. Of an error that is
// no RefusedError nobody knows whether the decision was taken before ctx ended.
func (c *Chamber) Decide(ctx context.Context, id bundle.ID, d ledger.Decision) (*ledger.Record, error) {
	r, err := c.o.Ledger.Get(id)
	if err != nil {
		return nil, err
	}
	if !d.Approve && r.State == ledger.Damaged {
		return c.giveUp(r, d)
	}
	if err := c.closedTo(r, d); err != nil {
		return r, err
	}
	if err := c.identify(r, &d); err != nil {
		return r, about(id, err)
	}
	if _, err := c.rules(r.Tenant).Decide(r, d); err != nil {
		return r, c.undecided(id, err)
	}
	if d.Approve {
		if err := c.approvable(ctx, r); err != nil {
			return r, err
		}
	}
	var decided ledger.Record // of the ledger's goroutine, until the change is made
	err = c.change(id, func(have *ledger.Record) error {
		if err := c.closedTo(have, d); err != nil {
			return err
		}
		if err := c.stillOfficer(have.Tenant, &d); err != nil {
			return about(id, err)
		}
		if why := c.unlooked(have); d.Approve && why != "" { // an inspector was replaced, or has flagged it, while all of it was verified
			return unlookedAt(have, why)
		}
		if err := c.rules(have.Tenant).Apply(have, d); err != nil {
			return err
		}
		if d.Approve && d.Override != "" { // what is released all the same was seen
			see(have, ledger.Sight{Who: cmp.Or(d.Officer, d.Who), UID: d.UID, At: d.At})
		}
		decided = *have
		return nil
	})
	if err != nil {
		c.stale(id)
		return r, c.undecided(id, err)
	}
	c.o.Log.Info("decided", zap.Stringer("bundle", id), zap.Bool("approve", d.Approve), zap.String("officer", d.Officer), zap.String("who", d.Who), zap.Uint32("uid", d.UID),
		zap.String("reason", d.Reason), zap.String("override", string(d.Override)), zap.String("state", string(decided.State)))
	switch decided.State {
	case ledger.Approved:
		c.send(decided.Tenant, id)
	case ledger.Rejected:
		c.stale(id)
		if c.resting { // else the outlet does, which may be at it
			c.discard(&decided)
		}
		c.recall(&decided)
		c.keepUntil(&decided, c.o.Now())
	}
	return &decided, nil
}

// approvable says why a bundle cannot be approved now, whoever it is that would; all of it is verified.
func (c *Chamber) approvable(ctx context.Context, r *ledger.Record) error {
	if _, configured := c.o.Tenants[r.Tenant]; !configured {
		return refused("bundle %s: tenant %q is not configured any more, so there is nowhere to deliver it to", r.Bundle, r.Tenant)
	}
	if why := c.unlooked(r); why != "" {
		return unlookedAt(r, why)
	}
	if why := c.doubted(r); why != nil {
		return refused("bundle %s: %v (ecluse-receiver anchor says what can be done)", r.Bundle, why)
	}
	if err := c.verifyOnce(r); err != nil {
		return err
	}
	return ctx.Err()
}

// unlookedAt refuses to approve what nobody has looked into as it takes.
func unlookedAt(r *ledger.Record, why string) error {
	return refused("bundle %s: %s (show %s says more)", r.Bundle, why, r.Bundle)
}

// Undecided is how many more people have to approve a bundle; 0 for one that is not in quarantine.
func (c *Chamber) Undecided(r *ledger.Record) int {
	if r.State != ledger.Quarantined {
		return 0
	}
	return c.rules(r.Tenant).Missing(r)
}

// about says of which bundle a decision was refused.
func about(id bundle.ID, err error) error {
	var no *RefusedError
	if errors.As(err, &no) {
		return refused("bundle %s: %s", id, no.Text)
	}
	return fmt.Errorf("bundle %s: %w", id, err)
}

// undecided makes of a decision that does not stand what the command tells.
func (c *Chamber) undecided(id bundle.ID, err error) error {
	var no *release.Refusal
	switch {
	case errors.As(err, &no) && no.Cause == release.CauseText:
		return fmt.Errorf("bundle %s: %w", id, no)
	case errors.As(err, &no):
		return refused("bundle %s: %s", id, no.Text)
	case errors.Is(err, ledger.ErrFatal):
		c.fatal(err)
	}
	return err
}

// verifyOnce checks all of a quarantined bundle. Where its content is no longer what was signed it becomes refused; where its key is no longer good it is held.
func (c *Chamber) verifyOnce(r *ledger.Record) error {
	err := c.check(r)
	if err == nil {
		c.fresh(r.Bundle, freshness{})
		return nil
	}
	if !isRejection(err) {
		return fmt.Errorf("verify bundle %s: %w", r.Bundle, err)
	}
	after, failed := c.fails(r.Bundle, err)
	if failed != nil {
		c.posted(failed)
		return refused("bundle %s: %s; and that could not be put on record: %v", r.Bundle, err, failed)
	}
	*r = *after
	return refused("bundle %s: %s; it is %s now", r.Bundle, err, r.State)
}

// fails notes that a quarantined bundle does not stand a check any more: it is refused, or held where its key alone is no longer good.
func (c *Chamber) fails(id bundle.ID, why error) (*ledger.Record, error) {
	var after ledger.Record
	err := c.change(id, func(have *ledger.Record) error {
		if have.State != ledger.Quarantined {
			return errOver
		}
		if trustReason(why) {
			hold(have, bundle.ReasonSignerRevoked, why)
		} else {
			setReason(have, ledger.Refused, why)
		}
		after = *have
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.o.Log.Error("what is in quarantine does not stand a check any more", zap.Stringer("bundle", id), zap.String("state", string(after.State)), zap.Error(why))
	if after.State == ledger.Refused {
		c.recall(&after)
		c.keepUntil(&after, c.o.Now())
	}
	return &after, nil
}

// trustReason says whether a refusal is about who may sign, which can change again, and not about what was signed.
func trustReason(err error) bool {
	reason, _ := bundle.ReasonOf(err)
	switch reason {
	case bundle.ReasonSignerUnknown, bundle.ReasonSignerOther, bundle.ReasonSignerNamespace, bundle.ReasonSignerExpired, bundle.ReasonSignerNotYetValid:
		return true
	}
	return false
}

// hold keeps a quarantined bundle from being released.
func hold(r *ledger.Record, reason bundle.Reason, why error) {
	pending, text := ledger.Pending, string(reason)
	r.Verdict, r.Reason, r.Detail = &pending, &text, why.Error()
}
