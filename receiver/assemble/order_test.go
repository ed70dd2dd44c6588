package assemble

import (
	"sync"
	"testing"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/protocol/racing"
	"ecluse/protocol/record"
)

// Decoders hand blocks over beside each other. As long as nothing was lost on the way, no frame is given up, however little memory there is.
func TestBlocksBesideEachOtherLoseNothing(t *testing.T) {
	for round := range racing.Part(3) {
		content := make([]byte, 40*bundle.ChunkSizeMax+500)
		for i := range content {
			content[i] = byte(i>>11) * byte(i&7)
		}
		copy(content, random(uint64(round), 24<<20))
		s := makeBundle(1, bundle.ChunkSizeMax, make([]byte, 300), content)
		r := newRoom(t, t.TempDir())
		stop := start(t, r)
		blocks := make(chan *record.Reader)
		var workers sync.WaitGroup
		for range 2 {
			workers.Go(func() {
				for b := range blocks {
					r.Block(from, b)
				}
			})
		}
		for i, shards := range s.blocks(t, 1_350_000, s.chunks...) {
			b, err := record.ReadBlock(shards, uint32(i))
			if err != nil {
				t.Fatal(err)
			}
			blocks <- b
		}
		close(blocks)
		workers.Wait()
		select {
		case b := <-r.owner.whole:
			s.holds(t, b, false)
		case <-time.After(20 * time.Second):
			r.mu2(func() {
				for _, in := range r.bundles {
					t.Errorf("round %d: %d chunks are here, %d frames wait, %d were given up, %d jobs under way", round, in.have.count, len(in.frames), r.dropped, r.active)
					for n, f := range in.frames {
						t.Errorf("chunk %d of %d bytes: %v, runs %v", n, len(f.bytes), f.have, f.runs != nil)
					}
				}
				t.Errorf("%v; buffers %d of %d, raws %d of %d", r.counts, r.buffers.used, r.buffers.limit, r.raws.used, r.raws.limit)
			})
			t.FailNow()
		}
		stop()
		if r.dropped != 0 || r.buffers.used != 0 || r.raws.used != 0 {
			t.Fatalf("round %d: %d frames were given up, %d and %d bytes are lent", round, r.dropped, r.buffers.used, r.raws.used)
		}
	}
}
