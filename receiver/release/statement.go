package release

import (
	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
)

// Statement gives the text that a decision about a bundle is, and that its officer signs (SPEC.md rule D-1). Of a bundle that was never verified, or of which nothing came, only the loss can be
// declared.
func Statement(r *ledger.Record, d ledger.Decision) []byte {
	s := bundle.Decision{Verb: bundle.VerbGiveUp, Sender: r.Sender, Tenant: r.Tenant, Epoch: r.Epoch, Sequence: r.Sequence, Override: d.Override, Reason: d.Reason}
	if !r.Bundle.IsZero() {
		id := r.Bundle
		s.Bundle = &id
	}
	if r.Manifest != nil {
		s.Manifest, s.Verb = &r.Manifest.Digest, bundle.VerbReject
	}
	if d.Approve {
		s.Verb = bundle.VerbApprove
	}
	return s.Append(nil)
}
