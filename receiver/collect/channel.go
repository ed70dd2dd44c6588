package collect

import (
	"ecluse/protocol/bundle"
	"ecluse/protocol/packet"
)

const (
	// blockSpan is how far behind the highest block number a block may lie (P-9).
	blockSpan = 65536
	spanWords = blockSpan/64 + 1 // one more: the word that the highest number enters is cleared whole
)

// channel is one link of one session as this receiver's link hears it: one key, one replay window, one count of blocks.
type channel struct {
	id      uint32
	session *Session
	link    int // the sender's count, from 0
	tag     packet.Tag
	opener  *packet.Opener
	lanes   []*lane

	// Nothing of what follows is there before the first packet has opened (P-5).
	window   *packet.Window
	finished *span

	base     uint64 // the lowest packet number accepted
	accepted uint64 // packets
	bytes    uint64 // datagrams in bytes
}

// newChannel prepares one link of a session. A floor makes a window at once: that of a session from before a restart (P-7).
func newChannel(id uint32, s *Session, i int) (*channel, error) {
	key := &s.Links[i]
	opener, err := packet.NewOpener(key.Key, key.Tag)
	if err != nil {
		return nil, err
	}
	c := &channel{id: id, session: s, link: i, tag: key.Tag, opener: opener}
	if key.Floor.Known {
		c.window = packet.NewWindow(key.Floor.Number)
	}
	return c, nil
}

// check is the cheap refusal of a number before its packet is opened.
func (c *channel) check(number uint64) error {
	if c.window == nil || skipReplay {
		return nil
	}
	return c.window.Check(number)
}

// accept notes a packet that has opened.
func (c *channel) accept(number uint64, size int) error {
	if c.window == nil {
		c.window = new(packet.Window)
	}
	if err := c.window.Accept(number); err != nil && !skipReplay {
		return err
	}
	if c.accepted == 0 || number < c.base {
		c.base = number
	}
	c.accepted++
	c.bytes += uint64(size)
	return nil
}

// lost is the number of packets between the lowest and the highest number accepted that did not come, or not yet. What was
// lost before the first packet that came cannot be told from a receiver that was started late, and is not counted.
func (c *channel) lost() uint64 {
	if c.accepted == 0 {
		return 0
	}
	highest, _ := c.window.Highest()
	return highest - c.base + 1 - c.accepted
}

// floor is what is to be stored of the channel (P-7).
func (c *channel) floor() Floor {
	if c.window != nil {
		if highest, ok := c.window.Highest(); ok {
			return Floor{Number: highest, Known: true}
		}
	}
	return c.session.Links[c.link].Floor
}

// span remembers which of the last 65,536 blocks of a channel take no more packets (P-9).
//
//	 surplus     | judged: finished or lost |  one bit each: finished?  |  not seen yet
//	-------------+--------------------------+---------------------------+---------------> number
//	             ^ highest - 65,536         ^ judged                    ^ highest
type span struct {
	highest uint32
	judged  uint32 // blocks below it have been counted, one way or the other
	words   [spanWords]uint64

	// The highest block of some time ago: what lies at or below it and was never seen is lost.
	glance uint32
	at     int64
}

// newSpan begins at the first block seen. What lies below it is not missed: the receiver may have been started late.
func newSpan(now int64, number uint32) *span {
	return &span{highest: number, judged: number, glance: number, at: now}
}

// behind tells whether a number lies too far below the highest.
func (s *span) behind(number uint32) bool {
	return number < s.highest && s.highest-number > blockSpan
}

// over tells whether a block takes no more packets.
func (s *span) over(number uint32) bool {
	switch {
	case number > s.highest:
		return false
	case s.behind(number):
		return true
	}
	return s.words[number/64%spanWords]&(1<<(number%64)) != 0
}

// see notes a block number.
func (s *span) see(number uint32) {
	if number <= s.highest {
		return
	}
	last, word := s.highest/64, number/64
	if word-last >= spanWords {
		s.words = [spanWords]uint64{}
	} else {
		for last++; last <= word; last++ {
			s.words[last%spanWords] = 0
		}
	}
	s.highest = number
}

// finish notes that a block takes no more packets.
func (s *span) finish(number uint32) {
	if number <= s.highest && !s.behind(number) {
		s.words[number/64%spanWords] |= 1 << (number % 64)
	}
}

// judge counts the blocks of which no packet ever came, once they have been overdue for patience, and finishes them. Blocks in
// progress are left alone. Blocks that fell out of the span between two calls are passed over; their packets still count.
func (s *span) judge(now, patience int64, inProgress func(number uint32) bool) (lost int) {
	if now-s.at < patience {
		return 0
	}
	if s.behind(s.judged) {
		s.judged = s.highest - blockSpan
	}
	for ; s.judged <= s.glance && s.judged < s.highest; s.judged++ {
		if !s.over(s.judged) && !inProgress(s.judged) {
			s.finish(s.judged)
			lost++
		}
	}
	s.glance, s.at = s.highest, now
	return lost
}

// errConflict is the refusal of a packet that has opened and contradicts the first one of its block.
var errConflict error = bundle.Reject(bundle.ReasonBlockConflict, "P-8", "the packet differs from the first one of its block")
