package assemble

import (
	"testing"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
)

func TestAnEndDuringVerificationKeepsTheBundle(t *testing.T) {
	dir, s := t.TempDir(), some()
	r := newRoom(t, dir)
	stop := start(t, r)
	r.feed(t, s.blocks(t, 40_000, s.chunks...))
	r.wait(t) // its owner has it, and is not done
	stop()

	r = newRoom(t, dir)
	if err := r.Load(func(bundle.ID, Source, *record.Offer, time.Time) bool { return true }); err != nil {
		t.Fatal(err)
	}
	start(t, r)
	s.holds(t, r.wait(t), false)
}
