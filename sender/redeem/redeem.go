// Package redeem reads codes that a person has carried down from the high side, and finds what they are about: of a ticket the bundles and their chunks, of a receipt the bundles that
// it settles.
//
//	code --> whose is it?   epoch, tenant, tag           [protocol/ticket]
//	     --> ticket:        sequence or id --> bundle, chunks held against its manifest
//	     --> receipt:       digests of our manifests --> chain, then what was sent
//
// It promises that nothing comes of a code that was mistyped, that is another sender's or epoch's, or that was not made under this sender's ticket key; that a ticket asks for no
// chunk that its bundle has not; and that a receipt settles only what it names, and nothing at all when the high side holds other manifests than ours under those sequences: a clone, or
// a copy from before a restore, may have sent them.
//
// It changes nothing. It keeps rules T-4, T-5, T-9, T-13 and T-14 of SPEC.md for the side that reads codes.
package redeem

import (
	"context"
	"errors"
	"fmt"

	"ecluse/protocol/bundle"
	"ecluse/protocol/ticket"
	"ecluse/sender/ledger"
)

// Sender is whose codes are read.
type Sender struct {
	Key     [32]byte
	Tenants []bundle.Name
	Ledger  *ledger.Ledger
}

// Wish is what a ticket asks for of one bundle.
type Wish struct {
	Sequence uint64    // 0 where the ticket does not say
	Bundle   bundle.ID // zero where Err says that there is none
	Chunks   []ticket.Range
	Err      error // ledger.ErrNotFound, or a rejection
}

// Order is what a code says.
type Order struct {
	Tenant  bundle.Name
	Receipt bool
	Wishes  []Wish       // of a ticket
	Runs    []ticket.Run // of a receipt, all that it names
}

// wishesMost bounds what one ticket may ask for: a high side lists no more than that as missing.
const wishesMost = 10_000

// Read reads a code. Refused with the reasons of section 13 of SPEC.md; what was mistyped is a *ticket.Mistyped.
func (s *Sender) Read(ctx context.Context, text string) (*Order, error) {
	code, err := ticket.Parse(text)
	if err != nil {
		return nil, err
	}
	if err := s.former(ctx, code); err != nil {
		return nil, err
	}
	tenant, err := code.Open(s.Key, s.Ledger.Epoch(), s.Tenants)
	if err != nil {
		return nil, err
	}
	o := &Order{Tenant: tenant, Receipt: code.IsReceipt()}
	if o.Receipt {
		return o, s.receipt(ctx, o, code)
	}
	return o, s.ticket(ctx, o, code)
}

// former refuses by name what was made in an earlier life of this sender.
func (s *Sender) former(ctx context.Context, code *ticket.Code) error {
	if code.OfEpoch(s.Ledger.Epoch()) {
		return nil
	}
	epochs, err := s.Ledger.Epochs(ctx)
	if err != nil {
		return err
	}
	for _, e := range epochs {
		if code.OfEpoch(e) {
			return bundle.Reject(bundle.ReasonTicketEpoch, "T-4", "it is of the former epoch %s of this sender, whose present one is %s", e, s.Ledger.Epoch())
		}
	}
	return nil // Open refuses it
}

// ticket finds the bundles of a ticket.
func (s *Sender) ticket(ctx context.Context, o *Order, code *ticket.Code) error {
	t, err := code.Ticket()
	if err != nil {
		return err
	}
	if !t.Bundle.IsZero() {
		o.Wishes = []Wish{s.byBundle(o.Tenant, t.Bundle, t.Parts[0].Ranges)}
		return nil
	}
	head := s.Ledger.Head(o.Tenant).Sequence
	for _, p := range t.Parts {
		if p.Sequence+p.Count-1 > head {
			err := fmt.Errorf("%w: sequence %d of %s was never given out here, the highest is %d", ledger.ErrNotFound, p.Sequence+p.Count-1, o.Tenant, head)
			o.Wishes = append(o.Wishes, Wish{Sequence: p.Sequence, Err: err})
			continue
		}
		if p.Count > wishesMost-uint64(min(len(o.Wishes), wishesMost)) {
			return bundle.Reject(bundle.ReasonTicketBody, "T-13", "it asks for more than %d bundles", wishesMost)
		}
		for n := range p.Count {
			id, err := s.Ledger.At(ctx, o.Tenant, p.Sequence+n)
			w := Wish{Err: err}
			if err == nil {
				w = s.byBundle(o.Tenant, id, p.Ranges)
			}
			w.Sequence = p.Sequence + n
			o.Wishes = append(o.Wishes, w)
		}
	}
	return nil
}

// byBundle holds what is asked for against a bundle that is on record.
func (s *Sender) byBundle(tenant bundle.Name, id bundle.ID, chunks []ticket.Range) Wish {
	r, err := s.Ledger.Get(id)
	if err == nil && (r.Tenant != tenant || r.Epoch != s.Ledger.Epoch()) {
		err = fmt.Errorf("%w: %s is of another tenant or epoch", ledger.ErrNotFound, id)
	}
	if err == nil && len(chunks) > 0 && r.Sequence != nil {
		err = s.within(id, chunks)
	}
	if err != nil {
		return Wish{Bundle: id, Err: err}
	}
	return Wish{Bundle: id, Chunks: chunks}
}

// within holds chunks against what the manifest says (T-13).
func (s *Sender) within(id bundle.ID, chunks []ticket.Range) error {
	m, err := s.Ledger.Manifest(id)
	if err != nil {
		return err
	}
	if all := len(m.Marks) + bundle.ManifestChunks(m.Size, m.ChunkSize); !ticket.Within(chunks, uint32(all)) {
		return bundle.Reject(bundle.ReasonTicketBody, "T-13", "bundle %s has %d chunks, and others are asked for", id, all)
	}
	return nil
}

// receipt holds a receipt against the manifests that this sender has given out (T-9).
func (s *Sender) receipt(ctx context.Context, o *Order, code *ticket.Code) error {
	r, err := code.Receipt()
	if err != nil {
		return err
	}
	for i := range r.Runs {
		if r.Runs[i].Digest, err = s.digest(ctx, o.Tenant, r.Runs[i].To); err != nil {
			return err
		}
	}
	o.Runs = r.Runs
	return r.Hold(r.Runs)
}

// digest is that of the manifest that has a sequence.
func (s *Sender) digest(ctx context.Context, tenant bundle.Name, sequence uint64) (bundle.Digest, error) {
	head := s.Ledger.Head(tenant)
	switch {
	case sequence > head.Sequence:
		return bundle.Digest{}, bundle.Reject(bundle.ReasonTicketChain, "T-9",
			"sequence %d of %s is safe on the high side, and %d is the highest that was given out here: a clone, or a copy from before a restore, has sent", sequence, tenant, head.Sequence)
	case sequence == head.Sequence:
		return head.Digest, nil
	}
	id, err := s.Ledger.At(ctx, tenant, sequence)
	if err == nil {
		var r *ledger.Record
		if r, err = s.Ledger.Get(id); err == nil {
			signed, e := s.Ledger.Signed(r)
			if e == nil && signed != nil {
				return signed.Digest, nil
			}
			err = errors.Join(e, ledger.ErrNotFound)
		}
	}
	return bundle.Digest{}, fmt.Errorf("the receipt cannot be held against the manifest of sequence %d: %w", sequence, err)
}
