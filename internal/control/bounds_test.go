package control

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func dial(t *testing.T, state string) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", Path(state))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// over waits until the other side has closed a connection.
func over(c net.Conn, within time.Duration) bool {
	_ = c.SetReadDeadline(time.Now().Add(within))
	_, err := io.Copy(io.Discard, c)
	var slow net.Error
	return !errors.As(err, &slow) || !slow.Timeout()
}

func TestOneUserHoldsSoManyConnectionsAndNoMore(t *testing.T) {
	state := serve(t, func(s *Server) {
		s.Handle("hello", anybody, false, func(context.Context, Peer, json.RawMessage) (any, error) { return "hello", nil })
	})
	var held []net.Conn
	for range maxOpen {
		held = append(held, dial(t, state))
	}
	if c := dial(t, state); !over(c, time.Second) {
		t.Error("one more is taken")
	}
	if over(held[0], 100*time.Millisecond) {
		t.Error("one that was taken is closed")
	}
	if err := Call(t.Context(), state, "hello", nil, nil); err == nil || !strings.Contains(err.Error(), "at once") {
		t.Errorf("one more asks: %v", err)
	}
	held[1].Close()
	for end := time.Now().Add(2 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if err := Call(t.Context(), state, "hello", nil, nil); err == nil {
			break
		} else if time.Now().After(end) {
			t.Fatalf("after one has gone: %v", err)
		}
	}
	for i, c := range held[2:] {
		if !over(c, maxWait+2*time.Second) {
			t.Fatalf("%d of %d who say nothing are held on to", len(held)-i, len(held))
		}
	}
}

func TestASlowClientLosesItsConnectionAndALongQuestionDoesNot(t *testing.T) {
	state := serve(t, func(s *Server) {
		s.Handle("long", anybody, false, func(ctx context.Context, _ Peer, _ json.RawMessage) (any, error) {
			select {
			case <-time.After(maxWait + 1500*time.Millisecond):
				return "done", nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
		s.Handle("much", anybody, false, func(context.Context, Peer, json.RawMessage) (any, error) { return strings.Repeat("x", 16<<20), nil })
	})
	slowly := func(request string) <-chan bool {
		c := dial(t, state)
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		end := make(chan bool, 1)
		go func() {
			time.Sleep(maxWait + time.Second)
			text, _ := io.ReadAll(io.LimitReader(c, 17<<20))
			end <- over(c, time.Second) && len(text) < 16<<20
		}()
		return end
	}
	ends := map[string]<-chan bool{
		"a body that does not come":      slowly("POST /v1/long HTTP/1.1\r\nHost: d\r\nContent-Length: 9\r\n\r\n"),
		"an answer that nobody takes":    slowly("POST /v1/much HTTP/1.1\r\nHost: d\r\nContent-Length: 4\r\n\r\nnull"),
		"a header that does not go on":   slowly("POST /v1/long HT"),
		"a second request that is begun": slowly("POST /v1/long HTTP/1.1\r\nHost: d\r\nContent-Length: 9\r\n\r\n12"),
	}
	var out string
	if err := Call(t.Context(), state, "long", nil, &out); err != nil || out != "done" {
		t.Errorf("a long question: %q, %v", out, err)
	}
	for name, end := range ends {
		if !<-end {
			t.Errorf("%s: it is held on to", name)
		}
	}
}
