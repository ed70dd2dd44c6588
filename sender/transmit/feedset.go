package transmit

import (
	"sync"

	"ecluse/sender/schedule"
)

// feedSet is the builder's view of the open feeds. Feeds come and go with the bundles that wait, so it is the one thing here behind a lock.
type feedSet struct {
	mu   sync.Mutex
	list []*Feed
	wake chan struct{} // a feed has something, or is done with being busy

	halted map[int]bool // tenants of which nothing leaves
}

func newFeedSet() *feedSet {
	return &feedSet{wake: make(chan struct{}, 1), halted: make(map[int]bool)}
}

// halt is Engine.Halt.
func (s *feedSet) halt(tenant int, halt bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.halted[tenant] = halt
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// open adds a feed for a lane.
func (s *feedSet) open(lane schedule.Lane) *Feed {
	f := &Feed{lane: lane, pieces: make(chan Piece, feedPieces), large: make(chan struct{}, feedChunks), wake: s.wake}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, f)
	return f
}

// ready appends the lanes that have something to send now, and drops feeds that are closed and dry.
func (s *feedSet) ready(lanes []schedule.Lane, feeds []*Feed) ([]schedule.Lane, []*Feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.list[:0]
	for _, f := range s.list {
		closed := f.closed.Load() // before ready: what was put before the close is seen
		if s.halted[f.lane.Tenant] {
			f.discard()
		}
		if f.ready() {
			lanes, feeds = append(lanes, f.lane), append(feeds, f)
		} else if closed {
			continue
		}
		kept = append(kept, f)
	}
	clear(s.list[len(kept):])
	s.list = kept
	return lanes, feeds
}

// anyBusy says whether some feed is about to bring more.
func (s *feedSet) anyBusy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.list {
		if f.busy.Load() {
			return true
		}
	}
	return false
}
