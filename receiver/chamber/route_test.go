package chamber

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
	"ecluse/receiver/release"
)

var stopped error = bundle.Reject(bundle.ReasonRouteStopped, "G-2", "tenant cssf is stopped, by ann (uid 1000)")

// What was let in before a stop comes in and is held, whoever approves it; when it is over all goes on by itself.
func TestAStoppedTenantHoldsWhatIsHere(t *testing.T) {
	t.Parallel()
	for _, mode := range []release.Mode{release.ModeAutomatic, release.ModeOne} {
		for _, inspected := range []bool{false, true} {
			t.Run(fmt.Sprint(mode, " inspected ", inspected), func(t *testing.T) {
				t.Parallel()
				p := newPlan(t, mode)
				if inspected {
					p = ruled(t, mode, clean)
				}
				h := p.open(t)
				i := p.lows[0].pack(t, "cssf", small("x"))
				h.receive(i.from, i.records(true, false, i.chunks[:1]...)...)
				h.becomes(i, ledger.Receiving)
				p.stop(stopped)
				h.receive(i.from, i.whole()...)
				h.becomes(i, ledger.Quarantined)
				if inspected {
					eventually(t, "it was inspected", func() bool { return len(h.record(i).Inspections) == 1 })
				}
				h.is(i, ledger.Quarantined, bundle.ReasonRouteStopped)
				for range 2 {
					if err := h.approve(i, 1); err == nil || !strings.Contains(err.Error(), "route-stopped") {
						t.Errorf("it was approved: %v", err)
					}
					must(t, h.Recheck(t.Context()))
					h.is(i, ledger.Quarantined, bundle.ReasonRouteStopped)
					h = h.again()
					h.is(i, ledger.Quarantined, bundle.ReasonRouteStopped)
				}
				p.stop(nil)
				must(t, h.Recheck(t.Context()))
				if mode == release.ModeOne {
					eventually(t, "it is held no more", func() bool { return h.record(i).Verdict != nil && *h.record(i).Verdict == ledger.Clean })
					must(t, h.approve(i, 1))
				}
				h.becomes(i, ledger.Imported)
				stands(t, p.at(imports), i)
			})
		}
	}
}

// What was clean when the stop came is marked by the look that follows; a rejection is taken all the same, and what is flagged stays flagged.
func TestAStopMarksWhatWasFree(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	h := p.open(t)
	free, unwanted := p.lows[0].pack(t, "cssf", small("free")), p.lows[0].pack(t, "cssf", small("unwanted"))
	h.take(free, ledger.Quarantined)
	h.take(unwanted, ledger.Quarantined)
	p.stop(stopped)
	if err := h.approve(free, 1); err == nil || !strings.Contains(err.Error(), "by ann") { // before anything was marked
		t.Errorf("it was approved: %v", err)
	}
	must(t, h.Recheck(t.Context()))
	if r := h.judgedAs(free, ledger.Pending, bundle.ReasonRouteStopped); !strings.Contains(r.Detail, "by ann") {
		t.Errorf("it says %q", r.Detail)
	}
	must(t, h.reject(unwanted, 1, "not ours"))
	h.becomes(unwanted, ledger.Rejected)
	p.stop(bundle.Reject(bundle.ReasonRouteExpired, "G-2", "it ended"))
	must(t, h.Recheck(t.Context()))
	h.judgedAs(free, ledger.Pending, bundle.ReasonRouteExpired)
	p.stop(nil)
	must(t, h.Recheck(t.Context()))
	h.judgedAs(free, ledger.Clean, bundle.ReasonNotInspected)

	flagging := ruled(t, release.ModeOne, flags)
	h = flagging.open(t)
	i := flagging.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	h.judgedAs(i, ledger.Flagged, bundle.ReasonPolicyText)
	flagging.stop(stopped)
	must(t, h.Recheck(t.Context()))
	h.judgedAs(i, ledger.Flagged, bundle.ReasonPolicyText)
}

// What was approved and is not delivered stays so, with the reason, over a restart as well; the destination sees nothing of it.
func TestAStopKeepsWhatWasApproved(t *testing.T) {
	t.Parallel()
	for _, again := range []string{"in this life", "in the next"} {
		p := newPlan(t, release.ModeOne)
		h := p.open(t)
		i := p.lows[0].pack(t, "cssf", small("x"))
		h.take(i, ledger.Quarantined)
		must(t, os.Rename(p.at(imports), p.at("away")))
		must(t, h.approve(i, 1))
		eventually(t, "it cannot be delivered", func() bool { return reasonOf(h.record(i)) == bundle.ReasonDestination })
		p.stop(stopped)
		must(t, os.Rename(p.at("away"), p.at(imports)))
		if again != "in this life" {
			h = h.again()
		}
		if err := h.Deliver(t.Context(), i.id()); err == nil || !strings.Contains(err.Error(), "route-stopped") {
			t.Errorf("%s: it was delivered: %v", again, err)
		}
		h.is(i, ledger.Approved, bundle.ReasonRouteStopped)
		if names, err := os.ReadDir(p.at(imports)); err != nil || len(names) > 0 {
			t.Errorf("%s: at the destination stand %v, %v", again, names, err)
		}
		p.stop(nil)
		must(t, h.Recheck(t.Context()))
		if r := h.becomes(i, ledger.Imported); reasonOf(r) != bundle.ReasonNotInspected {
			t.Errorf("%s: it is imported, reason %q", again, reasonOf(r))
		}
		stands(t, p.at(imports), i)
	}
}

// A transfer that takes hours does not go on behind a stop.
func TestAStopEndsATransferThatIsUnderWay(t *testing.T) {
	t.Parallel()
	far := &shelf{name: "far", hangs: true}
	p, h := shelved(t, release.ModeAutomatic, nil, far)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Approved)
	eventually(t, "it is on its way", func() bool { return far.tried.Load() == 1 })
	p.stop(stopped)
	eventually(t, "it is held", func() bool { return reasonOf(h.record(i)) == bundle.ReasonRouteStopped })
	h.is(i, ledger.Approved, bundle.ReasonRouteStopped)
	eventually(t, "it has ended", func() bool { return far.ended.Load() == far.tried.Load() }) // it is seen in the record before, and within a second here
	far.set(func() { far.hangs = false })
	time.Sleep(50 * time.Millisecond)
	if far.holds() != "" {
		t.Errorf("there stand %s", far.holds())
	}
	p.stop(nil)
	must(t, h.Recheck(t.Context()))
	h.becomes(i, ledger.Imported)
}

// A route that is opened again before what was held for it is on record leaves nothing behind: who looked at all that was held has not seen that.
func TestWhatIsHeldAsItsRouteOpensGoesOn(t *testing.T) {
	t.Parallel()
	for brief := 1; brief < 3; brief++ { // who prepares the delivery asks, and who judges; that is all
		p := newPlan(t, release.ModeAutomatic)
		h := p.open(t)
		i := p.lows[0].pack(t, "cssf", small("x"))
		h.receive(i.from, i.records(true, false, i.chunks[0])...)
		h.staged(i, chunkSize)
		p.mu.Lock()
		p.brief = brief
		p.mu.Unlock()
		h.receive(i.from, i.records(false, true, i.chunks...)...)
		h.becomes(i, ledger.Imported)
		if held := h.logs.FilterMessage("trust has changed").Len(); held != brief-1 {
			t.Errorf("it was held %d times, and %d were told", held, brief)
		}
	}
}

// A stop between any two questions: the walk of a bundle ends right there, and not one step later. Every step that admits, releases or delivers asks, the last time in the change that would do it.
func TestAStopAtAnyMomentOfAWalkEndsIt(t *testing.T) {
	t.Parallel()
	order := []ledger.State{ledger.Refused, ledger.Quarantined, ledger.Approved, ledger.Imported}
	for mode, least := range map[release.Mode][]int{release.ModeOne: {1, 3, 2, 1}, release.ModeAutomatic: {1, 3, 2, 1}} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			ends := make([]int, len(order))
			for after, at := 0, 0; at < len(order)-1; after++ {
				if after > 50 {
					t.Fatalf("it was never imported: %v", ends)
				}
				p := newPlan(t, mode)
				p.after = after
				if after == 0 {
					p.stop(stopped)
				}
				h := p.open(t)
				i := p.lows[0].pack(t, "cssf", small("x"))
				h.receive(i.from, i.whole()...)
				var r *ledger.Record
				settles := func(done func() bool) { eventually(t, "it has come as far as it may", done) }
				settles(func() bool {
					r = h.record(i)
					return r.State == ledger.Refused || r.State == ledger.Quarantined ||
						r.State == ledger.Approved && reasonOf(r) == bundle.ReasonRouteStopped || r.State == ledger.Imported
				})
				if mode == release.ModeOne && r.State == ledger.Quarantined && h.approve(i, 1) == nil {
					settles(func() bool {
						r = h.record(i)
						return r.State == ledger.Imported || r.State == ledger.Approved && reasonOf(r) == bundle.ReasonRouteStopped
					})
				}
				r = h.record(i)
				now := slices.Index(order, r.State)
				if now < at {
					t.Errorf("after %d questions it is %s, and %s one before", after, describe(r), order[at])
				}
				at = now
				ends[at]++
				if names, err := os.ReadDir(p.at(imports)); err != nil || (len(names) > 0) != (r.State == ledger.Imported) {
					t.Errorf("after %d questions it is %s, and at the destination stand %v, %v", after, describe(r), names, err)
				}
				if r.State == ledger.Refused {
					continue
				}
				p.mu.Lock()
				p.after, p.shut = 0, nil
				p.mu.Unlock()
				must(t, h.Recheck(t.Context()))
				if mode == release.ModeOne && r.State == ledger.Quarantined {
					eventually(t, "it may be approved", func() bool { return h.approve(i, 1) == nil })
				}
				h.becomes(i, ledger.Imported)
				stands(t, p.at(imports), i)
				must(t, h.end(true))
			}
			for n, count := range ends {
				if count < least[n] {
					t.Errorf("%d stops ended as %s, want %d at least: somebody does not ask (%v)", count, order[n], least[n], ends)
				}
			}
		})
	}
}
