package chamber

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"ecluse/internal/audit"
	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/protocol/racing"
	"ecluse/protocol/record"
	"ecluse/receiver/ledger"
	"ecluse/receiver/release"
)

// entries reads the audit log of a house.
func (p *plan) entries(t *testing.T) []audit.Entry {
	t.Helper()
	list, err := audit.Reader{Disk: disk.New(), Dir: audit.Dir(p.at(state))}.List(audit.Query{})
	must(t, err)
	return list
}

// counted are the refusals, or what else a log counts, of which it tells one by one, and those that it counts.
func counted(t *testing.T, list []audit.Entry, event string) (told, more int) {
	t.Helper()
	for _, e := range list {
		switch e.Event {
		case event:
			told++
		case event + "-more":
			var data struct{ Count int }
			must(t, json.Unmarshal(e.Data, &data))
			more += data.Count
		}
	}
	return told, more
}

// agrees holds log and records against each other.
func (p *plan) agrees(t *testing.T) {
	t.Helper()
	r, err := audit.Verify(audit.Reader{Disk: disk.New(), Dir: audit.Dir(p.at(state))}, nil, "", ledger.Digests(p.disk, p.at(state)))
	must(t, err)
	for _, f := range r.Faults {
		t.Error(f.Text)
	}
}

func (p *plan) size(t *testing.T, under string) (bytes int64) {
	t.Helper()
	must(t, filepath.WalkDir(under, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		bytes += info.Size()
		return err
	}))
	return bytes
}

// A sender that offers without end, each time another bundle of another tenant that is unknown, fills neither the log nor the state, and what is counted adds up, also over a restart.
func TestAFloodOfRefusedOffersIsCounted(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	p.audited = true
	h := p.open(t)
	l := p.lows[0]
	good := l.pack(t, "cssf", small("x"))
	h.take(good, ledger.Imported)
	i := l.pack(t, "nobody", map[string]string{"x": "x"})
	const atOnce = 50
	flood := 2 * atOnce * racing.Part(1000)
	for n := 0; n < flood; n += atOnce {
		var offers []record.Record
		for m := n; m < n+atOnce; m++ {
			o := i.offer
			o.Bundle, o.Tenant = bundle.ID{byte(m >> 16), byte(m >> 8), byte(m), 99}, bundle.Name("no-"+string('a'+rune(m%26)))
			offers = append(offers, &o)
		}
		h.receive(l, offers...)
		h.receive(l, offers...) // repetitions are no more
		if n == flood/2 {
			h = h.again()
		}
	}
	must(t, h.end(true))
	told, more := counted(t, p.entries(t), "refused")
	if told+more != flood || told > 1000 || told < 100 {
		t.Errorf("%d are told of and %d counted, of %d", told, more, flood)
	}
	if bytes := p.size(t, audit.Dir(p.at(state))); bytes > 1<<20 {
		t.Errorf("the log has %d bytes", bytes)
	}
	if bytes := p.size(t, p.at(state, "bundles")); bytes > 1<<20 {
		t.Errorf("the records have %d bytes", bytes)
	}
	p.agrees(t)
	h = p.open(t)
	h.is(good, ledger.Imported, bundle.ReasonNotInspected)
	p.advance(time.Hour)
	h.take(i, ledger.Refused) // in another hour each is told of again
}

// What was admitted is told of to its end, also where so many like it are refused that they are counted: its sender has lost its tenant over a restart, or while it had sent a part of it.
func TestTheEndOfWhatWasAdmittedIsNeverOnlyCounted(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]func(t *testing.T, p *plan, h *house, i *item) *house{
		"over a restart": func(t *testing.T, p *plan, h *house, i *item) *house {
			must(t, h.end(true))
			p.allowed = map[bundle.Name][]bundle.Name{}
			h = p.prepare(t)
			h.countRefusals()
			h.run()
			t.Cleanup(func() { h.end(true) })
			return h
		},
		"in one life": func(t *testing.T, p *plan, h *house, i *item) *house {
			h.countRefusals()
			h.trust.Set(h.trust.Signers(), nil)
			if err := h.Offered(i.source(), &i.offer, began); !isRejection(err) {
				t.Errorf("it is refused with %v", err)
			}
			return h
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlan(t, release.ModeOne)
			p.audited = true
			h := p.open(t)
			i := p.lows[0].pack(t, "cssf", small("x"))
			h.receive(i.from, i.records(true, false, i.chunks[0])...)
			h.staged(i, chunkSize)
			h.becomes(i, ledger.Receiving)
			h = row(t, p, h, i)
			h.becomes(i, ledger.Refused)
			h.is(i, ledger.Refused, bundle.ReasonTenantNotAllowed)
			must(t, h.end(true))
			if told, _ := counted(t, p.entries(t), "refused"); told != 1 {
				t.Errorf("%d entries tell of its end", told)
			}
			p.agrees(t)
		})
	}
}

// countRefusals has the log count what is refused of the tenant cssf from now on.
func (h *house) countRefusals() {
	for !h.ledger.Fold(ledger.Refused, "low", "cssf", bundle.ReasonTenantNotAllowed) {
	}
}

// A sender that offers and abandons without end fills no disk either: each was an entry, and a record file for as long as rows are kept. Of what has come something each has its record.
func TestAFloodOfAbandonsOfNothingIsCounted(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	p.audited = true
	h := p.open(t)
	l := p.lows[0]
	const flood = 300
	var last *item
	for n := range flood {
		i := l.pack(t, "cssf", map[string]string{"x": "x"})
		h.receive(l, i.records(true, n%2 == 0)...)
		h.becomes(i, ledger.Receiving)
		h.receive(l, i.abandon(t, l), i.abandon(t, l))
		eventually(t, "it is gone", func() bool {
			r, err := h.ledger.Get(i.id())
			return (errors.Is(err, ledger.ErrNotFound) || err == nil && r.State == ledger.Abandoned) && h.reservations() == 0
		})
		h.unstaged(i)
		last = i
	}
	begun := l.pack(t, "cssf", small("x"))
	h.receive(l, begun.records(true, false, begun.chunks[0])...)
	h.staged(begun, chunkSize)
	h.becomes(begun, ledger.Receiving)
	h.receive(l, begun.abandon(t, l))
	h.becomes(begun, ledger.Abandoned)
	if _, err := h.ledger.Get(last.id()); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("it has a record: %v", err)
	}
	if n, err := h.ledger.Counts(t.Context()); err != nil || n[ledger.Receiving] != 0 {
		t.Errorf("the catalog has %v, %v", n, err)
	}
	must(t, h.end(true))
	if told, more := counted(t, p.entries(t), "abandoned"); told > 202 || told+more != flood+1 {
		t.Errorf("%d are told of and %d counted, of %d", told, more, flood+1)
	}
	p.agrees(t)
}

// Of a flood of abandons a bounded number is under way at once: what finds no place is repeated by its sender.
func TestAbandonsUnderWayAreBounded(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	h := p.open(t)
	l := p.lows[0]
	i := l.pack(t, "cssf", small("x"))
	h.receive(l, i.records(true, false, i.chunks[0])...)
	h.becomes(i, ledger.Receiving)
	for range abandonsMost {
		h.abandoning <- struct{}{}
	}
	h.receive(l, i.abandon(t, l))
	time.Sleep(20 * time.Millisecond)
	h.is(i, ledger.Receiving, "")
	<-h.abandoning
	h.receive(l, i.abandon(t, l))
	h.becomes(i, ledger.Abandoned)
	eventually(t, "its place is free", func() bool { return len(h.abandoning) == abandonsMost-1 })
}

// A bundle stands in one list of refusals at most, and only while it is refused: else it is let go of there while it stands in another one, or twice.
func TestARefusedBundleIsListedOnce(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	p.audited = true
	h := p.open(t)
	quota, full := bundle.Reject(bundle.ReasonQuota, "G-2", "quota"), bundle.Reject(bundle.ReasonDiskFull, "G-2", "full")
	for !h.ledger.Fold(ledger.Refused, "low", "cssf", bundle.ReasonQuota) {
	}
	lists := func(when, want string) {
		t.Helper()
		f := &h.refusals
		if got := fmt.Sprint(len(f.kept["low"]), len(f.folded["low"]), len(f.reasons)); got != want {
			t.Errorf("%s: of kept, folded and reasons there are %s, want %s", when, got, want)
		}
	}
	folds, keeps := bundle.ID{1}, bundle.ID{2}
	h.worthNoting("low", "cssf", folds, quota, false)
	lists("counted", "0 1 1")
	h.worthNoting("low", "cssf", folds, full, false)
	lists("then told of, for another reason", "1 0 1")
	h.worthNoting("low", "cssf", folds, quota, false)
	lists("and counted again: its record stays", "1 0 1")
	h.worthNoting("low", "cssf", keeps, full, false)
	lists("beside another one", "2 0 2")
	for range 3 {
		h.admitted(keeps)
		lists("admitted", "1 0 1")
		h.worthNoting("low", "cssf", keeps, full, true)
		lists("and refused again", "2 0 2")
	}
	h.admitted(keeps)
	h.admitted(folds)
	lists("all are admitted", "0 0 0")
	h.worthNoting("low", "cssf", keeps, quota, false)
	h.admitted(keeps)
	lists("also what was counted", "0 0 0")
}
