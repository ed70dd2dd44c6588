package chamber

import (
	"context"
	"slices"
	"testing"
	"time"

	"ecluse/protocol/bundle"
)

func TestTenantsTakeTurns(t *testing.T) {
	q := newQueue()
	for n := range 5 {
		q.add("flood", bundle.ID{1, byte(n)})
		q.add("flood", bundle.ID{1, byte(n)})
	}
	q.add("quiet", bundle.ID{2})
	q.add("third", bundle.ID{3})
	var got []byte
	for range 7 {
		_, id, ok := q.take(t.Context())
		if !ok {
			t.Fatal("nothing waits")
		}
		got = append(got, id[0])
	}
	if want := []byte{1, 2, 3, 1, 1, 1, 1}; !slices.Equal(got, want) {
		t.Errorf("taken in the order %v, want %v", got, want)
	}
	q.add("quiet", bundle.ID{2}) // it is under way
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, id, ok := q.take(ctx); ok {
		t.Errorf("%s was taken twice", id)
	}
	q.over(bundle.ID{2})
	q.add("quiet", bundle.ID{2})
	if _, id, ok := q.take(t.Context()); !ok || id != (bundle.ID{2}) {
		t.Error("what was over cannot wait again")
	}
	if wait := q.later("third", bundle.ID{3}, func(n int) time.Duration { return time.Duration(n) * time.Millisecond }); wait != time.Millisecond {
		t.Errorf("it waits for %v", wait)
	}
	if _, id, ok := q.take(t.Context()); !ok || id != (bundle.ID{3}) {
		t.Error("what was to be tried again is not")
	}
}
