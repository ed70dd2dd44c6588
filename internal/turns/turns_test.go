package turns

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ecluse/protocol/bundle"
)

// No goroutine outlives the tests.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTenantsTakeTurns(t *testing.T) {
	q := New()
	for n := range 4 {
		q.Add("flood", bundle.ID{1, byte(n)}, 0)
		q.Add("flood", bundle.ID{1, byte(n)}, 0)
	}
	q.Add("quiet", bundle.ID{2}, 0)
	q.Add("third", bundle.ID{3}, 0)
	var got []byte
	for range 6 {
		tenant, id, ok := q.Take(t.Context())
		if !ok {
			t.Fatal("nothing waits")
		}
		got = append(got, id[0])
		q.Over(tenant, id)
	}
	if want := []byte{1, 2, 3, 1, 1, 1}; !slices.Equal(got, want) {
		t.Errorf("taken in the order %v, want %v", got, want)
	}
}

// nothing requires that nothing can be taken now.
func (q *Queue) nothing(t *testing.T, why string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, id, ok := q.Take(ctx); ok {
		t.Errorf("%s: %v was taken", why, id)
	}
}

func TestOneOfATenantIsUnderWay(t *testing.T) {
	q := New()
	one, two := bundle.ID{1}, bundle.ID{2}
	q.Add("a", one, 0)
	q.Add("a", two, 0)
	if _, id, ok := q.Take(t.Context()); !ok || id != one {
		t.Fatalf("%v, %v", id, ok)
	}
	q.nothing(t, "its first is under way")
	q.Add("a", one, 0)
	q.Later("a", one, func(n int) time.Duration { return time.Duration(n) * 30 * time.Millisecond })
	if _, id, ok := q.Take(t.Context()); !ok || id != two {
		t.Fatalf("%v, %v", id, ok)
	}
	q.Over("a", two)
	if _, id, ok := q.Take(t.Context()); !ok || id != one {
		t.Fatalf("what was to be tried again: %v, %v", id, ok)
	}
	if wait := q.Later("a", one, func(n int) time.Duration { return time.Duration(n) }); wait != 2 {
		t.Errorf("it failed %v times in a row", wait)
	}
	if _, id, ok := q.Take(t.Context()); !ok || id != one {
		t.Fatalf("%v, %v", id, ok)
	}
	q.Over("a", one)
	q.nothing(t, "all is over")
	q.Add("a", one, 0)
	if _, id, ok := q.Take(t.Context()); !ok || id != one {
		t.Error("what was over cannot wait again")
	}
}

// Several that take, and several that add: each bundle is taken once, whoever is waked for which.
func TestAQueueOfManyHands(t *testing.T) {
	const tenants, each = 5, 400
	q := New()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	taken := make(map[bundle.ID]int)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				tenant, id, ok := q.Take(ctx)
				if !ok {
					return
				}
				mu.Lock()
				taken[id]++
				if len(taken) == tenants*each {
					cancel()
				}
				mu.Unlock()
				q.Over(tenant, id)
			}
		})
	}
	for n := range tenants {
		all.Go(func() {
			for i := range each {
				q.Add(bundle.Name(rune('a'+n)), bundle.ID{byte(n), byte(i), byte(i >> 8)}, 0)
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

func TestTheMostUrgentOfATenantGoesFirst(t *testing.T) {
	q := New()
	for n, rank := range []int{2, 1, 3, 1, 2} {
		q.Add("a", bundle.ID{byte(n)}, rank)
	}
	failed := false
	var got []byte
	for range 6 {
		tenant, id, ok := q.Take(t.Context())
		if !ok {
			t.Fatal("nothing waits")
		}
		got = append(got, id[0])
		if id[0] == 1 && !failed {
			failed = true
			q.Later(tenant, id, func(int) time.Duration { return 0 })
			time.Sleep(20 * time.Millisecond) // it waits again, before those of a higher rank and behind its like
			continue
		}
		q.Over(tenant, id)
	}
	if want := []byte{1, 3, 1, 0, 4, 2}; !slices.Equal(got, want) {
		t.Errorf("taken in the order %v, want %v", got, want)
	}
}
