package outbox

import (
	"container/heap"
	"errors"
	"time"
)

// The bounds of following.
const (
	followMost = 65536            // items that are followed at once; the others wait for a rescan
	offerAgain = time.Minute      // after which an offer that came to nothing is forgotten
	firstRetry = 10 * time.Second // after a refusal, doubling
	lastRetry  = 5 * time.Minute
	soonRetry  = time.Second // after a refusal, when the rights of the item change
)

// phase is where an item stands on its way to being claimed.
type phase uint8

const (
	settling phase = iota // it waits in the queue for its next look
	looking               // a look is under way
	whole                 // it waits to be offered
	offered               // a caller has it
	refused               // it waits in the queue for another try
)

// follow is one item that is not claimed yet.
type follow struct {
	name    string
	phase   phase
	still   stillness
	probe   bool      // of settling: look for writers
	due     time.Time // of settling and refused
	at      int       // of settling and refused: its place in the queue
	stirred bool      // of looking, whole and offered: something has happened to it since
	moved   bool      // of stirred: and that was a rename
	inode   inode     // of whole
	bytes   int64     // the same
	since   time.Time // of offered and refused
	tries   int       // refusals in a row
	scan    uint64    // the last rescan that saw it
}

// followers are the items that are not claimed yet, and decide what is to be done with each. They are pure: what happens and when is told to them, and they
// tell what to look at and what to offer. Watch owns them.
type followers struct {
	waits   waits
	items   map[string]*follow
	queue   dueQueue
	looks   []*follow // to be looked at now
	offers  []*follow // whole
	scan    uint64
	cut     bool // items were left out of the last rescan
	refuse  func(name string, cause error)
	release func(name string) // a refused item is gone
}

func newFollowers(w waits, refuse func(string, error), release func(string)) *followers {
	return &followers{waits: w, items: make(map[string]*follow), refuse: refuse, release: release}
}

// happened takes an event.
func (f *followers) happened(e event, now time.Time) {
	it := f.items[e.name]
	switch {
	case e.kind == eventAttrib:
		if it != nil && it.phase == refused {
			f.requeue(it, later(now, it.since.Add(soonRetry)))
		}
	case it == nil:
		f.begin(e.name, e.kind == eventMoved, now)
	case it.phase == settling || it.phase == refused:
		f.restart(it, e.kind == eventMoved, now)
	default:
		it.stirred, it.moved = true, e.kind == eventMoved
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// begin follows an item.
func (f *followers) begin(name string, moved bool, now time.Time) {
	if len(f.items) >= followMost {
		f.cut = true
		return
	}
	it := &follow{name: name, at: -1, scan: f.scan}
	f.items[name] = it
	f.restart(it, moved, now)
}

// restart has an item looked at now, as if it had just appeared.
func (f *followers) restart(it *follow, moved bool, now time.Time) {
	it.still = stillness{moved: moved}
	it.stirred, it.moved = false, false
	it.probe = it.still.probes()
	it.due = now
	f.look(it)
}

// look takes an item out of the queue and has it looked at.
func (f *followers) look(it *follow) {
	f.unqueue(it)
	it.phase = looking
	f.looks = append(f.looks, it)
}

func (f *followers) requeue(it *follow, due time.Time) {
	f.unqueue(it)
	it.due = due
	heap.Push(&f.queue, it)
}

func (f *followers) unqueue(it *follow) {
	if it.at >= 0 {
		heap.Remove(&f.queue, it.at)
	}
}

// tick has everything looked at that is due, and says when the next is; ok is false when nothing is queued.
func (f *followers) tick(now time.Time) (next time.Time, ok bool) {
	for len(f.queue) > 0 && !f.queue[0].due.After(now) {
		it := f.queue[0]
		if it.phase == refused {
			f.unqueue(it)
			f.restart(it, true, now) // it was whole: what is asked is only whether it can be taken now
			continue
		}
		f.look(it)
	}
	if len(f.queue) == 0 {
		return time.Time{}, false
	}
	return f.queue[0].due, true
}

// looked takes the result of a look.
func (f *followers) looked(it *follow, l look, now time.Time) {
	if it.stirred && !l.gone {
		f.restart(it, it.moved, now)
		return
	}
	v := it.still.observe(now, l, f.waits)
	switch v.step {
	case lost:
		f.drop(it)
	case deny:
		f.refuse(it.name, l.denied)
		f.refused(it, now)
	case await:
		it.phase, it.probe = settling, v.probe
		f.requeue(it, v.until)
	case ready:
		it.phase, it.inode, it.bytes = whole, l.inode, l.bytes
		f.offers = append(f.offers, it)
	}
}

// refused has an item tried again later.
func (f *followers) refused(it *follow, now time.Time) {
	wait := min(firstRetry<<min(it.tries, 10), lastRetry)
	it.tries++
	it.phase, it.since = refused, now
	f.requeue(it, now.Add(wait))
}

// offered notes that the first of offers has been handed over.
func (f *followers) offered(now time.Time) {
	it := f.offers[0]
	f.offers = f.offers[1:]
	it.phase, it.since = offered, now
}

// claimed takes what became of a candidate.
func (f *followers) claimed(o outcome, now time.Time) {
	it := f.items[o.name]
	switch {
	case it == nil || it.phase != offered:
	case it.stirred:
		f.restart(it, it.moved, now)
	case o.err == nil || errors.Is(o.err, ErrGone):
		f.forget(it)
	default:
		f.refused(it, now)
	}
}

// drop forgets an item that is gone.
func (f *followers) drop(it *follow) {
	if it.tries > 0 {
		f.release(it.name)
	}
	f.forget(it)
}

func (f *followers) forget(it *follow) {
	f.unqueue(it)
	delete(f.items, it.name)
}

// startScan begins a reading of the listing; listed takes each name of it, and endScan forgets what was not in it.
func (f *followers) startScan() { f.scan++; f.cut = false }

func (f *followers) listed(name string, now time.Time) {
	it := f.items[name]
	if it == nil {
		f.begin(name, false, now)
		return
	}
	it.scan = f.scan
	if it.phase == offered && now.Sub(it.since) > offerAgain {
		f.restart(it, false, now)
	}
}

func (f *followers) endScan() {
	for _, it := range f.items {
		if it.scan != f.scan && (it.phase == settling || it.phase == refused) {
			f.drop(it)
		}
	}
}

// dueQueue is a heap of items by due.
type dueQueue []*follow

func (q dueQueue) Len() int           { return len(q) }
func (q dueQueue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q dueQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i]; q[i].at, q[j].at = i, j }
func (q *dueQueue) Push(x any)        { it := x.(*follow); it.at = len(*q); *q = append(*q, it) }
func (q *dueQueue) Pop() any {
	old := *q
	it := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	it.at = -1
	return it
}
