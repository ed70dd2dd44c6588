package house

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"ecluse/internal/audit"
	"ecluse/internal/config"
	"ecluse/internal/disk"
	"ecluse/internal/route"
	"ecluse/protocol/bundle"
	"ecluse/sender/ledger"
)

// A machine's clock that is set back turns no entry of the audit log back, whether a daemon runs or not, and whether it tells of a bundle or of anything else.
func TestAClockThatIsSetBackTurnsNoEntryBack(t *testing.T) {
	dir, d := t.TempDir(), disk.New()
	if _, err := Draw(d, dir); err != nil {
		t.Fatal(err)
	}
	start := time.Now().AddDate(1, 0, 0) // what is said at rest goes by this machine's clock, which is before it
	wall := start
	life := func(do func(s *State)) {
		t.Helper()
		s, err := OpenBy(t.Context(), d, dir, func() time.Time { return wall })
		if err != nil {
			t.Fatal(err)
		}
		if err := s.AtRest(t.Context(), func(s *State) error { do(s); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	becomes := func(s *State, n byte, to ledger.State) {
		t.Helper()
		err := s.Ledger.Change(t.Context(), bundle.ID{n}, func(r *ledger.Record) error {
			r.Tenant, r.Epoch, r.Name, r.State, r.Created = "cssf", s.Epoch, "x", to, s.Now()
			r.Priority = bundle.Bulk
			r.SentBytes++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	life(func(s *State) {
		s.Audit.Tell(audit.Entry{Event: "started"})
		becomes(s, 1, ledger.Waiting)
		wall = start.AddDate(0, -6, 0)
		becomes(s, 1, ledger.Sending)
		becomes(s, 1, ledger.Sending) // nothing that has a name has changed
		s.Audit.Tell(audit.Entry{Event: "stopped"})
	})
	if _, _, err := Say(dir, d, nil, route.Word{Tenant: "cssf", Stopped: true, Who: "ann", Reason: "ticket"}); err != nil {
		t.Fatal(err)
	}
	life(func(s *State) {
		becomes(s, 2, ledger.Waiting)
		s.Audit.Tell(audit.Entry{Event: "started"})
	})
	told, err := audit.Reader{Disk: d, Dir: audit.Dir(dir)}.List(audit.Query{})
	if err != nil {
		t.Fatal(err)
	}
	events := make(map[string]int)
	last := start.Truncate(time.Second) // as the clock's file rounds it
	for _, e := range told {
		events[e.Event]++
		if e.At.Before(last) {
			t.Errorf("entry %d, %s, is of %v, after one of %v", e.N, e.Event, e.At, last)
		}
		last = e.At.Truncate(time.Second)
	}
	for event, n := range map[string]int{"started": 2, "waiting": 2, "sending": 1, "noted": 1, "stopped": 1, "route-stopped": 1} {
		if events[event] != n {
			t.Errorf("of %q there are %d entries", event, events[event])
		}
	}
}

// A machine's clock that was far ahead for a moment closes a route over restarts, until its file is removed, as the alarm says, with the daemon stopped.
func TestATimeThatWasWrongIsTakenAway(t *testing.T) {
	dir, d := t.TempDir(), disk.New()
	if _, err := Draw(d, dir); err != nil {
		t.Fatal(err)
	}
	last, err := config.ParseDate("2031-12-31")
	if err != nil {
		t.Fatal(err)
	}
	routes := route.Of(nil, nil, map[bundle.Name]route.Facts{"cssf": {Expires: last}})
	right := last.End().AddDate(-2, 0, 0)
	wall := right
	life := func(what string, want bundle.Reason, meanwhile func()) {
		t.Helper()
		s, err := OpenBy(t.Context(), d, dir, func() time.Time { return wall })
		if err != nil {
			t.Fatal(err)
		}
		meanwhile()
		if got, _ := bundle.ReasonOf(routes.Closed("cssf", s.Clock.Now())); got != want {
			t.Errorf("%s it is closed for %q, want %q", what, got, want)
		}
		wall = right
		if err := s.Close(true); err != nil {
			t.Fatal(err)
		}
	}
	life("before", "", func() {})
	life("ten years ahead", bundle.ReasonRouteExpired, func() { wall = right.AddDate(10, 0, 0) })
	life("right again", bundle.ReasonRouteExpired, func() {})
	if err := os.Remove(filepath.Join(dir, clockFile)); err != nil {
		t.Fatal(err)
	}
	life("its file removed", "", func() {})
}
