package chamber

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"ecluse/protocol/bundle"
	"ecluse/receiver/deliver/remote"
	"ecluse/receiver/inspect"
	"ecluse/receiver/ledger"
	"ecluse/receiver/release"
)

// A tenant whose route is closed, because its last day is over or a person has stopped it, has nothing admitted, released or delivered. What was admitted before comes in and is held, and
// what was approved stays so: nothing is lost by it, and Recheck goes on when the route is open again. What is asked last, in the same step that would release or deliver, is the route
// itself: the reason in a record is for people, and follows.

// closed says why nothing of a tenant goes through now, or nil.
func (c *Chamber) closed(tenant bundle.Name) error {
	if c.o.Closed == nil {
		return nil
	}
	return c.o.Closed(tenant)
}

// holdClosed holds a bundle of a tenant whose route is closed. What is flagged is held by that.
func (c *Chamber) holdClosed(r *ledger.Record) {
	if why := c.closed(r.Tenant); why != nil && !flagged(r) {
		reason, _ := bundle.ReasonOf(why)
		hold(r, reason, why)
	}
}

// byItself says whether a bundle is to be released now without anybody's decision.
func (c *Chamber) byItself(r *ledger.Record) bool {
	return release.Automatic(c.o.Tenants[r.Tenant].Release, r) && c.closed(r.Tenant) == nil
}

// closedTo refuses an approval where the route is closed.
func (c *Chamber) closedTo(r *ledger.Record, d ledger.Decision) error {
	if why := c.closed(r.Tenant); why != nil && d.Approve {
		return refused("bundle %s: %v", r.Bundle, why)
	}
	return nil
}

// keepApproved has an approved bundle stay where it is, with the reason why it is not delivered.
func (c *Chamber) keepApproved(o *outlet, r *ledger.Record, why error) {
	c.withdrawBy(o, r)
	reason, _ := bundle.ReasonOf(why)
	if r.Reason == nil || bundle.Reason(*r.Reason) != reason {
		c.posted(c.change(r.Bundle, func(have *ledger.Record) error {
			if have.State != ledger.Approved {
				return errOver
			}
			setReason(have, ledger.Approved, why)
			return nil
		}))
		c.o.Log.Warn("not delivered; it stays approved", zap.Stringer("bundle", r.Bundle), zap.Error(why))
	}
	o.over(r.Bundle, refused("bundle %s: %v", r.Bundle, why))
}

// through says in the step in which a bundle would be delivered whether it still may: its route is open, and nobody has found something in it since, or somebody has seen what.
func (c *Chamber) through(r *ledger.Record) error {
	if why := c.closed(r.Tenant); why != nil {
		return fmt.Errorf("bundle %s: %w", r.Bundle, why)
	}
	return c.halted(r)
}

// halted says why an approved bundle goes nowhere at present: it was flagged since.
func (c *Chamber) halted(r *ledger.Record) error {
	if by := c.found(r); by != nil {
		first := inspect.First(by)
		return &remote.Failure{Reason: first.Reason, Text: fmt.Sprintf("it was flagged by %s when it was approved already, and goes nowhere else until somebody has seen it (inspect --seen): %s: %s", by.Inspector, first.Path, first.Text)}
	}
	return nil
}

// reopened looks again at what is held for a closed route that has been opened since: whoever looked at all that was held may have come before this one was on record.
func (c *Chamber) reopened(r *ledger.Record) {
	if have := reason(r); (have == bundle.ReasonRouteStopped || have == bundle.ReasonRouteExpired) && r.State == ledger.Quarantined && c.closed(r.Tenant) == nil {
		c.recheckNow(r.Bundle)
	}
}

// whileOpen ends with the chamber, or within a second when the route of a tenant is closed: what takes hours does not go on behind a stop.
func (c *Chamber) whileOpen(tenant bundle.Name) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(c.ctx)
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if c.closed(tenant) != nil {
					cancel()
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, cancel
}
