package turns

import (
	"context"
	"slices"
	"sync"

	"ecluse/protocol/bundle"
)

// Gate lets a bounded number of a tenant's through at once, and a bounded number of all: what one has too much of waits for its own. Those that wait for a place of all take turns by tenant. Its methods may be
// called from several goroutines.
type Gate struct {
	all, each int

	mu      sync.Mutex
	inside  map[bundle.Name]int
	total   int
	waiting []*comer               // in order
	last    map[bundle.Name]uint64 // when a tenant was let in last
	count   uint64
}

type comer struct {
	tenant bundle.Name
	let    chan struct{} // closed under the lock
}

// NewGate makes one for so many of all, and of each tenant.
func NewGate(all, each int) *Gate {
	return &Gate{all: all, each: each, inside: make(map[bundle.Name]int), last: make(map[bundle.Name]uint64)}
}

// Enter waits for a place, which leave gives back. It fails only when ctx ends.
func (g *Gate) Enter(ctx context.Context, tenant bundle.Name) (leave func(), err error) {
	leave = sync.OnceFunc(func() { g.leave(tenant) })
	g.mu.Lock()
	c := &comer{tenant, make(chan struct{})}
	g.waiting = append(g.waiting, c)
	g.admit()
	g.mu.Unlock()
	select {
	case <-c.let:
		return leave, nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	at := slices.Index(g.waiting, c)
	if at >= 0 {
		g.waiting = slices.Delete(g.waiting, at, at+1)
	}
	g.mu.Unlock()
	if at < 0 { // it was let in at the same moment
		leave()
	}
	return nil, ctx.Err()
}

func (g *Gate) leave(tenant bundle.Name) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.total--
	if g.inside[tenant]--; g.inside[tenant] == 0 {
		delete(g.inside, tenant)
	}
	if g.total == 0 && len(g.waiting) == 0 {
		clear(g.last)
	}
	g.admit()
}

// admit lets in whom there are places for: of the tenants that have one left that which was let in longest ago, and of a tenant's the first.
func (g *Gate) admit() {
	for g.total < g.all {
		next := -1
		for i, c := range g.waiting {
			if g.inside[c.tenant] < g.each && (next < 0 || g.last[c.tenant] < g.last[g.waiting[next].tenant]) {
				next = i
			}
		}
		if next < 0 {
			return
		}
		c := g.waiting[next]
		g.waiting = slices.Delete(g.waiting, next, next+1)
		g.count++
		g.last[c.tenant] = g.count
		g.inside[c.tenant]++
		g.total++
		close(c.let)
	}
}
