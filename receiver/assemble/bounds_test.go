package assemble

import (
	"testing"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
	"ecluse/receiver/collect"
)

// An offer is what quota and reserve are asked for, so nothing beyond it is staged.
func TestNothingIsStagedBeyondWhatWasOffered(t *testing.T) {
	r := newRoom(t, t.TempDir())
	start(t, r)
	s := makeBundle(1, 4096, make([]byte, 300), []byte("ten bytes!"), make([]byte, 4000))
	s.offer.Chunks = 1 << 20 // and says of chunks what it likes
	r.feed(t, s.blocks(t, 40_000))
	zeroes := compress(make([]byte, 4096))
	for n := range uint32(20) {
		far := record.Chunk{Bundle: s.offer.Bundle, Number: 10 + n, Raw: 4096, Runs: []bundle.Run{{File: 1, Offset: uint64(n) << 20, Length: 4096}}, Frame: zeroes}
		r.feed(t, s.blocks(t, 40_000, far))
	}
	until(t, func() bool { return r.idle() })
	if got := r.Counts().Refused[bundle.ReasonChunkLayout]; got < 19 {
		t.Errorf("%d of 20 chunks far beyond the offer were refused", got)
	}
}

func TestStrangersOfOneSenderTakeNoRoomOfAnother(t *testing.T) {
	r := newRoom(t, t.TempDir())
	start(t, r)
	for n := range maxStrangers + 20 {
		c := record.Chunk{Bundle: bundle.ID{99, byte(n), byte(n >> 8)}, Raw: 300, Runs: []bundle.Run{{File: 1, Length: 300}}, Frame: compress(make([]byte, 300))}
		slicer := record.NewSlicer(c)
		b := record.NewBlock(make([]byte, 1408))
		slicer.AppendTo(b)
		reader, err := record.ReadBlock([][]byte{b.Seal(uint32(n), 1408)}, uint32(n))
		if err != nil {
			t.Fatal(err)
		}
		r.Block(collect.SessionInfo{Sender: "evil", Epoch: bundle.Epoch{2}, Number: 9, Link: "a"}, reader)
	}
	s := some()
	r.feed(t, s.blocks(t, 40_000, s.chunks...))
	s.holds(t, r.wait(t), false)
	if r.Counts().Refused[bundle.ReasonLimit] != 20 {
		t.Errorf("%v were counted", r.Counts().Refused)
	}
}

func TestAnOfferThatCannotBeJudgedIsAskedAboutAgain(t *testing.T) {
	r := newRoom(t, t.TempDir())
	start(t, r)
	s := some()
	r.owner.refuse = Later
	r.feed(t, s.blocks(t, 40_000, s.chunks[:2]...))
	r.owner.refuse = nil
	r.feed(t, s.blocks(t, 40_000, s.chunks...))
	s.holds(t, r.wait(t), false)
}
