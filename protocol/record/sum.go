package record

import "hash/crc32"

// ShardSum is what data shard number index of a block adds to its sum (B-1). It is taken while the shard is at hand, which costs a fraction of reading the block once more.
func ShardSum(index int, shard []byte) uint32 {
	if index == 0 {
		shard = shard[sumSize:]
	}
	return crc32.Checksum(shard, castagnoli)
}

// sumSize is where in a block begins what its sum covers.
const sumSize = 4

// joiner puts the sums of shards of one size together. With the sum of what stands before a shard, moved by the shard's length, and the shard's own, exclusive or gives the sum of both:
// a CRC is a remainder of polynomials over GF(2), and to move it is to multiply it by a power of x.
type joiner struct {
	shard int
	moved [4][256]uint32 // of each byte of a sum, what the move makes of it
}

// reset makes ready for shards of a size.
func (j *joiner) reset(shard int) {
	if j.shard == shard {
		return
	}
	j.shard = shard
	zero := make([]byte, shard)
	for bit := range 32 {
		v := ^crc32.Update(^uint32(1<<bit), castagnoli, zero) // package crc32 inverts before and after
		place, low := bit/8, 1<<(bit%8)
		for b := low; b < 2*low; b++ {
			j.moved[place][b] = j.moved[place][b-low] ^ v
		}
	}
}

// sum is the sum of a block.
func (j *joiner) sum(sums []uint32) uint32 {
	crc := sums[0]
	for _, s := range sums[1:] {
		crc = j.moved[0][byte(crc)] ^ j.moved[1][byte(crc>>8)] ^ j.moved[2][byte(crc>>16)] ^ j.moved[3][crc>>24] ^ s
	}
	return crc
}
