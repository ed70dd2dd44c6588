package outbox

import "time"

// look is what one look at the whole tree of an item found.
type look struct {
	sum    uint64        // of every name, kind, size, inode, mtime and ctime in it
	bytes  int64         // of every file in it
	took   time.Duration // what the look cost
	inode  inode         // of the item itself
	gone   bool          // there is no such item any more
	probed bool          // the fields below are filled
	writer string        // the path of a file that a writer holds; "" for none
	blind  bool          // leases do not work here, so that writers cannot be seen
	denied error         // the item cannot be read, so that there is no use in claiming it
}

// inode tells an item from another one under the same name.
type inode struct{ dev, ino uint64 }

// verdict is what follows from a look.
type verdict struct {
	step  step
	until time.Time // of await: when to look again
	probe bool      // of await: whether to look for writers then
}

type step uint8

const (
	await step = iota
	ready      // whole: claim it
	lost       // gone
	deny       // cannot be read: leave it, say why, try again later
)

// waits are the times that a stillness is held against.
type waits struct {
	settle time.Duration // how long a tree stands still before it is whole
	blind  time.Duration // the same where writers cannot be seen
}

// patience bounds what looking at a large tree costs: no more than a fifth of the time.
const patience = 4

// stillness decides when one item is whole. It is pure: it is told when it is and what was seen. A rename is the operator's word that the item is whole: what was moved
// here is taken at once, whoever has it open. Should it change all the same, the room that reads it notices. The first look at it is made with a probe only to know
// whether it can be read.
type stillness struct {
	moved bool // it appeared by rename, and nothing has happened to it since
	seen  bool // sum and since hold
	sum   uint64
	since time.Time // when the tree was first seen as it is
}

// probes says whether the first look has to look for writers.
func (s *stillness) probes() bool { return s.moved }

// observe takes a look that began at now.
func (s *stillness) observe(now time.Time, l look, w waits) verdict {
	moved := s.moved
	s.moved = false
	switch {
	case l.gone:
		return verdict{step: lost}
	case l.probed && l.denied != nil:
		return verdict{step: deny}
	case moved && l.probed:
		return verdict{step: ready}
	case !s.seen || s.sum != l.sum:
		s.seen, s.sum, s.since = true, l.sum, now
		return s.again(now, w.settle, l)
	case !l.probed:
		return s.again(now, w.settle-now.Sub(s.since), l)
	case l.writer != "":
		return s.again(now, w.settle, l)
	case l.blind && now.Sub(s.since) < w.blind:
		return s.again(now, w.blind-now.Sub(s.since), l)
	case now.Sub(s.since) < w.settle:
		return s.again(now, w.settle-now.Sub(s.since), l)
	}
	return verdict{step: ready}
}

func (s *stillness) again(now time.Time, wait time.Duration, l look) verdict {
	return verdict{step: await, until: now.Add(max(wait, patience*l.took)), probe: true}
}
