package record

import "encoding/binary"

// A frame of raw blocks (RFC 8878 section 3.1.1.2) for content that compression would not make smaller. It is never put together: a Slicer takes it from its few headers and from the
// content where it lies.
//
//	magic, descriptor, size of the content | header, 128 KiB | header, 128 KiB | ... | header with the last bit, the rest
type stored struct {
	head    []byte // of the frame
	last    []byte // header of the last block
	content []byte
}

const (
	storedHeader = 3
	storedBlock  = 128 << 10 // bytes of content: the most that a block may hold
	storedStride = storedHeader + storedBlock
)

// fullBlock is the header of each block but the last.
var fullBlock = blockHeader(storedBlock, false)

// newStored makes ready for content of at least one byte.
func newStored(content []byte) stored {
	const singleSegment = 1 << 5
	n := len(content)
	head := binary.LittleEndian.AppendUint32(nil, 0xFD2FB528)
	switch storedHead(n) {
	case 6:
		head = append(head, singleSegment, byte(n))
	case 7:
		head = binary.LittleEndian.AppendUint16(append(head, 1<<6|singleSegment), uint16(n-1<<8))
	default:
		head = binary.LittleEndian.AppendUint32(append(head, 2<<6|singleSegment), uint32(n))
	}
	return stored{head: head, last: blockHeader((n-1)%storedBlock+1, true), content: content}
}

// blockHeader is a block's header: whether it is the last, type 0, and its size.
func blockHeader(size int, last bool) []byte {
	v := uint32(size) << 3
	if last {
		v |= 1
	}
	return []byte{byte(v), byte(v >> 8), byte(v >> 16)}
}

// storedHead is the length of the frame's header for n bytes of content, and storedLength that of the whole frame.
func storedHead(n int) int {
	switch {
	case n < 1<<8:
		return 6
	case n < 1<<16+1<<8:
		return 7
	}
	return 9
}

func storedLength(n int) int { return storedHead(n) + (n+storedBlock-1)/storedBlock*storedHeader + n }

// append adds the n bytes of the frame from a place on, as segments.
func (s *stored) append(list [][]byte, at, n int) [][]byte {
	for n > 0 {
		piece := s.from(at)
		piece = piece[:min(n, len(piece))]
		list = append(list, piece)
		at, n = at+len(piece), n-len(piece)
	}
	return list
}

// from is what lies in one piece from a place of the frame on.
func (s *stored) from(at int) []byte {
	if at < len(s.head) {
		return s.head[at:]
	}
	at -= len(s.head)
	block, within := at/storedStride, at%storedStride
	begin := block * storedBlock
	end := min(begin+storedBlock, len(s.content))
	switch {
	case within >= storedHeader:
		return s.content[begin+within-storedHeader : end]
	case end == len(s.content):
		return s.last[within:]
	}
	return fullBlock[within:]
}
