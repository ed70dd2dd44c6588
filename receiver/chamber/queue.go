package chamber

import (
	"context"
	"slices"
	"sync"
	"time"

	"ecluse/protocol/bundle"
)

// queue is what waits to be inspected. Tenants take turns, whatever each has waiting: a flood of one holds up nobody else's next bundle.
type queue struct {
	wake chan struct{} // holds one token when something waits

	mu      sync.Mutex
	waiting map[bundle.Name][]bundle.ID
	busy    map[bundle.Name]bool // tenants of which one is under way: what one has waiting for hours leaves the other's a place
	turns   []bundle.Name        // tenants of which something waits, the next first
	known   map[bundle.ID]int    // that wait, are under way, or are to be tried again: how often each failed in a row
}

func newQueue() *queue {
	return &queue{wake: make(chan struct{}, 1), waiting: make(map[bundle.Name][]bundle.ID), known: make(map[bundle.ID]int), busy: make(map[bundle.Name]bool)}
}

// add has a bundle wait, once.
func (q *queue) add(tenant bundle.Name, id bundle.ID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, known := q.known[id]; !known {
		q.known[id] = 0
		q.push(tenant, id)
	}
}

// push puts a bundle behind its tenant's others, under the lock.
func (q *queue) push(tenant bundle.Name, id bundle.ID) {
	if len(q.waiting[tenant]) == 0 {
		q.turns = append(q.turns, tenant)
	}
	q.waiting[tenant] = append(q.waiting[tenant], id)
	q.rouse()
}

// rouse leaves a token, under the lock.
func (q *queue) rouse() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take waits for a bundle of a tenant none of whose is under way; false when ctx ends. over or later is to be called for each.
func (q *queue) take(ctx context.Context) (tenant bundle.Name, id bundle.ID, ok bool) {
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
func (q *queue) next() (tenant bundle.Name, id bundle.ID, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, t := range q.turns {
		if q.busy[t] {
			continue
		}
		q.turns = slices.Delete(q.turns, i, i+1)
		id = q.waiting[t][0]
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
func (q *queue) free(tenant bundle.Name) {
	delete(q.busy, tenant)
	if len(q.turns) > 0 {
		q.rouse()
	}
}

// over forgets a bundle that was taken.
func (q *queue) over(tenant bundle.Name, id bundle.ID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.free(tenant)
	delete(q.known, id)
}

// later has a bundle that failed wait again, after what pause says of the failures in a row.
func (q *queue) later(tenant bundle.Name, id bundle.ID, pause func(failures int) time.Duration) time.Duration {
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
