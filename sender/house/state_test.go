package house

import (
	"testing"
	"time"

	"ecluse/internal/audit"
	"ecluse/internal/disk"
	"ecluse/internal/route"
)

// A machine's clock that is set back turns no entry of the audit log back, whether a daemon runs or not.
func TestAClockThatIsSetBackTurnsNoEntryBack(t *testing.T) {
	dir, d := t.TempDir(), disk.New()
	if _, err := Draw(d, dir); err != nil {
		t.Fatal(err)
	}
	start := time.Now().AddDate(1, 0, 0) // what is said at rest goes by this machine's clock, which is before it
	wall := start
	open := func() *State {
		t.Helper()
		s, err := OpenBy(t.Context(), d, dir, func() time.Time { return wall })
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	s.Audit.Tell(audit.Entry{Event: "started"})
	wall = start.AddDate(0, -6, 0)
	s.Audit.Tell(audit.Entry{Event: "stopped"})
	if err := s.Close(true); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Say(dir, d, nil, route.Word{Tenant: "cssf", Stopped: true, Who: "ann", Reason: "ticket"}); err != nil {
		t.Fatal(err)
	}
	s = open()
	s.Audit.Tell(audit.Entry{Event: "started"})
	if err := s.Close(true); err != nil {
		t.Fatal(err)
	}
	told, err := audit.Reader{Disk: d, Dir: audit.Dir(dir)}.List(audit.Query{})
	if err != nil || len(told) < 4 {
		t.Fatalf("the log is %+v, %v", told, err)
	}
	last := start.Truncate(time.Second) // as the clock's file rounds it
	for _, e := range told {
		if e.At.Before(last) {
			t.Errorf("entry %d, %s, is of %v, after one of %v", e.N, e.Event, e.At, last)
		}
		last = e.At.Truncate(time.Second)
	}
}
