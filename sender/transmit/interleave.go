package transmit

import "container/heap"

// An Emission says when the shards of a block leave.
type Emission struct {
	// Prompt: the data shards leave at once and the parity is spread evenly over Span. Otherwise all shards are spread evenly over Span.
	Prompt bool
	// Span in nanoseconds: the planner's window for a bulk block, more than two bursts for a prompt one.
	Span int64
}

// due is when shard i of a block of k + m shards leaves, in nanoseconds after the block was added.
func (e Emission) due(i, k, m int) int64 {
	if !e.Prompt {
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

// flights is a heap by due time.
type flights []*flight

func (f flights) Len() int { return len(f) }
func (f flights) Less(i, j int) bool {
	if f[i].due != f[j].due {
		return f[i].due < f[j].due
	}
	return f[i].order < f[j].order
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

// An Interleaver decides which shard leaves next, so that a burst of loss never takes more of one block than its parity can repair.
//
// Bulk blocks share a window: at most that many are in flight, and each spreads its shards evenly over the window's time. So on a full link
// they take turns, and on a link that is not full nothing bunches up. Prompt blocks, which exist while the link has time to spare, as heartbeats, and for tenants
// that have a little beside others that fill it (see light), go first: their data at once, their parity by the clock.
//
//	window = 3     block 1: 0 . . 1 . . 2 . . 3 . .
//	               block 2:   0 . . 1 . . 2 . . 3 . .
//	               block 3:     0 . . 1 . . 2 . . 3 . .
//	on the wire:            0 0 0 1 1 1 2 2 2 3 3 3
//
// It is pure; the link's goroutine owns it.
type Interleaver struct {
	window int
	bulk   flights
	prompt flights
	order  uint64
	unsent int // prompt blocks with data still to leave
}

// NewInterleaver makes one for a window of that many bulk blocks (at least 1).
func NewInterleaver(window int) *Interleaver {
	return &Interleaver{window: max(window, 1)}
}

// Full says that no further bulk block may be added before one has left.
func (il *Interleaver) Full() bool { return len(il.bulk) >= il.window }

// InWindow is how many bulk blocks are in flight.
func (il *Interleaver) InWindow() int { return len(il.bulk) }

// promptAhead is how many prompt blocks may wait with data unsent.
const promptAhead = 2

// Crowded says that prompt blocks come faster than the link takes them. Then no further one may be added: while the builder waits its next block grows
// fuller, until blocks are bulk again.
func (il *Interleaver) Crowded() bool { return il.unsent >= promptAhead }

// Idle says that nothing is in flight.
func (il *Interleaver) Idle() bool { return len(il.bulk) == 0 && len(il.prompt) == 0 }

// Add puts a block in flight at time now, in nanoseconds of any monotonic clock.
func (il *Interleaver) Add(now int64, b *Coded, e Emission) {
	il.order++
	f := &flight{block: b, emission: e, start: now, due: now + e.due(0, b.Code.K, b.Code.M), order: il.order}
	if e.Prompt {
		il.unsent++
		heap.Push(&il.prompt, f)
	} else {
		heap.Push(&il.bulk, f)
	}
}

// Next returns the shard that leaves now, and whether it is the last of its block; ok is false while nothing is due.
func (il *Interleaver) Next(now int64) (b *Coded, index int, last, ok bool) {
	queue := &il.prompt
	if len(*queue) == 0 || (*queue)[0].due > now {
		queue = &il.bulk
	}
	if len(*queue) == 0 || (*queue)[0].due > now {
		return nil, 0, false, false
	}
	f := (*queue)[0]
	index = f.next
	f.next++
	k, m := f.block.Code.K, f.block.Code.M
	if f.emission.Prompt && f.next == k {
		il.unsent--
	}
	if f.next == k+m {
		heap.Pop(queue)
		return f.block, index, true, true
	}
	f.due = f.start + f.emission.due(f.next, k, m)
	heap.Fix(queue, 0)
	return f.block, index, false, true
}

// Due returns when the next shard leaves; ok is false when nothing is in flight.
func (il *Interleaver) Due() (at int64, ok bool) {
	for _, q := range []flights{il.prompt, il.bulk} {
		if len(q) > 0 && (!ok || q[0].due < at) {
			at, ok = q[0].due, true
		}
	}
	return at, ok
}
