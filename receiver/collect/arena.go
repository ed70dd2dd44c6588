package collect

import (
	"encoding/binary"
	"math"

	"ecluse/protocol/bundle"
	"ecluse/protocol/packet"
)

// The memory for shards. It is cut into slabs of one size; a slab in use is cut into slots of one stride.
//
//	slab: 1 MiB
//	+--------+--------+--------+-- --+--------+------+
//	| slot 0 | slot 1 | slot 2 | ... |        | rest |
//	+--------+--------+--------+-- --+--------+------+
//
//	slot:  0      4                  52             64                 64+shard
//	       +------+------------------+--------------+------------------+
//	       | sum  | not used         | inner header | shard            |
//	       +------+------------------+--------------+------------------+
//
// The sum is that of a data shard, taken as it comes. A packet is opened straight into a slot: the inner header lands before the shard, and the shard on a 64-byte boundary,
// as its decoder likes it. The slots of a block are chained by links that the slab keeps beside them: a block costs the same
// however many shards its code has, and walking a chain does not touch the shards.
const (
	slabSize   = 1 << 20
	slotHead   = 64
	slotBits   = 10                                                         // a slab has at most 712 slots
	shardSizes = (bundle.MaxShard-bundle.MinShard)/bundle.ShardMultiple + 1 // sizes that section 1 allows
	maxSlots   = slabSize / (slotHead + bundle.MinShard)                    // in one slab
	noSlot     = slot(math.MaxUint32)
)

// A fraction of the slabs that a size which holds much already leaves to the others: a sender with a shard size of its own
// finds memory even while another one's blocks fill the rest.
const reservePart = 16

// slot names one slot: the number of its slab and its place in it.
type slot uint32

func (s slot) slab() int  { return int(s >> slotBits) }
func (s slot) place() int { return int(s & (1<<slotBits - 1)) }

// arena hands out slots within a fixed budget. It knows nothing of blocks: who must give way when it is full is decided by
// the table. It has one owner, and no lock of its own.
type arena struct {
	mem     mapping
	slabs   []slab
	free    []int // slabs of no size, the one used last at the end
	sizes   [shardSizes]size
	reserve int // slabs
	used    int // slots in bytes, with their heads
}

// slab is one piece of the arena.
type slab struct {
	size     *size       // nil while it is free
	freed    []uint16    // places that were given back
	links    []chainLink // for each place, while it is in use
	fresh    int         // places from here on were never handed out since the slab got its size
	used     int
	since    int64 // when it became free
	resident bool  // touched since its pages were last given back
	listed   bool  // in its size's list of slabs that have room
}

// chainLink is one link of the chain of a block's slots.
type chainLink struct {
	next  slot
	index uint16 // of the shard
}

// size is one shard size in use.
type size struct {
	shard, stride, slots int   // slots in a slab
	slabs                int   // slabs it holds
	room                 []int // slabs with a slot to give
	lanes                []*lane
}

// newArena reserves budget bytes, rounded down to whole slabs, at least one.
func newArena(budget int) (*arena, error) {
	n := max(1, budget/slabSize)
	mem, err := newMapping(n * slabSize)
	if err != nil {
		return nil, err
	}
	a := &arena{mem: mem, slabs: make([]slab, n), reserve: n / reservePart}
	for i := range a.sizes {
		shard := bundle.MinShard + i*bundle.ShardMultiple
		stride := slotHead + shard
		a.sizes[i] = size{shard: shard, stride: stride, slots: slabSize / stride}
	}
	for i := n - 1; i >= 0; i-- {
		a.free = append(a.free, i)
	}
	return a, nil
}

// sizeOf gives the size of a shard that section 1 allows.
func (a *arena) sizeOf(shard int) *size {
	return &a.sizes[(shard-bundle.MinShard)/bundle.ShardMultiple]
}

// peek names a free slot without taking it, when a slab that the size already holds has one. It changes nothing, so it is
// safe before a packet has opened (P-5).
func (a *arena) peek(z *size) (slot, bool) {
	if len(z.room) == 0 {
		return noSlot, false
	}
	n := z.room[len(z.room)-1]
	return a.slabs[n].peek(n), true
}

// peek gives the place that take will hand out next.
func (s *slab) peek(number int) slot {
	place := s.fresh
	if n := len(s.freed); n > 0 {
		place = int(s.freed[n-1])
	}
	return slot(number<<slotBits | place)
}

// take hands out a slot of a size, the one that peek named if there was one. It is false when there is none: the budget, or
// this size's part of it, is used up.
func (a *arena) take(z *size) (slot, bool) {
	if len(z.room) == 0 && !a.grow(z) {
		return noSlot, false
	}
	n := z.room[len(z.room)-1]
	s := &a.slabs[n]
	at := s.peek(n)
	if len(s.freed) > 0 {
		s.freed = s.freed[:len(s.freed)-1]
	} else {
		s.fresh++
	}
	s.used++
	a.used += z.stride
	if s.used == z.slots {
		z.room = z.room[:len(z.room)-1]
		s.listed = false
	}
	return at, true
}

// grow gives a free slab to a size, unless it holds much already and the rest is the reserve.
func (a *arena) grow(z *size) bool {
	last := len(a.free) - 1
	if last < 0 || (len(a.free) <= a.reserve && z.slabs >= a.reserve) {
		return false
	}
	n := a.free[last]
	a.free = a.free[:last]
	s := &a.slabs[n]
	if s.freed == nil {
		s.freed, s.links = make([]uint16, 0, maxSlots), make([]chainLink, maxSlots)
	}
	*s = slab{size: z, freed: s.freed[:0], links: s.links, resident: true, listed: true}
	z.slabs++
	z.room = append(z.room, n)
	return true
}

// give takes a slot back. A slab whose last slot came back belongs to no size any more.
func (a *arena) give(now int64, at slot) {
	n := at.slab()
	s := &a.slabs[n]
	z := s.size
	s.freed = append(s.freed, uint16(at.place()))
	s.used--
	a.used -= z.stride
	if s.used == 0 {
		a.retire(now, n)
		return
	}
	if !s.listed {
		s.listed = true
		z.room = append(z.room, n)
	}
}

// retire puts a slab without slots in use back among the free ones.
func (a *arena) retire(now int64, n int) {
	s := &a.slabs[n]
	z := s.size
	if s.listed {
		for i, have := range z.room {
			if have == n {
				z.room = append(z.room[:i], z.room[i+1:]...)
				break
			}
		}
	}
	z.slabs--
	s.size, s.since, s.listed = nil, now, false
	a.free = append(a.free, n)
}

// trim gives the pages of slabs that have been free since before to the system.
func (a *arena) trim(before int64) {
	for _, n := range a.free {
		if s := &a.slabs[n]; s.resident && s.since <= before {
			a.mem.discard(n*slabSize, (n+1)*slabSize)
			s.resident = false
		}
	}
}

// residentBytes is the number of bytes that may be in memory: slabs in use or not yet trimmed.
func (a *arena) residentBytes() int {
	n := 0
	for i := range a.slabs {
		if a.slabs[i].resident {
			n += slabSize
		}
	}
	return n
}

// slotMem is all memory of a slot.
func (a *arena) slotMem(z *size, at slot) []byte {
	off := at.slab()*slabSize + at.place()*z.stride
	return a.mem[off : off+z.stride : off+z.stride]
}

// opening is where a packet is opened to: an empty slice whose capacity holds the inner header and the shard.
func opening(mem []byte) []byte {
	return mem[slotHead-packet.InnerSize : slotHead-packet.InnerSize]
}

// sumOf is the sum of the data shard in a slot's memory, and setSum notes it.
func sumOf(mem []byte) uint32 { return binary.NativeEndian.Uint32(mem) }

func setSum(mem []byte, sum uint32) { binary.NativeEndian.PutUint32(mem, sum) }

// shardOf is the shard in a slot's memory.
func shardOf(mem []byte) []byte { return mem[slotHead:] }

// link notes which shard of its block a slot holds, and the next slot of that block.
func (a *arena) link(at, next slot, index uint16) {
	a.slabs[at.slab()].links[at.place()] = chainLink{next, index}
}

// linked gives what link noted.
func (a *arena) linked(at slot) (next slot, index uint16) {
	l := a.slabs[at.slab()].links[at.place()]
	return l.next, l.index
}
