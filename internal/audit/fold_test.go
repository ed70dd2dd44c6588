package audit

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

var ofOne = Kind{Event: "refused", Sender: "low", Tenant: "cssf", Reason: "quota"}

// foldLog is a log whose clock only the test moves.
func foldLog(t *testing.T, dir string) (l *Log, advance func(time.Duration)) {
	t.Helper()
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	o := options(dir)
	o.Now = func() time.Time { return now }
	l, err := Open(o)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l, func(d time.Duration) { now = now.Add(d) }
}

// comes says how many of so many are told of on their own.
func comes(l *Log, k Kind, n int) (told int) {
	for range n {
		if !l.Fold(k) {
			told++
		}
	}
	return told
}

// more are the counts that a log tells, in their order.
func more(t *testing.T, dir string, reason string) (counts []uint64) {
	t.Helper()
	list, err := reader(dir).List(Query{})
	must(t, err)
	for _, e := range list {
		if !strings.HasSuffix(e.Event, "-more") || e.Reason != reason {
			continue
		}
		var d struct {
			Count        uint64
			Since, Until time.Time
		}
		must(t, json.Unmarshal(e.Data, &d))
		if d.Since.IsZero() || d.Until.Before(d.Since) || e.Sender != "low" || e.Tenant != "cssf" {
			t.Errorf("%s", e.Data)
		}
		counts = append(counts, d.Count)
	}
	return counts
}

func same(t *testing.T, what string, have []uint64, want ...uint64) {
	t.Helper()
	if len(have) != len(want) {
		t.Fatalf("%s: %v are counted, not %v", what, have, want)
	}
	for i := range want {
		if have[i] != want[i] {
			t.Fatalf("%s: %v are counted, not %v", what, have, want)
		}
	}
}

func TestWhatIsFoldedIsCountedOnceAMinuteAndEachHourBeginsAnew(t *testing.T) {
	dir := t.TempDir()
	l, advance := foldLog(t, dir)
	if n := comes(l, ofOne, 1000); n != foldAfter {
		t.Fatalf("%d of 1000 are told on their own", n)
	}
	must(t, l.Settle())
	same(t, "before its minute is over", more(t, dir, "quota"))
	advance(foldEvery)
	must(t, l.Settle())
	same(t, "after a minute", more(t, dir, "quota"), 800)
	comes(l, ofOne, 10)
	advance(foldEvery)
	comes(l, ofOne, 7)
	must(t, l.Settle())
	must(t, l.Settle())
	same(t, "after another", more(t, dir, "quota"), 800, 17)
	comes(l, ofOne, 5)
	advance(foldHour)
	if n := comes(l, ofOne, 1); n != 0 {
		t.Error("an hour begins while its predecessor is not told")
	}
	must(t, l.Settle())
	same(t, "when the hour is over", more(t, dir, "quota"), 800, 17, 6)
	if n := comes(l, ofOne, 300); n != foldAfter {
		t.Errorf("%d are told on their own in the next hour", n)
	}
	advance(-2 * foldHour)
	must(t, l.Settle())
	if n := comes(l, ofOne, 1); n != 1 {
		t.Error("a clock that is set back goes on counting")
	}
	if f := faults(t, dir); len(f) > 0 {
		t.Errorf("%+v", f)
	}
}

func TestEachKindIsFoldedOnItsOwnAndForgottenWithItsHour(t *testing.T) {
	dir := t.TempDir()
	l, advance := foldLog(t, dir)
	other := ofOne
	other.Reason = "disk-full"
	comes(l, ofOne, foldAfter+3)
	if n := comes(l, other, foldAfter+4); n != foldAfter {
		t.Errorf("%d of another kind are told on their own", n)
	}
	l.Unfold()
	same(t, "one", more(t, dir, "quota"), 3)
	same(t, "the other", more(t, dir, "disk-full"), 4)
	advance(foldHour)
	must(t, l.Settle())
	if n := len(l.folds.all); n != 0 {
		t.Errorf("%d kinds are remembered", n)
	}
}

// Over a crash at most what is in no entry is lost; over a full disk nothing is.
func TestACountIsLostByNothingButACrash(t *testing.T) {
	dir := t.TempDir()
	l, advance := foldLog(t, dir)
	comes(l, ofOne, foldAfter+100)
	l.broken = errClosed // the disk takes nothing
	l.Unfold()
	l.broken = nil
	same(t, "while there is no room", more(t, dir, "quota"))
	advance(foldEvery)
	must(t, l.Settle())
	same(t, "with room again", more(t, dir, "quota"), 100)
	comes(l, ofOne, 50)
	must(t, l.Close()) // as a crash does: nobody has called Unfold
	l, _ = foldLog(t, dir)
	comes(l, ofOne, foldAfter+1)
	l.Unfold()
	same(t, "after a crash", more(t, dir, "quota"), 100, 1)
}

func TestAHundredThousandOfAKindTakeLittle(t *testing.T) {
	dir := t.TempDir()
	l, advance := foldLog(t, dir)
	const all = 100_000
	told := 0
	for range all {
		if !l.Fold(ofOne) {
			told++
			must(t, l.Append(Entry{Event: "refused", Sender: "low", Tenant: "cssf", Reason: "quota"}))
		}
		advance(10 * time.Millisecond) // a quarter of an hour
		must(t, l.Settle())
	}
	l.Unfold()
	sum := uint64(told)
	counts := more(t, dir, "quota")
	for _, n := range counts {
		sum += n
	}
	if sum != all || told != foldAfter || len(counts) > 18 {
		t.Errorf("%d on their own, and %v", told, counts)
	}
	if n := len(read(t, dir, entriesDir, segmentName(0))); n > 60<<10 {
		t.Errorf("%d bytes", n)
	}
}

// What comes while an entry is written is in the next one, and so is when it came.
func TestACountBeginsWhereTheOneBeforeEnded(t *testing.T) {
	l, advance := foldLog(t, t.TempDir())
	comes(l, ofOne, foldAfter+2)
	_, told := l.foldEntry(ofOne)
	for range 3 {
		advance(time.Second)
		comes(l, ofOne, 1)
	}
	l.spoken(ofOne, told)
	e, next := l.foldEntry(ofOne)
	if next.more != 3 || next.since.After(told.until.Add(time.Second)) || next.until.Sub(told.until) != 3*time.Second {
		t.Errorf("after one until %v: %s", told.until, e.Data)
	}
}
