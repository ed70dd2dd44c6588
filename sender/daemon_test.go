package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"ecluse/internal/disk"
	"ecluse/internal/route"
	"ecluse/protocol/bundle"
	"ecluse/sender/house"
)

// Who closes a route while the daemon starts, after it has read its configuration, is heard at the first look.
func TestAnEditWhileTheDaemonStartsIsFollowed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sender.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(documented)
	c, err := load(path)
	if err != nil {
		t.Fatal(err)
	}
	c.State = filepath.Join(dir, "state")
	if err := os.Mkdir(c.State, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := house.Draw(disk.New(), c.State); err != nil {
		t.Fatal(err)
	}
	write(strings.Replace(documented, "weight: 1", "enabled: false", 1))
	s, err := house.Open(t.Context(), disk.New(), c.State)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(false)
	d := newDaemon(c, "low", zap.NewNop())
	d.auditStarted(s)
	d.House = &house.House{State: s, Routes: route.Of(nil, nil, c.shared().Routes())}
	if why := d.Routes.Closed("cssf", s.Clock.Now()); why != nil {
		t.Fatalf("before anybody looks: %v", why)
	}
	d.follow()
	if got, _ := bundle.ReasonOf(d.Routes.Closed("cssf", s.Clock.Now())); got != bundle.ReasonRouteStopped {
		t.Errorf("enabled: false is not followed: it is closed for %q", got)
	}
}
