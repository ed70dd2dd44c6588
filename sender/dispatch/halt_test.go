package dispatch

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/sender/ledger"
	"ecluse/sender/outbox"
)

var errStop = errors.New("ann has stopped it")

// counts is how much of a bundle has come.
func (y *yard) counts(id bundle.ID) (n int) {
	y.high.see(id, func(a *arrived) bool {
		n = len(a.offers) + len(a.chunks) + len(a.closes) + len(a.abandon)
		return true
	})
	return n
}

// What is under way stops at the next block and keeps no memory, the others' goes on, and all of it comes whole when the tenant is started, however often that happens and in whichever pass.
func TestAStoppedTenantSendsNothingAndLosesNothing(t *testing.T) {
	y := build(t, "stopped", "other")
	y.passes, y.chunk = 2, 1<<20
	l := y.start()
	l.socket.hold(true)
	large := map[string][]byte{"a": noise(3, 60<<20)}
	var items []outbox.Item
	for n := range 3 {
		item := y.claim(0, []bundle.Class{bundle.Urgent, bundle.Normal, bundle.Bulk}[n], strconv.Itoa(n), large)
		must(t, l.Submit(item))
		items = append(items, item)
	}
	all := func() (n int) {
		for _, item := range items {
			n += y.counts(item.ID)
		}
		return n
	}
	for round := range 6 {
		eventually(t, "the link is full", func() bool {
			before := l.o.Buffers.Used()
			time.Sleep(20 * time.Millisecond)
			return before > 0 && l.o.Buffers.Used() == before
		})
		l.Halt(0, errStop)
		if l.Halted(0) == nil || l.Halted(1) != nil {
			t.Fatal("another one is stopped")
		}
		before := all()
		l.socket.hold(false)
		eventually(t, "it keeps no memory", func() bool { return l.o.Buffers.Used() == 0 })
		others := y.claim(1, bundle.Normal, "other", content)
		must(t, l.Submit(others))
		l.reach(others.ID, ledger.Sent)
		eventually(t, "nothing more comes", func() bool {
			came := all()
			time.Sleep(50 * time.Millisecond)
			return all() == came
		})
		if came := all() - before; came > 60 { // of 180 chunks
			t.Fatalf("round %d: %d records came after it was stopped", round, came)
		}
		for range 20 {
			for _, item := range items {
				if _, underWay := l.Progress(item.ID); underWay || l.book(item.ID).State.Final() {
					t.Fatalf("round %d: a pass of %s is under way, or was the last", round, item.Name)
				}
			}
			time.Sleep(time.Millisecond)
		}
		l.socket.hold(true)
		l.Halt(0, nil)
	}
	l.socket.hold(false)
	for _, item := range items {
		if r := l.reach(item.ID, ledger.Sent); r.PassesDone != 2 {
			t.Errorf("%d passes of %s are done", r.PassesDone, item.Name)
		}
		y.whole(item, large, atLeast+2)
	}
}

// A pass of which all was handed to the link, and not all had left, is not out.
func TestAPassThatWasCutAtItsEndIsNotOut(t *testing.T) {
	y := build(t)
	l := y.start()
	l.socket.hold(true)
	ahead := l.send("ahead", map[string][]byte{"a": noise(4, 60<<20)}) // fills the link
	time.Sleep(100 * time.Millisecond)
	item := y.claim(0, bundle.Bulk, "item", content)
	must(t, l.Submit(item))
	eventually(t, "it is fed to its end", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.beats.ends) == 1
	})
	l.Halt(0, errStop)
	l.socket.hold(false)
	time.Sleep(100 * time.Millisecond)
	if r := l.book(item.ID); r.State.Final() || r.PassesDone > 0 {
		t.Errorf("it is %s, %d passes are done", r.State, r.PassesDone)
	}
	l.Halt(0, nil)
	l.reach(item.ID, ledger.Sent)
	l.reach(ahead.ID, ledger.Sent)
	y.whole(item, content, atLeast+1)
}

func TestAStoppedTenantWaitsOverARestart(t *testing.T) {
	y := build(t)
	l := y.start()
	l.Halt(0, errStop)
	item := l.send("item", content)
	time.Sleep(50 * time.Millisecond)
	if y.sent(item.ID) || l.book(item.ID).State.Final() {
		t.Fatal("it was sent")
	}
	must(t, l.end())
	l = y.open()
	l.Halt(0, errStop)
	l.resume()
	time.Sleep(50 * time.Millisecond)
	if y.sent(item.ID) {
		t.Fatal("it was sent")
	}
	l.Halt(0, nil)
	l.reach(item.ID, ledger.Sent)
	y.whole(item, content, 1)
}

// A heartbeat says nothing of a stopped tenant but where its chain stands.
func TestHeartbeatsRepeatNothingOfAStoppedTenant(t *testing.T) {
	y := build(t, "stopped", "other")
	l := y.start()
	for tenant := range 2 {
		item := y.claim(tenant, bundle.Normal, "item", content)
		must(t, l.Submit(item))
		l.reach(item.ID, ledger.Sent)
	}
	if n := len(l.Beat()); n != 3 {
		t.Fatalf("a heartbeat and two closes are %d records", n)
	}
	l.Halt(0, errStop)
	if n := len(l.Beat()); n != 2 {
		t.Errorf("a heartbeat and one close are %d records", n)
	}
	l.Halt(0, nil)
	if n := len(l.Beat()); n != 3 {
		t.Errorf("started again, there are %d records", n)
	}
}
