package chamber

import (
	"testing"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
	"ecluse/receiver/release"
)

func TestASmallBundleIsVerifiedBesideLargeOnes(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	h := p.open(t)
	large, little := p.lows[0].pack(t, "cssf", small("large")), p.lows[0].pack(t, "cssf", map[string]string{"little": "x"})
	h.heavyAt = large.offer.Bytes - 1
	var leave []func()
	for _, tenant := range []bundle.Name{"x", "y"} { // whose bundles take hours
		out, err := h.heavy.Enter(t.Context(), tenant)
		must(t, err)
		leave = append(leave, out)
	}
	h.receive(large.from, large.whole()...)
	h.take(little, ledger.Quarantined)
	if r := h.record(large); r.State != ledger.Receiving {
		t.Errorf("a large one is %s while others have all places of such", r.State)
	}
	leave[0]()
	h.becomes(large, ledger.Quarantined)
	leave[1]()
}

// However many large ones of a tenant are to be read back, for however long, another's large one is verified beside them.
func TestALargeBundleIsVerifiedBesideLargeOnesOfAnother(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	p.tenant("other", release.ModeOne, imports)
	h := p.open(t)
	one, two, others := p.lows[0].pack(t, "cssf", small("one")), p.lows[0].pack(t, "cssf", small("two")), p.lows[0].pack(t, "other", small("others"))
	h.heavyAt = min(one.offer.Bytes, two.offer.Bytes, others.offer.Bytes) - 1
	slow := &slowSigners{h.trust.Signers(), make(chan struct{}, 99), make(chan struct{})}
	h.trust.Set(slow, map[bundle.Name][]bundle.Name{"low": {"cssf", "other"}})
	h.receive(one.from, one.whole()...)
	h.receive(two.from, two.whole()...)
	<-slow.entered // one of them takes hours
	select {
	case <-slow.entered:
		t.Error("both of one tenant are under way")
	case <-time.After(100 * time.Millisecond):
	}
	h.receive(others.from, others.whole()...)
	select {
	case <-slow.entered:
	case <-time.After(longEnough):
		t.Error("another's waits behind them")
	}
	close(slow.open)
	for _, i := range []*item{one, two, others} {
		h.becomes(i, ledger.Quarantined)
	}
}

func TestAGoodBundleIsQuarantined(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("ledger"))
	h.receive(i.from, i.records(true, false, i.chunks[1:]...)...)
	if r := h.becomes(i, ledger.Receiving); r.Sequence != nil || *r.Name != "ledger" || *r.Files != 3 || *r.MissingBytes != *r.Bytes {
		t.Errorf("while it comes: %+v", r)
	}
	h.staged(i, int64(i.offer.Bytes)-chunkSize)
	h.receive(i.from, i.records(false, true)...)
	eventually(t, "its sequence is known", func() bool { r := h.record(i); return r.Sequence != nil && *r.Sequence == 1 })
	if h.reservations() != 1 {
		t.Errorf("%d places are reserved while it comes", h.reservations())
	}
	h.receive(i.from, i.records(false, false, i.chunks[0])...)
	r := h.becomes(i, ledger.Quarantined)
	if *r.Verdict != ledger.Clean || reasonOf(r) != bundle.ReasonNotInspected || *r.MissingBytes != 0 || r.Manifest.Digest != i.head || *r.Sequence != 1 {
		t.Errorf("in quarantine: %+v", r)
	}
	if got := names(t, p.quarantine(i)); got != "SHA256SUMS files manifest.json manifest.json.sig" {
		t.Errorf("in quarantine stand %s", got)
	}
	stands(t, p.quarantine(i)+"/files", i)
	h.unstaged(i)
	if h.reservations() != 0 {
		t.Errorf("%d places are still reserved", h.reservations())
	}
	if names(t, p.at(imports)) != "" {
		t.Error("it was delivered, and nobody has released it")
	}
	if _, err := h.Verify(i.id()); err != nil {
		t.Errorf("Verify: %v", err)
	}
}
