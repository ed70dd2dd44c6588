package collect

import (
	"ecluse/protocol/bundle"
	"ecluse/protocol/fec"
)

// maxShards is the most shards that a block can have.
const maxShards = bundle.MaxDataShards + bundle.MaxParityShards

// block is a block of which shards are here. While it is in the table, the table's owner holds it; from its completion until
// it is released, the worker that decodes it does.
type block struct {
	lane     *lane
	link     int // the receiver's, noted when it is complete
	number   uint32
	code     fec.Code
	have     int                    // shards here
	data     int                    // data shards among them
	first    slot                   // chain of slots, the newest shard first
	progress int64                  // when the newest shard came
	seen     [maxShards / 64]uint64 // which shards are here

	chain        *block // next in its bucket of the table
	older, newer *block // in its lane
}

// mark notes a shard, and is false when it was here already.
func (b *block) mark(index int) bool {
	word, bit := &b.seen[index/64], uint64(1)<<(index%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	b.have++
	if index < b.code.K {
		b.data++
	}
	return true
}

// has says whether a shard came.
func (b *block) has(index int) bool { return b.seen[index/64]&(1<<(index%64)) != 0 }

// lane holds the unfinished blocks of one channel that have one shard size, in the order of their last progress. Where memory
// runs out the lane that holds most gives up the block that has stood still the longest: a sender that floods crowds out
// itself, not its neighbour.
type lane struct {
	channel        *channel
	size           *size
	slots          int // held by its unfinished blocks
	blocks         int
	oldest, newest *block
}

// push appends a block as the one that progressed last.
func (l *lane) push(b *block) {
	b.older, b.newer = l.newest, nil
	if l.newest != nil {
		l.newest.newer = b
	} else {
		l.oldest = b
	}
	l.newest = b
}

// pull takes a block out of the order.
func (l *lane) pull(b *block) {
	if b.older != nil {
		b.older.newer = b.newer
	} else {
		l.oldest = b.newer
	}
	if b.newer != nil {
		b.newer.older = b.older
	} else {
		l.newest = b.older
	}
	b.older, b.newer = nil, nil
}

// hasOther tells whether the lane has a block besides this one.
func (l *lane) hasOther(b *block) bool {
	return l.oldest != nil && (l.oldest != b || b.newer != nil)
}

// touch notes progress of a block.
func (l *lane) touch(now int64, b *block) {
	b.progress = now
	if l.newest != b {
		l.pull(b)
		l.push(b)
	}
}

// index finds unfinished blocks by channel and number. Its size is fixed, as the number of blocks is.
type index struct {
	buckets []*block
	mask    uint32
}

// newIndex makes room for about blocks blocks.
func newIndex(blocks int) index {
	n := 1
	for n < blocks {
		n *= 2
	}
	return index{buckets: make([]*block, n), mask: uint32(n - 1)}
}

// bucket spreads channels apart; numbers of one channel are consecutive and need no mixing. All of it is authenticated
// input, and the number of blocks is bounded, so a chain that an insider makes long costs microseconds.
func (x *index) bucket(c *channel, number uint32) **block {
	return &x.buckets[(number+c.id*0x9e3779b1)&x.mask]
}

func (x *index) find(c *channel, number uint32) *block {
	b := *x.bucket(c, number)
	for b != nil && (b.number != number || b.lane.channel != c) {
		b = b.chain
	}
	return b
}

func (x *index) add(b *block) {
	head := x.bucket(b.lane.channel, b.number)
	b.chain, *head = *head, b
}

func (x *index) remove(b *block) {
	at := x.bucket(b.lane.channel, b.number)
	for *at != b {
		at = &(*at).chain
	}
	*at, b.chain = b.chain, nil
}
