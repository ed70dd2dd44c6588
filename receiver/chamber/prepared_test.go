package chamber

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/receiver/deliver"
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
func TestWhatWillBeMovedIsPreparedBeforeItIsQuarantined(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	h := p.open(t)
	h.take(p.lows[0].pack(t, "cssf", small("first")), ledger.Imported) // it shows that its destination takes by rename
	for _, name := range []string{"second", "third"} {
		before := h.commits()
		h.take(p.lows[0].pack(t, "cssf", small(name)), ledger.Imported)
		if took := h.commits() - before; took != 2 {
			t.Errorf("%s took %d durable steps", name, took)
		}
	}
}

// ended lives a life that ends between the durable intents of some items and their renames.
func (p *plan) ended(t *testing.T, names ...string) (items []*item) {
	t.Helper()
	h := p.prepare(t)
	h.noteTransfer(p.at(imports), deliver.Result{})
	h.resting = true // nothing is sent on
	h.run()
	for _, name := range names {
		i := p.lows[0].pack(t, "cssf", small(name))
		if r := h.take(i, ledger.Approved); len(r.Deliveries) != 1 || r.Deliveries[0].Name == "" {
			t.Fatalf("there is no intent: %+v", r.Deliveries)
		}
		items = append(items, i)
	}
	must(t, h.end(true))
	return items
}

// A destination that goes between the intent and the rename holds nothing up: its bundle stays approved, can be rejected, and goes when it is back.
func TestADestinationThatGoesAfterTheIntent(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	i := p.ended(t, "x")[0]
	must(t, os.Rename(p.at(imports), p.at("away")))
	h := p.open(t)
	eventually(t, "its reason is on record", func() bool { return reasonOf(h.record(i)) == bundle.ReasonDestination })
	if r := h.record(i); len(r.Deliveries) > 0 && r.Deliveries[0].Name != "" {
		t.Errorf("nobody can reject it: %+v", r.Deliveries)
	}
	must(t, os.Rename(p.at("away"), p.at(imports)))
	must(t, h.Deliver(t.Context(), i.id()))
	stands(t, p.at(imports), i)
}

func TestABundleWhoseKeyIsRevokedAfterTheIntentCanBeRejected(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	i := p.ended(t, "x")[0]
	p.signers = "# nobody\n"
	h := p.open(t)
	eventually(t, "it is held", func() bool { return reasonOf(h.record(i)) == bundle.ReasonSignerRevoked })
	must(t, h.reject(i, 7, "its key was stolen"))
	h.is(i, ledger.Rejected, bundle.ReasonRejected)
	stands(t, p.at(imports))
}

// The configuration names another destination at the next start: the intent for the former one is nobody's, and what is told is where the bundle stands.
func TestAnIntentForADestinationThatIsConfiguredNoMore(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	items := p.ended(t, "one", "two")
	i, j := items[0], items[1]
	p.tenant("cssf", release.ModeAutomatic, "other")
	h := p.open(t)
	eventually(t, "its reason is on record", func() bool {
		return reasonOf(h.record(i)) == bundle.ReasonDestination && reasonOf(h.record(j)) == bundle.ReasonDestination
	})
	must(t, h.reject(j, 7, "not wanted"))
	must(t, os.Mkdir(p.at("other"), 0o755))
	must(t, h.Deliver(t.Context(), i.id()))
	stands(t, p.at("other"), i)
	stands(t, p.at(imports))
	for _, d := range h.record(i).Deliveries {
		if stands := d.Destination == p.at("other"); stands != (d.Done != nil) || !stands && d.Name != "" {
			t.Errorf("on record: %+v", d)
		}
	}
}

// The state is copied while nobody runs, and its files have other numbers: what was about to be delivered was not delivered.
func TestAStateThatWasCopiedDeliversWhatItHolds(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	i := p.ended(t, "x")[0]
	if out, err := exec.Command("cp", "-a", p.at(state), p.at("copy")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	must(t, os.Rename(p.at(state), p.at("old")))
	must(t, os.Rename(p.at("copy"), p.at(state)))
	h := p.open(t)
	h.becomes(i, ledger.Imported)
	stands(t, p.at(imports), i)
}

// hanging blocks whoever opens a directory, as a server does that is gone.
type hanging struct {
	dir  string
	on   *atomic.Bool
	free chan struct{}
}

func (g hanging) Before(op *disk.Op) error {
	if g.on.Load() && op.Path == g.dir && op.Kind == disk.Open {
		<-g.free
	}
	return nil
}

func (hanging) After(*disk.Op, error) {}

func TestADestinationThatBeginsToHangHoldsUpNoGate(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	g := hanging{p.at(imports), new(atomic.Bool), make(chan struct{})}
	p.disk.Disk = disk.Watched(g)
	h := p.open(t)
	one := p.lows[0].pack(t, "cssf", small("one"))
	h.take(one, ledger.Imported)
	g.on.Store(true)
	two := p.lows[0].pack(t, "cssf", small("two"))
	h.take(two, ledger.Approved)
	close(g.free)
	h.becomes(two, ledger.Imported)
	stands(t, p.at(imports), one, two)
}

// What is held when it is quarantined has no intent, whatever was prepared: freed within the minute it is delivered like any other.
func TestWhatWasHeldAtFirstIsDeliveredInFull(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	p.unready = true
	h := p.open(t)
	h.noteTransfer(p.at(imports), deliver.Result{})
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	if r := h.record(i); reasonOf(r) != bundle.ReasonEpochNew || len(r.Deliveries) > 0 {
		t.Fatalf("%+v", r)
	}
	must(t, h.ledger.Pair(t.Context(), i.from.name, i.from.epoch))
	must(t, h.Recheck(t.Context()))
	h.becomes(i, ledger.Imported)
	stands(t, p.at(imports), i)
}
