package chamber

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/receiver/deliver/remote"
	"ecluse/receiver/ledger"
	"ecluse/receiver/release"
)

// deliveries is what the log says of an item's way to its destinations.
func (p *plan) deliveries(t *testing.T) string {
	t.Helper()
	var events []string
	for _, e := range p.entries(t) {
		if strings.Contains(e.Event, "deliver") || e.Event == "noted" {
			events = append(events, e.Event)
		}
	}
	return strings.Join(events, " ")
}

// triedMore waits until a shelf was asked ten times more.
func (s *shelf) triedMore(t testing.TB) {
	t.Helper()
	n := s.tried.Load() + 10
	eventually(t, "it is tried again", func() bool { return s.tried.Load() >= n })
}

// triedInVain has an item tried again and again, and holds that its record stays as it was.
func (h *house) triedInVain(i *item, s *shelf) {
	h.t.Helper()
	s.triedMore(h.t)
	changed := h.record(i).Changed
	h.p.advance(time.Minute)
	s.triedMore(h.t)
	if again := h.record(i).Changed; !again.Equal(changed) {
		h.t.Errorf("its record was changed at %v, and again at %v", changed, again)
	}
}

// logged is a house with one shelf, whose book writes to an audit log.
func logged(t *testing.T, s *shelf) (*plan, *house) {
	t.Helper()
	p := newPlan(t, release.ModeAutomatic)
	p.audited = true
	p.tenant("cssf", release.ModeAutomatic)
	return p, p.shelve(t, s)
}

// However often a destination is tried, the log tells of the first attempt, of each error that is another, and of how it ended; and it agrees with the records at every moment.
func TestTheLogTellsOfNoAttemptTwice(t *testing.T) {
	t.Parallel()
	s := &shelf{name: "s", away: true}
	p, h := logged(t, s)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Approved)
	h.triedInVain(i, s)
	eventually(t, "the log tells of the first", func() bool { return p.deliveries(t) == "delivering undelivered" })
	s.set(func() { s.away, s.refuse = false, map[string]error{"x": remote.Away(errors.New("no route"), "put")} })
	s.triedMore(t)
	s.set(func() { s.refuse = nil })
	h.becomes(i, ledger.Imported)
	if got, want := p.deliveries(t), "delivering undelivered undelivered delivered"; got != want {
		t.Errorf("the log says %q, not %q", got, want)
	}
	p.agrees(t)
}

// anew is a shelf that begins another thing with each attempt.
type anew struct{ *shelf }

func (a anew) Deliver(ctx context.Context, job remote.Job) (string, error) {
	a.set(func() { a.begins = fmt.Sprintf(`upload "%d\2" <&>`, a.tried.Load()+1) })
	return a.shelf.Deliver(ctx, job)
}

// What fails for itself takes back what it has begun, and the next attempt begins another: the log tells of none of that, but of what is taken back at the end.
func TestTheLogTellsOfNothingThatAttemptsHaveBegun(t *testing.T) {
	t.Parallel()
	s := &shelf{name: "s", refuse: map[string]error{"x": remote.Failed(errors.New("no room"), "put it")}}
	p := newPlan(t, release.ModeAutomatic)
	p.audited = true
	p.tenant("cssf", release.ModeAutomatic)
	tenant := p.tenants["cssf"]
	tenant.Remotes = []remote.Destination{anew{s}}
	p.tenants["cssf"] = tenant
	h := p.shelve(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Approved)
	h.triedInVain(i, s)
	p.agrees(t)
	must(t, h.end(true))
	h = p.prepare(t)
	h.pause = func(int) time.Duration { return time.Hour }
	h.run()
	t.Cleanup(func() { h.end(true) })
	eventually(t, "it is tried in the next life too", func() bool { w := h.Waits(i.id()); return len(w) == 1 && w[0].Next != nil })
	last := s.begins
	if d := of(h.record(i), "s"); d.Begun != last || d.Error == "" {
		t.Errorf("on record stands %+v", d)
	}
	p.agrees(t)
	if got, want := p.deliveries(t), "delivering undelivered"; got != want {
		t.Errorf("the log says %q, not %q", got, want)
	}
	must(t, h.reject(i, 7, "no"))
	s.tookBack(t, last)
	eventually(t, "that is on record", func() bool { return of(h.record(i), "s").Begun == "" })
	p.agrees(t)
	if got, want := p.deliveries(t), "delivering undelivered noted"; got != want {
		t.Errorf("the log says %q, not %q", got, want)
	}
}

// While another attempt is under way nobody can reject the bundle, nor when that attempt was cut short; between two attempts anybody can, and the log tells of none of it.
func TestAnotherAttemptThatIsUnderWayIsOnRecord(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"ends badly", "is cut short", "cannot say"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s := &shelf{name: "s", away: true}
			p, h := logged(t, s)
			i := p.lows[0].pack(t, "cssf", small("x"))
			h.take(i, ledger.Approved)
			eventually(t, "it was tried", func() bool { return of(h.record(i), "s").Error != "" })
			s.set(func() { s.away, s.hangs = false, true })
			eventually(t, "it is tried again", func() bool { return of(h.record(i), "s").Retry })
			refusedError(t, h.reject(i, 7, "no"), "being delivered to s")
			p.agrees(t)
			switch how {
			case "ends badly":
				h.setPause(time.Hour)
				s.set(func() {
					s.away, s.hangs = true, false
					s.refuse = map[string]error{"x": remote.Away(errors.New("connection refused"), "put %q", "x")}
				})
				eventually(t, "it can be rejected", func() bool { return h.reject(i, 7, "no") == nil })
				h.is(i, ledger.Rejected, bundle.ReasonRejected)
			case "is cut short":
				if err := h.end(false); err != nil {
					t.Error(err)
				}
				h = p.prepare(t)
				h.run()
				t.Cleanup(func() { h.end(true) })
				refusedError(t, h.reject(i, 7, "no"), "being delivered to s")
				s.set(func() { s.hangs = false })
				h.becomes(i, ledger.Imported)
			case "cannot say":
				maybe := remote.Away(errors.New("reset"), "tag it").(*remote.Failure)
				maybe.Maybe = true
				h.setPause(time.Hour)
				s.set(func() { s.refuse = map[string]error{"x": maybe}; s.hangs = false })
				eventually(t, "it has failed", func() bool { d := of(h.record(i), "s"); return d.Name == "x" && !d.Retry })
				refusedError(t, h.reject(i, 7, "no"), "being delivered to s")
			}
			p.agrees(t)
			if text := p.deliveries(t); strings.Contains(text, "noted") {
				t.Errorf("the log says %q", text)
			}
		})
	}
}
