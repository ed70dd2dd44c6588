package record

import (
	"encoding/binary"
	"io"

	"ecluse/protocol/bundle"
)

// Reader walks the records of one block. It gives every record in memory that it uses again: a record, and all that it holds, is
// valid until the next call. A Reader that is Reset from block to block stops allocating once it has seen the largest record. One
// goroutine owns it.
type Reader struct {
	block   scatter
	at, end int // the next record; where the records end
	records int
	scratch []byte // headers and small bodies that cross shards
	joiner  joiner

	offer     Offer
	slice     Slice
	close     Close
	abandon   Abandon
	heartbeat Heartbeat
}

// ReadBlock opens a block that lies in its k data shards, all of one size, in order (B-1, B-2). number is that of its packets. The
// shards must not change while the Reader is in use.
func ReadBlock(shards [][]byte, number uint32) (*Reader, error) {
	r := &Reader{}
	if err := r.Reset(shards, number); err != nil {
		return nil, err
	}
	return r, nil
}

// Reset opens another block with the same Reader, as ReadBlock does. After a refusal the Reader has no records.
func (r *Reader) Reset(shards [][]byte, number uint32) error {
	block := newScatter(shards)
	return r.reset(block, number, func() uint32 { return block.sum(sumSize) })
}

// ResetSummed is Reset for a block of whose shards the sums are known: sums[i] is ShardSum of shards[i].
func (r *Reader) ResetSummed(shards [][]byte, sums []uint32, number uint32) error {
	if len(sums) != len(shards) {
		panic("record: not one sum for each shard")
	}
	return r.reset(newScatter(shards), number, func() uint32 {
		r.joiner.reset(r.block.shard)
		return r.joiner.sum(sums)
	})
}

func (r *Reader) reset(block scatter, number uint32, sum func() uint32) error {
	r.block, r.at, r.end, r.records = block, 0, 0, 0
	if r.block.size < BlockHeaderSize {
		return errBlockShort
	}
	header := [BlockHeaderSize]byte(r.block.gather(&r.scratch, 0, BlockHeaderSize))
	used := binary.BigEndian.Uint32(header[8:])
	switch {
	case binary.BigEndian.Uint32(header[0:]) != sum():
		return errBlockSum
	case binary.BigEndian.Uint32(header[4:]) != number:
		return errBlockNumber
	case uint64(used) > uint64(r.block.size-BlockHeaderSize):
		return errBlockUsed
	case binary.BigEndian.Uint32(header[12:]) != 0 || !r.block.zero(BlockHeaderSize+int(used)):
		return errBlockPadding
	}
	r.at, r.end = BlockHeaderSize, BlockHeaderSize+int(used)
	return nil
}

// Next gives the next record, io.EOF after the last one, or a *bundle.Rejection for a record that is refused. After a refusal the
// walk goes on: with the record behind a bad body or an unknown type, with io.EOF after a bad header.
func (r *Reader) Next() (Record, error) {
	if r.at == r.end {
		return nil, io.EOF
	}
	t, length, err := r.header()
	if err != nil {
		r.at = r.end
		return nil, err
	}
	body := r.at + HeaderSize
	r.at = body + length
	r.records++
	switch t {
	case TypeOffer:
		return whole(r, &r.offer, body, length, maxOffer)
	case TypeSlice:
		return r.nextSlice(body, length)
	case TypeClose:
		return whole(r, &r.close, body, length, maxClose)
	case TypeAbandon:
		return whole(r, &r.abandon, body, length, maxAbandon)
	case TypeHeartbeat:
		return whole(r, &r.heartbeat, body, length, maxHeartbeat)
	default:
		return nil, errType
	}
}

// header reads the header of the next record.
func (r *Reader) header() (t Type, length int, err error) {
	if r.records == bundle.MaxRecords {
		return 0, 0, errTooMany
	}
	if r.end-r.at < HeaderSize {
		return 0, 0, errHeaderCut
	}
	h := r.block.gather(&r.scratch, r.at, HeaderSize)
	if h[1]|h[2]|h[3] != 0 {
		return 0, 0, errHeaderZero
	}
	n := binary.BigEndian.Uint32(h[4:])
	if uint64(n) > uint64(r.end-r.at-HeaderSize) {
		return 0, 0, errHeaderLength
	}
	return Type(h[0]), int(n), nil
}

// parser is a record that is read from a body in one piece.
type parser interface {
	Record
	Parse(body []byte) error
}

// whole gathers and reads a small body. The largest allowed length is checked first, so that a peer's length never grows the scratch.
func whole(r *Reader, p parser, body, length, limit int) (Record, error) {
	if length > limit {
		return nil, errBodyLength
	}
	if err := p.Parse(r.block.gather(&r.scratch, body, length)); err != nil {
		return nil, err
	}
	return p, nil
}

// nextSlice reads a slice: its fields and runs in one piece, its content where it lies.
func (r *Reader) nextSlice(body, length int) (Record, error) {
	s := &r.slice
	if length < sliceFixed {
		return nil, errBodyLength
	}
	runs := s.parseFixed(r.block.gather(&r.scratch, body, sliceFixed))
	head := sliceFixed + runs*runSize
	if runs > bundle.MaxRuns || head >= length {
		return nil, errBodyLength
	}
	s.parseRuns(r.block.gather(&r.scratch, body+sliceFixed, head-sliceFixed))
	s.Data = r.block.segments(s.Data[:0], body+head, length-head)
	if err := s.check(); err != nil {
		return nil, err
	}
	return s, nil
}
