package chamber

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
	"ecluse/receiver/release"
)

// commits is how many changes of records became durable so far.
func (h *house) commits() int {
	h.t.Helper()
	text, err := os.ReadFile(h.p.at(state, "bundles", "generation"))
	must(h.t, err)
	first, _, _ := strings.Cut(string(text), "\n")
	n, err := strconv.Atoi(first)
	must(h.t, err)
	return n
}

// Once something was moved to a destination, the next is noted for it with its quarantine: two durable steps take it there, of which the second says that it is done.
func TestWhatWillBeMovedIsReadyWhenItIsQuarantined(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	h := p.open(t)
	for n, name := range []string{"first", "second", "third"} {
		before := 0
		if n > 0 {
			before = h.commits()
		}
		h.take(p.lows[0].pack(t, "cssf", small(name)), ledger.Imported)
		if took := h.commits() - before; n > 0 && took != 2 {
			t.Errorf("%s took %d durable steps", name, took)
		}
	}
}

// A destination that is gone holds nothing up: what was made ready for it waits, approved, and goes when it is back.
func TestADestinationThatGoesAfterItWasNear(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	h := p.open(t)
	one, two := p.lows[0].pack(t, "cssf", small("one")), p.lows[0].pack(t, "cssf", small("two"))
	h.take(one, ledger.Imported)
	must(t, os.Rename(p.at(imports), p.at("away")))
	h.take(two, ledger.Approved)
	eventually(t, "its reason is on record", func() bool { return reasonOf(h.record(two)) == bundle.ReasonDestination })
	if r := h.record(two); len(r.Deliveries) > 0 && r.Deliveries[0].Name != "" {
		t.Errorf("nobody can reject it: %+v", r.Deliveries)
	}
	must(t, os.Rename(p.at("away"), p.at(imports)))
	must(t, h.Deliver(t.Context(), two.id()))
	stands(t, p.at(imports), one, two)
}
