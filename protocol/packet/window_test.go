package packet

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"ecluse/protocol/bundle"
)

const windowSize = bundle.ReplayWindow

// The steps are walked in order on one window.
func TestWindowStepsOfP6(t *testing.T) {
	const w, top = windowSize, uint64(maxNumber)
	steps := []struct {
		name   string
		number uint64
		want   error
	}{
		{"P-6 the first number is 0", 0, nil},
		{"P-6 0 again", 0, errReplay},
		{"P-6 1 follows", 1, nil},
		{"P-6 1 again", 1, errReplay},
		{"P-6 a gap to 9", 9, nil},
		{"P-6 8 fills the gap", 8, nil},
		{"P-6 7 fills the gap", 7, nil},
		{"P-6 7 again", 7, errReplay},
		{"P-6 6 fills the gap", 6, nil},
		{"P-6 5 fills the gap", 5, nil},
		{"P-6 4 fills the gap", 4, nil},
		{"P-6 3 fills the gap", 3, nil},
		{"P-6 2 fills the gap", 2, nil},
		{"P-6 2 again", 2, errReplay},
		{"P-6 0 at last", 0, errReplay},
		{"P-6 the last number of the first word", 63, nil},
		{"P-6 the first number of the second word", 64, nil},
		{"P-6 63 again over the edge of a word", 63, errReplay},
		{"P-6 the whole window ahead", w + 16, nil},
		{"P-6 the lowest number of the window", 17, nil},
		{"P-6 the lowest number again", 17, errReplay},
		{"P-6 one below the window", 16, errReplay},
		{"P-6 two below the window", 15, errReplay},
		{"P-6 0 far below the window", 0, errReplay},
		{"P-6 a known number still within", 63, errReplay},
		{"P-6 an unknown number still within", 62, nil},
		{"P-6 one more moves the window", w + 17, nil},
		{"P-6 17 has left it", 17, errReplay},
		{"P-6 18 has not", 18, nil},
		{"P-6 nearly all of the window ahead", 2*w + 16, nil},
		{"P-6 its lowest number is the highest but one before", w + 17, errReplay},
		{"P-6 the number above that one is new", w + 18, nil},
		{"P-6 exactly a window ahead forgets all", 3*w + 16, nil},
		{"P-6 the highest before has left", 2*w + 16, errReplay},
		{"P-6 the one above it is new", 2*w + 17, nil},
		{"P-6 four windows ahead", 7 * w, nil},
		{"P-6 nothing old shines through", 6*w + 1, nil},
		{"P-6 the same bit one window before", 6 * w, errReplay},
		{"P-6 the highest number of all", top, nil},
		{"P-6 the highest number again", top, errReplay},
		{"P-6 the number below it", top - 1, nil},
		{"P-6 the lowest of the last window", top - w + 1, nil},
		{"P-6 one below that", top - w, errReplay},
		{"P-6 0 at the end of time", 0, errReplay},
	}
	if len(steps) < 34 {
		t.Fatalf("only %d steps", len(steps))
	}
	var win Window
	for i, s := range steps {
		before := win
		if err := win.Check(s.number); err != s.want {
			t.Fatalf("step %d, %s: Check(%d) = %v, want %v", i, s.name, s.number, err, s.want)
		}
		if win != before {
			t.Fatalf("step %d, %s: Check moved the window", i, s.name)
		}
		if err := win.Accept(s.number); err != s.want {
			t.Fatalf("step %d, %s: Accept(%d) = %v, want %v", i, s.name, s.number, err, s.want)
		}
		if s.want != nil && win != before {
			t.Fatalf("step %d, %s: a refusal moved the window", i, s.name)
		}
	}
}

func TestWindowBulkOfP6(t *testing.T) {
	const n = 3 * windowSize
	orders := map[string]func(i uint64) uint64{
		"P-6 rising":                   func(i uint64) uint64 { return i },
		"P-6 neighbours swapped":       func(i uint64) uint64 { return i ^ 1 },
		"P-6 windows of 64 backwards":  func(i uint64) uint64 { return i ^ 63 },
		"P-6 half a window interleave": func(i uint64) uint64 { return i&^32767 | (i&255)<<7 | i>>8&127 },
	}
	for name, order := range orders {
		var win Window
		for i := range uint64(n) {
			if err := win.Accept(order(i)); err != nil {
				t.Fatalf("%s: number %d is refused the first time: %v", name, order(i), err)
			}
		}
		for i := range uint64(n) {
			if err := win.Accept(order(i)); err != errReplay {
				t.Fatalf("%s: number %d is accepted twice", name, order(i))
			}
		}
		if highest, ok := win.Highest(); !ok || highest != n-1 {
			t.Fatalf("%s: the highest number is %d, %v", name, highest, ok)
		}
	}
	var falling Window
	for i := uint64(n); i > n-windowSize; i-- {
		if err := falling.Accept(i); err != nil {
			t.Fatalf("P-6 falling: number %d is refused the first time: %v", i, err)
		}
	}
	if err := falling.Accept(n - windowSize); err != errReplay {
		t.Fatal("P-6 falling: the number below the window is accepted")
	}
}

func TestWindowFloorOfP7(t *testing.T) {
	for _, stored := range []uint64{0, 1, 63, 64, windowSize, 1 << 40} {
		win := NewWindow(stored)
		if _, ok := win.Highest(); ok {
			t.Fatalf("P-7 stored %d: a window after a restart has accepted something", stored)
		}
		for _, number := range []uint64{0, stored / 2, stored} {
			if err := win.Accept(number); err != errFloor {
				t.Fatalf("P-7 stored %d: number %d gives %v", stored, number, err)
			}
		}
		for _, number := range []uint64{stored + 2, stored + 1, stored + windowSize} {
			if err := win.Accept(number); err != nil {
				t.Fatalf("P-7 stored %d: number %d gives %v", stored, number, err)
			}
			if err := win.Accept(number); err != errReplay {
				t.Fatalf("P-7 stored %d: number %d twice gives %v", stored, number, err)
			}
		}
		if err := win.Accept(stored); err != errFloor {
			t.Fatalf("P-7 stored %d: the stored number gives %v later", stored, err)
		}
	}
}

// The window agrees with a plain set and a comparison, whatever jumps the numbers make.
func TestWindowIsASetOfP6(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var win Window
		seen, highest := map[uint64]bool{}, uint64(0)
		steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) int64 {
			scale := rapid.SampledFrom([]int64{1, 3, 64, 130, windowSize, windowSize + 64, 5 * windowSize}).Draw(t, "scale")
			return rapid.Int64Range(-scale, scale).Draw(t, "step")
		}), 1, 200).Draw(t, "steps")
		at := int64(0)
		for _, step := range steps {
			at = max(0, at+step)
			number := uint64(at)
			fresh := !seen[number] && (number > highest || highest-number < windowSize)
			if err := win.Accept(number); (err == nil) != fresh {
				t.Fatalf("P-6: number %d below highest %d: fresh %v, but Accept says %v", number, highest, fresh, err)
			}
			if fresh {
				seen[number], highest = true, max(highest, number)
			}
		}
	})
}

func TestRefusalsCarryReasonAndRule(t *testing.T) {
	rows := []struct {
		err    error
		reason bundle.Reason
		rule   string
	}{
		{errLength, bundle.ReasonPacketLength, "P-1"},
		{errVersion, bundle.ReasonPacketVersion, "P-2"},
		{errKind, bundle.ReasonPacketKind, "P-2"},
		{errTag, bundle.ReasonPacketTag, "P-3"},
		{errSeal, bundle.ReasonPacketSeal, "P-5"},
		{errReplay, bundle.ReasonPacketReplay, "P-6"},
		{errFloor, bundle.ReasonPacketFloor, "P-7"},
		{errCode, bundle.ReasonPacketCode, "P-8"},
		{errReserved, bundle.ReasonPacketReserved, "P-8"},
		{errAnnounceLength, bundle.ReasonAnnounceLength, "S-1"},
		{errAnnounceParts, bundle.ReasonAnnounceParts, "S-1"},
		{errAnnounceFields, bundle.ReasonAnnounceFields, "S-2"},
	}
	for _, row := range rows {
		var r *bundle.Rejection
		if !errors.As(row.err, &r) || r.Reason != row.reason || r.Rule != row.rule {
			t.Errorf("%v is not %s by %s", row.err, row.reason, row.rule)
		}
	}
}
