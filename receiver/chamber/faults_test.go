package chamber

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
	"ecluse/receiver/assemble"
	"ecluse/receiver/ledger"
	"ecluse/receiver/release"
)

// hasty is a house that tries again at once.
func (p *plan) hasty(t *testing.T) *house {
	t.Helper()
	h := p.prepare(t)
	h.pause = func(int) time.Duration { return 5 * time.Millisecond }
	h.run()
	t.Cleanup(func() { h.end(true) })
	return h
}

func TestClosedAndWholeComeInAnyOrder(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	h := p.open(t)
	l := p.lows[0]
	for n := range 2 {
		i := l.pack(t, "cssf", small("x"))
		if n == 0 {
			h.Closed(i.source(), &i.close) // of a bundle that nobody has offered
		}
		r := h.take(i, ledger.Quarantined)
		other := i.close
		other.Sequence = 77
		h.Closed(i.source(), &other) // what the manifest says stands
		h.becomes(i, ledger.Quarantined)
		if now := h.record(i); *now.Sequence != *r.Sequence || *r.Sequence != uint64(n+1) {
			t.Errorf("sequence %d, then %d", *r.Sequence, *now.Sequence)
		}
	}
}

func TestAFullDiskPutsOffTheQuarantineAndNothingElse(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]func(act, path string, i *item) bool{
		"the tenant's directory": func(act, path string, _ *item) bool {
			return act == "mkdir" && strings.HasSuffix(path, "quarantine/cssf")
		},
		"the record": func(act, path string, i *item) bool { return act == "put" && strings.Contains(path, i.id().String()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlan(t, release.ModeAutomatic)
			h := p.hasty(t)
			i := p.lows[0].pack(t, "cssf", small("x"))
			var times atomic.Int32
			p.disk.set(func(act, path string) error {
				if fails(act, path, i) {
					times.Add(1)
					return fmt.Errorf("%s: %w", act, unix.ENOSPC)
				}
				return nil
			})
			h.receive(i.from, i.whole()...)
			eventually(t, "it is tried again", func() bool { return times.Load() > 3 })
			h.becomes(i, ledger.Damaged)
			h.is(i, ledger.Damaged, bundle.ReasonDiskFull)
			if r := h.record(i); *r.MissingBytes != 0 || !strings.Contains(r.Detail, "no space") {
				t.Errorf("%d bytes are missing, %s", *r.MissingBytes, r.Detail)
			}
			if h.reservations() != 1 {
				t.Errorf("%d places are reserved", h.reservations())
			}
			h.receive(i.from, i.whole()...) // a later pass brings nothing new
			p.disk.set(nil)
			h.becomes(i, ledger.Imported)
			stands(t, p.at(imports), i)
			h.unstaged(i)
		})
	}
}

func TestWhatCannotBeQuarantinedCanBeAbandoned(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	h := p.hasty(t)
	i := p.lows[0].pack(t, "cssf", large("x"))
	var fails atomic.Bool
	fails.Store(true)
	h.o.Sync = func(context.Context) error {
		if fails.Load() {
			return errBroken
		}
		return nil
	}
	h.receive(i.from, i.whole()...)
	h.becomes(i, ledger.Damaged)
	h.is(i, ledger.Damaged, "")
	h.receive(i.from, i.abandon(t, i.from))
	h.becomes(i, ledger.Abandoned)
	fails.Store(false)
	h.nothingHeld(i)
	time.Sleep(20 * time.Millisecond)
	h.is(i, ledger.Abandoned, bundle.ReasonAbandonedSender)
}

func TestARefusalThatCannotBeWrittenIsTriedAgain(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	p.signers = "# nobody\n"
	h := p.hasty(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	var times atomic.Int32
	p.disk.set(func(act, path string) error {
		if act == "put" && strings.Contains(path, i.id().String()) && times.Add(1) < 4 {
			return unix.ENOSPC
		}
		return nil
	})
	h.take(i, ledger.Refused)
	h.is(i, ledger.Refused, bundle.ReasonSignerUnknown)
	h.nothingHeld(i)
}

func TestAFatalLedgerEndsTheProcessOnceAndNothingIsDone(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	h := p.open(t)
	l := p.lows[0]
	good := l.pack(t, "cssf", small("good"))
	h.take(good, ledger.Imported)
	p.disk.set(func(act, _ string) error {
		if act == "sync" {
			return errBroken
		}
		return nil
	})
	h.o.Sync = func(context.Context) error { return nil } // the ledger's own fails
	var lost []*item
	for range 5 {
		i := l.pack(t, "cssf", small("lost"))
		h.receive(l, i.whole()...)
		lost = append(lost, i)
	}
	select {
	case err := <-h.fatal:
		if !errors.Is(err, ledger.ErrFatal) {
			t.Errorf("Fatal was given %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nobody was told")
	}
	h.Damaged(lost[0].id(), missingOne) // and whatever else the rooms still say
	h.Closed(lost[1].source(), &lost[1].close)
	if h.approve(good, 1) == nil || h.Deliver(t.Context(), lost[0].id()) == nil {
		t.Error("something was done")
	}
	ended := make(chan error, 1)
	go func() { ended <- h.end(false) }()
	select {
	case err := <-ended:
		if !errors.Is(err, ledger.ErrFatal) {
			t.Errorf("the ledger ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the house does not end")
	}
	if len(h.fatal) != 0 {
		t.Errorf("Fatal was called %d times more", len(h.fatal))
	}
	for _, e := range h.logs.All() {
		if e.Message == "imported" && e.ContextMap()["bundle"] != good.id().String() || e.Message == "quarantined" && e.ContextMap()["bundle"] != good.id().String() {
			t.Errorf("it was reported: %s %v", e.Message, e.ContextMap())
		}
	}
	stands(t, p.at(imports), good)
}

func TestDeliveriesEndWhenTheLedgerDiesUnderThem(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeTwo)
	h := p.open(t)
	l := p.lows[0]
	var all []*item
	for range 20 {
		i := l.pack(t, "cssf", map[string]string{"x": "content"})
		h.take(i, ledger.Quarantined)
		must(t, h.approve(i, 1))
		all = append(all, i)
	}
	var syncs atomic.Int32
	p.disk.set(func(act, _ string) error {
		if act == "sync" && syncs.Add(1) > 22 {
			return errBroken
		}
		return nil
	})
	for _, i := range all {
		h.approve(i, 2) // the last ones may not be taken any more
	}
	<-h.fatal
	ended := make(chan error, 1)
	go func() { ended <- h.end(false) }()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the house does not end")
	}
	p.disk.set(nil)
	h = p.open(t)
	for _, i := range all {
		if h.record(i).State == ledger.Quarantined {
			must(t, h.approve(i, 2))
		}
		h.becomes(i, ledger.Imported)
	}
	if n := len(strings.Fields(names(t, p.at(imports)))); n != len(all) {
		t.Errorf("%d stand at the destination, %d were sent", n, len(all))
	}
}

func TestTheEndWaitsForNoHash(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	h := p.open(t)
	gate := &slowSigners{Signers: h.trust.Signers(), entered: make(chan struct{}, 9), open: make(chan struct{})}
	h.trust.Set(gate, map[bundle.Name][]bundle.Name{"low": {"cssf"}})
	l := p.lows[0]
	var all []*item
	for range 4 { // two of them wait for their turn
		i := l.pack(t, "cssf", small("x"))
		h.receive(l, i.records(true, true, i.chunks[1:]...)...)
		h.staged(i, chunkSize)
		all = append(all, i)
	}
	time.Sleep(1200 * time.Millisecond) // until a checkpoint has noted them
	for _, i := range all {
		h.receive(l, i.records(false, false, i.chunks[0])...)
	}
	<-gate.entered
	<-gate.entered
	ended := make(chan error, 1)
	go func() { ended <- h.end(true) }()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("it waits")
	}
	close(gate.open)
	h = p.open(t)
	for _, i := range all {
		h.receive(l, i.whole()...)
		h.becomes(i, ledger.Imported)
	}
	if n := len(strings.Fields(names(t, p.at(imports)))); n != len(all) {
		t.Errorf("%d stand at the destination, %d were sent", n, len(all))
	}
}

func TestAfterItsEndNothingBegins(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	must(t, h.end(true))
	if h.begin() {
		t.Error("something begins")
	}
	h.Whole(nil) // would not do without its bundle
	if err := h.approve(i, 1); err == nil {
		t.Error("an approval was taken")
	}
	o := h.outlets["cssf"]
	o.add(i.id())
	o.later(i.id(), nil, errBroken, time.Now(), h.pause)
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) != 0 || o.failed[i.id()].again.Stop() {
		t.Error("a delivery waits for ever")
	}
}

func TestQuarantineWithoutARecordIsNotThere(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	h := p.open(t)
	held := p.lows[0].pack(t, "cssf", small("held"))
	h.take(held, ledger.Quarantined)
	orphan := p.at(state, "quarantine", "cssf", bundle.ID{5}.String())
	must(t, os.MkdirAll(filepath.Join(orphan, "files", "x"), 0o700))
	must(t, os.MkdirAll(filepath.Join(p.at(state, "quarantine", "cssf", bundle.ID{6}.String()+gone), "files"), 0o700))
	h = h.again()
	eventually(t, "the orphans are removed", func() bool { return names(t, p.at(state, "quarantine", "cssf")) == held.id().String() })
	stands(t, filepath.Join(p.quarantine(held), "files"), held)
}

func TestWhatWaitsIsReleasedWhereNobodyIsAskedAnyMore(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	must(t, h.end(true))
	p.tenant("cssf", release.ModeAutomatic, imports)
	h = p.open(t)
	h.becomes(i, ledger.Imported)
	stands(t, p.at(imports), i)
}

// An error of the medium, once, at the record of a release that nobody is asked for, when what held the bundle is gone: it is made a little later, and waits for no start.
func TestAnAutomaticReleaseThatCouldNotBeWrittenIsMadeLater(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	p.unready = true
	h := p.hasty(t)
	l := p.lows[0]
	i := l.pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	h.is(i, ledger.Quarantined, bundle.ReasonEpochNew)
	must(t, h.ledger.Pair(t.Context(), l.name, l.epoch))
	var puts atomic.Int32
	p.disk.set(func(act, path string) error {
		if act == "put" && strings.Contains(path, i.id().String()) && puts.Add(1) == 2 { // the first one lifts what held it
			return fmt.Errorf("%s: %w", act, unix.EIO)
		}
		return nil
	})
	if h.Recheck(t.Context()) == nil {
		t.Error("nobody is told")
	}
	h.becomes(i, ledger.Imported)
	if n := puts.Load(); n < 5 {
		t.Errorf("its record was written %d times, want what lifts it, its approval twice, intent and import", n)
	}
	stands(t, p.at(imports), i)
}

func TestHeartbeatsCountOnlyForTenantsOfTheirSender(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	p.allowed = map[bundle.Name][]bundle.Name{"low": {"cssf"}}
	p.tenant("other", release.ModeOne)
	h := p.open(t)
	l := p.lows[0]
	l.pack(t, "cssf", small("never seen"))
	h.receive(l, &record.Heartbeat{Clock: 5, Epoch: l.epoch, Waiting: 3, WaitingBytes: 4, Tenants: []record.TenantHead{
		l.heads["cssf"], {Tenant: "other", Sequence: 9, Manifest: bundle.Digest{1}},
	}})
	eventually(t, "one is missing", func() bool { n, err := h.ledger.Counts(t.Context()); return err == nil && n[ledger.Missing] == 1 })
	if b := h.Hearts()["low"]; b.Waiting != 3 || b.Bytes != 4 || b.Link != "a" || !b.At.Equal(p.clock()) {
		t.Errorf("the heartbeat: %+v", b)
	}
}

func TestWhatAKillLeftInQuarantineIsTakenBack(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	h := p.open(t)
	h.o.Sync = func(context.Context) error { return errBroken }
	i := p.lows[0].pack(t, "cssf", large("x"))
	h.receive(i.from, i.whole()...)
	h.becomes(i, ledger.Damaged)
	must(t, h.end(true))
	must(t, os.MkdirAll(filepath.Dir(p.quarantine(i)), 0o700))
	must(t, os.Rename(p.at(state, "receiving", i.id().String(), wholeName), p.quarantine(i)))
	h = p.open(t) // nothing of it is sent again
	h.becomes(i, ledger.Quarantined)
	stands(t, filepath.Join(p.quarantine(i), "files"), i)
	h.unstaged(i)
	must(t, h.approve(i, 1))
	h.becomes(i, ledger.Imported)
}

// source is where the item's records come from.
func (i *item) source() assemble.Source { return assemble.Source{Sender: i.from.name} }

func TestWhatWasRefusedAtItsOfferIsNotMissing(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	h := p.open(t)
	i := p.lows[0].pack(t, "nobody-knows", small("x"))
	h.receive(i.from, i.whole()...)
	h.becomes(i, ledger.Refused)
	deadline := time.Now().Add(10 * time.Second)
	for h.record(i).Sequence == nil {
		if time.Now().After(deadline) {
			t.Fatal("its sequence is not known: it would count as missing for ever")
		}
		h.receive(i.from, &i.close) // a close is repeated
		time.Sleep(10 * time.Millisecond)
	}
	if got := *h.record(i).Sequence; got != i.close.Sequence {
		t.Errorf("sequence %d, want %d", got, i.close.Sequence)
	}
	other := i.close
	other.Sequence = 99
	h.Closed(assemble.Source{Sender: "another"}, &other)
	h.becomes(i, ledger.Refused)
	if got := *h.record(i).Sequence; got != i.close.Sequence {
		t.Errorf("another sender made it %d", got)
	}
}
