package transmit

import (
	"context"
	"testing"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
	"ecluse/sender/schedule"
)

// mark is a small record.
type mark struct{ close record.Close }

func (m *mark) AppendTo(b *record.Block) bool { return m.close.AppendTo(b) }
func (m *mark) Length() int                   { return m.close.Length() }

func TestAPassIsNotOutWhileAPieceOfItWaitsInAFeed(t *testing.T) {
	set := newFeedSet()
	feed := set.open(schedule.Lane{})
	times := 0
	out := NewOut(func() { times++ })
	m := &mark{record.Close{Bundle: bundle.ID{1}, Epoch: bundle.Epoch{1}, Tenant: "t", Sequence: 1, ManifestSize: 1, ManifestChunks: 1, Signature: make([]byte, 100)}}
	if err := feed.Put(context.Background(), Piece{Record: m, Out: out}); err != nil {
		t.Fatal(err)
	}
	out.Finish()
	if times != 0 {
		t.Fatal("it is out, and its piece waits")
	}
	var parts partList
	block := record.NewBlock(make([]byte, 1<<16))
	feed.fill(block, &parts)
	if times != 0 {
		t.Fatal("it is out, and its block has not left")
	}
	(&Coded{parts: parts.parts}).left()
	if times != 1 {
		t.Errorf("told %d times that it is out, want once", times)
	}
}

func TestAPassThatIsNowFastNowSlowOvertakesItselfNoMoreThanItsEnd(t *testing.T) {
	out := NewOut(nil)
	parts := partList{parts: []part{{out: out}}}
	block := func(prompt bool) *Coded {
		parts.book(prompt)
		return &Coded{parts: parts.parts, bulk: !prompt}
	}
	if !parts.mayOvertake() {
		t.Fatal("nothing is in flight, and it must wait")
	}
	block(true)
	bulk := []*Coded{block(false), block(false)}
	for i := range aheadMost {
		if !parts.mayOvertake() {
			t.Fatalf("only %d have overtaken", i)
		}
		block(true)
	}
	if parts.mayOvertake() {
		t.Fatal("more overtake than the end of a pass has")
	}
	bulk[0].left()
	if parts.mayOvertake() {
		t.Fatal("a bulk block is still in flight")
	}
	bulk[1].left()
	if !parts.mayOvertake() {
		t.Fatal("nothing is in flight any more, and it must wait")
	}
}
