package assemble

import (
	"slices"
	"testing"
)

func TestTheOwnerLearnsOnceHowABundleEnds(t *testing.T) {
	s := makeBundle(1, 4096, []byte("manifest"), make([]byte, 20_000))
	r := newRoom(t, t.TempDir())
	for range 2 {
		r.feed(t, s.blocks(t, 40_000, s.chunks[1:]...))
	}
	if !slices.Equal(r.owner.closed, []uint64{s.close.Sequence}) {
		t.Errorf("told of %v, want once of %d", r.owner.closed, s.close.Sequence)
	}
}
