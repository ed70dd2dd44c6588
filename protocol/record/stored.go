package record

import (
	"bytes"
	"encoding/binary"
)

// layout is that of a frame of raw blocks (RFC 8878 section 3.1.1.2), for content that compression would not make smaller:
//
//	magic, descriptor, size of the content | header, 128 KiB | header, 128 KiB | ... | header with the last bit, the rest
//
// A Slicer takes it from its headers and from the content where it lies, and a Laid takes it apart as it comes: nobody puts it together.
type layout struct {
	head    int // bytes of the frame's own header
	content int // bytes, at least one
}

const (
	storedHeader = 3
	storedBlock  = 128 << 10 // bytes of content: the most that a block may hold
	storedStride = storedHeader + storedBlock
)

// layoutOf is the layout for so many bytes of content.
func layoutOf(content int) layout {
	switch {
	case content < 1<<8:
		return layout{6, content}
	case content < 1<<16+1<<8:
		return layout{7, content}
	}
	return layout{9, content}
}

// blocks is how many there are.
func (l layout) blocks() int { return (l.content + storedBlock - 1) / storedBlock }

// heads is the length of all headers.
func (l layout) heads() int { return l.head + l.blocks()*storedHeader }

// StoredLength is the length of the frame of raw blocks for n bytes of content, at least one.
func StoredLength(n int) int {
	l := layoutOf(n)
	return l.heads() + n
}

// at says what stands at a place of the frame: n bytes in one piece, of the headers or of the content, from a place in them on.
func (l layout) at(place int) (header bool, from, n int) {
	if place < l.head {
		return true, place, l.head - place
	}
	place -= l.head
	block, within := place/storedStride, place%storedStride
	if within < storedHeader {
		return true, l.head + block*storedHeader + within, storedHeader - within
	}
	from = block*storedBlock + within - storedHeader
	return false, from, min((block+1)*storedBlock, l.content) - from
}

// headers gives all headers, one after another.
func (l layout) headers() []byte {
	const singleSegment = 1 << 5
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, l.heads()), 0xFD2FB528)
	switch l.head {
	case 6:
		b = append(b, singleSegment, byte(l.content))
	case 7:
		b = binary.LittleEndian.AppendUint16(append(b, 1<<6|singleSegment), uint16(l.content-1<<8))
	default:
		b = binary.LittleEndian.AppendUint32(append(b, 2<<6|singleSegment), uint32(l.content))
	}
	for left := l.content; left > 0; left -= storedBlock {
		v := uint32(min(left, storedBlock)) << 3
		if left <= storedBlock {
			v |= 1 // the last
		}
		b = append(b, byte(v), byte(v>>8), byte(v>>16))
	}
	return b
}

// stored is such a frame of content that lies elsewhere.
type stored struct {
	layout
	headers []byte
	content []byte
}

// newStored makes ready for content of at least one byte.
func newStored(content []byte) stored {
	l := layoutOf(len(content))
	return stored{l, l.headers(), content}
}

// append adds the n bytes of the frame from a place on, as segments.
func (s *stored) append(list [][]byte, at, n int) [][]byte {
	for n > 0 {
		header, from, piece := s.at(at)
		piece = min(n, piece)
		if header {
			list = append(list, s.headers[from:from+piece])
		} else {
			list = append(list, s.content[from:from+piece])
		}
		at, n = at+piece, n-piece
	}
	return list
}

// Laid is a frame that may be one of raw blocks, for its length is that of one, and is laid out as such while it comes: then the content is there without a copy more.
type Laid struct {
	layout
	headers []byte
	buffer  []byte
}

// NewLaid lays a frame out in a buffer of StoredLength(content) bytes.
func NewLaid(buffer []byte, content int) *Laid {
	l := layoutOf(content)
	if len(buffer) != l.heads()+content {
		panic("record: a buffer that is not for a stored frame")
	}
	return &Laid{l, make([]byte, l.heads()), buffer}
}

// Put takes bytes of the frame that begin at a place of it. They end within it.
func (l *Laid) Put(at int, b []byte) {
	for len(b) > 0 {
		header, from, n := l.at(at)
		into := l.buffer
		if header {
			into = l.headers
		}
		n = copy(into[from:from+n], b)
		at, b = at+n, b[n:]
	}
}

// Content is the content of the frame, at the beginning of the buffer; ok is false where it is another frame after all. Every byte of it has been put.
func (l *Laid) Content() (content []byte, ok bool) {
	return l.buffer[:l.content], bytes.Equal(l.headers, l.layout.headers())
}

// Frame puts together after all what is another frame, in the buffer. It is the last call.
func (l *Laid) Frame() []byte {
	for block := l.blocks() - 1; block >= 0; block-- { // from the end, for each piece moves towards it
		begin := block * storedBlock
		at := l.head + block*storedStride
		copy(l.buffer[at+storedHeader:], l.buffer[begin:min(begin+storedBlock, l.content)])
		copy(l.buffer[at:], l.headers[l.head+block*storedHeader:][:storedHeader])
	}
	copy(l.buffer, l.headers[:l.head])
	return l.buffer
}
