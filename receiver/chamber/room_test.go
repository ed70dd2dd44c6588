package chamber

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
	"ecluse/receiver/ledger"
	"ecluse/receiver/release"
)

// has says what the disk has left.
func (p *plan) has(bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytes = bytes
}

// What there was no room for comes in when there is, by the offer of a pass that is still under way, of a later one, or of a repair, in this life or the next.
func TestWhatThereWasNoRoomForComesInWhenThereIs(t *testing.T) {
	t.Parallel()
	for name, fill := range map[string]func(p *plan, full bool){
		"disk-full": func(p *plan, full bool) {
			p.has(map[bool]int64{true: 1<<20 + 1000, false: 1 << 40}[full])
		},
		"quota": func(p *plan, full bool) {
			x := p.tenants["cssf"]
			x.Quota = map[bool]int64{true: 100, false: 0}[full]
			p.tenants["cssf"] = x
		},
		"route-stopped": func(p *plan, full bool) {
			p.stop(map[bool]error{true: stopped}[full])
		},
		"route-expired": func(p *plan, full bool) {
			p.stop(map[bool]error{true: bundle.Reject(bundle.ReasonRouteExpired, "G-2", "it ended")}[full])
		},
	} {
		for _, again := range []string{"in this life", "in the next", "in the next, after a crash"} {
			t.Run(name+" "+again, func(t *testing.T) {
				t.Parallel()
				p := newPlan(t, release.ModeAutomatic)
				fill(p, true)
				h := p.open(t)
				i := p.lows[0].pack(t, "cssf", small("x"))
				h.take(i, ledger.Refused)
				for range 3 { // it is asked again, and the answer is no news
					p.advance(6 * time.Second)
					h.receive(i.from, i.whole()...)
				}
				h.is(i, ledger.Refused, bundle.Reason(name))
				h.nothingHeld(i)
				if n := h.logs.FilterMessage("refused").Len(); n != 1 {
					t.Errorf("it was logged %d times", n)
				}
				if again != "in this life" {
					must(t, h.end(!strings.Contains(again, "crash")))
				}
				fill(p, false)
				if again == "in this life" {
					p.advance(6 * time.Second)
				} else {
					h = p.open(t) // the first offer of a life is asked about: a repair may have no other
				}
				h.receive(i.from, i.records(true, false, i.chunks[:2]...)...)
				r := h.becomes(i, ledger.Receiving)
				if r.Reason != nil || r.Detail != "" {
					t.Errorf("it comes in, and its reason is %v, %q", *r.Reason, r.Detail)
				}
				h.staged(i, 2*chunkSize)
				if strings.Contains(again, "crash") {
					time.Sleep(20 * time.Millisecond)
					must(t, h.end(false))
					h = p.open(t)
					h.becomes(i, ledger.Receiving)
				}
				h.receive(i.from, i.whole()...)
				h.becomes(i, ledger.Imported)
				stands(t, p.at(imports), i)
			})
		}
	}
}

// A crash between the move into quarantine and the record leaves what was refused before on record as that, with all of it staged: the next life finishes it.
func TestWhatThereIsRoomForNowIsFinishedByTheNextLife(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	p.has(1<<20 + 1000)
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Refused)
	p.has(1 << 40)
	p.advance(6 * time.Second)
	at := Dir(p.at(state), "cssf", i.id())
	p.disk.set(func(act, path string) error {
		if _, err := os.Lstat(at); act == "sync" && path == p.at(state) && err == nil {
			return errBroken
		}
		return nil
	})
	h.receive(i.from, i.whole()...)
	<-h.fatal
	if err := h.end(false); !errors.Is(err, ledger.ErrFatal) {
		t.Fatalf("the ledger ended with %v", err)
	}
	p.disk.set(nil)
	h = p.open(t)
	h.becomes(i, ledger.Imported)
	stands(t, p.at(imports), i)
}

func TestWhatWasRefusedForAnotherReasonStaysRefused(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	p.allowed = map[bundle.Name][]bundle.Name{"other": {"cssf"}}
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Refused)
	p.allowed = nil
	h.trusted("")
	for range 3 {
		p.advance(6 * time.Second)
		h.receive(i.from, i.whole()...)
	}
	time.Sleep(20 * time.Millisecond)
	h.is(i, ledger.Refused, bundle.ReasonTenantNotAllowed)
}

// An offer of which nothing comes keeps others out for minutes, not for as long as damaged bundles are kept.
func TestThePlaceOfWhatDoesNotComeIsLent(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	h := p.open(t)
	l := p.lows[0]
	idle := l.pack(t, "cssf", small("idle"))
	idle.offer.Bytes = 1 << 30
	p.has(1<<20 + 1<<30 + 1000)
	h.receive(l, idle.records(true, false)...)
	h.becomes(idle, ledger.Receiving)
	next := l.pack(t, "cssf", small("next"))
	h.take(next, ledger.Refused)
	h.is(next, ledger.Refused, bundle.ReasonDiskFull)
	p.advance(7 * p.idle)
	h.becomes(idle, ledger.Damaged)
	p.advance(lendAfter)
	p.advance(6 * time.Second)
	h.receive(l, next.records(true, false)...)
	p.advance(6 * time.Second)
	h.receive(l, next.whole()...)
	h.becomes(next, ledger.Imported)

	h.receive(l, idle.records(false, false, idle.chunks[0])...) // it comes after all, and counts again
	h.becomes(idle, ledger.Receiving)
	third := l.pack(t, "cssf", small("third"))
	h.take(third, ledger.Refused)
	h.is(third, ledger.Refused, bundle.ReasonDiskFull)
}

// A sender can offer without end. What is on record of that is bounded, and the rest counted.
func TestRefusedOffersLeaveABoundedRecord(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	h := p.open(t)
	l := p.lows[0]
	good := l.pack(t, "cssf", small("x"))
	h.take(good, ledger.Imported)
	i := l.pack(t, "nobody", map[string]string{"x": "x"})
	offer := func(from, to int) {
		for n := from; n < to; n += 25 {
			var offers []record.Record
			for m := n; m < n+25; m++ {
				o := i.offer
				o.Bundle = bundle.ID{byte(m >> 8), byte(m), 99}
				offers = append(offers, &o)
			}
			h.receive(l, offers...)
		}
	}
	const half = refusalsMost + refusalsShare/2
	offer(0, half)
	h = h.again() // the bound holds over lives
	offer(half, 2*half)
	files := func() (n int) {
		groups, err := os.ReadDir(p.at(state, "bundles"))
		must(t, err)
		for _, g := range groups {
			if entries, err := os.ReadDir(p.at(state, "bundles", g.Name())); err == nil {
				n += len(entries)
			}
		}
		return n
	}
	newest := bundle.ID{byte((2*half - 1) >> 8), byte((2*half - 1) & 255), 99}
	eventually(t, "the newest is on record", func() bool { r, err := h.ledger.Get(newest); return err == nil && r.State == ledger.Refused })
	eventually(t, "the oldest are removed", func() bool { return files() <= refusalsMost+refusalsShare+1 })
	if beyond, _ := h.Refusals(); beyond["low"] < half-refusalsShare || beyond["low"]%refusalsShare != 0 {
		t.Errorf("%d are counted beyond those on record", beyond["low"])
	}
	h.is(good, ledger.Imported, bundle.ReasonNotInspected)
}

// A forged abandon ends nothing, and a flood of them fills no log.
func TestForgedAbandonsAreCountedAndNotLogged(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	h := p.open(t)
	l := p.lows[0]
	i := l.pack(t, "cssf", small("x"))
	h.damaged(i, 0)
	var forged []record.Record
	for n := range 50 {
		a := i.abandon(t, l)
		a.Reason = fmt.Sprint("because ", n)
		forged = append(forged, a)
	}
	lines := h.logs.Len()
	h.receive(l, forged...)
	if _, ignored := h.Refusals(); ignored[bundle.ReasonAbandonSignature] != 50 {
		t.Errorf("%v were counted", ignored)
	}
	if n := h.logs.Len() - lines; n > 0 {
		t.Errorf("they took %d lines of the log", n)
	}
	if r := h.record(i); r.State == ledger.Abandoned {
		t.Error("it was abandoned")
	}
}
