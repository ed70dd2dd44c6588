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
	Parity  [][]byte // m shards
	parts   []part
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
		p.out.settle(p.content)
	}
	if c.free != nil {
		c.free()
	}
}

// part is what one pass has in a block.
type part struct {
	out     *Out
	content int64 // bytes of raw content
}

// Out follows one pass of one bundle until its last shard has left. The feed's owner makes it, blocks count themselves in and out.
type Out struct {
	pending atomic.Int64 // pieces not yet in a block, blocks not yet left, and one while the pass is still being fed
	content atomic.Int64 // raw content that has left, bytes
	done    func()
}

// NewOut makes an Out. done is called once, from the link's goroutine or from Finish's caller, and must not block.
func NewOut(done func()) *Out {
	o := &Out{done: done}
	o.pending.Store(1)
	return o
}

// Content is how many bytes of raw content have left.
func (o *Out) Content() int64 { return o.content.Load() }

// Finish says that everything of the pass has been fed.
func (o *Out) Finish() { o.settle(0) }

func (o *Out) enter() { o.pending.Add(1) }

func (o *Out) settle(content int64) {
	o.content.Add(content)
	if o.pending.Add(-1) == 0 && o.done != nil {
		o.done()
	}
}
