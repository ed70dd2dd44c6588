package collect

import "slices"

// tick lets time pass: blocks without progress for too long and blocks that fell out of the span are lost, blocks never seen are
// counted, and memory that stays free goes back to the system. The driver calls it about once a second.
func (t *table) tick(now int64) {
	for _, c := range t.channels {
		if c.finished == nil {
			continue
		}
		for _, l := range c.lanes {
			t.expire(now, l)
		}
		lost := c.finished.judge(now, int64(patience), func(number uint32) bool { return t.index.find(c, number) != nil })
		t.outcome.Lost += uint64(lost)
		t.outcome.LostUnseen += uint64(lost)
	}
	t.arena.trim(now - int64(slabKept))
}

// expire gives up the blocks of a lane that no packet can be expected for.
func (t *table) expire(now int64, l *lane) {
	for b := l.oldest; b != nil; {
		next := b.newer
		if now-b.progress >= int64(patience) || l.channel.finished.behind(b.number) {
			t.lose(now, b)
		}
		b = next
	}
}

// close ends a session: its unfinished blocks are lost. Blocks in the hands of workers are not, they are whole.
func (t *table) close(now int64, s *Session) {
	for _, c := range t.channels {
		if c.session == s {
			t.closeChannel(now, c)
		}
	}
	t.channels = slices.DeleteFunc(t.channels, func(c *channel) bool { return c.session == s })
}

func (t *table) closeChannel(now int64, c *channel) {
	for _, l := range c.lanes {
		for l.oldest != nil {
			t.lose(now, l.oldest)
		}
		l.size.lanes = slices.DeleteFunc(l.size.lanes, func(o *lane) bool { return o == l })
	}
	left := slices.DeleteFunc(t.tags[c.tag], func(o *channel) bool { return o == c })
	if len(left) == 0 {
		delete(t.tags, c.tag)
	} else {
		t.tags[c.tag] = left
	}
	t.closed.lost += c.lost()
}

// lost is the number of packets that the numbers of the others say were sent and did not come.
func (t *table) lost() uint64 {
	n := t.closed.lost
	for _, c := range t.channels {
		n += c.lost()
	}
	return n
}

// floors adds to into what is to be stored of the sessions' packet numbers (P-7), the higher one where another link has heard
// the same session.
func (t *table) floors(into map[*Session][]Floor) {
	for _, c := range t.channels {
		all := into[c.session]
		if all == nil {
			all = make([]Floor, len(c.session.Links))
			into[c.session] = all
		}
		f := c.floor()
		if f.Known && (!all[c.link].Known || f.Number > all[c.link].Number) {
			all[c.link] = f
		}
	}
}
