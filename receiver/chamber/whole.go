package chamber

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"
	"golang.org/x/crypto/ssh"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
	"ecluse/receiver/assemble"
	"ecluse/receiver/ledger"
	"ecluse/receiver/quarantine"
	"ecluse/receiver/release"
)

// Whole implements assemble.Owner: the first gate closes behind a bundle.
func (c *Chamber) Whole(b *assemble.Staged) {
	c.working.Add(1)
	defer c.working.Done()
	select {
	case c.verify <- struct{}{}:
	case <-c.ctx.Done():
		return
	}
	signed, dir, err := c.prove(b)
	<-c.verify
	if err == nil {
		err = c.close(b, signed, dir)
	}
	var wrong *quarantine.WrongContent
	switch {
	case err == nil || c.ctx.Err() != nil:
	case errors.As(err, &wrong):
		c.o.Log.Warn("content does not match the manifest", zap.Stringer("bundle", b.ID), zap.Int("files", len(wrong.Files)), zap.Int("chunks", len(wrong.Chunks)))
		b.Wrong(wrong.Chunks, wrong.Files)
	case isRejection(err):
		c.refuse(b, err)
	case errors.Is(err, ledger.ErrFatal):
		c.o.Fatal(err)
	default:
		// Ours: a full disk, an error of the medium. Everything is still staged; a later pass or a restart tries again.
		c.o.Log.Error("cannot quarantine", zap.Stringer("bundle", b.ID), zap.Error(err))
		b.Wrong(nil, nil)
	}
}

func isRejection(err error) bool { _, ok := bundle.ReasonOf(err); return ok }

// expect is what a bundle of a sender must agree with, at the time of its first packet.
func (c *Chamber) expect(sender, tenant bundle.Name, received time.Time) quarantine.Expect {
	return quarantine.Expect{
		Signers: c.o.Trust.Signers(), Sender: sender, Receiver: c.o.Receiver, Received: received, Names: c.o.Tenants[tenant].Names,
	}
}

func (c *Chamber) prove(b *assemble.Staged) (*quarantine.Signed, string, error) {
	signed, err := quarantine.Verify(b, c.expect(b.Source.Sender, b.Offer.Tenant, time.Unix(b.Received, 0)))
	if err != nil {
		return nil, "", err
	}
	dir, err := quarantine.Build(b, signed)
	return signed, dir, err
}

// close makes the bundle durable, judges its place in the chain and moves it into quarantine. Judgement, move and record are one change: many share its sync.
func (c *Chamber) close(b *assemble.Staged, signed *quarantine.Signed, dir string) error {
	if err := c.o.Sync(c.ctx); err != nil {
		return err
	}
	m := signed.Manifest
	to := Dir(c.o.State, m.Tenant, b.ID)
	if err := c.o.Disk.MkdirAll(filepath.Dir(to)); err != nil {
		return err
	}
	place := bundle.Place{Bundle: b.ID, Epoch: m.Epoch, Sequence: m.Sequence, Digest: signed.Digest, Previous: m.Previous}
	automatic := false
	err := c.o.Ledger.Change(c.ctx, b.ID, func(r *ledger.Record) error {
		verdict, reason := ledger.Clean, string(bundle.ReasonNotInspected)
		if err := c.o.Ledger.Judge(b.Source.Sender, m.Tenant, place); err != nil {
			if held, ok := bundle.ReasonOf(err); !ok || held != bundle.ReasonEpochNew {
				return err
			}
			verdict, reason = ledger.Pending, string(bundle.ReasonEpochNew)
			r.Detail = err.Error()
		}
		if err := os.Rename(dir, to); err != nil {
			return err
		}
		none := int64(0)
		sequence := m.Sequence
		r.State, r.Verdict, r.Reason, r.MissingBytes, r.Sequence = ledger.Quarantined, &verdict, &reason, &none, &sequence
		r.Manifest = &ledger.Manifest{Digest: signed.Digest, Previous: m.Previous}
		r.Key = ssh.FingerprintSHA256(signed.Key)
		automatic = release.Automatic(c.o.Tenants[m.Tenant].Release, r)
		return nil
	})
	if err != nil {
		return err
	}
	c.unreserve(b.ID)
	c.o.Log.Info("quarantined", zap.Stringer("bundle", b.ID), zap.String("sender", string(b.Source.Sender)), zap.String("tenant", string(m.Tenant)),
		zap.Uint64("sequence", m.Sequence), zap.String("name", m.Name), zap.Int64("bytes", m.Table.Total()), zap.Int("files", m.Table.Files()))
	if err := b.Done(); err != nil {
		c.o.Log.Error("clear staging", zap.Error(err))
	}
	c.fresh(b.ID)
	if automatic {
		return c.automatic(m.Tenant, b.ID)
	}
	return nil
}

// automatic releases a clean bundle of a tenant that asks for nobody.
func (c *Chamber) automatic(tenant bundle.Name, id bundle.ID) error {
	err := c.o.Ledger.Change(c.ctx, id, func(r *ledger.Record) error {
		if !release.Automatic(c.o.Tenants[r.Tenant].Release, r) {
			return errors.New("no longer to be released automatically")
		}
		r.State = ledger.Approved
		return nil
	})
	if err == nil {
		c.send(tenant, id)
	}
	return err
}

// refuse ends a bundle that failed a check. What is known of it stays in the ledger; its content does not.
func (c *Chamber) refuse(b *assemble.Staged, cause error) {
	err := c.o.Ledger.Change(c.ctx, b.ID, func(r *ledger.Record) error {
		sequence := b.Close.Sequence
		r.Sequence = &sequence
		setReason(r, ledger.Refused, cause)
		return nil
	})
	c.posted(err)
	c.o.Log.Warn("refused", c.fields(b.ID, b.Source, b.Offer.Tenant, cause)...)
	c.unreserve(b.ID)
	if err := b.Done(); err != nil {
		c.o.Log.Error("clear staging", zap.Error(err))
	}
}

// Abandoned implements assemble.Owner (SPEC.md rule R-9).
func (c *Chamber) Abandoned(s assemble.Source, a *record.Abandon) {
	r, err := c.o.Ledger.Get(a.Bundle)
	if err != nil || r.Sender != s.Sender || r.State.Stored() {
		return
	}
	if err := c.verifyAbandon(s, a); err != nil {
		c.o.Log.Warn("abandon ignored", c.fields(a.Bundle, s, a.Tenant, err)...)
		return
	}
	reason := string(bundle.ReasonAbandonedSender)
	detail := a.Reason
	c.working.Go(func() { c.abandon(a.Bundle, reason, detail) })
}

func (c *Chamber) verifyAbandon(s assemble.Source, a *record.Abandon) error {
	return quarantine.VerifyMessage(a.Signature, bundle.NamespaceAbandon, bundle.AbandonMessage(a.Bundle, a.Epoch, a.Tenant, a.Reason), c.expect(s.Sender, a.Tenant, c.o.Now()))
}

// abandon ends a bundle that is not whole.
func (c *Chamber) abandon(id bundle.ID, reason, detail string) {
	err := c.o.Ledger.Change(c.ctx, id, func(r *ledger.Record) error {
		r.State, r.Reason, r.Detail = ledger.Abandoned, &reason, detail
		return nil
	})
	if err != nil {
		c.posted(err)
		return
	}
	c.unreserve(id)
	if err := c.o.Assembler.Drop(id); err != nil {
		c.o.Log.Error("clear staging", zap.Error(err))
	}
	c.o.Log.Warn("abandoned", zap.Stringer("bundle", id), zap.String("reason", reason), zap.String("detail", detail))
}
