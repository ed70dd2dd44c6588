package chamber

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
	"ecluse/receiver/release"
)

const everything = `namespaces="bundle@ecluse,abandon@ecluse,session@ecluse"`

func TestARefusalHasItsReasonAndLeavesNothing(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name string
		want bundle.Reason
		plan func(p *plan)
		item func(t *testing.T, l *low) *item
	}{
		{name: "tenant unknown", want: bundle.ReasonTenantUnknown, item: func(t *testing.T, l *low) *item { return l.pack(t, "nobody", small("x")) }},
		{name: "tenant of others", want: bundle.ReasonTenantNotAllowed, plan: func(p *plan) { p.allowed = map[bundle.Name][]bundle.Name{"other": {"cssf"}} }},
		{name: "quota", want: bundle.ReasonQuota, plan: func(p *plan) { x := p.tenants["cssf"]; x.Quota = 100; p.tenants["cssf"] = x }},
		{name: "disk full", want: bundle.ReasonDiskFull, plan: func(p *plan) { p.bytes = 1<<20 + 1000 }},
		{name: "no inodes", want: bundle.ReasonDiskFull, plan: func(p *plan) { p.inodes = 20 }},
		{name: "other receiver", want: bundle.ReasonManifestReceiver, item: func(t *testing.T, l *low) *item {
			return l.pack(t, "cssf", small("x"), func(m *bundle.Manifest) { m.Receiver = bundle.Digest{1} })
		}},
		{name: "other sender", want: bundle.ReasonManifestSender, item: func(t *testing.T, l *low) *item {
			return l.pack(t, "cssf", small("x"), func(m *bundle.Manifest) { m.Sender = "other" })
		}},
		{name: "another tenant inside", want: bundle.ReasonManifestMismatch, item: func(t *testing.T, l *low) *item {
			return l.pack(t, "cssf", small("x"), func(m *bundle.Manifest) { m.Tenant = "other" })
		}},
		{name: "bad signature", want: bundle.ReasonSignatureInvalid, item: func(t *testing.T, l *low) *item {
			i := l.pack(t, "cssf", small("x"))
			i.close.Signature[len(i.close.Signature)-1] ^= 1
			return i
		}},
		{name: "signature over an abandon", want: bundle.ReasonSignatureFormat, item: func(t *testing.T, l *low) *item {
			i := l.pack(t, "cssf", small("x"))
			i.close.Signature = l.sign(t, bundle.NamespaceAbandon, i.text)
			return i
		}},
		{name: "key not enrolled", want: bundle.ReasonSignerUnknown, plan: func(p *plan) { p.signers = "# nobody\n" }},
		{name: "key expired", want: bundle.ReasonSignerExpired, plan: func(p *plan) { p.signers = p.lows[0].line(`valid-before="20260901Z",` + everything) }},
		{name: "key not yet valid", want: bundle.ReasonSignerNotYetValid, plan: func(p *plan) { p.signers = p.lows[0].line(`valid-after="20261001Z",` + everything) }},
		{name: "key for sessions only", want: bundle.ReasonSignerNamespace, plan: func(p *plan) { p.signers = p.lows[0].line(`namespaces="session@ecluse"`) }},
		{name: "names policy", want: bundle.ReasonPathPortable, plan: func(p *plan) { x := p.tenants["cssf"]; x.Names = bundle.Portable; p.tenants["cssf"] = x },
			item: func(t *testing.T, l *low) *item { return l.pack(t, "cssf", map[string]string{"x/con": "device"}) }},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := newPlan(t, release.ModeAutomatic)
			if row.plan != nil {
				row.plan(p)
			}
			h := p.open(t)
			var i *item
			if row.item != nil {
				i = row.item(t, p.lows[0])
			} else {
				i = p.lows[0].pack(t, "cssf", small("x"))
			}
			h.take(i, ledger.Refused)
			h.is(i, ledger.Refused, row.want)
			h.nothingHeld(i)
			if names(t, p.at(imports)) != "" {
				t.Error("it was delivered")
			}
			h.receive(i.from, i.whole()...) // a second pass changes nothing
			h = h.again()
			h.receive(i.from, i.whole()...)
			time.Sleep(20 * time.Millisecond)
			h.is(i, ledger.Refused, row.want)
			h.nothingHeld(i)
		})
	}
}

// For whatever reason an offer was refused, the next life knows of it: what repeats it is no news, and it counts among those of its sender that are kept.
func TestARefusalIsNoNewsToTheNextLife(t *testing.T) {
	t.Parallel()
	for want, plan := range map[bundle.Reason]func(p *plan){
		bundle.ReasonTenantUnknown:    func(p *plan) { delete(p.tenants, "cssf") },
		bundle.ReasonTenantNotAllowed: func(p *plan) { p.allowed = map[bundle.Name][]bundle.Name{"other": {"cssf"}} },
		bundle.ReasonQuota:            func(p *plan) { x := p.tenants["cssf"]; x.Quota = 100; p.tenants["cssf"] = x },
		bundle.ReasonEnvelope: func(p *plan) {
			p.envelope = func(*house, bundle.Name, int64, int64) error {
				return bundle.Reject(bundle.ReasonEnvelope, "G-2", "it is used up")
			}
		},
		bundle.ReasonDiskFull:     func(p *plan) { p.bytes = 1<<20 + 1000 },
		bundle.ReasonRouteStopped: func(p *plan) { p.stop(stopped) },
		bundle.ReasonRouteExpired: func(p *plan) { p.stop(bundle.Reject(bundle.ReasonRouteExpired, "G-2", "it ended")) },
	} {
		t.Run(string(want), func(t *testing.T) {
			t.Parallel()
			p := newPlan(t, release.ModeOne)
			p.audited = true
			plan(p)
			h := p.open(t)
			i := p.lows[0].pack(t, "cssf", small("x"))
			told := func() (events []string) {
				for _, e := range p.entries(t) {
					if e.Bundle == i.id().String() {
						events = append(events, e.Event)
					}
				}
				return events
			}
			h.receive(i.from, &i.offer)
			h.becomes(i, ledger.Refused)
			h.is(i, ledger.Refused, want)
			at := h.record(i).Changed
			for range 2 {
				h = h.again()
				p.advance(time.Minute)
				h.receive(i.from, &i.offer)
				if r := h.record(i); !r.Changed.Equal(at) || reasonOf(r) != want {
					t.Errorf("it is %s, and was changed at %v, first at %v", describe(r), r.Changed, at)
				}
				if events := told(); !slices.Equal(events, []string{"refused"}) {
					t.Errorf("the log tells of %v", events)
				}
				h.mu.Lock()
				if kept := h.refusals.kept["low"]; !slices.Equal(kept, []bundle.ID{i.id()}) {
					t.Errorf("%v are known to be refused", kept)
				}
				h.mu.Unlock()
			}
		})
	}
}

// five makes senders s0 to s4 and tenants t0 to t4; each sender may use the tenant of its number.
func five(t *testing.T) *plan {
	p := newPlan(t, release.ModeOne)
	p.lows, p.tenants, p.allowed = nil, make(map[bundle.Name]Tenant), make(map[bundle.Name][]bundle.Name)
	for n := range 5 {
		sender, tenant := bundle.Name(fmt.Sprint("s", n)), bundle.Name(fmt.Sprint("t", n))
		p.lows = append(p.lows, newLow(t, sender, byte(n+1)))
		p.tenant(tenant, release.ModeOne, imports)
		p.allowed[sender] = []bundle.Name{tenant}
	}
	return p
}

func TestOnlyTheEnrolledTenantOfASenderIsTaken(t *testing.T) {
	t.Parallel()
	p := five(t)
	h := p.open(t)
	for n, l := range p.lows {
		for m := range 5 {
			i := l.pack(t, bundle.Name(fmt.Sprint("t", m)), map[string]string{"x": "content"})
			if n == m {
				h.take(i, ledger.Quarantined)
				continue
			}
			h.take(i, ledger.Refused)
			h.is(i, ledger.Refused, bundle.ReasonTenantNotAllowed)
			h.unstaged(i)
		}
	}
	for n := range 5 {
		if got := names(t, p.at(state, "quarantine", fmt.Sprint("t", n))); strings.Contains(got, " ") || got == "" {
			t.Errorf("tenant %d holds %q, want one bundle", n, got)
		}
	}
}

func TestOnlyTheKeyOfTheSessionSignsForIt(t *testing.T) {
	t.Parallel()
	p := five(t)
	h := p.open(t)
	for n, l := range p.lows {
		for m, signer := range p.lows {
			head := l.heads["t0"]
			i := l.pack(t, bundle.Name(fmt.Sprint("t", n)), map[string]string{"x": "content"})
			i.close.Signature = signer.sign(t, bundle.NamespaceBundle, i.text)
			if n == m {
				h.take(i, ledger.Quarantined)
				continue
			}
			h.take(i, ledger.Refused)
			h.is(i, ledger.Refused, bundle.ReasonSignerOther)
			l.heads["t0"] = head
		}
	}
}

func TestASenderThatLostItsTenantWhileItSentIsRefused(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.receive(i.from, i.records(true, false, i.chunks...)...)
	h.staged(i, int64(i.offer.Bytes))
	h.becomes(i, ledger.Receiving)
	h.trust.Set(h.trust.Signers(), nil)
	h.receive(i.from, i.records(false, true)...)
	h.becomes(i, ledger.Refused)
	h.is(i, ledger.Refused, bundle.ReasonTenantNotAllowed)
	h.nothingHeld(i)
}

func TestTheSameBundleComesInOnce(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Imported)
	stands(t, p.at(imports), i)
	for range 2 {
		h.receive(i.from, i.whole()...)
		h = h.again()
		h.receive(i.from, i.whole()...)
	}
	time.Sleep(50 * time.Millisecond)
	h.is(i, ledger.Imported, bundle.ReasonNotInspected)
	stands(t, p.at(imports), i)
	h.unstaged(i)
}

func TestTheChainRefusesForksAndWhatWasForgottenOrReplaced(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	h := p.open(t)
	l := p.lows[0]
	twin := newLow(t, "low", 1) // the same key and epoch in two places
	first := l.pack(t, "cssf", small("first"))
	second := l.pack(t, "cssf", small("second"))
	h.take(second, ledger.Quarantined) // before its predecessor: which blocks nothing
	h.take(first, ledger.Quarantined)
	fork := twin.pack(t, "cssf", small("fork"))
	h.take(fork, ledger.Refused)
	h.is(fork, ledger.Refused, bundle.ReasonSequenceFork)
	h.nothingHeld(fork)
	after := twin.pack(t, "cssf", small("after"), func(m *bundle.Manifest) { m.Sequence = 3 })
	h.take(after, ledger.Refused)
	h.is(after, ledger.Refused, bundle.ReasonSequenceFork)
	h.is(first, ledger.Quarantined, bundle.ReasonNotInspected)

	must(t, h.ledger.Pair(t.Context(), l.name, bundle.Epoch{9}))
	old := l.pack(t, "cssf", small("old"))
	h.take(old, ledger.Refused)
	h.is(old, ledger.Refused, bundle.ReasonSequenceRollback)
	h.nothingHeld(old)
}

func TestWhatWasForgottenDoesNotComeBack(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Imported)
	p.advance(2000 * time.Hour)
	must(t, h.purge())
	h = h.again()
	h.take(i, ledger.Refused)
	h.is(i, ledger.Refused, bundle.ReasonSequenceRollback)
	h.nothingHeld(i)
	stands(t, p.at(imports), i)
}

func TestQuotaCountsWhatIsHeldAndWhatIsComing(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	x := p.tenants["cssf"]
	x.Quota = 2500
	p.tenants["cssf"] = x
	h := p.open(t)
	l := p.lows[0]
	thousand := func() *item { return l.pack(t, "cssf", map[string]string{"x": strings.Repeat("x", 1000)}) }
	held, coming, much := thousand(), thousand(), thousand()
	h.take(held, ledger.Quarantined)
	h.receive(l, &coming.offer)
	h.becomes(coming, ledger.Receiving)
	h.receive(l, &much.offer)
	h.becomes(much, ledger.Refused)
	h.is(much, ledger.Refused, bundle.ReasonQuota)
	must(t, h.reject(held, 1, "not wanted"))
	again := thousand()
	h.receive(l, &again.offer)
	h.becomes(again, ledger.Receiving)
}

// What an envelope does not hold is refused before a byte of it is taken, whatever of it is counted, held or coming; raised, it takes what is offered again.
func TestAnEnvelopeThatStopsRefusesWhatIsBeyondIt(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	var most atomic.Int64
	most.Store(2500)
	p.envelope = func(h *house, tenant bundle.Name, coming, bytes int64) error {
		if counted := h.ledger.Counted(tenant); counted+coming+bytes > most.Load() {
			return bundle.Reject(bundle.ReasonEnvelope, "G-2", "%d, %d and %d", counted, coming, bytes)
		}
		return nil
	}
	h := p.open(t)
	l := p.lows[0]
	thousand := func() *item { return l.pack(t, "cssf", map[string]string{"x": strings.Repeat("x", 1000)}) }
	counted, coming, much := thousand(), thousand(), thousand()
	h.take(counted, ledger.Quarantined)
	must(t, h.reject(counted, 1, "it counts all the same"))
	h.receive(l, &coming.offer)
	h.becomes(coming, ledger.Receiving)
	h.receive(l, &much.offer)
	h.becomes(much, ledger.Refused)
	h.is(much, ledger.Refused, bundle.ReasonEnvelope)
	if n := h.ledger.Counted("cssf"); n != 1000 {
		t.Errorf("%d bytes are counted", n)
	}
	most.Store(3000)
	p.advance(6 * time.Second) // a refused offer is asked about again by then
	h.take(much, ledger.Quarantined)
}

// Rows that an open month of the account needs stay, whatever keep.rows says.
func TestRowsThatTheAccountNeedsAreNotPurged(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	p.keep = Keep{Imported: time.Hour, Rejected: 2 * time.Hour, Damaged: time.Hour, Rows: 3 * time.Hour}
	var open atomic.Pointer[time.Time]
	open.Store(&began)
	p.purgeable = func(before time.Time, after time.Duration) time.Time {
		if after != 2*time.Hour {
			t.Errorf("rows count for %v behind their end", after)
		}
		return *open.Load()
	}
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	must(t, h.reject(i, 1, "no"))
	p.advance(100 * time.Hour)
	must(t, h.purge())
	h.is(i, ledger.Rejected, bundle.ReasonRejected)
	now := p.clock()
	open.Store(&now)
	must(t, h.purge())
	if _, err := h.ledger.Get(i.id()); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("it is still known: %v", err)
	}
}

func TestWhatHasArrivedOfOthersIsNotCountedTwice(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	h := p.open(t)
	l := p.lows[0]
	big := l.pack(t, "cssf", map[string]string{"big": strings.Repeat("0123456789abcdef", 4096)}) // 64 KiB
	h.receive(l, big.records(true, false, big.chunks[:15]...)...)
	h.staged(big, 60<<10)
	p.mu.Lock()
	p.bytes = 1<<20 + 20<<10 // what is free beside those 60 KiB: the 4 that are to come, and 16
	p.mu.Unlock()
	fits := l.pack(t, "cssf", map[string]string{"x": strings.Repeat("x", 10<<10)})
	h.receive(l, &fits.offer)
	h.becomes(fits, ledger.Receiving)
	not := l.pack(t, "cssf", map[string]string{"x": strings.Repeat("x", 10<<10)})
	h.receive(l, &not.offer)
	h.becomes(not, ledger.Refused)
	h.is(not, ledger.Refused, bundle.ReasonDiskFull)
}

func TestAnErrorOfOursIsNoRefusal(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	h := p.prepare(t)
	broken := true
	h.o.Space = func() (int64, int64, error) {
		if broken {
			return 0, 0, errBroken
		}
		return p.space()
	}
	h.run()
	t.Cleanup(func() { h.end(true) })
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.receive(i.from, i.whole()...)
	if _, err := h.ledger.Get(i.id()); err == nil {
		t.Errorf("it is on record: %s", describe(h.record(i)))
	}
	h = h.again()
	h.take(i, ledger.Quarantined)
	if all := h.logs.All(); slices.ContainsFunc(all, func(e logEntry) bool { return e.Message == "refused" }) {
		t.Error("something was refused")
	}
}
