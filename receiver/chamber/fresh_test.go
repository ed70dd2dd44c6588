package chamber

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
	"ecluse/receiver/quarantine"
	"ecluse/receiver/release"
)

// What was verified just now is not verified again, unless somebody else is asked, or it was too long ago.
func TestPapersAreReadAgainByTheWordOfOthers(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	r := h.take(i, ledger.Quarantined)
	first, err := h.signedOf(r)
	must(t, err)
	h.fresh(i.id(), freshness{signed: first, signers: h.trust.Signers()})
	manifest := filepath.Join(Dir(p.at(state), "cssf", i.id()), quarantine.ManifestName)
	must(t, os.Rename(manifest, manifest+".away"))
	if again, err := h.signedOf(r); again != first || err != nil {
		t.Errorf("they were read again: %v", err)
	}
	must(t, os.Rename(manifest+".away", manifest))

	h.trusted("# nobody\n")
	if _, err := h.signedOf(r); !isReason(err, bundle.ReasonSignerUnknown) {
		t.Errorf("nobody is trusted, and it gives %v", err)
	}
	h.trusted("")
	again, err := h.signedOf(r)
	must(t, err)
	if again == first {
		t.Error("those who are trusted again were not asked")
	}

	h.fresh(i.id(), freshness{signed: first, signers: h.trust.Signers()})
	f := h.verified[i.id()]
	f.at = time.Now().Add(-2 * freshFor)
	h.verified[i.id()] = f
	if again, err = h.signedOf(r); again == first || err != nil {
		t.Errorf("what was verified long ago was not read again: %v", err)
	}
	h.forgetFresh()
	if len(h.verified) != 0 {
		t.Errorf("%d are remembered", len(h.verified))
	}
	large := *first
	large.Manifest = &bundle.Manifest{Size: freshBytes/2 + 1}
	h.fresh(bundle.ID{1}, freshness{signed: &large})
	h.fresh(bundle.ID{2}, freshness{signed: &large})
	if h.verified[bundle.ID{1}].signed == nil || h.verified[bundle.ID{2}].signed != nil {
		t.Error("papers are kept beyond their bound, or not at all")
	}
}

// isReason says whether an error refuses for a reason.
func isReason(err error, want bundle.Reason) bool {
	got, refused := bundle.ReasonOf(err)
	return refused && got == want
}
