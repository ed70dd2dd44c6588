package record

import (
	"encoding/binary"
	"hash/crc32"

	"ecluse/protocol/bundle"
)

// BlockHeaderSize is the size of a block's header in bytes.
//
//	0        4        8        12       16                      16+used        k*shard
//	+--------+--------+--------+--------+-----------------------+--------------+
//	| crc32c | block  | used   | zero   | records               | zero         |
//	+--------+--------+--------+--------+-----------------------+--------------+
const BlockHeaderSize = 16

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Block is a block being filled, in memory that its caller gives and owns. One goroutine fills it.
type Block struct {
	buf     []byte
	used    int // with the header
	records int
}

// NewBlock gives an empty block in buf, whose length is the most that the block can become: k * shard bytes.
func NewBlock(buf []byte) *Block {
	b := &Block{}
	b.Reset(buf)
	return b
}

// Reset empties the block and gives it other memory, or the same again.
func (b *Block) Reset(buf []byte) {
	if len(buf) < BlockHeaderSize {
		panic("record: no room for the header of a block")
	}
	b.buf, b.used, b.records = buf, BlockHeaderSize, 0
}

// Room is the number of bytes that one more record may have, with its header: 0 when the block holds as many records as it may.
func (b *Block) Room() int {
	if b.records == bundle.MaxRecords {
		return 0
	}
	return len(b.buf) - b.used
}

// Used is the number of bytes of the block so far, with its header.
func (b *Block) Used() int { return b.used }

// Records is the number of records in the block.
func (b *Block) Records() int { return b.records }

// add makes room for one record and writes its header. It gives the empty body, with exactly the capacity it needs, or nil when the
// record does not fit.
func (b *Block) add(t Type, length int) []byte {
	size := HeaderSize + length
	if size > b.Room() {
		return nil
	}
	start := b.used
	putHeader(b.buf[start:], t, length)
	b.used += size
	b.records++
	return b.buf[start+HeaderSize : start+HeaderSize : b.used]
}

// Seal finishes a block of size bytes (k * shard): it fills up with zeroes, and writes number, length and sum. It gives the block,
// which is memory of the caller's. A size below Used or above the memory is a fault of the caller, and panics.
func (b *Block) Seal(number uint32, size int) []byte {
	if size < b.used || size > len(b.buf) {
		panic("record: seal of a block in an impossible size")
	}
	block := b.buf[:size]
	clear(block[b.used:])
	binary.BigEndian.PutUint32(block[4:], number)
	binary.BigEndian.PutUint32(block[8:], uint32(b.used-BlockHeaderSize))
	binary.BigEndian.PutUint32(block[12:], 0)
	binary.BigEndian.PutUint32(block, crc32.Checksum(block[4:], castagnoli))
	return block
}
