package chamber

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/receiver/assemble"
	"ecluse/receiver/ledger"
	"ecluse/receiver/release"
)

const papers = "SHA256SUMS manifest.json manifest.json.sig"

// damaged has an item come in part, until it is damaged.
func (h *house) damaged(i *item, chunks ...int) {
	h.t.Helper()
	all := i.records(true, true)
	for _, n := range chunks {
		all = append(all, i.records(false, false, i.chunks[n])...)
	}
	h.receive(i.from, all...)
	h.becomes(i, ledger.Receiving)
	h.staged(i, int64(len(chunks))*chunkSize)
	h.p.advance(2 * h.p.idle)
	h.becomes(i, ledger.Damaged)
}

func TestADamagedBundleIsMadeWholeByALaterPass(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.damaged(i, 0, 2)
	h.is(i, ledger.Damaged, bundle.ReasonGaps)
	if r := h.record(i); *r.MissingBytes < chunkSize || *r.Sequence != 1 {
		t.Errorf("%d bytes are missing, sequence %d", *r.MissingBytes, *r.Sequence)
	}
	h = h.again()
	h.becomes(i, ledger.Receiving) // taken up again
	h.receive(i.from, i.records(true, true, i.chunks[1:]...)...)
	h.becomes(i, ledger.Imported)
	stands(t, p.at(imports), i)
}

func TestWrongContentIsMissingAgain(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	wrong := i.chunks[1]
	content := make([]byte, wrong.Raw)
	wrong.Frame = encoder.EncodeAll(content, nil)
	h.receive(i.from, i.records(true, true, wrong)...)
	h.staged(i, chunkSize)
	h.receive(i.from, i.records(true, true, i.chunks...)...)
	h.becomes(i, ledger.Damaged)
	h.is(i, ledger.Damaged, bundle.ReasonGaps)
	if names(t, p.at(imports)) != "" || names(t, p.quarantine(i)) != "" {
		t.Error("it went on")
	}
	h.receive(i.from, i.records(true, true, i.chunks...)...)
	h.becomes(i, ledger.Imported)
	stands(t, p.at(imports), i)
}

func TestOnlyItsSenderAbandonsABundle(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	p.lows = append(p.lows, newLow(t, "other", 2))
	h := p.open(t)
	l, other := p.lows[0], p.lows[1]
	i := l.pack(t, "cssf", small("x"))
	h.receive(l, i.records(true, true, i.chunks[0])...)
	h.becomes(i, ledger.Receiving)
	forged := i.abandon(t, l)
	forged.Signature[len(forged.Signature)-1] ^= 1
	h.receive(l, forged)
	h.receive(l, i.abandon(t, newLow(t, "stranger", 3)))
	h.receive(l, i.abandon(t, other))
	h.receive(other, i.abandon(t, other))
	h.receive(other, i.abandon(t, l))
	elsewhere := i.abandon(t, l)
	elsewhere.Bundle = l.pack(t, "cssf", small("y")).id()
	h.receive(l, elsewhere)
	time.Sleep(50 * time.Millisecond)
	h.is(i, ledger.Receiving, "")
	h.receive(l, i.abandon(t, l))
	h.becomes(i, ledger.Abandoned)
	h.is(i, ledger.Abandoned, bundle.ReasonAbandonedSender)
	h.nothingHeld(i)
	h.receive(l, i.whole()...)
	h = h.again()
	h.receive(l, i.whole()...)
	time.Sleep(20 * time.Millisecond)
	h.is(i, ledger.Abandoned, bundle.ReasonAbandonedSender)
	h.nothingHeld(i)
}

func TestAForgedAbandonDoesNotKeepABundleOut(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	p.lows = append(p.lows, newLow(t, "other", 2))
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.receive(p.lows[0], i.records(true, false, i.chunks[0])...)
	h.becomes(i, ledger.Receiving)
	h.receive(p.lows[1], i.abandon(t, p.lows[1]), &i.close)
	h.take(i, ledger.Quarantined)
	h.receive(p.lows[0], i.abandon(t, p.lows[0])) // too late: it is held
	time.Sleep(20 * time.Millisecond)
	h.is(i, ledger.Quarantined, bundle.ReasonNotInspected)
}

func TestWhatIsAbandonedWhileItIsVerifiedLeavesNothing(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	h := p.open(t)
	gate := &slowSigners{Signers: h.trust.Signers(), entered: make(chan struct{}, 9), open: make(chan struct{})}
	h.trust.Set(gate, map[bundle.Name][]bundle.Name{"low": {"cssf"}})
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.receive(i.from, i.whole()...)
	<-gate.entered
	h.abandon(i.id(), bundle.ReasonAbandonedSender, "given up", ledger.Receiving)
	h.is(i, ledger.Abandoned, bundle.ReasonAbandonedSender)
	close(gate.open)
	h.nothingHeld(i)
	h.is(i, ledger.Abandoned, bundle.ReasonAbandonedSender)
}

func TestPurge(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	p.idle, p.keep = time.Minute, Keep{Imported: 10 * time.Hour, Rejected: 20 * time.Hour, Damaged: 30 * time.Hour, Rows: 100 * time.Hour}
	h := p.open(t)
	l := p.lows[0]
	imported, rejected, refused := l.pack(t, "cssf", small("imported")), l.pack(t, "cssf", small("rejected")), l.pack(t, "cssf", small("refused"))
	for _, i := range []*item{imported, rejected, refused} {
		h.take(i, ledger.Quarantined)
	}
	must(t, h.approve(imported, 1))
	h.becomes(imported, ledger.Imported)
	must(t, h.reject(rejected, 1, "no"))
	must(t, os.WriteFile(filepath.Join(p.quarantine(refused), "files", "refused", "a"), nil, 0o600))
	refusedError(t, h.approve(refused, 1), "refused")
	partly, waiting := l.pack(t, "cssf", small("partly")), l.pack(t, "cssf", small("waiting"))
	h.damaged(partly, 0)
	h.take(waiting, ledger.Quarantined)

	step := func(to time.Duration, restart bool) {
		t.Helper()
		p.advance(to)
		if restart {
			h = h.again()
			must(t, h.findContent())
		}
		must(t, h.purge())
	}
	content := func(i *item, want string) {
		t.Helper()
		eventually(t, "in quarantine stand "+want, func() bool { return names(t, p.quarantine(i)) == want })
	}
	must(t, h.purge())
	for _, i := range []*item{imported, rejected} {
		stands(t, filepath.Join(p.quarantine(i), "files"), i)
	}
	step(11*time.Hour, false)
	content(imported, papers)
	stands(t, filepath.Join(p.quarantine(rejected), "files"), rejected)
	step(10*time.Hour, true)
	content(rejected, papers)
	content(refused, papers)
	h.becomes(partly, ledger.Receiving) // by the restart
	h.p.advance(2 * p.idle)
	h.becomes(partly, ledger.Damaged)
	step(31*time.Hour, false)
	h.is(partly, ledger.Abandoned, bundle.ReasonAbandonedExpired)
	h.unstaged(partly)
	h.is(imported, ledger.Imported, bundle.ReasonNotInspected) // its row stays
	step(90*time.Hour, false)
	for _, i := range []*item{imported, rejected, refused} {
		if _, err := h.ledger.Get(i.id()); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("it is still known: %v", err)
		}
		content(i, "")
	}
	h.is(waiting, ledger.Quarantined, bundle.ReasonNotInspected) // undecided things stay
	stands(t, p.at(imports), imported)
}

// Rows that were purged for nothing would raise the floor of their chain, and what is missing below it could never come in any more.
func TestAClockThatIsSetAheadPurgesNothing(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	p.idle, p.keep = time.Minute, Keep{Imported: time.Hour, Rejected: time.Hour, Damaged: time.Hour, Rows: time.Hour}
	h := p.open(t)
	l := p.lows[0]
	imported, rejected, late, partly := l.pack(t, "cssf", small("imported")), l.pack(t, "cssf", small("rejected")), l.pack(t, "cssf", small("late")), l.pack(t, "cssf", small("partly"))
	h.take(rejected, ledger.Quarantined)
	h.take(imported, ledger.Quarantined)
	must(t, h.approve(imported, 1))
	h.becomes(imported, ledger.Imported)
	must(t, h.reject(rejected, 1, "no"))
	h.damaged(partly, 0)
	p.jump(10 * 365 * 24 * time.Hour)
	must(t, h.purge())
	h.is(imported, ledger.Imported, bundle.ReasonNotInspected)
	h.is(partly, ledger.Damaged, bundle.ReasonGaps)
	stands(t, filepath.Join(p.quarantine(rejected), "files"), rejected)
	h.take(late, ledger.Quarantined) // its sequence is below theirs
	p.jump(-10 * 365 * 24 * time.Hour)
	p.advance(2 * time.Hour)
	must(t, h.purge())
	eventually(t, "what has stayed long enough goes", func() bool { return names(t, p.quarantine(rejected)) == "" })
}

func TestAPassThatComesBeforeThePurgeSavesIt(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.damaged(i, 0)
	h.Receiving(i.id())
	h.becomes(i, ledger.Receiving)
	h.abandon(i.id(), bundle.ReasonAbandonedExpired, "too late", ledger.Damaged)
	h.is(i, ledger.Receiving, "")
}

func TestMoreContentIsPurgedThanOneQueryGives(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	p.keep.Imported = time.Hour
	h := p.prepare(t)
	h.runAtRest()     // nobody else looks
	const many = 1500 // ledger.Older gives a thousand
	tenant := p.at(state, "quarantine", "cssf")
	for n := range many {
		id := bundle.ID{1, byte(n >> 8), byte(n)}
		must(t, os.MkdirAll(filepath.Join(tenant, id.String(), "files", "x"), 0o700))
		h.keepUntil(&ledger.Record{Bundle: id, Tenant: "cssf", State: ledger.Imported}, p.clock())
	}
	p.advance(2 * time.Hour)
	must(t, h.purge())
	left, err := filepath.Glob(filepath.Join(tenant, "*", "files"))
	if err != nil || len(left) != 0 || len(h.due) != 0 {
		t.Errorf("%d still have content, %d are due, %v", len(left), len(h.due), err)
	}
}

func TestARestartTakesUpWhatWasComing(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	x := p.tenants["cssf"]
	x.Quota = 20 << 10
	p.tenants["cssf"] = x
	h := p.open(t)
	l := p.lows[0]
	coming, done := l.pack(t, "cssf", small("coming")), l.pack(t, "cssf", map[string]string{"x": "small"})
	h.take(done, ledger.Quarantined)
	h.receive(l, coming.records(true, true, coming.chunks[1:]...)...)
	h.staged(coming, int64(coming.offer.Bytes)-chunkSize)
	p.mu.Lock()
	p.bytes = 0 // what was admitted is not asked for space again
	p.mu.Unlock()
	h = h.again()
	h.becomes(coming, ledger.Receiving)
	if h.reservations() != 1 {
		t.Errorf("%d places are reserved", h.reservations())
	}
	p.mu.Lock()
	p.bytes = 1 << 40
	p.mu.Unlock()
	much := l.pack(t, "cssf", small("much"))
	h.receive(l, &much.offer)
	h.becomes(much, ledger.Refused)
	h.is(much, ledger.Refused, bundle.ReasonQuota)
	if r := h.record(coming); *r.Sequence != 1 || *r.Name != "coming" {
		t.Errorf("sequence %d, name %s", *r.Sequence, *r.Name)
	}
	h.receive(l, coming.records(false, false, coming.chunks[0])...)
	h.becomes(coming, ledger.Quarantined)
	if h.Wanted(done.id(), assemble.Source{Sender: "low"}, &done.offer, p.clock()) {
		t.Error("what is in quarantine is wanted again")
	}
}

func TestARestartDropsWhatIsNoLongerAllowed(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.receive(i.from, i.records(true, true, i.chunks[0])...)
	h.staged(i, chunkSize)
	p.allowed = map[bundle.Name][]bundle.Name{"low": nil}
	h = h.again()
	h.becomes(i, ledger.Refused)
	h.is(i, ledger.Refused, bundle.ReasonTenantNotAllowed)
	h.nothingHeld(i)
}
