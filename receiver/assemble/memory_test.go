package assemble

import (
	"testing"

	"ecluse/protocol/bundle"
)

func TestAllMemoryComesBackAndIsUsedAgain(t *testing.T) {
	content := make([]byte, 12*bundle.ChunkSizeMax+500)
	for i := range content {
		content[i] = byte(i * i >> 7)
	}
	s := makeBundle(1, bundle.ChunkSizeMax, make([]byte, 300), content)
	r := newRoom(t, t.TempDir())
	end := start(t, r)
	for _, c := range s.chunks {
		r.feed(t, s.blocks(t, 900_000, c))
	}
	s.holds(t, r.wait(t), true)
	end()
	if r.buffers.used != 0 || r.raws.used != 0 || r.active != 0 {
		t.Errorf("%d bytes of frames and %d of chunks are lent, %d jobs under way, and nothing is", r.buffers.used, r.raws.used, r.active)
	}
	if r.raws.kept == 0 {
		t.Error("no buffer of a chunk is kept for use again")
	}
}
