package chamber

import (
	"os"
	"path/filepath"
	"testing"

	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
	"ecluse/receiver/quarantine"
	"ecluse/receiver/release"
)

func TestANewEpochIsHeldUntilItIsPaired(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	p.unready = true
	p.tenant("auto", release.ModeAutomatic, imports)
	h := p.open(t)
	l := p.lows[0]
	one, auto := l.pack(t, "cssf", small("one")), l.pack(t, "auto", small("auto"))
	h.take(auto, ledger.Quarantined)
	r := h.take(one, ledger.Quarantined)
	h.is(one, ledger.Quarantined, bundle.ReasonEpochNew)
	if *r.Verdict != ledger.Pending {
		t.Errorf("its verdict is %s", *r.Verdict)
	}
	refusedError(t, h.approve(one, 1), "epoch-new")
	refusedError(t, h.approve(auto, 1), "epoch-new")
	must(t, h.Recheck(t.Context()))
	h.is(one, ledger.Quarantined, bundle.ReasonEpochNew)
	if names(t, p.at(imports)) != "" {
		t.Fatal("something was released")
	}
	must(t, h.ledger.Pair(t.Context(), l.name, l.epoch))
	must(t, h.Recheck(t.Context()))
	h.is(one, ledger.Quarantined, bundle.ReasonNotInspected)
	h.becomes(auto, ledger.Imported)
	must(t, h.approve(one, 1))
	h.becomes(one, ledger.Imported)
	stands(t, p.at(imports), one, auto)
}

func TestANewPairingHoldsNothingThatWasAcceptedBefore(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	h := p.open(t)
	l := p.lows[0]
	i := l.pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	must(t, h.ledger.Pair(t.Context(), l.name, bundle.Epoch{9}))
	must(t, h.Recheck(t.Context()))
	h.is(i, ledger.Quarantined, bundle.ReasonNotInspected)
	must(t, h.approve(i, 1))
	h.becomes(i, ledger.Imported)
}

func TestARevokedKeyHoldsWhatIsNotReleased(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	p.tenant("auto", release.ModeAutomatic, imports)
	h := p.open(t)
	l := p.lows[0]
	i, j := l.pack(t, "cssf", small("i")), l.pack(t, "cssf", small("j"))
	h.take(i, ledger.Quarantined)
	h.take(j, ledger.Quarantined)
	h.trusted("# nobody\n")
	refusedError(t, h.approve(j, 1), "signer-unknown") // before anybody looked
	h.is(j, ledger.Quarantined, bundle.ReasonSignerRevoked)
	must(t, h.Recheck(t.Context()))
	h.is(i, ledger.Quarantined, bundle.ReasonSignerRevoked)
	refusedError(t, h.approve(i, 1), "signer-revoked")
	h = h.again()
	h.is(i, ledger.Quarantined, bundle.ReasonNotInspected) // the next life has the key again
	h.is(j, ledger.Quarantined, bundle.ReasonNotInspected)
	h.trusted("# nobody\n")
	must(t, h.Recheck(t.Context()))
	h.trusted("")
	must(t, h.Recheck(t.Context()))
	h.is(i, ledger.Quarantined, bundle.ReasonNotInspected)
	must(t, h.approve(i, 1))
	h.becomes(i, ledger.Imported)
}

func TestARevokedKeyKeepsWhatWasApprovedFromItsDestination(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("i"))
	h.take(i, ledger.Quarantined)
	must(t, os.Rename(p.at(imports), p.at("away")))
	must(t, h.approve(i, 1))
	eventually(t, "its destination is found missing", func() bool { return reasonOf(h.record(i)) == bundle.ReasonDestination })
	must(t, os.Rename(p.at("away"), p.at(imports)))
	h.trusted("# nobody\n")
	if err := h.Deliver(t.Context(), i.id()); err == nil {
		t.Error("it was delivered")
	}
	h.is(i, ledger.Approved, bundle.ReasonSignerRevoked)
	h.trusted("")
	must(t, h.Recheck(t.Context()))
	h.becomes(i, ledger.Imported)
	stands(t, p.at(imports), i)
}

func TestAHoldIsNotLiftedByAnErrorOfOurs(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	h := p.prepare(t)
	p.unready = true
	h.run()
	t.Cleanup(func() { h.end(true) })
	l := p.lows[0]
	i, j := l.pack(t, "cssf", small("i")), l.pack(t, "cssf", small("j"))
	h.take(i, ledger.Quarantined)
	h.take(j, ledger.Quarantined)
	must(t, h.ledger.Pair(t.Context(), l.name, l.epoch))
	papers := filepath.Join(p.quarantine(i), quarantine.ManifestName)
	must(t, os.Rename(papers, papers+"~"))
	if h.Recheck(t.Context()) == nil {
		t.Error("nobody is told")
	}
	h.is(i, ledger.Quarantined, bundle.ReasonEpochNew)
	h.becomes(j, ledger.Imported) // one that cannot be read holds up nobody
	must(t, os.Rename(papers+"~", papers))
	must(t, h.Recheck(t.Context()))
	h.becomes(i, ledger.Imported)
}

// The runbook for a lost receiver key: what had been accepted under the former one can still be released, and only that.
func TestAReplacedReceiverKeyHoldsNothingThatWasAccepted(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	h := p.open(t)
	l := p.lows[0]
	before, swapped := l.pack(t, "cssf", small("before")), l.pack(t, "cssf", small("swapped"))
	h.take(before, ledger.Quarantined)
	h.take(swapped, ledger.Quarantined)
	h = h.again()
	h.o.Receiver = bundle.Digest{7}
	must(t, h.Recheck(t.Context()))
	must(t, h.approve(before, 1))
	h.becomes(before, ledger.Imported)

	// Another accepted bundle under its name is whole and signed, and not it.
	other := l.pack(t, "cssf", small("other"))
	h.o.Receiver = receiverID
	h.take(other, ledger.Quarantined)
	at := func(i *item) string { return Dir(p.at(state), "cssf", i.id()) }
	must(t, os.RemoveAll(at(swapped)))
	must(t, os.Rename(at(other), at(swapped)))
	refusedError(t, h.approve(swapped, 1), "content-mismatch")
	h.is(swapped, ledger.Refused, bundle.ReasonContentMismatch)
}
