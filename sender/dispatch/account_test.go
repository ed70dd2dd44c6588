package dispatch

import (
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"ecluse/sender/ledger"
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
