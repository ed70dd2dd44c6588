package fec

import (
	"fmt"

	"github.com/klauspost/reedsolomon"
)

const (
	// codecsKept bounds the codecs that a Coder holds. A codec is small and takes a microsecond to make (the tables are
	// shared by the process); keeping the last few saves the garbage when partial blocks alternate with full ones.
	codecsKept = 16
	// workKept bounds the scratch memory that a Coder keeps between calls. A GF(2^8) repair takes 8 MiB, one
	// of 1,024 shards in GF(2^16) 1.4 to 9 MiB; what a larger one took is given back.
	workKept = 16 << 20
)

// Coder encodes and repairs blocks. It is not safe for concurrent use: each worker has its own. It runs in the caller's
// goroutine, and keeps at most workKept bytes of scratch.
type Coder struct {
	codecs []codec // most recently used first
	work   scratch
	shards [][]byte // K + M entries of one call to Encode
}

type codec struct {
	k, m int
	enc  reedsolomon.Encoder
}

// NewCoder returns a Coder that holds nothing yet.
func NewCoder() *Coder { return &Coder{} }

// Prepare makes ready for a code, so that the first block does not pay for it: the first wide code in a process builds
// tables of WideTables bytes in 0.3 s.
func (c *Coder) Prepare(code Code) error {
	_, err := c.codec(code)
	return err
}

// Encode computes the M parity shards that are sent from the K data shards. data has K slices and parity M, each of Shard
// bytes; parity is overwritten, data is only read. The m2 - M parity shards that are not sent stay in the Coder's scratch.
func (c *Coder) Encode(code Code, data, parity [][]byte) error {
	enc, err := c.codec(code)
	if err != nil {
		return err
	}
	if len(data) != code.K || len(parity) != code.M {
		return fmt.Errorf("fec: encode %d+%d: %d data and %d parity slices: %w", code.K, code.M, len(data), len(parity), ErrShards)
	}
	c.shards = append(append(c.shards[:0], data...), parity...)
	defer clear(c.shards) // do not keep the caller's memory alive
	for i, s := range c.shards {
		if len(s) != code.Shard {
			return fmt.Errorf("fec: encode %d+%d: shard %d has %d bytes of %d: %w", code.K, code.M, i, len(s), code.Shard, ErrShards)
		}
	}
	if err := enc.Encode(c.shards); err != nil {
		return fmt.Errorf("fec: encode %d+%d: %w", code.K, code.M, err)
	}
	return nil
}

// Reconstruct fills in the data shards that are missing. shards has K + M entries, data first. One that is here has Shard
// bytes. A missing data shard is a slice of length zero with a capacity of at least Shard: it comes back with length
// Shard, in the same memory. A missing parity shard is empty or nil, and stays so. With fewer than K shards the error
// wraps ErrTooFew and nothing has changed. It is silent about a shard that is here but wrong.
func (c *Coder) Reconstruct(code Code, shards [][]byte) error {
	enc, err := c.codec(code)
	if err != nil {
		return err
	}
	if len(shards) != code.K+code.M {
		return fmt.Errorf("fec: reconstruct %d+%d: %d slices: %w", code.K, code.M, len(shards), ErrShards)
	}
	missing, present := 0, 0
	for i, s := range shards {
		switch {
		case len(s) == code.Shard:
			present++
		case len(s) != 0:
			return fmt.Errorf("fec: reconstruct %d+%d: shard %d has %d bytes of %d: %w", code.K, code.M, i, len(s), code.Shard, ErrShards)
		case i >= code.K: // a parity shard that is not here
		case cap(s) < code.Shard:
			return fmt.Errorf("fec: reconstruct %d+%d: no room for shard %d: %w", code.K, code.M, i, ErrShards)
		default:
			missing++
		}
	}
	if present < code.K {
		return fmt.Errorf("fec: reconstruct %d+%d: %d shards: %w", code.K, code.M, present, ErrTooFew)
	}
	if missing == 0 {
		return nil
	}
	if err := enc.ReconstructData(shards); err != nil {
		return fmt.Errorf("fec: reconstruct %d+%d: %w", code.K, code.M, err)
	}
	return nil
}

// codec returns the codec for a valid code, from the kept ones or new, and moves it to the front.
//
// The library rounds M up to m2 itself and treats the parity above M as never sent, which is F-1; the tests hold it to
// that. The field is named outright, because the library's own choice goes by k + m and not by m2.
func (c *Coder) codec(code Code) (reedsolomon.Encoder, error) {
	if err := code.Validate(); err != nil {
		return nil, err
	}
	for i, have := range c.codecs {
		if have.k == code.K && have.m == code.M {
			copy(c.codecs[1:i+1], c.codecs[:i])
			c.codecs[0] = have
			return have.enc, nil
		}
	}
	field := reedsolomon.WithLeopardGF(true)
	if code.Wide() {
		field = reedsolomon.WithLeopardGF16(true)
	}
	enc, err := reedsolomon.New(code.K, code.M, field, reedsolomon.WithMaxGoroutines(1),
		reedsolomon.WithInversionCache(false), reedsolomon.WithWorkAllocator(&c.work))
	if err != nil {
		return nil, fmt.Errorf("fec: code %d+%d: %w", code.K, code.M, err)
	}
	if len(c.codecs) < codecsKept {
		c.codecs = append(c.codecs, codec{})
	}
	copy(c.codecs[1:], c.codecs)
	c.codecs[0] = codec{code.K, code.M, enc}
	return enc, nil
}

// scratch lends the library its working memory: one piece that all codecs of a Coder share, since only one call runs at a
// time. Left to itself the library keeps a pool for each codec.
type scratch struct {
	mem  []byte
	bufs [][]byte
}

// Get returns n buffers of size bytes, each on a 64-byte boundary.
func (s *scratch) Get(n, size int) [][]byte {
	stride := (size + 63) / 64 * 64
	if len(s.mem) < n*stride {
		s.mem = reedsolomon.AllocAligned(1, n*stride)[0]
	}
	s.bufs = s.bufs[:0]
	for i := range n {
		s.bufs = append(s.bufs, s.mem[i*stride:i*stride+size:i*stride+size])
	}
	return s.bufs
}

// Put takes the buffers back.
func (s *scratch) Put([][]byte) {
	if len(s.mem) > workKept {
		s.mem = nil
	}
}
