package turns

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"ecluse/protocol/bundle"
)

// waits is how many wait.
func (g *Gate) waits() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

func enter(t *testing.T, g *Gate, tenant bundle.Name) (leave func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	leave, err := g.Enter(ctx, tenant)
	if err != nil {
		t.Fatalf("%s is not let in: %v", tenant, err)
	}
	return leave
}

func TestAFloodAtTheGateLeavesOthersAPlace(t *testing.T) {
	g := NewGate(3, 2)
	first, second := enter(t, g, "flood"), enter(t, g, "flood")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var order []bundle.Name
	var mu sync.Mutex
	var group sync.WaitGroup
	comes := func(tenant bundle.Name) {
		before := g.waits()
		group.Go(func() {
			leave, err := g.Enter(ctx, tenant)
			if err != nil {
				return
			}
			mu.Lock()
			order = append(order, tenant)
			mu.Unlock()
			leave()
		})
		for began := time.Now(); g.waits() == before && time.Since(began) < time.Second; {
			time.Sleep(time.Millisecond)
		}
	}
	comes("flood")
	comes("flood")
	quiet := enter(t, g, "quiet") // there is a place, and the flood has its own
	comes("quiet")
	comes("third")
	if n := g.waits(); n != 4 {
		t.Fatalf("%d wait, want 4", n)
	}
	first() // one place is free: of the third, who was never let in, then of the flood, who was before quiet was
	group.Wait()
	if want := []bundle.Name{"third", "flood", "quiet", "flood"}; !slices.Equal(order, want) {
		t.Errorf("let in: %v, want %v", order, want)
	}
	second()
	second() // saying it again gives no second place
	quiet()
	if g.total != 0 || len(g.inside) != 0 {
		t.Errorf("%d places are taken: %v", g.total, g.inside)
	}
}

func TestWhoGivesUpAtTheGateTakesNoPlace(t *testing.T) {
	g := NewGate(1, 1)
	leave := enter(t, g, "a")
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := g.Enter(ctx, "b")
		gone <- err
	}()
	for g.waits() == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	leave()
	enter(t, g, "c")()
}
