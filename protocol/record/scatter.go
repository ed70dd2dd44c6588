package record

import (
	"encoding/binary"
	"hash/crc32"
)

// scatter is a block that lies in shards of one size, each in memory of its own. Positions count bytes from the beginning of
// the block. Callers stay within size.
type scatter struct {
	shards [][]byte
	shard  int // bytes in each
	size   int // bytes in all
}

// newScatter takes shards of one size; others are a fault of the caller, and panic.
func newScatter(shards [][]byte) scatter {
	s := scatter{shards: shards}
	if len(shards) > 0 {
		s.shard = len(shards[0])
	}
	for _, b := range shards {
		if len(b) != s.shard {
			panic("record: shards of different sizes")
		}
	}
	s.size = s.shard * len(shards)
	return s
}

// from gives the bytes from a position to the end of its shard, at most n of them and at least one where n is not 0.
func (s *scatter) from(at, n int) []byte {
	if n == 0 {
		return nil
	}
	b := s.shards[at/s.shard][at%s.shard:]
	return b[:min(n, len(b)):min(n, len(b))]
}

// gather gives n bytes in one piece: where they lie, or copied to scratch, which it grows, where they cross shards.
func (s *scatter) gather(scratch *[]byte, at, n int) []byte {
	if piece := s.from(at, n); len(piece) == n {
		return piece
	}
	*scratch = (*scratch)[:0]
	for n > 0 {
		piece := s.from(at, n)
		*scratch = append(*scratch, piece...)
		at, n = at+len(piece), n-len(piece)
	}
	return *scratch
}

// segments appends n bytes to dst as they lie.
func (s *scatter) segments(dst [][]byte, at, n int) [][]byte {
	for n > 0 {
		piece := s.from(at, n)
		dst = append(dst, piece)
		at, n = at+len(piece), n-len(piece)
	}
	return dst
}

// sum is the CRC-32C from a position to the end.
func (s *scatter) sum(at int) (crc uint32) {
	for at < s.size {
		piece := s.from(at, s.size-at)
		crc = crc32.Update(crc, castagnoli, piece)
		at += len(piece)
	}
	return crc
}

// zero tells whether every byte from a position to the end is zero.
func (s *scatter) zero(at int) bool {
	for at < s.size {
		piece := s.from(at, s.size-at)
		at += len(piece)
		for ; len(piece) >= 8; piece = piece[8:] {
			if binary.NativeEndian.Uint64(piece) != 0 {
				return false
			}
		}
		for _, b := range piece {
			if b != 0 {
				return false
			}
		}
	}
	return true
}
