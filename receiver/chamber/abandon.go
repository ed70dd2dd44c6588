package chamber

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
	"ecluse/receiver/assemble"
	"ecluse/receiver/deliver"
	"ecluse/receiver/ledger"
	"ecluse/receiver/quarantine"
	"ecluse/receiver/release"
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
	select {
	case c.abandoning <- struct{}{}:
	default: // its sender repeats it
		return
	}
	id, reason, detail := a.Bundle, bundle.ReasonAbandonedSender, a.Reason
	if !c.spawn(func() {
		defer func() { <-c.abandoning }()
		if !c.foldAbandon(id, r.Tenant, reason) {
			c.abandon(id, reason, detail, ledger.Receiving, ledger.Damaged)
		}
	}) {
		<-c.abandoning
	}
}

// foldAbandon forgets a bundle that its sender has abandoned before anything of it came, where there are so many of them that they are counted.
func (c *Chamber) foldAbandon(id bundle.ID, tenant bundle.Name, why bundle.Reason) bool {
	if arrived, known := c.o.Assembler.Arrived(id); !known || arrived > 0 {
		return false
	}
	folded, err := c.o.Ledger.FoldAway(context.WithoutCancel(c.ctx), id, ledger.Abandoned, why)
	c.posted(err)
	if folded {
		c.clearStaged(id, tenant)
	}
	return folded
}

func (c *Chamber) verifyAbandon(s assemble.Source, a *record.Abandon) error {
	return quarantine.VerifyMessage(a.Signature, bundle.NamespaceAbandon, bundle.AbandonMessage(a.Bundle, a.Epoch, a.Tenant, a.Reason), c.expect(s.Sender, a.Tenant, c.o.Now()))
}

// GiveUp ends, by a person's word, a bundle of which nothing is here and nothing will come: a row in its place says so. Should it come all the same, it is taken like any other.
func (c *Chamber) GiveUp(p ledger.Chain, sequence uint64, d ledger.Decision) (*ledger.Record, error) {
	id := placeholder(p, sequence)
	if err := c.identify(&ledger.Record{Sender: p.Sender, Tenant: p.Tenant, Epoch: p.Epoch, Sequence: &sequence}, &d); err != nil {
		return nil, err
	}
	var given ledger.Record
	err := c.change(id, func(r *ledger.Record) error {
		if err := c.stillOfficer(p.Tenant, &d); err != nil {
			return err
		}
		if err := release.GiveUp(r, d); err != nil {
			return err
		}
		r.Sender, r.Tenant, r.Epoch, r.Sequence = p.Sender, p.Tenant, p.Epoch, &sequence
		given = *r
		return nil
	})
	if err != nil {
		return nil, c.undecided(id, err)
	}
	c.o.Log.Warn("given up", zap.String("sender", string(p.Sender)), zap.String("tenant", string(p.Tenant)), zap.Uint64("sequence", sequence), zap.String("officer", d.Officer), zap.String("who", d.Who), zap.Uint32("uid", d.UID), zap.String("reason", d.Reason))
	return &given, nil
}

// placeholder names the row of a bundle whose id nobody knows. Ids are drawn at random, and nobody draws this one.
func placeholder(p ledger.Chain, sequence uint64) (id bundle.ID) {
	sum := sha256.Sum256(fmt.Appendf(nil, "missing\x00%s\x00%s\x00%s\x00%d", p.Sender, p.Tenant, p.Epoch, sequence))
	copy(id[:], sum[:])
	return id
}

// giveUp ends a damaged bundle by a person's word.
func (c *Chamber) giveUp(r *ledger.Record, d ledger.Decision) (*ledger.Record, error) {
	if err := c.identify(r, &d); err != nil {
		return r, about(r.Bundle, err)
	}
	var given ledger.Record
	err := c.change(r.Bundle, func(have *ledger.Record) error {
		if err := c.stillOfficer(have.Tenant, &d); err != nil {
			return about(r.Bundle, err)
		}
		if err := release.GiveUp(have, d); err != nil {
			return err
		}
		given = *have
		return nil
	})
	if err != nil {
		return r, c.undecided(r.Bundle, err)
	}
	c.clearStaged(r.Bundle, r.Tenant)
	c.o.Log.Warn("given up", zap.Stringer("bundle", r.Bundle), zap.String("officer", d.Officer), zap.String("who", d.Who), zap.Uint32("uid", d.UID), zap.String("reason", d.Reason))
	return &given, nil
}

// clearStaged removes what is here of a bundle that was given up. In quarantine stands what an earlier life had moved there and had not put on record.
func (c *Chamber) clearStaged(id bundle.ID, tenant bundle.Name) {
	c.unreserve(id)
	var drop error
	if c.o.Assembler != nil { // where a command acts at rest the next start does it
		drop = c.o.Assembler.Drop(id)
	}
	if err := errors.Join(drop, deliver.Purge(c.o.Disk, Dir(c.o.State, tenant, id))); err != nil {
		c.o.Log.Error("clear staging", zap.Error(err))
	}
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
	c.clearStaged(id, tenant)
	c.o.Log.Warn("abandoned", zap.Stringer("bundle", id), zap.String("reason", string(why)), zap.String("detail", detail))
}
