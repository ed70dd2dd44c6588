package chamber

import (
	"errors"
	"slices"

	"go.uber.org/zap"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
	"ecluse/receiver/assemble"
	"ecluse/receiver/deliver"
	"ecluse/receiver/ledger"
	"ecluse/receiver/quarantine"
)

// Abandoned implements assemble.Owner (SPEC.md rule R-9).
func (c *Chamber) Abandoned(s assemble.Source, a *record.Abandon) {
	r, err := c.o.Ledger.Get(a.Bundle)
	if err != nil || r.Sender != s.Sender || r.State.Stored() {
		return
	}
	if err := c.verifyAbandon(s, a); err != nil {
		c.ignore(bundle.ReasonAbandonSignature)
		return
	}
	id, reason, detail := a.Bundle, bundle.ReasonAbandonedSender, a.Reason
	c.spawn(func() { c.abandon(id, reason, detail, ledger.Receiving, ledger.Damaged) })
}

func (c *Chamber) verifyAbandon(s assemble.Source, a *record.Abandon) error {
	return quarantine.VerifyMessage(a.Signature, bundle.NamespaceAbandon, bundle.AbandonMessage(a.Bundle, a.Epoch, a.Tenant, a.Reason), c.expect(s.Sender, a.Tenant, c.o.Now()))
}

// abandon ends a bundle that is in one of these states, in which it is not whole. One that is being verified finds that out and clears up after itself.
func (c *Chamber) abandon(id bundle.ID, why bundle.Reason, detail string, from ...ledger.State) {
	var tenant bundle.Name
	err := c.change(id, func(r *ledger.Record) error {
		if !slices.Contains(from, r.State) {
			return errOver
		}
		reason := string(why)
		r.State, r.Reason, r.Detail = ledger.Abandoned, &reason, detail
		tenant = r.Tenant
		return nil
	})
	if err != nil {
		c.posted(err)
		return
	}
	c.unreserve(id)
	// In quarantine stands what an earlier life had moved there and had not put on record.
	if err := errors.Join(c.o.Assembler.Drop(id), deliver.Purge(c.o.Disk, Dir(c.o.State, tenant, id))); err != nil {
		c.o.Log.Error("clear staging", zap.Error(err))
	}
	c.o.Log.Warn("abandoned", zap.Stringer("bundle", id), zap.String("reason", string(why)), zap.String("detail", detail))
}
