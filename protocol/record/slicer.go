package record

import "ecluse/protocol/bundle"

// minSlice is the fewest bytes of a frame that are worth a slice of their own, unless fewer are left: a shorter one costs more in
// headers, here and in every map of the receiver, than the end of a block is worth.
const minSlice = 512

// Chunk is one chunk on its way: what a Slicer cuts.
type Chunk struct {
	Bundle bundle.ID
	Number uint32
	Raw    uint32 // bytes of content
	Runs   []bundle.Run
	Frame  []byte // the whole zstd frame; nil where there is Stored
	Stored []byte // content that is sent as it is, in a frame of raw blocks
}

// FrameLength is the length of the chunk's frame, in bytes.
func (c *Chunk) FrameLength() int {
	if c.Stored != nil {
		return StoredLength(len(c.Stored))
	}
	return len(c.Frame)
}

// Slicer cuts the frame of one chunk into slices that fit what is left of the blocks it is given. It aliases the chunk's
// memory. One goroutine owns it.
type Slicer struct {
	chunk  Chunk
	stored stored
	length int // bytes of the frame
	at     int // of them that are out
}

// NewSlicer begins a chunk.
func NewSlicer(c Chunk) Slicer {
	s := Slicer{chunk: c, length: c.FrameLength()}
	if c.Stored != nil {
		s.stored = newStored(c.Stored)
	}
	return s
}

// Done tells whether the whole frame is out.
func (s *Slicer) Done() bool { return s.at == s.length }

// Need is the number of bytes, of a block's Room, below which the next slice goes to another block. It is largest for the first
// slice, which holds the runs: up to 33,322 bytes for 2,048 of them, so a planner must choose a block with at least that room.
func (s *Slicer) Need() int {
	return s.head() + min(minSlice, s.length-s.at)
}

// AppendTo puts as much of the frame as fits into a block, and nothing when its room is below Need. It is true when the whole
// frame is out.
func (s *Slicer) AppendTo(b *Block) (done bool) {
	if s.Done() || b.Room() < s.Need() {
		return s.Done()
	}
	n := min(b.Room()-s.head(), s.length-s.at)
	var room [40][]byte
	data := room[:0]
	if s.chunk.Stored != nil {
		data = s.stored.append(data, s.at, n)
	} else {
		data = append(data, s.chunk.Frame[s.at:s.at+n])
	}
	slice := Slice{
		Bundle: s.chunk.Bundle,
		Chunk:  s.chunk.Number,
		Raw:    s.chunk.Raw,
		Frame:  uint32(s.length),
		Offset: uint32(s.at),
		Runs:   s.runs(),
		Data:   data,
	}
	if !slice.AppendTo(b) {
		panic("record: internal error: a slice outgrew its room")
	}
	s.at += n
	return s.Done()
}

// runs gives the runs that the next slice holds.
func (s *Slicer) runs() []bundle.Run {
	if s.at > 0 {
		return nil
	}
	return s.chunk.Runs
}

// head is what the next slice costs before the first byte of the frame.
func (s *Slicer) head() int {
	return HeaderSize + sliceFixed + len(s.runs())*runSize
}
