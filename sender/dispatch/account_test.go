package dispatch

import (
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/sender/ledger"
	"ecluse/sender/outbox"
)

// What passes and repairs took of the wire is on record when they are out, of each month by itself, and what a pass that failed had taken.
func TestWhatPassesTakeOfTheLinkIsOnRecord(t *testing.T) {
	y := build(t)
	y.passes, y.apart = 2, time.Millisecond
	now := time.Date(2026, 12, 31, 12, 0, 0, 0, time.UTC)
	var clock atomic.Pointer[time.Time]
	clock.Store(&now)
	y.now = func() time.Time { return *clock.Load() }
	l := y.start()
	item := l.send("item", map[string][]byte{"": noise(1, 300_000)})
	r := l.reach(item.ID, ledger.Sent)
	if len(r.Link) != 1 || r.Link[0].Month.String() != "2026-12" || r.Link[0].Wire < 2*300_000 || r.Link[0].Wire > 2*600_000 || r.Counted == nil || !r.Counted.Equal(now) {
		t.Fatalf("after two passes %+v, counted %v", r.Link, r.Counted)
	}
	if want := 8 * r.Link[0].Wire; int64(r.Link[0].Time) != want { // at a gigabit a second a byte takes 8 ns
		t.Errorf("%d bytes took %d ns, want %d", r.Link[0].Wire, r.Link[0].Time, want)
	}
	later := now.AddDate(0, 0, 2)
	clock.Store(&later)
	must(t, l.Resend(t.Context(), item.ID, nil))
	eventually(t, "it is sent again", func() bool { r = l.book(item.ID); return r.State == ledger.Sent && r.PassesDone == 3 })
	if len(r.Link) != 2 || r.Link[1].Month.String() != "2027-01" || r.Link[1].Wire < 300_000 || !r.Counted.Equal(now) {
		t.Errorf("after a repair in January %+v, counted %v", r.Link, r.Counted)
	}
}

// A pass that fails before anything of it is offered takes nothing, and what the one before it took is not noted again.
func TestAPassThatIsNotSentTakesNothing(t *testing.T) {
	y := build(t)
	y.passes, y.apart = 2, 200*time.Millisecond
	l := y.start()
	item := l.send("item", map[string][]byte{"": noise(1, 100_000)})
	var first []ledger.LinkUse
	eventually(t, "its first pass is out", func() bool { r := l.book(item.ID); first = r.Link; return r.PassesDone == 1 })
	must(t, os.RemoveAll(item.Path))
	r := l.reach(item.ID, ledger.Sent)
	if r.PassesDone != 1 || len(first) != 1 || !slices.Equal(r.Link, first) {
		t.Errorf("after %d passes %+v, and after the first %+v", r.PassesDone, r.Link, first)
	}
}

// wire is what is on record of an item.
func (l *life) wire(item outbox.Item) (n int64) {
	for _, u := range l.book(item.ID).Link {
		n += u.Wire
	}
	return n
}

// What a pass that lasts takes is noted while it lasts: what ends the process leaves it on record, and the pass that follows is charged beside it. In the end each byte of the wire was noted once.
func TestACrashTakesNothingAwayThatWasNoted(t *testing.T) {
	y := build(t)
	y.tolled = 5 * time.Millisecond
	l := y.start()
	content := map[string][]byte{"a": noise(7, 20<<20)}
	item := y.claim(0, bundle.Bulk, "item", content)
	l.socket.hold(true)
	must(t, l.Submit(item))
	eventually(t, "a part of it is out and noted", func() bool {
		l.socket.hold(false)
		time.Sleep(time.Millisecond)
		l.socket.hold(true)
		return l.wire(item) > 1<<20
	})
	before := l.wire(item)
	must(t, l.end())
	y.tolled = time.Hour
	l = y.start()
	if after := l.wire(item); after < before {
		t.Errorf("%d bytes are on record after a crash, and %d were before", after, before)
	}
	before = l.wire(item)
	r := l.reach(item.ID, ledger.Sent)
	if whole := l.wire(item) - before; r.PassesDone != 1 || whole < 20<<20 || whole > 30<<20 {
		t.Errorf("the pass after it took %d bytes", whole)
	}
}

// A note by the minute that the disk has no room for, while its pass ends: what it was to say is noted with the end.
func TestANoteThatFailsWhileItsPassEndsIsMadeWithTheEnd(t *testing.T) {
	y := build(t)
	y.tolled = time.Hour
	l := y.start()
	item := l.send("item", map[string][]byte{"a": noise(7, 20<<20)})
	l.reach(item.ID, ledger.Sent)
	before := l.wire(item)
	l.socket.hold(true)
	must(t, l.Resend(t.Context(), item.ID, nil)) // a pass that needs no signature asks nothing of the ledger before its end
	eventually(t, "a part of it is out", func() bool {
		l.socket.hold(false)
		time.Sleep(time.Millisecond)
		l.socket.hold(true)
		n, _ := l.Progress(item.ID)
		return n > 4<<20
	})
	reached, let := make(chan struct{}), make(chan struct{})
	var once sync.Once
	y.disk.set(func(act, path string) (err error) {
		if act == "put" && strings.Contains(path, item.ID.String()) {
			once.Do(func() {
				close(reached)
				<-let
				err = &os.PathError{Op: act, Path: path, Err: syscall.ENOSPC}
			})
		}
		return err
	})
	paid := make(chan error, 1)
	l.mu.Lock()
	task := l.tasks[item.ID]
	l.mu.Unlock()
	go func() { paid <- l.pay(task) }()
	<-reached
	l.socket.hold(false)
	eventually(t, "all of it is out", func() bool { n, underWay := l.Progress(item.ID); return n >= 20<<20 || !underWay })
	time.Sleep(100 * time.Millisecond) // for its end, which does not wait for the disk
	close(let)
	if err := <-paid; !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the note failed by %v", err)
	}
	eventually(t, "it is sent again", func() bool { return l.book(item.ID).PassesDone == 2 })
	if n := l.wire(item) - before; n < 20<<20 {
		t.Errorf("%d bytes of the wire are noted of a pass of %d", n, 20<<20)
	}
}

// Noting while passes last adds nothing: what is on record is what one note at the end says. And a pass that is cut short is charged with the next.
func TestEachByteOfTheWireIsNotedOnce(t *testing.T) {
	var took [2]int64
	for n, every := range []time.Duration{time.Hour, time.Millisecond} {
		y := build(t)
		y.tolled = every
		l := y.start()
		item := l.send("item", map[string][]byte{"a": noise(7, 20<<20)})
		l.reach(item.ID, ledger.Sent)
		took[n] = l.wire(item)
	}
	if d := took[0] - took[1]; max(d, -d) > took[0]/20 { // parity differs a little from one run to another
		t.Errorf("%d bytes noted at the end, and %d by the minute", took[0], took[1])
	}
	y := build(t)
	l := y.start()
	l.socket.hold(true)
	item := y.claim(0, bundle.Bulk, "item", map[string][]byte{"a": noise(7, 20<<20)})
	must(t, l.Submit(item))
	eventually(t, "a part of it is out", func() bool {
		l.socket.hold(false)
		time.Sleep(time.Millisecond)
		l.socket.hold(true)
		n, _ := l.Progress(item.ID)
		return n > 4<<20
	})
	l.Halt(0, errStop)
	l.socket.hold(false)
	eventually(t, "it is interrupted", func() bool { _, underWay := l.Progress(item.ID); return !underWay })
	l.Halt(0, nil)
	l.reach(item.ID, ledger.Sent)
	if n := l.wire(item); n < took[0]+4<<20-took[0]/20 {
		t.Errorf("a pass that was cut short after 4 MiB, and a whole one, took %d, a whole one %d", n, took[0])
	}
}
