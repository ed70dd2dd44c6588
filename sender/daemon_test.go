package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
	"ecluse/internal/route"
	"ecluse/protocol/bundle"
	"ecluse/sender/house"
)

// following is a daemon that follows its configuration and does nothing else; meanwhile is what becomes of the file after it was read. write replaces the file.
func following(t *testing.T, log *zap.Logger, meanwhile func(write func(text string))) (d *daemon, write func(text string)) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "sender.yaml")
	write = func(text string) {
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
	meanwhile(write)
	s, err := house.Open(t.Context(), disk.New(), c.State)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(false) })
	d = newDaemon(c, "low", log)
	d.auditStarted(s)
	d.House = &house.House{State: s, Routes: route.Of(nil, nil, c.shared().Routes())}
	if why := d.Routes.Closed("cssf", s.Clock.Now()); why != nil {
		t.Fatalf("before anybody looks: %v", why)
	}
	return d, write
}

// closed is a configuration by which a route is closed.
var closed = strings.Replace(documented, "weight: 1", "enabled: false", 1)

// isClosed requires that it is.
func (d *daemon) isClosed(t *testing.T) {
	t.Helper()
	if got, _ := bundle.ReasonOf(d.Routes.Closed("cssf", d.Clock.Now())); got != bundle.ReasonRouteStopped {
		t.Errorf("enabled: false is not followed: it is closed for %q", got)
	}
}

// Who closes a route while the daemon starts, after it has read its configuration, is heard at the first look.
func TestAnEditWhileTheDaemonStartsIsFollowed(t *testing.T) {
	d, _ := following(t, zap.NewNop(), func(write func(string)) { write(closed) })
	d.follow()
	d.isClosed(t)
}

// Who closes a route is heard, also where the file cannot be read at the first look: nobody edits it once more.
func TestAnEditThatCouldNotBeReadIsReadAgain(t *testing.T) {
	core, logs := observer.New(zapcore.ErrorLevel)
	d, write := following(t, zap.New(core), func(func(string)) {})
	write(closed)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: limit.Max}); err != nil { // as in a moment in which too many are open
		t.Fatal(err)
	}
	for range 3 {
		d.follow()
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if logs.Len() != 1 || d.unread == "" || d.Routes.Closed("cssf", d.Clock.Now()) != nil {
		t.Errorf("while it cannot be read %d lines are told, and the alarm says %q", logs.Len(), d.unread)
	}
	d.follow()
	d.isClosed(t)
	if d.unread != "" {
		t.Errorf("it was read, and the alarm says %q", d.unread)
	}
}
