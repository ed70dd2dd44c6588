package chamber

import (
	"context"
	"sync"
	"time"

	"ecluse/protocol/bundle"
)

// queue is what waits to be inspected. Tenants take turns, whatever each has waiting: a flood of one holds up nobody else's next bundle.
type queue struct {
	wake chan struct{} // holds one token when something waits

	mu      sync.Mutex
	waiting map[bundle.Name][]bundle.ID
	turns   []bundle.Name     // tenants of which something waits, the next first
	known   map[bundle.ID]int // that wait, are under way, or are to be tried again: how often each failed in a row
}

func newQueue() *queue {
	return &queue{wake: make(chan struct{}, 1), waiting: make(map[bundle.Name][]bundle.ID), known: make(map[bundle.ID]int)}
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

// take waits for a bundle; false when ctx ends.
func (q *queue) take(ctx context.Context) (tenant bundle.Name, id bundle.ID, ok bool) {
	select {
	case <-q.wake:
	case <-ctx.Done():
		return "", id, false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	tenant, q.turns = q.turns[0], q.turns[1:]
	id = q.waiting[tenant][0]
	if q.waiting[tenant] = q.waiting[tenant][1:]; len(q.waiting[tenant]) > 0 {
		q.turns = append(q.turns, tenant)
	} else {
		delete(q.waiting, tenant)
	}
	if len(q.turns) > 0 {
		q.rouse()
	}
	return tenant, id, true
}

// over forgets a bundle.
func (q *queue) over(id bundle.ID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.known, id)
}

// later has a bundle that failed wait again, after what pause says of the failures in a row.
func (q *queue) later(tenant bundle.Name, id bundle.ID, pause func(failures int) time.Duration) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.known[id]++
	wait := pause(q.known[id])
	time.AfterFunc(wait, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.push(tenant, id)
	})
	return wait
}
