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

// Where nobody is asked for, nobody would come to find out.
func TestAnAlteredManifestInQuarantineIsRefusedAtTheStart(t *testing.T) {
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
	content, err := os.ReadFile(papers)
	must(t, err)
	content[len(content)/2] ^= 1
	must(t, os.Chmod(papers, 0o600))
	must(t, os.WriteFile(papers, content, 0o600))
	must(t, h.Recheck(t.Context()))
	h.is(i, ledger.Refused, bundle.ReasonContentMismatch)
	h.becomes(j, ledger.Imported)
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

// Rule Q-6: what an older copy of the records has forgotten is held, whether it stands there in an older state or comes once more.
func TestWhatAnOlderCopyOfTheRecordsForgotIsHeldUntilAPersonAcceptsIt(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	p.tenant("asks", release.ModeOne, imports)
	h := p.open(t)
	l := p.lows[0]
	first := l.pack(t, "asks", small("first"))
	h.take(first, ledger.Quarantined)
	must(t, h.end(true))
	backup := t.TempDir()
	must(t, os.CopyFS(backup, os.DirFS(p.at(state, "bundles"))))

	h = p.open(t)
	must(t, h.reject(first, 1, "wrong"))
	second := l.pack(t, "cssf", small("second"))
	h.take(second, ledger.Imported)
	third := l.pack(t, "cssf", small("third"))
	h.take(third, ledger.Imported)
	must(t, h.end(true))
	must(t, os.RemoveAll(p.at(state, "bundles")))
	must(t, os.CopyFS(p.at(state, "bundles"), os.DirFS(backup)))

	h = p.open(t)
	h.is(first, ledger.Quarantined, bundle.ReasonRollback)
	refusedError(t, h.approve(first, 1), "rollback")
	h.take(second, ledger.Quarantined)
	h.take(third, ledger.Quarantined)
	h.is(second, ledger.Quarantined, bundle.ReasonRollback)
	h.is(third, ledger.Quarantined, bundle.ReasonRollback)
	fourth := l.pack(t, "cssf", small("fourth"))
	h.take(fourth, ledger.Imported) // what is new goes its way
	h = h.again()
	must(t, h.Recheck(t.Context()))
	h.is(third, ledger.Quarantined, bundle.ReasonRollback)
	if err := h.approve(third, 1); err == nil {
		t.Error("it was approved while it is held")
	}
	must(t, h.end(true))

	_, err := ledger.Accept(p.disk, p.at(state), ledger.Acceptance{Who: "somebody", Reason: "why"})
	must(t, err)
	h = p.open(t)
	h.is(first, ledger.Quarantined, bundle.ReasonNotInspected)
	h.becomes(third, ledger.Imported)
}

// What was about to be delivered in an older copy of the records may have been delivered since.
func TestWhatWasApprovedInAnOlderCopyIsNotDeliveredAgain(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	must(t, os.Chmod(p.at(imports), 0o755))
	p.tenant("cssf", release.ModeOne, "nowhere")
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	must(t, h.approve(i, 1))
	eventually(t, "its delivery has failed", func() bool { r := h.record(i); return r.Reason != nil && *r.Reason == string(bundle.ReasonDestination) })
	must(t, h.end(true))
	backup := t.TempDir()
	must(t, os.CopyFS(backup, os.DirFS(p.at(state, "bundles"))))
	h = p.open(t)
	must(t, h.reject(i, 1, "wrong"))
	must(t, h.end(true))
	must(t, os.RemoveAll(p.at(state, "bundles")))
	must(t, os.CopyFS(p.at(state, "bundles"), os.DirFS(backup)))
	must(t, os.Mkdir(p.at("nowhere"), 0o755))
	h = p.open(t)
	refusedError(t, h.Deliver(t.Context(), i.id()), "nobody can tell")
	if names(t, p.at("nowhere")) != "" {
		t.Error("it was delivered")
	}
}
