package collect

import (
	"time"

	"ecluse/protocol/bundle"
	"ecluse/protocol/fec"
	"ecluse/protocol/packet"
	"ecluse/protocol/record"
)

const (
	// patience is how long a block may go without a new packet. The sender spreads parity by its clock over a window of
	// seconds at the most; 30 s also bridge a sender that was stopped for a moment.
	patience = 30 * time.Second
	// slabKept is how long a free slab stays resident. What has been given back costs a page fault for each 4 KiB when the next bundle comes, and in a virtual machine the host's too.
	slabKept = time.Minute
	// A block in progress costs about 0.7 KiB beside its slots. One for each 16 KiB of the budget is 64 times more than the
	// largest blocks need, and bounds that cost to a twentieth of the budget.
	memoryPerBlock = 16 << 10
	minBlocks      = 64
)

// table is the heart of the room: what the sessions, windows, blocks and slots of one link become when a packet arrives or time
// passes. It is a state machine: now is an argument (nanoseconds of any clock that never runs back), nothing here waits, and all it
// makes comes back as a return value. One goroutine at a time may use it.
type table struct {
	arena    *arena
	tags     map[packet.Tag][]*channel
	channels []*channel
	nextID   uint32

	index  index
	spare  []*block // structs for new blocks
	blocks int      // in progress
	limit  int      // blocks in progress and in the hands of workers
	held   int      // in the hands of workers

	wide    bool   // a block with a wide code was seen
	scratch []byte // one slot's memory, where no slot is free before a packet has opened

	probe probe
	host  func() uint64 // what this host has thrown away so far, for the probe

	packets PacketCounts
	outcome BlockCounts
	refused refusals
	closed  closedCounts
	lastNew int64 // when the newest packet was accepted
}

// closedCounts keeps what the channels of sessions that ended had counted.
type closedCounts struct{ lost uint64 }

// newTable reserves the memory for blocks of one link, in bytes.
func newTable(memory int) (*table, error) {
	a, err := newArena(memory)
	if err != nil {
		return nil, err
	}
	limit := max(minBlocks, len(a.slabs)*slabSize/memoryPerBlock)
	return &table{
		arena:   a,
		tags:    make(map[packet.Tag][]*channel),
		index:   newIndex(limit),
		limit:   limit,
		scratch: make([]byte, slotHead+bundle.MaxShard),
		host:    func() uint64 { return 0 },
	}, nil
}

// open lets a session's packets in.
func (t *table) open(s *Session) error {
	opened := make([]*channel, 0, len(s.Links))
	for i := range s.Links {
		t.nextID++
		c, err := newChannel(t.nextID, s, i)
		if err != nil {
			return err
		}
		opened = append(opened, c)
	}
	for _, c := range opened {
		t.tags[c.tag] = append(t.tags[c.tag], c)
		t.channels = append(t.channels, c)
	}
	return nil
}

// packet takes one packet of data, or of a probe, that Classify has passed. It returns the block that the packet completed, if it did: that block
// has left the table, and belongs to the caller until release.
//
// The order of refusals is tag, number, seal, number again, code, block: each step costs more than the one before it.
func (t *table) packet(now int64, kind packet.Kind, tag packet.Tag, datagram []byte) *block {
	channels := t.tags[tag]
	if len(channels) == 0 {
		t.refused.add(errTag)
		return nil
	}
	z := t.arena.sizeOf(len(datagram) - packet.Overhead)
	mem := t.scratch
	at, free := t.arena.peek(z)
	if free {
		mem = t.arena.slotMem(z, at)
	}
	number := packet.Number(datagram)
	refusal := errTag
	for _, c := range channels {
		if err := c.check(number); err != nil {
			refusal = err
			continue
		}
		var in packet.Inner
		var probe packet.Probe
		var err error
		if kind == packet.KindProbe {
			probe, _, err = c.opener.OpenProbe(opening(mem), datagram)
		} else {
			in, _, _, err = c.opener.Open(opening(mem), datagram)
		}
		if err != nil {
			refusal = err
			continue
		}
		if err := c.accept(number, len(datagram)); err != nil {
			panic("collect: internal error: a number that had passed was refused")
		}
		t.packets.Accepted++
		t.packets.Bytes += uint64(len(datagram))
		t.lastNew = now
		if kind == packet.KindProbe {
			t.probe.take(now, c, probe, len(datagram), t.host)
			return nil
		}
		return t.place(now, c, z, in, mem)
	}
	t.refused.add(refusal)
	return nil
}

var errTag error = bundle.Reject(bundle.ReasonPacketTag, "P-3", "no open session has this tag")

// place puts the shard that was opened into mem where it belongs. mem is the slot that the arena would hand out next, or the
// scratch memory.
func (t *table) place(now int64, c *channel, z *size, in packet.Inner, mem []byte) *block {
	if c.finished == nil {
		c.finished = newSpan(now, in.Block)
	}
	code := fec.Code{K: int(in.K), M: int(in.M), Shard: z.shard}
	if c.finished.over(in.Block) {
		t.packets.Surplus++
		return nil
	}
	b := t.index.find(c, in.Block)
	switch {
	case b == nil:
		// The opener has looked at the same limits. The coder's word is the last one: it would panic in a worker.
		if err := code.Validate(); err != nil {
			t.refused.add(errCode)
			return nil
		}
		c.finished.see(in.Block)
		if b = t.begin(now, c, z, in.Block, code); b == nil {
			return nil
		}
	case b.code != code:
		t.refused.add(errConflict)
		return nil
	}
	if b.has(int(in.Index)) {
		t.packets.Surplus++
		return nil
	}
	if !t.store(now, b, z, in.Index, mem) {
		return nil
	}
	b.mark(int(in.Index))
	b.lane.touch(now, b)
	if b.have < b.code.K-shortBy {
		return nil
	}
	t.outcome.Complete++
	t.leave(b)
	t.held++
	return b
}

var errCode error = bundle.Reject(bundle.ReasonPacketCode, "P-8", "k, m and shard form no code")

// begin makes a block for the first packet of its number. Where the table is full an older one gives way.
func (t *table) begin(now int64, c *channel, z *size, number uint32, code fec.Code) *block {
	for t.blocks+t.held >= t.limit {
		if !t.makeRoom(now, nil, nil) {
			c.finished.finish(number)
			t.outcome.Budget++
			t.outcome.BudgetPackets++
			return nil
		}
	}
	var b *block
	if n := len(t.spare); n > 0 {
		b, t.spare = t.spare[n-1], t.spare[:n-1]
		*b = block{}
	} else {
		b = new(block)
	}
	b.lane, b.number, b.code, b.first = t.lane(c, z), number, code, noSlot
	t.wide = t.wide || code.Wide()
	t.index.add(b)
	b.lane.push(b)
	b.lane.blocks++
	t.blocks++
	return b
}

// lane finds the lane of a channel for a shard size, or makes it.
func (t *table) lane(c *channel, z *size) *lane {
	for _, l := range c.lanes {
		if l.size == z {
			return l
		}
	}
	l := &lane{channel: c, size: z}
	c.lanes = append(c.lanes, l)
	z.lanes = append(z.lanes, l)
	return l
}

// store gives a block the slot that its shard lies in. Where memory is full others give way, and at the last the block itself:
// then it is false.
func (t *table) store(now int64, b *block, z *size, shard uint16, mem []byte) bool {
	at, ok := t.arena.take(z)
	for !ok {
		if !t.makeRoom(now, z, b) {
			t.outcome.BudgetPackets++ // this one, which has no slot
			t.drop(now, b)
			return false
		}
		at, ok = t.arena.take(z)
	}
	own := t.arena.slotMem(z, at)
	if &own[0] != &mem[0] {
		copy(shardOf(own), shardOf(mem[:slotHead+z.shard]))
	}
	if int(shard) < b.code.K {
		setSum(own, record.ShardSum(int(shard), shardOf(own)))
	}
	t.arena.link(at, b.first, shard)
	b.first = at
	b.lane.slots++
	return true
}

// makeRoom gives up one block with shards of a size, or of any where z is nil and the number of blocks is what is used up: the one
// that has stood still the longest in the lane that holds most. The block spared is left alone. It is false when there is none.
func (t *table) makeRoom(now int64, z *size, spared *block) bool {
	var most *lane
	if z != nil {
		for _, l := range z.lanes {
			if l.hasOther(spared) && (most == nil || l.slots > most.slots) {
				most = l
			}
		}
	} else {
		for _, c := range t.channels {
			for _, l := range c.lanes {
				if l.hasOther(spared) && (most == nil || l.blocks > most.blocks) {
					most = l
				}
			}
		}
	}
	if most == nil {
		return false
	}
	victim := most.oldest
	if victim == spared {
		victim = victim.newer
	}
	t.drop(now, victim)
	return true
}

// drop gives a block up for want of memory (block-budget).
func (t *table) drop(now int64, b *block) {
	t.outcome.Budget++
	t.outcome.BudgetPackets += uint64(b.have)
	t.leave(b)
	t.free(now, b)
}

// lose gives up a block of which fewer than k shards came (block-lost).
func (t *table) lose(now int64, b *block) {
	t.outcome.Lost++
	t.outcome.LostShards += uint64(b.code.K - b.have)
	t.leave(b)
	t.free(now, b)
}

// leave takes a block out of the table: it takes no more packets.
func (t *table) leave(b *block) {
	l := b.lane
	t.index.remove(b)
	l.pull(b)
	l.blocks--
	l.slots -= b.have
	l.channel.finished.finish(b.number)
	t.blocks--
}

// release takes back a block that a worker is done with.
func (t *table) release(now int64, b *block) {
	t.held--
	t.free(now, b)
}

// free gives the slots of a block back to the arena, and keeps its struct for another one.
func (t *table) free(now int64, b *block) {
	for at := b.first; at != noSlot; {
		next, _ := t.arena.linked(at)
		t.arena.give(now, at)
		at = next
	}
	b.first, b.lane = noSlot, nil
	t.spare = append(t.spare, b)
}

// shards puts the shards of a block where the decoder wants them: into[i] is shard i, nil where it is missing. sums[i] becomes the sum of data shard i.
func (t *table) shards(b *block, into [][]byte, sums []uint32) {
	clear(into)
	z := b.lane.size
	for at := b.first; at != noSlot; {
		next, i := t.arena.linked(at)
		mem := t.arena.slotMem(z, at)
		if into[i] = shardOf(mem); int(i) < len(sums) {
			sums[i] = sumOf(mem)
		}
		at = next
	}
}
