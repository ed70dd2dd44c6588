package chamber

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"go.uber.org/zap"
	"golang.org/x/crypto/ssh"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/receiver/assemble"
	"ecluse/receiver/ledger"
	"ecluse/receiver/quarantine"
	"ecluse/receiver/release"
)

// Whole implements assemble.Owner: the first gate closes behind a bundle.
func (c *Chamber) Whole(b *assemble.Staged) {
	if !c.begin() {
		return
	}
	defer c.working.Done()
	c.whole(b, 1)
}

// whole takes a bundle as far as it comes, for the attempt-th time.
func (c *Chamber) whole(b *assemble.Staged, attempt int) {
	err := c.take(b)
	var wrong *quarantine.WrongContent
	switch {
	case err == nil:
	case errors.Is(err, ledger.ErrFatal):
		c.fatal(err)
	case c.ctx.Err() != nil: // all of it is still staged
	case errors.As(err, &wrong):
		c.o.Log.Warn("content does not match the manifest", zap.Stringer("bundle", b.ID), zap.Int("files", len(wrong.Files)), zap.Int("chunks", len(wrong.Chunks)))
		b.Wrong(wrong.Chunks, wrong.Files)
		c.letGo(b) // it may have been abandoned while the assembler could not drop it
	case c.letGo(b):
	default:
		c.again(b, attempt, err)
	}
}

// take verifies a bundle and moves it into quarantine, or refuses it.
func (c *Chamber) take(b *assemble.Staged) error {
	signers := c.o.Trust.Signers() // before they are asked: others since then are asked again
	signed, dir, err := c.prove(b)
	if err == nil {
		err = c.close(b, signed, signers, dir)
	}
	if isRejection(err) {
		err = c.refuse(b, err)
	}
	return err
}

// letGo gives up what is staged of a bundle that has ended meanwhile.
func (c *Chamber) letGo(b *assemble.Staged) bool {
	if !c.Known(b.ID) {
		return false
	}
	c.unreserve(b.ID)
	if err := b.Done(); err != nil {
		c.o.Log.Error("clear staging", zap.Error(err))
	}
	return true
}

// again tries once more after a while what failed for a reason of ours: a full disk, an error of the medium. The bundle is whole and no later pass would bring
// anything of it, so nobody else comes back to it. It goes back to the assembler, which notes that all of it is there and lets go of it when it is abandoned.
func (c *Chamber) again(b *assemble.Staged, attempt int, cause error) {
	wait := c.pause(attempt)
	c.o.Log.Error("cannot quarantine", zap.Stringer("bundle", b.ID), zap.Error(cause), zap.Duration("again_in", wait))
	b.Wrong(nil, nil)
	c.offeredOnce(b)
	c.o.Ledger.Post(b.ID, func(r *ledger.Record) error {
		none := int64(0)
		r.State, r.Reason, r.MissingBytes = ledger.Damaged, nil, &none
		if disk.NoRoom(cause) {
			reason := string(bundle.ReasonDiskFull)
			r.Reason = &reason
		}
		r.Detail = fmt.Sprintf("it is whole and cannot be put into quarantine; it is tried again: %v", cause)
		return nil
	}, c.posted)
	c.spawn(func() {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-c.ctx.Done():
			return
		}
		if !c.letGo(b) {
			c.whole(b, attempt+1)
		}
	})
}

// offeredOnce notes the offer of a bundle whose record was not taken when it came.
func (c *Chamber) offeredOnce(b *assemble.Staged) {
	if _, err := c.o.Ledger.Get(b.ID); errors.Is(err, ledger.ErrNotFound) {
		c.offered(b.Source, b.Offer, time.Unix(b.Received, 0), nil, false)
	}
}

// expect is what a bundle of a sender must agree with, at the time of its first packet.
func (c *Chamber) expect(sender, tenant bundle.Name, received time.Time) quarantine.Expect {
	return quarantine.Expect{
		Signers: c.o.Trust.Signers(), Sender: sender, Receiver: c.o.Receiver, Received: received, Names: c.o.Tenants[tenant].Names,
	}
}

// prove verifies everything but the bundle's place in the chain, and puts it together in its staging directory.
func (c *Chamber) prove(b *assemble.Staged) (*quarantine.Signed, string, error) {
	if b.Offer.Bytes > c.heavyAt {
		leave, err := c.heavy.Enter(c.ctx, b.Offer.Tenant)
		if err != nil {
			return nil, "", err
		}
		defer leave()
	}
	leave, err := c.verify.Enter(c.ctx, b.Offer.Tenant)
	if err != nil {
		return nil, "", err
	}
	defer leave()
	if err := c.permit(b.Source.Sender, b.Offer.Tenant); err != nil {
		return nil, "", err
	}
	if err := c.takeBack(b); err != nil {
		return nil, "", err
	}
	signed, err := within(c, func() (*quarantine.Signed, error) {
		return quarantine.Verify(c.o.Disk, b, c.expect(b.Source.Sender, b.Offer.Tenant, time.Unix(b.Received, 0)))
	})
	if err != nil {
		return nil, "", err
	}
	dir, err := quarantine.Build(c.o.Disk, b, signed)
	return signed, dir, err
}

// wholeName is what quarantine.Build calls a bundle that is put together, in its staging directory.
const wholeName = "whole"

// takeBack moves a bundle back into its staging directory that had been moved into quarantine when the process was killed, or when its record could not be written:
// what is not on record is not there.
func (c *Chamber) takeBack(b *assemble.Staged) error {
	at := Dir(c.o.State, b.Offer.Tenant, b.ID)
	if _, err := c.o.Disk.Lstat(at); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if r, err := c.o.Ledger.Get(b.ID); err == nil && r.Settled() {
		return errOver
	} else if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return err
	}
	if err := c.o.Disk.Rename(at, filepath.Join(b.Dir, wholeName)); err != nil {
		return fmt.Errorf("take %s back: %w", b.ID, err)
	}
	return nil
}

// syncedApart is how many bytes of content and manifest are made durable before the ledger is asked. Its sync makes all durable that the change of a record stands for; of much content it would take so
// long that everybody else waited for it.
const syncedApart = 1 << 20

// close makes the bundle durable, judges its place in the chain and moves it into quarantine; where its tenant asks for nobody it is released as well, and where it
// goes from there is noted. All of that is one change: many share its sync.
func (c *Chamber) close(b *assemble.Staged, signed *quarantine.Signed, signers quarantine.Signers, dir string) error {
	m := signed.Manifest
	tenant := c.o.Tenants[m.Tenant]
	intent := c.prepareDelivery(b.ID, signed, dir)
	if m.Table.Total()+m.Size >= syncedApart {
		if err := c.o.Sync(c.ctx); err != nil {
			return err
		}
	}
	to := Dir(c.o.State, m.Tenant, b.ID)
	if err := c.o.Disk.MkdirAll(filepath.Dir(to)); err != nil {
		return err
	}
	released, moved := false, false
	var after ledger.Record
	papers := signed
	if tenant.Release != release.ModeAutomatic {
		papers = nil // they are read again when somebody decides
	}
	c.fresh(b.ID, freshness{signed: papers, signers: signers, prepared: intent != nil}) // before anybody can see it: a late word would speak of what happened since
	err := c.o.Ledger.Steps(context.WithoutCancel(c.ctx), b.ID, func(r *ledger.Record) error {
		if r.State != ledger.Receiving && r.State != ledger.Damaged {
			return errOver
		}
		if err := c.judged(r, b, signed); err != nil {
			return err
		}
		if err := c.o.Disk.Rename(dir, to); err != nil {
			return err
		}
		moved = true
		return nil
	}, func(r *ledger.Record) error {
		if released = c.byItself(r); released {
			r.State = ledger.Approved
			if intent != nil {
				noteIntent(r, tenant.Destinations[0].Directory, *intent)
			}
		}
		after = *r
		return nil
	})
	if err != nil {
		c.stale(b.ID)
	}
	if err != nil && moved && !errors.Is(err, ledger.ErrFatal) {
		err = errors.Join(err, c.o.Disk.Rename(to, dir)) // its record could not be written
	}
	if err != nil {
		return err
	}
	c.unreserve(b.ID)
	c.o.Log.Info("quarantined", zap.Stringer("bundle", b.ID), zap.String("sender", string(b.Source.Sender)), zap.String("tenant", string(m.Tenant)),
		zap.Uint64("sequence", m.Sequence), zap.String("name", m.Name), zap.Int64("bytes", m.Table.Total()), zap.Int("files", m.Table.Files()))
	if err := b.Done(); err != nil {
		c.o.Log.Error("clear staging", zap.Error(err))
	}
	if released {
		c.send(m.Tenant, b.ID)
	}
	if len(c.chain(m.Tenant)) > 0 {
		c.look(m.Tenant, b.ID)
	}
	c.reopened(&after)
	return nil
}

// judged fills the record of a bundle that may stand in its chain, or is held.
func (c *Chamber) judged(r *ledger.Record, b *assemble.Staged, signed *quarantine.Signed) error {
	m := signed.Manifest
	r.Detail = ""
	place := bundle.Place{Bundle: b.ID, Epoch: m.Epoch, Sequence: m.Sequence, Digest: signed.Digest, Previous: m.Previous}
	if err := c.o.Ledger.Judge(b.Source.Sender, m.Tenant, place); err != nil {
		held, _ := bundle.ReasonOf(err)
		if held != bundle.ReasonEpochNew && held != bundle.ReasonRollback {
			return err
		}
		verdict(r, ledger.Pending, held, err.Error())
	} else {
		c.judge(r)
	}
	none, sequence := int64(0), m.Sequence
	r.State, r.MissingBytes, r.Sequence = ledger.Quarantined, &none, &sequence
	r.Manifest = &ledger.Manifest{Digest: signed.Digest, Previous: m.Previous}
	r.Key = ssh.FingerprintSHA256(signed.Key)
	return nil
}

// errNotDue says that a bundle is not one to be released by itself.
var errNotDue = errors.New("it is not released by itself")

// automatic releases a clean bundle of a tenant that asks for nobody.
func (c *Chamber) automatic(tenant bundle.Name, id bundle.ID) error {
	err := c.change(id, func(r *ledger.Record) error {
		if word, _ := c.word(r); !word.Passes() || !c.byItself(r) {
			return errNotDue
		}
		r.State = ledger.Approved
		return nil
	})
	if errors.Is(err, errNotDue) {
		return nil
	}
	if err == nil {
		c.send(tenant, id)
	}
	return err
}

// refuse ends a bundle that failed a check. What is known of it stays in the ledger; its content does not.
func (c *Chamber) refuse(b *assemble.Staged, cause error) error {
	sequence := b.Close.Sequence
	err := c.change(b.ID, func(r *ledger.Record) error {
		if r.Settled() {
			return errOver
		}
		r.Sequence = &sequence
		setReason(r, ledger.Refused, cause)
		return nil
	})
	if err != nil {
		return err
	}
	c.o.Log.Warn("refused", fields(b.ID, b.Source, b.Offer.Tenant, cause)...)
	c.letGo(b)
	return nil
}
