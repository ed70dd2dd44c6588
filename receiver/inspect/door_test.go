package inspect

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ecluse/protocol/bundle"
)

// sleeper hangs over the items named, or over everything.
type sleeper struct {
	mu    sync.Mutex
	over  string // of which item it thinks for ever; "*": it does not even say its version
	tried atomic.Int32
	asked atomic.Int32
}

func (s *sleeper) hangs(over string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = over
}

func (s *sleeper) sleep(ctx context.Context, over string) error {
	s.mu.Lock()
	hangs := s.over == "*" || s.over == over
	s.mu.Unlock()
	if hangs {
		<-ctx.Done()
	}
	return ctx.Err()
}

func (s *sleeper) Ready(ctx context.Context) (Version, error) {
	s.tried.Add(1)
	return Version{Text: "1"}, s.sleep(ctx, "*")
}

func (s *sleeper) Look(ctx context.Context, item Item) (*Answer, error) {
	s.asked.Add(1)
	return &Answer{Version: Version{Text: "1"}}, s.sleep(ctx, item.Name)
}

func atDoor(s *sleeper) (ask func(item string) error) {
	d := NewDoor(2, func(failures int) time.Duration { return time.Duration(failures) * time.Minute })
	a := &Asked{Step: Step{Name: "own"}, Timeout: 30 * time.Second, Inspector: s}
	var tenants atomic.Int32
	return func(item string) error {
		tenant := bundle.Name(fmt.Sprintf("t%d", tenants.Add(1)))
		_, err := d.Ask(context.Background(), tenant, a, Item{Name: item}, time.Now)
		return err
	}
}

// Else two tenants with a large item each would hold up everybody for hours.
func TestLightItemsPassHeavyOnes(t *testing.T) {
	for name, heavy := range map[string]Item{"bytes": {Name: "slow", Bytes: 10 << 30}, "files": {Name: "slow", Count: 1_000_000}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := new(sleeper)
				s.hangs("slow")
				d := NewDoor(2, func(int) time.Duration { return time.Minute })
				a := &Asked{Step: Step{Name: "own"}, Timeout: 5 * time.Minute, Inspector: s}
				began := time.Now()
				took := func(tenant bundle.Name, item Item) time.Duration {
					_, _ = d.Ask(context.Background(), tenant, a, item, time.Now)
					return time.Since(began)
				}
				of := make(chan time.Duration, 2)
				for _, tenant := range []bundle.Name{"a", "b"} {
					go func() { of <- took(tenant, heavy) }()
				}
				synctest.Wait()
				if n := s.asked.Load(); n != 1 {
					t.Errorf("%d heavy items are before it", n)
				}
				small := Item{Name: "small", Bytes: 256 << 20}
				for range 100 {
					if after := took("third", small); after > 0 {
						t.Fatalf("a light one waits %v", after)
					}
				}
				one := TimeFor(a.Timeout, heavy.Bytes, heavy.Count)
				if first, second := <-of, <-of; first != one || second != 2*one {
					t.Errorf("heavy ones took until %v and %v, want one after the other", first, second)
				}
			})
		})
	}
}

func TestATenantHasOnePlaceBeforeAnInspector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(sleeper)
		s.hangs("slow")
		d := NewDoor(2, func(int) time.Duration { return time.Minute })
		a := &Asked{Step: Step{Name: "own"}, Timeout: time.Minute, Inspector: s}
		for range 3 {
			go func() { _, _ = d.Ask(context.Background(), "flood", a, Item{Name: "slow"}, time.Now) }()
		}
		synctest.Wait()
		began := time.Now()
		if _, err := d.Ask(context.Background(), "quiet", a, Item{Name: "good"}, time.Now); err != nil || time.Since(began) > 0 {
			t.Errorf("%v, after %v", err, time.Since(began))
		}
		time.Sleep(time.Hour)
	})
}

func TestAnInspectorThatHangsIsAbsentUntilOneItemFindsItThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(sleeper)
		s.hangs("*")
		ask := atDoor(s)
		var failed sync.WaitGroup
		for range 20 {
			failed.Go(func() {
				if err := ask("x"); err == nil || !strings.HasPrefix(err.Error(), "own: it ") {
					t.Errorf("%v", err)
				}
			})
		}
		began := time.Now()
		failed.Wait()
		if took := time.Since(began); took != time.Minute || s.asked.Load() != 2 || s.tried.Load() != 1 {
			t.Errorf("all were turned back after %v; %d had asked, and it was tried %d times", took, s.asked.Load(), s.tried.Load())
		}
		var absent *AbsentError
		if err := ask("x"); !errors.As(err, &absent) || absent.Again != time.Minute || s.asked.Load() != 2 {
			t.Errorf("%v", err)
		}

		time.Sleep(time.Minute) // one tries it, the others are turned back, and the pause grows
		for range 20 {
			failed.Go(func() {
				var absent *AbsentError
				if err := ask("x"); !errors.As(err, &absent) {
					t.Errorf("%v", err)
				}
			})
		}
		failed.Wait()
		if err := ask("x"); !errors.As(err, &absent) || absent.Again != 2*time.Minute || s.tried.Load() != 2 || s.asked.Load() != 2 {
			t.Errorf("%v; it was tried %d times", err, s.tried.Load())
		}

		first := ask("x").Error()
		time.Sleep(time.Second)
		if later := ask("x").Error(); later != first {
			t.Errorf("it says %q, and then %q: each would be put on record", first, later)
		}

		s.hangs("")
		time.Sleep(2 * time.Minute)
		for range 20 {
			failed.Go(func() { _ = ask("x") })
		}
		failed.Wait()
		if err := ask("x"); err != nil || s.tried.Load() != 3 {
			t.Errorf("%v; it was tried %d times", err, s.tried.Load())
		}
	})
}

// Else whoever sends what it cannot swallow would take it away from everybody.
func TestAnInspectorThatHangsOverOneItemIsThereForTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(sleeper)
		s.hangs("bad")
		ask := atDoor(s)
		done := make(chan error, 1)
		go func() { done <- ask("bad") }()
		synctest.Wait()
		began := time.Now()
		if err := ask("good"); err != nil || time.Since(began) > 0 {
			t.Errorf("%v, after %v", err, time.Since(began))
		}
		var late *LateError
		if err := <-done; !errors.As(err, &late) {
			t.Errorf("%v", err)
		}
		if err := ask("good"); err != nil || s.tried.Load() != 1 {
			t.Errorf("%v; it was tried %d times", err, s.tried.Load())
		}
	})
}
