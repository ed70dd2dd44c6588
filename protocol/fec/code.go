package fec

import (
	"errors"
	"fmt"
	"math/bits"
)

// Limits of section 1 of SPEC.md.
const (
	MaxData   = 2048 // data shards in a block: bounds a block to 17.8 MiB
	MaxParity = 2048 // parity shards in a block: the same

	ShardStep = 64   // Leopard codes in units of 64 bytes
	MinShard  = 1408 // the shard for MinMTU
	MaxShard  = 9088 // the shard for MaxMTU

	MinMTU = 1500 // below it an announcement does not fit one packet
	MaxMTU = 9216 // what Ethernet carries

	// A repair costs about nextPow2(k + m2) shards of work and needs k packets to set it off. These two bound the ratio,
	// so that a few packets with a far-fetched code cannot buy much work: m is at most 128 or 32 k, whichever is more.
	// Every code that a plan makes lies far inside.
	parityFree    = 128
	parityPerData = 32
)

// Bytes of a packet around its shard (SPEC.md section 3), and around the packet.
const (
	packetOverhead = 16 + 12 + 16 // clear header, inner header, tag
	OverheadIPv4   = 20 + 8       // IPv4 and UDP
	OverheadIPv6   = 40 + 8       // IPv6 and UDP
)

var (
	// ErrCode says that a code is not one of ours (F-1). The packet that named it is refused as `packet-code`.
	ErrCode = errors.New("no such code")
	// ErrTooFew says that fewer than k shards are here (F-2): the block is `block-lost`.
	ErrTooFew = errors.New("fewer than k shards")
	// ErrShards says that slices do not fit the code: a fault of the caller.
	ErrShards = errors.New("shards do not fit the code")
)

// Code says how a block is cut and protected: K data shards and M parity shards that are sent, each of Shard bytes. The
// field and the matrix follow from K and M alone, so the three numbers in a packet say everything.
type Code struct {
	K, M, Shard int
}

// Validate returns nil for a code of F-1, and an error wrapping ErrCode for every other. A receiver calls it on the
// numbers of an authenticated packet before it allocates or computes anything for it.
func (c Code) Validate() error {
	switch {
	case c.K < 1 || c.K > MaxData:
		return fmt.Errorf("fec: k = %d: %w", c.K, ErrCode)
	case c.M < 1 || c.M > MaxParity:
		return fmt.Errorf("fec: m = %d: %w", c.M, ErrCode)
	case c.M > max(parityFree, parityPerData*c.K):
		return fmt.Errorf("fec: m = %d for k = %d: %w", c.M, c.K, ErrCode)
	case c.Shard < MinShard || c.Shard > MaxShard || c.Shard%ShardStep != 0:
		return fmt.Errorf("fec: shard of %d bytes: %w", c.Shard, ErrCode)
	}
	return nil
}

// Padded returns m2, the power of two at or above M: the parity shards that the code computes with. The last m2 - M are
// not sent, and a receiver treats them as lost.
func (c Code) Padded() int { return nextPow2(c.M) }

// WideTables is what the tables take that the first wide code in a process builds, in bytes: they stay as long as it lives.
const WideTables = 75 << 20

// Wide reports whether the code works in GF(2^16): when K rounded up to a multiple of m2, plus m2, exceeds 256. The first
// wide code in a process builds tables: WideTables and 0.3 s, once, whatever the code (see Coder.Prepare).
func (c Code) Wide() bool {
	m2 := c.Padded()
	return (c.K+m2-1)/m2*m2+m2 > 256
}

// ShardSize returns the largest shard in bytes whose packet fits the MTU under IPv6, the larger of the two headers:
// 48 + 16 + 12 + 16 + shard <= mtu, a multiple of 64. It is 1,408 for 1500 and 8,896 for 9000.
func ShardSize(mtu int) (int, error) {
	if mtu < MinMTU || mtu > MaxMTU {
		return 0, fmt.Errorf("fec: mtu %d is not within %d to %d", mtu, MinMTU, MaxMTU)
	}
	return (mtu - OverheadIPv6 - packetOverhead) / ShardStep * ShardStep, nil
}

// WireSize returns the bytes of the IP packet that carries one shard; ipOverhead is OverheadIPv4 or OverheadIPv6.
func WireSize(shard, ipOverhead int) int { return ipOverhead + packetOverhead + shard }

// nextPow2 returns the power of two at or above n, for n >= 1.
func nextPow2(n int) int { return 1 << bits.Len(uint(n-1)) }
