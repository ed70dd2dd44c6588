package transmit

import (
	"sync/atomic"

	"ecluse/protocol/fec"
)

// Coded is a finished block: k data shards and m parity shards, ready to be sealed.
type Coded struct {
	Session *Session
	Number  uint32
	Code    fec.Code
	Data    []byte   // k * shard bytes
	Parity  [][]byte // m shards, behind them
	area    []byte   // headroom, Data and Parity
	parts   []part
	bulk    bool            // it takes its turn in the window
	counted []*atomic.Int64 // of the tenants that have something in it, while it does: see light
	free    func()
}

// Shard returns shard i, data first.
func (c *Coded) Shard(i int) []byte {
	if i < c.Code.K {
		return c.Data[i*c.Code.Shard : (i+1)*c.Code.Shard]
	}
	return c.Parity[i-c.Code.K]
}

// left gives the block's memory back and tells the passes that their part of it is out.
func (c *Coded) left() {
	for _, p := range c.parts {
		if c.bulk {
			p.out.bulk.Add(-1)
		}
		p.out.wire.Add(p.wire)
		p.out.settle(p.content)
	}
	for _, n := range c.counted {
		n.Add(-1)
	}
	if c.free != nil {
		c.free()
	}
}

// part is what one pass has in a block.
type part struct {
	out     *Out
	content int64 // bytes of raw content
	used    int   // bytes of the block
	wire    int64 // bytes of the wire that are its share
}

// Out follows one pass of one bundle until its last shard has left. The feed's owner makes it, blocks count themselves in and out.
type Out struct {
	pending atomic.Int64 // pieces not yet in a block, blocks not yet left, and one while the pass is still being fed
	content atomic.Int64 // raw content that has left, bytes
	wire    atomic.Int64 // what that, and all else of the pass, took of the wire, bytes
	bulk    atomic.Int64 // bulk blocks in flight
	ahead   int          // the builder's: prompt blocks made while bulk blocks were in flight
	done    func()
	cut     atomic.Bool // a piece of it was thrown away: see Engine.Halt
}

// Cut says that not all of the pass has left, because its tenant was stopped meanwhile.
func (o *Out) Cut() bool { return o.cut.Load() }

// aheadMost is how many prompt blocks of a pass may overtake its bulk blocks: its end, which nobody shall wait a window for. More would leave the receiver with the
// halves of as many chunks in memory as there are blocks in the window, when a pass is now slower than the link and now faster.
const aheadMost = 2

// mayOvertake says whether a block of this pass may leave promptly.
func (o *Out) mayOvertake() bool {
	if o.bulk.Load() == 0 {
		o.ahead = 0
	}
	return o.ahead < aheadMost
}

// book notes how a block of this pass leaves.
func (o *Out) book(prompt bool) {
	switch {
	case !prompt:
		o.bulk.Add(1)
	case o.bulk.Load() > 0:
		o.ahead++
	}
}

// NewOut makes an Out. done is called once, from the link's goroutine or from Finish's caller, and must not block.
func NewOut(done func()) *Out {
	o := &Out{done: done}
	o.pending.Store(1)
	return o
}

// Content is how many bytes of raw content have left.
func (o *Out) Content() int64 { return o.content.Load() }

// Wire is how many bytes of the wire the blocks that have left took: this pass's share of them, with parity and all headers.
func (o *Out) Wire() int64 { return o.wire.Load() }

// Finish says that everything of the pass has been fed.
func (o *Out) Finish() { o.settle(0) }

func (o *Out) enter() { o.pending.Add(1) }

func (o *Out) settle(content int64) {
	o.content.Add(content)
	if o.pending.Add(-1) == 0 && o.done != nil {
		o.done()
	}
}
