package chamber

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"ecluse/protocol/bundle"
)

func TestTenantsTakeTurns(t *testing.T) {
	q := newQueue()
	for n := range 4 {
		q.add("flood", bundle.ID{1, byte(n)})
		q.add("flood", bundle.ID{1, byte(n)})
	}
	q.add("quiet", bundle.ID{2})
	q.add("third", bundle.ID{3})
	var got []byte
	for range 6 {
		tenant, id, ok := q.take(t.Context())
		if !ok {
			t.Fatal("nothing waits")
		}
		got = append(got, id[0])
		q.over(tenant, id)
	}
	if want := []byte{1, 2, 3, 1, 1, 1}; !slices.Equal(got, want) {
		t.Errorf("taken in the order %v, want %v", got, want)
	}
}

// nothing requires that nothing can be taken now.
func (q *queue) nothing(t *testing.T, why string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, id, ok := q.take(ctx); ok {
		t.Errorf("%s: %v was taken", why, id)
	}
}

func TestOneOfATenantIsUnderWay(t *testing.T) {
	q := newQueue()
	one, two := bundle.ID{1}, bundle.ID{2}
	q.add("a", one)
	q.add("a", two)
	if _, id, ok := q.take(t.Context()); !ok || id != one {
		t.Fatalf("%v, %v", id, ok)
	}
	q.nothing(t, "its first is under way")
	q.add("a", one)
	q.later("a", one, func(n int) time.Duration { return time.Duration(n) * 30 * time.Millisecond })
	if _, id, ok := q.take(t.Context()); !ok || id != two {
		t.Fatalf("%v, %v", id, ok)
	}
	q.over("a", two)
	if _, id, ok := q.take(t.Context()); !ok || id != one {
		t.Fatalf("what was to be tried again: %v, %v", id, ok)
	}
	if wait := q.later("a", one, func(n int) time.Duration { return time.Duration(n) }); wait != 2 {
		t.Errorf("it failed %v times in a row", wait)
	}
	if _, id, ok := q.take(t.Context()); !ok || id != one {
		t.Fatalf("%v, %v", id, ok)
	}
	q.over("a", one)
	q.nothing(t, "all is over")
	q.add("a", one)
	if _, id, ok := q.take(t.Context()); !ok || id != one {
		t.Error("what was over cannot wait again")
	}
}

// Several that take, and several that add: each bundle is taken once, whoever is waked for which.
func TestAQueueOfManyHands(t *testing.T) {
	const tenants, each = 5, 400
	q := newQueue()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	taken := make(map[bundle.ID]int)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				tenant, id, ok := q.take(ctx)
				if !ok {
					return
				}
				mu.Lock()
				taken[id]++
				if len(taken) == tenants*each {
					cancel()
				}
				mu.Unlock()
				q.over(tenant, id)
			}
		})
	}
	for n := range tenants {
		all.Go(func() {
			for i := range each {
				q.add(bundle.Name(rune('a'+n)), bundle.ID{byte(n), byte(i), byte(i >> 8)})
			}
		})
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("%d of %d were taken", len(taken), tenants*each)
	}
	for id, n := range taken {
		if n != 1 {
			t.Errorf("%v was taken %d times", id, n)
		}
	}
}
