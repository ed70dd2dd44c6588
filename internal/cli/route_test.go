package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"ecluse/internal/control"
	"ecluse/internal/route"
	"ecluse/protocol/bundle"
)

// shelf is a disk in memory, which can be full.
type shelf struct {
	file []byte
	fail error
}

func (s *shelf) ReadFile(string, int64) ([]byte, error) {
	if s.file == nil {
		return nil, fs.ErrNotExist
	}
	return s.file, nil
}

func (s *shelf) Replace(_ string, b []byte) error {
	if s.fail == nil {
		s.file = b
	}
	return s.fail
}

// Whoever may ask over the socket may send anything: names that no command would take are refused there, and only a word that holds is told on, to the log and to the audit log.
func TestOnlyAWordThatHoldsIsToldOn(t *testing.T) {
	dir, err := os.MkdirTemp("", "route-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	server, err := control.Listen(filepath.Join(dir, "control.sock"), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	disk := new(shelf)
	b := route.Open(disk, dir, map[bundle.Name]route.Facts{"a": {}, "b": {}})
	var told []string
	all := func(control.Peer) bool { return true }
	HandleRoutes(server, b, all, all, func(control.Peer, route.Word) error { return nil }, time.Now, func(w route.Word) { told = append(told, fmt.Sprintf("%s %v %s", w.Tenant, w.Stopped, w.Reason)) })
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx) }()
	defer func() { end(); <-ended }()
	name := func(s string) *string { return &s }
	full := errors.New("no space left")
	for _, row := range []struct {
		in   routeRequest
		disk error
		code int
		told string
	}{
		{routeRequest{Tenant: name("a"), Stop: true, Reason: "a\x1b[2Jb"}, nil, Usage, ""},
		{routeRequest{Tenant: name("a"), Stop: true}, nil, Usage, ""},
		{routeRequest{Tenant: name(""), Stop: true, Reason: "all, by a slip"}, nil, Usage, ""},
		{routeRequest{Tenant: name("no\x1b[2Jbody"), Stop: true, Reason: "x"}, nil, NotFound, ""},
		{routeRequest{Tenant: name(strings.Repeat("n", 1000)), Stop: true, Reason: "x"}, nil, NotFound, ""},
		{routeRequest{Tenant: name("a")}, nil, NotFound, ""},
		{routeRequest{Tenant: name("a"), Stop: true, Reason: "now"}, nil, Done, "a true now"},
		{routeRequest{Tenant: name("a"), Stop: true, Reason: "me too"}, nil, Done, ""},
		{routeRequest{Tenant: name("a"), Reason: "go on"}, full, Failed, ""},
		{routeRequest{Tenant: name("b"), Stop: true, Reason: "it holds"}, full, Failed, "b true it holds"},
		{routeRequest{Tenant: name("a"), Reason: "go on"}, nil, Done, "a false go on"},
		{routeRequest{Stop: true, Reason: "everybody"}, nil, Done, " true everybody"},
	} {
		told, disk.fail = nil, row.disk
		err := control.Call(t.Context(), dir, "route", row.in, nil)
		if got := strings.Join(told, ", "); Code(err) != row.code || got != row.told {
			t.Errorf("%+v: %v (%d), told on is %q, want %q", row.in, err, Code(err), got, row.told)
		}
	}
	if words := b.Words(); slices.ContainsFunc(words, func(w route.Word) bool { return w.Tenant != route.All && w.Tenant != "a" && w.Tenant != "b" }) {
		t.Errorf("kept is %+v", words)
	}
}
