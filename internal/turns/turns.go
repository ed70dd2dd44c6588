// Package turns is a queue of bundles that wait for something slow, such as to be looked into. Tenants take turns, whatever each has waiting: a flood of one holds up nobody else's next
// bundle, and one that takes hours leaves the others' a place.
//
//	Add --> waiting, by tenant and rank --> Take --> Over, or Later --> waiting again
//
// A Gate has tenants take turns too, for what waits where it stands; of a tenant it lets in as many at once as it is made for.
//
// A Queue promises that a bundle waits, is under way or is to be tried again once at a time; that of a tenant one is under way; and that among those of a tenant the lowest rank goes first,
// and of one rank the oldest. It decides nothing about a bundle.
package turns

import (
	"context"
	"slices"
	"sync"
	"time"

	"ecluse/protocol/bundle"
)

// Queue is the queue. Its methods may be called from several goroutines.
type Queue struct {
	wake chan struct{} // holds one token when something waits

	mu      sync.Mutex
	waiting map[bundle.Name][]place
	busy    map[bundle.Name]bool // tenants of which one is under way: what one has waiting for hours leaves the other's a place
	turns   []bundle.Name        // tenants of which something waits, the next first
	known   map[bundle.ID]int    // that wait, are under way, or are to be tried again: how often each failed in a row
	ranks   map[bundle.ID]int    // of the same, where it is not 0
}

// place is one bundle in its tenant's row.
type place struct {
	id   bundle.ID
	rank int
}

// New makes an empty one.
func New() *Queue {
	return &Queue{wake: make(chan struct{}, 1), waiting: make(map[bundle.Name][]place), known: make(map[bundle.ID]int), ranks: make(map[bundle.ID]int), busy: make(map[bundle.Name]bool)}
}

// Add has a bundle wait, once. Of a tenant's, those of a lower rank go first.
func (q *Queue) Add(tenant bundle.Name, id bundle.ID, rank int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, known := q.known[id]; !known {
		q.known[id] = 0
		if rank != 0 {
			q.ranks[id] = rank
		}
		q.push(tenant, id)
	}
}

// push puts a bundle behind its tenant's others of no higher rank, under the lock.
func (q *Queue) push(tenant bundle.Name, id bundle.ID) {
	if len(q.waiting[tenant]) == 0 {
		q.turns = append(q.turns, tenant)
	}
	row, p := q.waiting[tenant], place{id, q.ranks[id]}
	at := len(row)
	for at > 0 && row[at-1].rank > p.rank {
		at--
	}
	q.waiting[tenant] = slices.Insert(row, at, p)
	q.rouse()
}

// rouse leaves a token, under the lock.
func (q *Queue) rouse() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Take waits for a bundle of a tenant none of whose is under way; false when ctx ends. Over or Later is to be called for each.
func (q *Queue) Take(ctx context.Context) (tenant bundle.Name, id bundle.ID, ok bool) {
	for {
		select {
		case <-q.wake:
		case <-ctx.Done():
			return "", id, false
		}
		if tenant, id, ok = q.next(); ok {
			return tenant, id, true
		}
	}
}

// next takes the next bundle, if there is one: a token says only that there was.
func (q *Queue) next() (tenant bundle.Name, id bundle.ID, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, t := range q.turns {
		if q.busy[t] {
			continue
		}
		q.turns = slices.Delete(q.turns, i, i+1)
		id = q.waiting[t][0].id
		if q.waiting[t] = q.waiting[t][1:]; len(q.waiting[t]) > 0 {
			q.turns = append(q.turns, t)
		} else {
			delete(q.waiting, t)
		}
		q.busy[t] = true
		if len(q.turns) > 0 {
			q.rouse()
		}
		return t, id, true
	}
	return "", id, false
}

// free says that a tenant's bundle is not under way any more, under the lock.
func (q *Queue) free(tenant bundle.Name) {
	delete(q.busy, tenant)
	if len(q.turns) > 0 {
		q.rouse()
	}
}

// Over forgets a bundle that was taken.
func (q *Queue) Over(tenant bundle.Name, id bundle.ID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.free(tenant)
	delete(q.known, id)
	delete(q.ranks, id)
}

// Later has a bundle that failed wait again, after what pause says of the failures in a row.
func (q *Queue) Later(tenant bundle.Name, id bundle.ID, pause func(failures int) time.Duration) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.free(tenant)
	q.known[id]++
	wait := pause(q.known[id])
	time.AfterFunc(wait, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.push(tenant, id)
	})
	return wait
}
