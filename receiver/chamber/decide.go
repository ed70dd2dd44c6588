package chamber

import (
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

// expectOf is what a bundle in quarantine must still agree with.
func (c *Chamber) expectOf(r *ledger.Record) quarantine.Expect {
	var received time.Time
	if r.Received != nil {
		received = *r.Received
	}
	return c.expect(r.Sender, r.Tenant, received)
}

// Verify checks a bundle that stands in quarantine: papers, trust, and every byte. It changes nothing.
func (c *Chamber) Verify(id bundle.ID) (*ledger.Record, error) {
	r, err := c.o.Ledger.Get(id)
	if err != nil {
		return nil, err
	}
	if r.State != ledger.Quarantined && r.State != ledger.Approved {
		return r, refused("bundle %s is %s: there is nothing in quarantine to verify", id, r.State)
	}
	_, err = quarantine.Check(Dir(c.o.State, r.Tenant, id), c.expectOf(r))
	return r, err
}

// Decide takes one person's decision. Before an approval counts, the whole bundle is verified once more; what no longer holds is refused for good.
func (c *Chamber) Decide(ctx context.Context, id bundle.ID, d ledger.Decision) (*ledger.Record, error) {
	r, err := c.o.Ledger.Get(id)
	if err != nil {
		return nil, err
	}
	mode := c.o.Tenants[r.Tenant].Release
	if _, err := release.Decide(mode, r, d); err != nil {
		return r, c.undecided(id, err)
	}
	if d.Approve {
		if err := c.verifyOnce(ctx, r); err != nil {
			return r, err
		}
	}
	err = c.o.Ledger.Change(ctx, id, func(have *ledger.Record) error {
		if err := release.Apply(mode, have, d); err != nil {
			return err
		}
		*r = *have
		return nil
	})
	if err != nil {
		c.stale(id)
		return r, c.undecided(id, err)
	}
	c.o.Log.Info("decided", zap.Stringer("bundle", id), zap.Bool("approve", d.Approve), zap.String("who", d.Who), zap.Uint32("uid", d.UID),
		zap.String("reason", d.Reason), zap.String("state", string(r.State)))
	if r.State == ledger.Approved {
		c.send(r.Tenant, id)
	}
	return r, nil
}

// Undecided is how many more people have to approve a bundle; 0 for one that is not in quarantine.
func (c *Chamber) Undecided(r *ledger.Record) int {
	if r.State != ledger.Quarantined {
		return 0
	}
	return release.Missing(c.o.Tenants[r.Tenant].Release, r)
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
		c.o.Fatal(err)
	}
	return err
}

// verifyOnce checks all of a quarantined bundle. Where its content is no longer what was signed it becomes refused; where its key is no longer good it is held.
func (c *Chamber) verifyOnce(ctx context.Context, r *ledger.Record) error {
	_, err := quarantine.Check(Dir(c.o.State, r.Tenant, r.Bundle), c.expectOf(r))
	if err == nil {
		c.fresh(r.Bundle)
		return nil
	}
	if !isRejection(err) {
		return fmt.Errorf("verify bundle %s: %w", r.Bundle, err)
	}
	held := trustReason(err)
	change := c.o.Ledger.Change(ctx, r.Bundle, func(have *ledger.Record) error {
		if have.State != ledger.Quarantined {
			return errors.New("it was decided meanwhile")
		}
		if held {
			hold(have, bundle.ReasonSignerRevoked, err)
		} else {
			setReason(have, ledger.Refused, err)
		}
		*r = *have
		return nil
	})
	c.posted(change)
	c.o.Log.Error("verification failed before an approval", zap.Stringer("bundle", r.Bundle), zap.String("state", string(r.State)), zap.Error(err))
	return refused("bundle %s: %s; it is %s now", r.Bundle, err, r.State)
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

// lift takes the hold away.
func lift(r *ledger.Record) {
	clean, text := ledger.Clean, string(bundle.ReasonNotInspected)
	r.Verdict, r.Reason, r.Detail = &clean, &text, ""
}

// Recheck holds everything in quarantine against the present trust: a sender was paired, a key was taken away or came back. What was held only for that is free again.
func (c *Chamber) Recheck(ctx context.Context) error {
	ids, err := c.o.Ledger.InState(ctx, ledger.Quarantined)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := c.recheck(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

func (c *Chamber) recheck(ctx context.Context, id bundle.ID) error {
	r, err := c.o.Ledger.Get(id)
	if err != nil || r.State != ledger.Quarantined {
		return err
	}
	reason, why := c.standing(r)
	have := bundle.ReasonNotInspected
	if r.Reason != nil {
		have = bundle.Reason(*r.Reason)
	}
	if have == reason || have != bundle.ReasonEpochNew && have != bundle.ReasonSignerRevoked && reason == bundle.ReasonNotInspected {
		return nil
	}
	automatic := false
	err = c.o.Ledger.Change(ctx, id, func(r *ledger.Record) error {
		if r.State != ledger.Quarantined {
			return nil
		}
		if reason == bundle.ReasonNotInspected {
			lift(r)
		} else {
			hold(r, reason, why)
		}
		automatic = release.Automatic(c.o.Tenants[r.Tenant].Release, r)
		return nil
	})
	if err != nil {
		return err
	}
	c.o.Log.Info("trust has changed", zap.Stringer("bundle", id), zap.String("reason", string(reason)))
	if automatic {
		return c.automatic(r.Tenant, id)
	}
	return nil
}

// standing is what the present trust says of a quarantined bundle.
func (c *Chamber) standing(r *ledger.Record) (bundle.Reason, error) {
	if paired, ok := c.o.Ledger.Paired(r.Sender); !ok || paired != r.Epoch {
		return bundle.ReasonEpochNew, errors.New("its sender was installed anew or restored, and is not paired again")
	}
	_, err := quarantine.ReadSigned(Dir(c.o.State, r.Tenant, r.Bundle), c.expectOf(r))
	if err != nil && trustReason(err) {
		return bundle.ReasonSignerRevoked, err
	}
	return bundle.ReasonNotInspected, nil
}
