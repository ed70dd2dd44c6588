package chamber

import (
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/receiver/deliver/remote"
	"ecluse/receiver/ledger"
	"ecluse/receiver/release"
)

// tookBack waits until a shelf has taken back what was begun.
func (s *shelf) tookBack(t *testing.T, all ...string) {
	t.Helper()
	eventually(t, "it is taken back", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return slices.Equal(s.taken, all) })
}

// begunOn is a house with a shelf that has begun something of an item, and is not asked again for an hour.
func begunOn(t *testing.T) (p *plan, h *house, s *shelf, i *item) {
	t.Helper()
	s = &shelf{name: "s", begins: "upload 9", refuse: map[string]error{"x": remote.Failed(errors.New("no room"), "put it")}}
	p, h = shelved(t, release.ModeAutomatic, nil, s)
	h.setPause(time.Hour)
	i = p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Approved)
	eventually(t, "it has failed", func() bool { d := of(h.record(i), "s"); return d.Begun == "upload 9" && d.Error != "" })
	eventually(t, "that is booked", func() bool { return len(h.Waits(i.id())) == 1 && h.Waits(i.id())[0].Next != nil })
	return p, h, s, i
}

// rejectedBehind has an item rejected, and nobody told of it: as by a life that ended then.
func (h *house) rejectedBehind(i *item) {
	h.t.Helper()
	must(h.t, h.change(i.id(), func(r *ledger.Record) error { r.State = ledger.Rejected; return nil }))
}

// What was begun at a destination takes room there for ever unless it is taken back. A rejection has that done at once, however long it is until the next attempt, and where there would be none.
func TestARejectionHasTakenBackWhatWasBegun(t *testing.T) {
	t.Parallel()
	for name, meanwhile := range map[string]func(p *plan, h *house, i *item){
		"between two attempts": func(*plan, *house, *item) {},
		"behind a stop": func(p *plan, h *house, i *item) {
			p.stop(stopped)
			h.outlets["cssf"].add(i.id())
			h.remotes["cssf"][0].add(i.id())
			eventually(t, "it is kept", func() bool { return reasonOf(h.record(i)) == bundle.ReasonRouteStopped && len(h.Waits(i.id())) == 0 })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, h, s, i := begunOn(t)
			meanwhile(p, h, i)
			must(t, h.reject(i, 7, "no"))
			at := h.record(i).Changed
			p.advance(time.Minute)
			s.tookBack(t, "upload 9")
			eventually(t, "that is on record", func() bool { return of(h.record(i), "s").Begun == "" })
			if r := h.record(i); r.State != ledger.Rejected || !r.Changed.Equal(at) {
				t.Errorf("it is %s, and counts from %v on", describe(r), r.Changed)
			}
			h = h.again()
			time.Sleep(20 * time.Millisecond)
			s.tookBack(t, "upload 9")
		})
	}
}

// The next life does it for one that ended before it came to that, and until then the record stays: nobody else knows.
func TestTheNextLifeTakesBackWhatWasBegun(t *testing.T) {
	t.Parallel()
	for _, clean := range []bool{true, false} {
		p, h, s, i := begunOn(t)
		h.rejectedBehind(i)
		s.set(func() { s.stuck = true })
		must(t, h.end(clean))
		h = p.prepare(t)
		h.pause = func(int) time.Duration { return 5 * time.Millisecond }
		h.run()
		t.Cleanup(func() { h.end(true) })
		eventually(t, "it is tried", func() bool {
			return h.logs.FilterMessage("what was begun at a destination could not be taken back").Len() > 1
		})
		p.advance(2000 * time.Hour)
		must(t, h.purge())
		if r := h.record(i); of(r, "s").Begun != "upload 9" {
			t.Errorf("%+v", r.Deliveries)
		}
		s.set(func() { s.stuck = false })
		s.tookBack(t, "upload 9")
		eventually(t, "its record goes", func() bool {
			must(t, h.purge())
			_, err := h.ledger.Get(i.id())
			return errors.Is(err, ledger.ErrNotFound)
		})
	}
}

// An attempt that finds its bundle rejected takes back what one before has begun; and a record that cannot be read says nothing of what is there.
func TestAnAttemptThatComesTooLateTakesBackWhatWasBegun(t *testing.T) {
	t.Parallel()
	p, h, s, i := begunOn(t)
	before, o := h.record(i), h.remotes["cssf"][0]
	h.rejectedBehind(i)
	path := ledger.RecordPath(p.at(state), i.id())
	text, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, []byte("damaged"), 0o600))
	if h.abandonBegun(o, i.id()) {
		t.Error("nothing is left, says a record that cannot be read")
	}
	must(t, os.WriteFile(path, text, 0o600))
	h.bring(o, before, 1)
	s.tookBack(t, "upload 9")
}
