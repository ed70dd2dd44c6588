package transmit

import "container/heap"

// A Way is how the shards of a block leave: in which order with those of other blocks, and in which time. A smaller one goes first.
type Way int

const (
	Express Way = iota // the data at once, before all others'; the parity by the clock: heartbeats, and tenants that have a little now and then (see light)
	Prompt             // the same behind that: while the link has time to spare
	Bulk               // all shards spread evenly over the window
	ways
)

// An Emission says when the shards of a block leave.
type Emission struct {
	Way Way
	// Span in nanoseconds: the planner's window for a bulk block, and of others more than two bursts, over which their parity is spread.
	Span int64
	// Owes, in bytes, orders the data of express blocks: that of a tenant that owes less goes first (see light).
	Owes float64
}

// due is when shard i of a block of k + m shards leaves, in nanoseconds after the block was added.
func (e Emission) due(i, k, m int) int64 {
	if e.Way == Bulk {
		return e.Span * int64(i) / int64(k+m)
	}
	if i < k {
		return 0
	}
	return e.Span * int64(i-k+1) / int64(m)
}

// flight is one block on its way: which shard is next, and when.
type flight struct {
	block    *Coded
	emission Emission
	start    int64
	next     int
	due      int64
	order    uint64 // of adding: breaks ties
}

// The queues of flights, that goes first which is served first. The data of express blocks is always due, and stands by what is owed; everything else stands by its time.
const (
	expressParity = iota
	expressData
	promptShards
	bulkShards
	queues
)

// queue is where a flight stands.
func (f *flight) queue() int {
	switch {
	case f.emission.Way == Bulk:
		return bulkShards
	case f.emission.Way == Prompt:
		return promptShards
	case f.next < f.block.Code.K:
		return expressData
	}
	return expressParity
}

// flights is a heap of one queue.
type flights []*flight

func (f flights) Len() int { return len(f) }
func (f flights) Less(i, j int) bool {
	x, y := f[i], f[j]
	switch {
	case x.queue() == expressData && x.emission.Owes != y.emission.Owes:
		return x.emission.Owes < y.emission.Owes
	case x.queue() != expressData && x.due != y.due:
		return x.due < y.due
	}
	return x.order < y.order
}
func (f flights) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f *flights) Push(x any)   { *f = append(*f, x.(*flight)) }
func (f *flights) Pop() any {
	last := len(*f) - 1
	x := (*f)[last]
	(*f)[last] = nil
	*f = (*f)[:last]
	return x
}

// An Interleaver decides which shard leaves next, so that a burst of loss never takes more of one block than its parity
// can repair.
//
// Bulk blocks share a window: at most that many are in flight, and each spreads its shards evenly over the window's time. So on a full link
// they take turns, and on a link that is not full nothing bunches up. Prompt blocks go before them, and express ones before those: their data at once, their parity by the clock.
//
//	window = 3     block 1: 0 . . 1 . . 2 . . 3 . .
//	               block 2:   0 . . 1 . . 2 . . 3 . .
//	               block 3:     0 . . 1 . . 2 . . 3 . .
//	on the wire:            0 0 0 1 1 1 2 2 2 3 3 3
//
// It is pure; the link's goroutine owns it.
type Interleaver struct {
	window int
	queues [queues]flights
	unsent [ways]int // blocks with data still to leave
	order  uint64
}

// NewInterleaver makes one for a window of that many bulk blocks (at least 1).
func NewInterleaver(window int) *Interleaver {
	return &Interleaver{window: max(window, 1)}
}

// InWindow is how many bulk blocks are in flight.
func (il *Interleaver) InWindow() int { return len(il.queues[bulkShards]) }

// ahead is how many express blocks, and how many prompt ones, may wait with data unsent. What is express is little, and is put in order here; of what is prompt the builder decides late.
var ahead = [ways]int{Express: 8, Prompt: 2}

// Admits says whether a further block may be added that leaves in a way. Bulk blocks wait for room in the window. Others wait when they come faster than the link takes them: while the
// builder waits its next block grows fuller, until blocks are bulk again.
func (il *Interleaver) Admits(w Way) bool {
	if w == Bulk {
		return il.InWindow() < il.window
	}
	return il.unsent[w] < ahead[w]
}

// Idle says that nothing is in flight.
func (il *Interleaver) Idle() bool {
	for _, q := range il.queues {
		if len(q) > 0 {
			return false
		}
	}
	return true
}

// Add puts a block in flight at time now, in nanoseconds of any monotonic clock.
func (il *Interleaver) Add(now int64, b *Coded, e Emission) {
	il.order++
	il.unsent[e.Way]++
	f := &flight{block: b, emission: e, start: now, due: now + e.due(0, b.Code.K, b.Code.M), order: il.order}
	heap.Push(&il.queues[f.queue()], f)
}

// Next returns the shard that leaves now, and whether it is the last of its block; ok is false while nothing is due.
func (il *Interleaver) Next(now int64) (b *Coded, index int, last, ok bool) {
	for q := range il.queues {
		queue := &il.queues[q]
		if len(*queue) == 0 || (*queue)[0].due > now {
			continue
		}
		f := (*queue)[0]
		index = f.next
		k, m := f.block.Code.K, f.block.Code.M
		if index+1 == k {
			il.unsent[f.emission.Way]--
		}
		if last = index+1 == k+m; last || index+1 == k { // it leaves the queue, or the data does
			heap.Pop(queue)
		}
		f.next++
		if last {
			return f.block, index, true, true
		}
		f.due = f.start + f.emission.due(f.next, k, m)
		if f.next == k {
			heap.Push(&il.queues[f.queue()], f)
		} else {
			heap.Fix(queue, 0)
		}
		return f.block, index, false, true
	}
	return nil, 0, false, false
}

// Due returns when the next shard leaves; ok is false when nothing is in flight.
func (il *Interleaver) Due() (at int64, ok bool) {
	for _, q := range il.queues {
		if len(q) > 0 && (!ok || q[0].due < at) {
			at, ok = q[0].due, true
		}
	}
	return at, ok
}
