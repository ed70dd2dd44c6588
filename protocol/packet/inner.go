package packet

import (
	"encoding/binary"

	"ecluse/protocol/bundle"
)

// Inner is the inner header: which shard of which block a packet carries, and the block's code.
//
//	0          4       6       8       10      12
//	+----------+-------+-------+-------+-------+
//	| block    | index | k     | m     | zero  |
//	+----------+-------+-------+-------+-------+
type Inner struct {
	Block uint32 // number of the block, counted for each session and link (P-9)
	Index uint16 // number of the shard: data shards are 0 to K-1, parity shards K to K+M-1
	K, M  uint16 // data shards and parity shards of the block
}

// put writes the inner header to the first InnerSize bytes of b.
func (in Inner) put(b []byte) {
	_ = b[InnerSize-1]
	binary.BigEndian.PutUint32(b[0:], in.Block)
	binary.BigEndian.PutUint16(b[4:], in.Index)
	binary.BigEndian.PutUint16(b[6:], in.K)
	binary.BigEndian.PutUint16(b[8:], in.M)
	b[10], b[11] = 0, 0
}

// parseInner reads the first InnerSize bytes of b and refuses what P-8 refuses.
func parseInner(b []byte) (Inner, error) {
	_ = b[InnerSize-1]
	if b[10]|b[11] != 0 {
		return Inner{}, errReserved
	}
	in := Inner{
		Block: binary.BigEndian.Uint32(b[0:]),
		Index: binary.BigEndian.Uint16(b[4:]),
		K:     binary.BigEndian.Uint16(b[6:]),
		M:     binary.BigEndian.Uint16(b[8:]),
	}
	if !in.formsCode() {
		return Inner{}, errCode
	}
	return in, nil
}

// formsCode tells whether k, m and index are those of a code of section 5. Within the limits of section 1 every k and m
// has a field of GF(2^16) or smaller, and every allowed shard is a multiple of 64, so what is left of F-1 are the limits and the
// bound on parity for each data shard.
func (in Inner) formsCode() bool {
	k, m := int(in.K), int(in.M)
	return k >= 1 && k <= bundle.MaxDataShards && m >= 1 && m <= bundle.MaxParityShards && m <= max(128, 32*k) && int(in.Index) < k+m
}
