package control

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

func serve(t *testing.T, register func(*Server)) (state string) {
	t.Helper()
	state = t.TempDir()
	s, err := Listen(Path(state), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	register(s)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(Path(state)); err == nil {
			t.Error("the socket is left behind")
		}
	})
	return state
}

func anybody(Peer) bool { return true }

func TestARequestIsAnsweredForThePeerThatTheKernelNames(t *testing.T) {
	state := serve(t, func(s *Server) {
		s.Handle("who", anybody, false, func(_ context.Context, p Peer, request json.RawMessage) (any, error) {
			var in struct{ Greeting string }
			if err := Decode(request, &in); err != nil {
				return nil, err
			}
			return map[string]any{"uid": p.UID, "pid": p.PID, "in": p.In(uint32(os.Getgid())), "greeting": in.Greeting}, nil
		})
	})
	var out struct {
		UID, PID int
		In       bool
		Greeting string
	}
	if err := Call(context.Background(), state, "who", map[string]string{"greeting": "moien"}, &out); err != nil {
		t.Fatal(err)
	}
	if out.UID != os.Getuid() || out.PID != os.Getpid() || !out.In || out.Greeting != "moien" {
		t.Errorf("answered for %+v", out)
	}
}

func TestWhatIsWrongIsToldWithItsCode(t *testing.T) {
	called := false
	state := serve(t, func(s *Server) {
		s.Handle("refused", anybody, true, func(context.Context, Peer, json.RawMessage) (any, error) {
			return nil, &Error{Code: 4, Text: "a check did not hold"}
		})
		s.Handle("broken", anybody, true, func(context.Context, Peer, json.RawMessage) (any, error) { return nil, errors.New("disk") })
		s.Handle("closed", func(Peer) bool { return false }, true, func(context.Context, Peer, json.RawMessage) (any, error) {
			called = true
			return nil, nil
		})
		s.Handle("strict", anybody, false, func(_ context.Context, _ Peer, request json.RawMessage) (any, error) {
			var in struct{ Known int }
			return nil, Decode(request, &in)
		})
	})
	for _, row := range []struct {
		name string
		in   any
		code int
		says string
	}{
		{"refused", nil, 4, "a check did not hold"},
		{"broken", nil, 1, "disk"},
		{"closed", nil, 1, "may not"},
		{"strict", map[string]int{"unknown": 1}, 2, "unknown"},
		{"strict", strings.Repeat("x", maxRequest), 2, "too long"},
	} {
		err := Call(context.Background(), state, row.name, row.in, nil)
		var e *Error
		if !errors.As(err, &e) || e.Code != row.code || !strings.Contains(e.Text, row.says) {
			t.Errorf("%s: %v, want code %d and %q", row.name, err, row.code, row.says)
		}
	}
	if called {
		t.Error("a handler ran for a peer without the right")
	}
	if err := Call(context.Background(), state, "nothing", nil, nil); err == nil || !strings.Contains(err.Error(), "another version") {
		t.Errorf("an unknown request gives %v", err)
	}
}

func TestASocketThatNobodyAnswersMeansNoDaemon(t *testing.T) {
	dir := t.TempDir()
	if err := Call(context.Background(), dir, "x", nil, nil); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("without a socket: %v", err)
	}
	s, err := Listen(Path(dir), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	s.l.SetUnlinkOnClose(false)
	s.l.Close()
	if err := Call(context.Background(), dir, "x", nil, nil); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("with a socket that was left: %v", err)
	}
	if _, err := Listen(Path(dir), zap.NewNop()); err != nil {
		t.Errorf("a socket that was left keeps the next life out: %v", err)
	}
	if _, err := Listen(filepath.Join(dir, strings.Repeat("x", 120)), zap.NewNop()); err == nil || !strings.Contains(err.Error(), "shorter") {
		t.Errorf("a path that is too long gives %v", err)
	}
}

func TestServeEndsWithinItsSecondWhateverIsUnderWay(t *testing.T) {
	dir := t.TempDir()
	s, err := Listen(Path(dir), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	s.Handle("slow", anybody, false, func(ctx context.Context, _ Peer, _ json.RawMessage) (any, error) {
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Second):
		}
		return nil, nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	go func() { _ = Call(context.Background(), dir, "slow", nil, nil) }()
	time.Sleep(50 * time.Millisecond)
	cancel()
	select {
	case <-done:
	case <-time.After(3 * time.Second):
		t.Fatal("it does not end")
	}
}
