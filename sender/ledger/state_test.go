package ledger

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestStatesFollowEachOther(t *testing.T) {
	states := []State{"", Waiting, Sending, Sent, Confirmed, Failed, "other"}
	allowed := map[string]bool{
		" waiting": true, "waiting sending": true, "waiting failed": true, "sending sent": true, "sending failed": true,
		"sent sending": true, "sent confirmed": true,
		"waiting waiting": true, "sending sending": true, "sent sent": true, "confirmed confirmed": true, "failed failed": true,
	}
	for _, from := range states[:6] {
		for _, to := range states {
			if err := from.follow(to); (err == nil) != allowed[fmt.Sprintf("%s %s", from, to)] {
				t.Errorf("%q to %q: %v", from, to, err)
			}
		}
	}
	for _, s := range states {
		_, err := ParseState(string(s))
		if known := s != "" && s != "other"; (err == nil) != known {
			t.Errorf("ParseState(%q): %v", s, err)
		}
		if final := s == Sent || s == Confirmed || s == Failed; s.Final() != final {
			t.Errorf("%q.Final() is %v", s, s.Final())
		}
	}
}

func TestAChangeThatFailsChangesNothing(t *testing.T) {
	b := open(t, t.TempDir())
	must(t, b.claim(1))
	for name, change := range map[string]func(r *Record) error{
		"its own error":     func(r *Record) error { r.Name, *r = "x", Record{}; return errTest },
		"a forbidden state": func(r *Record) error { r.Name, r.State = "x", Confirmed; return nil },
		"no state":          func(r *Record) error { r.State = ""; return nil },
		"another bundle":    func(r *Record) error { r.Bundle = id(2); return nil },
	} {
		if err := b.Change(context.Background(), id(1), change); err == nil {
			t.Errorf("%s: made", name)
		}
		r, err := b.Get(id(1))
		must(t, err)
		if r.Name != "item" || r.State != Waiting {
			t.Errorf("%s: left %+v", name, r)
		}
	}
	if err := b.Change(context.Background(), id(3), func(*Record) error { return nil }); err == nil {
		t.Error("a bundle was made known without a state")
	}
	if _, err := b.Get(id(3)); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
	must(t, b.end(true))
}

// TestNobodyIsToldBeforeItIsDurable looks while each sync is under way.
func TestNobodyIsToldBeforeItIsDurable(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	must(t, b.claim(1))
	must(t, b.end(true))
	b = open(t, dir) // so that the record is on the disk only
	seen := make(chan State, 2)
	b.disk.hold = func() { seen <- b.state(1) }
	b.become(1, Sending)
	for range 2 { // of the content, and of the name
		if s := <-seen; s != Waiting {
			t.Errorf("it was %q before the sync", s)
		}
	}
	b.disk.hold = nil
	if s := b.state(1); s != Sending {
		t.Errorf("it is %q after the sync", s)
	}
	must(t, b.end(true))
}

func TestACopyIsACopy(t *testing.T) {
	b := open(t, t.TempDir())
	must(t, b.claim(1))
	_, err := b.sign(1)
	must(t, err)
	r, err := b.Get(id(1))
	must(t, err)
	*r.Sequence = 99
	if again, _ := b.Get(id(1)); *again.Sequence != 1 {
		t.Error("a reader changed the book")
	}
	must(t, b.end(true))
}

func TestRunEndsWithWhatWaits(t *testing.T) {
	b := open(t, t.TempDir())
	must(t, b.claim(0))
	hold, done := make(chan struct{}), make(chan error, 100)
	b.Post(id(0), func(*Record) error { <-hold; return nil }, func(err error) { done <- err })
	for n := 1; n < 100; n++ {
		b.Post(id(n), func(r *Record) error {
			*r = Record{Bundle: id(n), Tenant: "default", Epoch: thisEpoch, State: Waiting, Created: start}
			return nil
		}, func(err error) { done <- err })
	}
	b.stop()
	close(hold)
	for range 100 {
		select {
		case err := <-done:
			must(t, err)
		case <-time.After(5 * time.Second):
			t.Fatal("a change was forgotten")
		}
	}
	must(t, b.end(true))
	if err := b.claim(200); !errors.Is(err, errEnded) {
		t.Errorf("a change after the end: %v", err)
	}
}

func TestMemoryHoldsNoMoreThanItMay(t *testing.T) {
	b := open(t, t.TempDir())
	must(t, b.claim(0))
	b.mu.Lock()
	for n := 1; n < liveMost; n++ {
		b.live[id(n)] = &Record{Bundle: id(n), State: Sent}
	}
	b.mu.Unlock()
	must(t, b.claim(liveMost))
	b.mu.Lock()
	live := len(b.live)
	b.mu.Unlock()
	if live != 2 {
		t.Errorf("%d records in memory", live)
	}
	if s := b.state(0); s != Waiting {
		t.Errorf("what waits is %q", s)
	}
	must(t, b.end(true))
}
