package outbox

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var (
	noon      = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	testWaits = waits{settle: 2 * time.Second, blind: time.Minute}
)

// TestStillness plays looks at an item, a second apart, and holds what follows from the last.
func TestStillness(t *testing.T) {
	denied := errors.New("denied")
	for name, row := range map[string]struct {
		moved bool
		looks []look
		want  step
		after time.Duration // of await
	}{
		"moved in":                         {true, []look{{sum: 1, probed: true}}, ready, 0},
		"moved in, with a writer":          {true, []look{{sum: 1, probed: true, writer: "x"}}, ready, 0},
		"moved in, then stirred":           {false, []look{{sum: 1, probed: true}}, await, 2 * time.Second},
		"moved in where writers are blind": {true, []look{{sum: 1, probed: true, blind: true}}, ready, 0},
		"moved in, unreadable":             {true, []look{{sum: 1, probed: true, denied: denied}}, deny, 0},
		"first seen":                       {false, []look{{sum: 1}}, await, 2 * time.Second},
		"seen for a second":                {false, []look{{sum: 1}, {sum: 1, probed: true}}, await, time.Second},
		"still":                            {false, []look{{sum: 1}, {sum: 1}, {sum: 1, probed: true}}, ready, 0},
		"still, and not probed":            {false, []look{{sum: 1}, {sum: 1}, {sum: 1}}, await, 0},
		"still, with a writer":             {false, []look{{sum: 1}, {sum: 1}, {sum: 1, probed: true, writer: "x"}}, await, 2 * time.Second},
		"still, unreadable":                {false, []look{{sum: 1}, {sum: 1}, {sum: 1, probed: true, denied: denied}}, deny, 0},
		"still where writers are blind":    {false, []look{{sum: 1}, {sum: 1}, {sum: 1, probed: true, blind: true}}, await, 58 * time.Second},
		"changed":                          {false, []look{{sum: 1}, {sum: 1}, {sum: 2, probed: true}}, await, 2 * time.Second},
		"a large tree":                     {false, []look{{sum: 1, took: 10 * time.Second}}, await, 40 * time.Second},
		"gone":                             {false, []look{{sum: 1}, {gone: true}}, lost, 0},
		"gone while probed":                {true, []look{{gone: true, probed: true, denied: denied}}, lost, 0},
	} {
		s := stillness{moved: row.moved}
		var v verdict
		now := noon
		for i, l := range row.looks {
			now = noon.Add(time.Duration(i) * time.Second)
			v = s.observe(now, l, testWaits)
		}
		if v.step != row.want || v.step == await && v.until.Sub(now) != row.after {
			t.Errorf("%s: step %d after %s, want %d after %s", name, v.step, v.until.Sub(now), row.want, row.after)
		}
	}
}

// following gives followers with one item "x" that was moved in and is being looked at.
func following(t *testing.T) (*followers, *follow) {
	t.Helper()
	f := newFollowers(testWaits, func(string, error) {}, func(string) {})
	f.happened(event{eventMoved, "x"}, noon)
	it := f.items["x"]
	if it == nil || it.phase != looking || len(f.looks) != 1 || !it.probe {
		t.Fatalf("after it was moved in: %+v", it)
	}
	f.looks = nil
	return f, it
}

func TestWhatHappensDuringALookIsNotForgotten(t *testing.T) {
	for name, row := range map[string]struct {
		kind  eventKind
		moved bool
	}{"touched": {eventTouched, false}, "moved over": {eventMoved, true}} {
		f, it := following(t)
		f.happened(event{row.kind, "x"}, noon)
		f.looked(it, look{probed: true}, noon)
		if it.phase != looking || it.still.moved != row.moved || len(f.offers) != 0 {
			t.Errorf("%s: %+v", name, it)
		}
	}
}

func TestWhatHappensToAnOfferIsNotForgotten(t *testing.T) {
	f, it := following(t)
	f.looked(it, look{probed: true, inode: inode{1, 2}}, noon)
	f.offered(noon)
	f.happened(event{eventMoved, "x"}, noon) // the next one under the same name, while the first is being claimed
	f.claimed(outcome{"x", nil}, noon)
	if f.items["x"] == nil || it.phase != looking || !it.still.moved {
		t.Errorf("the next one is forgotten: %+v", it)
	}
}

func TestARefusalIsTriedAgainLaterAndLater(t *testing.T) {
	f, it := following(t)
	last := time.Duration(0)
	for range 12 {
		f.looked(it, look{probed: true, denied: unix.EACCES}, noon)
		wait := it.due.Sub(noon)
		if it.phase != refused || wait < last || wait > lastRetry || wait < firstRetry {
			t.Fatalf("after %s comes %s, %+v", last, wait, it)
		}
		last = wait
		f.tick(it.due)
		if it.phase != looking {
			t.Fatalf("not tried again: %+v", it)
		}
	}
	if last != lastRetry {
		t.Errorf("the longest wait is %s", last)
	}
	f.looked(it, look{probed: true, denied: unix.EACCES}, noon)
	f.happened(event{eventAttrib, "x"}, noon)
	if wait := it.due.Sub(noon); wait != soonRetry {
		t.Errorf("after its rights changed it waits %s", wait)
	}
}

func TestARescanDropsWhatIsGoneAndReleasesItsReason(t *testing.T) {
	var released []string
	f := newFollowers(testWaits, func(string, error) {}, func(n string) { released = append(released, n) })
	f.happened(event{eventMoved, "refused"}, noon)
	f.happened(event{eventTouched, "settling"}, noon)
	f.looked(f.items["refused"], look{probed: true, denied: unix.EACCES}, noon)
	f.looked(f.items["settling"], look{sum: 1}, noon)
	f.startScan()
	f.listed("settling", noon)
	f.endScan()
	if len(f.items) != 1 || f.items["settling"] == nil || len(f.queue) != 1 || len(released) != 1 || released[0] != "refused" {
		t.Errorf("%d items, %d queued, released %q", len(f.items), len(f.queue), released)
	}
}

func TestAnOfferThatNobodyClaimsComesAgain(t *testing.T) {
	f, it := following(t)
	f.looked(it, look{probed: true}, noon)
	f.offered(noon)
	f.startScan()
	f.listed("x", noon.Add(offerAgain))
	if it.phase != offered {
		t.Errorf("offered again too soon: %+v", it)
	}
	f.listed("x", noon.Add(offerAgain+1))
	if it.phase != looking {
		t.Errorf("never offered again: %+v", it)
	}
}
