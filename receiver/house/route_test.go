package house

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"

	"ecluse/internal/audit"
	"ecluse/internal/config"
	"ecluse/internal/disk"
	"ecluse/internal/keys"
	"ecluse/internal/route"
	"ecluse/protocol/bundle"
	"ecluse/receiver/chamber"
)

// A day that was over once does not come again, in this life or the next, when somebody sets the machine's clock back; and a word that was said at rest is there at the next start.
func TestAClockThatIsSetBackOpensNoRoute(t *testing.T) {
	dir := t.TempDir()
	key, err := keys.GenerateReceiverKey(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	last, err := config.ParseDate("2027-12-31")
	if err != nil {
		t.Fatal(err)
	}
	wall := last.End().Add(-time.Hour)
	open := func() *State {
		t.Helper()
		s, err := Open(t.Context(), Options{
			Dir: dir, Disk: disk.New(), Key: key, Signers: new(keys.AllowedSigners), Tenants: map[bundle.Name]chamber.Tenant{}, Reserve: func(int64) int64 { return 0 }, Log: zap.NewNop(),
			Routes: map[bundle.Name]route.Facts{"cssf": {Expires: last}}, Now: func() time.Time { return wall }, Fatal: func(error) {},
		})
		if err != nil {
			t.Fatal(err)
		}
		book, end := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- s.Ledger.Run(book) }()
		t.Cleanup(func() { end(); <-ended })
		return s
	}
	is := func(s *State, want bundle.Reason) {
		t.Helper()
		if got, _ := bundle.ReasonOf(s.closed("cssf")); got != want {
			t.Fatalf("at %v it is closed for %q, want %q", wall, got, want)
		}
	}
	s := open()
	is(s, "")
	wall = last.End()
	is(s, bundle.ReasonRouteExpired)
	wall = wall.AddDate(-1, 0, 0)
	is(s, bundle.ReasonRouteExpired)
	if err := s.Close(true); err != nil {
		t.Fatal(err)
	}
	if by, _, err := Say(dir, disk.New(), nil, route.Word{Tenant: "cssf", Stopped: true, Who: "ann", Reason: "ticket"}); err != nil || by.At.Before(last.End()) {
		t.Fatalf("said at rest at %v, where the state has seen %v: %v", by.At, last.End(), err)
	}
	told, err := audit.Reader{Disk: disk.New(), Dir: audit.Dir(dir)}.List(audit.Query{})
	if err != nil || told[len(told)-1].Event != "route-stopped" || told[len(told)-1].At.Before(last.End()) {
		t.Fatalf("the log ends with %+v, %v", told[len(told)-1], err)
	}
	s = open()
	is(s, bundle.ReasonRouteStopped)
	if err := s.Close(true); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Say(dir, disk.New(), nil, route.Word{Tenant: "cssf", Who: "ann"}); err != nil {
		t.Fatal(err)
	}
	s = open()
	is(s, bundle.ReasonRouteExpired)
	if err := s.Close(true); err != nil {
		t.Fatal(err)
	}
}

// Who is to close a route in the night does not first mend a clock.
func TestADamagedClockKeepsNobodyFromStopping(t *testing.T) {
	dir, d := t.TempDir(), disk.New()
	if err := d.Replace(clockPath(dir), []byte("noon")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Say(dir, d, nil, route.Word{Tenant: "cssf", Stopped: true, Who: "ann", Reason: "ticket"}); err != nil {
		t.Fatal(err)
	}
	if words, err := route.Read(d, dir); err != nil || !words["cssf"].Stopped {
		t.Errorf("it holds %+v, %v", words, err)
	}
}
