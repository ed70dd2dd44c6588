package assemble

import (
	"bytes"
	"testing"

	"ecluse/protocol/record"
)

// Chunks that are not compressed stand in their files as others do: from a sender that stores them, from one whose compressor gave up, in blocks cut where nobody else cuts them, and
// where their largest run lies otherwise in memory than in its file.
func TestWhatIsNotCompressedIsStagedAsItIs(t *testing.T) {
	files := [][]byte{random(1, 9<<20+17), random(2, 3_000), random(3, 1_300_000), random(4, 1<<20+1), random(5, 20_000), random(6, 3<<20)}
	for name, frame := range map[string]func(content []byte) record.Chunk{
		"stored":                  func(c []byte) record.Chunk { return record.Chunk{Stored: c} },
		"by a compressor":         func(c []byte) record.Chunk { return record.Chunk{Frame: compress(c)} },
		"in blocks of other ends": func(c []byte) record.Chunk { return record.Chunk{Frame: otherBlocks(c)} },
	} {
		t.Run(name, func(t *testing.T) {
			s := makeBundle(1, 4<<20, random(9, 70_000), files...)
			for i, c := range s.chunks {
				content, err := newDecoder().DecodeAll(c.Frame, make([]byte, 0, c.Raw))
				if err != nil {
					t.Fatal(err)
				}
				f := frame(content)
				s.chunks[i].Frame, s.chunks[i].Stored = f.Frame, f.Stored
			}
			r := newRoom(t, t.TempDir())
			start(t, r)
			r.feed(t, s.blocks(t, 2<<20, s.chunks...))
			s.holds(t, r.wait(t), true)
			r.mu.Lock()
			defer r.mu.Unlock()
			if len(r.counts) != 0 {
				t.Errorf("refused: %v", r.counts)
			}
		})
	}
}

// otherBlocks is a frame of raw blocks of which the first is a byte shorter than it may be, and as long as the usual one.
func otherBlocks(content []byte) []byte {
	const most = 128 << 10
	usual := compress(content)
	n := len(content)
	if n < most || n%most == 0 {
		return usual
	}
	frame := append([]byte(nil), usual[:9]...) // what a frame of more than 64 KiB begins with
	for size := most - 1; n > 0; size = most {
		size = min(size, n)
		n -= size
		head := uint32(size) << 3
		if n == 0 {
			head |= 1
		}
		frame = append(frame, byte(head), byte(head>>8), byte(head>>16))
		frame, content = append(frame, content[:size]...), content[size:]
	}
	return frame
}

func TestOtherBlocksAreAsLongAsTheUsualOnes(t *testing.T) {
	content := random(1, 1_300_000)
	frame := otherBlocks(content)
	got, err := newDecoder().DecodeAll(frame, make([]byte, 0, len(content)))
	if len(frame) != record.StoredLength(len(content)) || bytes.Equal(frame, compress(content)) || !bytes.Equal(got, content) || err != nil {
		t.Errorf("%d bytes, want %d; %v", len(frame), record.StoredLength(len(content)), err)
	}
}
