package assemble

import (
	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
)

// frame is one chunk while its slices come in: its zstd frame, or what may be its content laid out.
type frame struct {
	bundle *incoming
	chunk  uint32
	raw    uint32
	runs   []bundle.Run
	bytes  []byte
	laid   *record.Laid // in bytes, where their number is that of a stored frame; nil elsewhere
	have   spans
	order  uint64 // of the last slice: the least is given up first
}

// newFrame begins a frame in memory of its length.
func newFrame(in *incoming, s *record.Slice, bytes []byte) *frame {
	f := &frame{bundle: in, chunk: s.Chunk, raw: s.Raw, bytes: bytes}
	if len(bytes) == record.StoredLength(int(s.Raw)) {
		f.laid = record.NewLaid(bytes, int(s.Raw))
	}
	return f
}

// fits says whether a slice is of this frame, and not of another one of the same chunk: a later pass may have compressed it otherwise.
func (f *frame) fits(s *record.Slice) bool { return s.Raw == f.raw && int(s.Frame) == len(f.bytes) }

// add copies a slice that fits to its place.
func (f *frame) add(s *record.Slice) {
	if s.Offset == 0 && f.runs == nil {
		f.runs = append(make([]bundle.Run, 0, len(s.Runs)), s.Runs...)
	}
	at := int(s.Offset) // the reader has checked that it ends within the frame
	for _, d := range s.Data {
		if f.laid != nil {
			f.laid.Put(at, d)
		} else {
			copy(f.bytes[at:], d)
		}
		at += len(d)
	}
	f.have.add(int(s.Offset), at)
}

// whole says that every byte and the runs are there.
func (f *frame) whole() bool { return f.runs != nil && f.have.covers(len(f.bytes)) }

// stored is the content of a whole frame that is not compressed, nil of another one.
func (f *frame) stored() []byte {
	if f.laid != nil {
		if content, ok := f.laid.Content(); ok {
			return content
		}
	}
	return nil
}

// joined is the zstd frame itself, where it is whole. What was laid out is put together in its memory, once.
func (f *frame) joined() []byte {
	if f.laid != nil {
		return f.laid.Frame()
	}
	return f.bytes
}

// spans is a set of byte ranges, ascending and apart. Slices come mostly in order, so it mostly holds one.
type spans []span

type span struct{ from, to int }

func (s *spans) add(from, to int) {
	list := *s
	i := 0
	for i < len(list) && list[i].to < from {
		i++
	}
	j := i
	for j < len(list) && list[j].from <= to {
		from, to = min(from, list[j].from), max(to, list[j].to)
		j++
	}
	if i < j {
		list[i] = span{from, to}
		*s = append(list[:i+1], list[j:]...)
		return
	}
	list = append(list, span{})
	copy(list[i+1:], list[i:])
	list[i] = span{from, to}
	*s = list
}

func (s spans) covers(n int) bool { return len(s) == 1 && s[0].from == 0 && s[0].to == n }
