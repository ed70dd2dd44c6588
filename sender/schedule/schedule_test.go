package schedule

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"ecluse/protocol/bundle"
)

const block = 1 << 20

func newScheduler(t *testing.T, weights ...int) *Scheduler {
	t.Helper()
	list := make([]Weight, len(weights))
	for i, w := range weights {
		list[i] = Weight{Tenant: bundle.Name(string(rune('a' + i))), Weight: w}
	}
	s, err := New(list, block)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// serve picks n times among the same lanes and returns the bytes each lane got.
func serve(s *Scheduler, n int, lanes ...Lane) []int {
	got := make([]int, len(lanes))
	for range n {
		i, ok := s.Pick(lanes)
		if !ok {
			break
		}
		s.Charge(lanes[i], block)
		got[i] += block
	}
	return got
}

func TestNoLaneMeansNoPick(t *testing.T) {
	if _, ok := newScheduler(t, 1).Pick(nil); ok {
		t.Fatal("picked among nothing")
	}
}

func TestEveryWaitingTenantGetsItsShare(t *testing.T) {
	for _, row := range []struct {
		name    string
		weights []int
	}{
		{"equal", []int{1, 1}},
		{"one to three", []int{1, 3}},
		{"one to nine among four", []int{1, 9, 2, 3}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newScheduler(t, row.weights...)
			var lanes []Lane
			total := 0
			for i, w := range row.weights {
				lanes = append(lanes, Lane{Tenant: i, Class: bundle.Normal})
				total += w
			}
			const rounds = 3000
			for i, n := range serve(s, rounds, lanes...) {
				want := float64(rounds) * block * float64(row.weights[i]) / float64(total)
				if math.Abs(float64(n)-want) > 0.01*rounds*block {
					t.Errorf("tenant %d got %d bytes, want %.0f", i, n, want)
				}
			}
		})
	}
}

func TestUrgentOfOneTenantTakesNothingFromAnothersShare(t *testing.T) {
	s := newScheduler(t, 1, 1)
	got := serve(s, 1000, Lane{Tenant: 0, Class: bundle.Urgent}, Lane{Tenant: 1, Class: bundle.Bulk})
	if share := float64(got[1]) / (1000 * block); share < 0.49 {
		t.Errorf("the bulk tenant got %.3f of the link beside an urgent one, want its half", share)
	}
}

func TestStrictClassesWithinATenant(t *testing.T) {
	s := newScheduler(t, 1)
	got := serve(s, 50,
		Lane{Class: bundle.Bulk}, Lane{Class: bundle.Normal, Later: true}, Lane{Class: bundle.Normal}, Lane{Class: bundle.Urgent, Later: true})
	if got[3] != 50*block {
		t.Errorf("urgent got %d of %d bytes", got[3], 50*block)
	}
	got = serve(s, 50, Lane{Class: bundle.Normal, Later: true}, Lane{Class: bundle.Normal}, Lane{Class: bundle.Bulk})
	if got[1] != 50*block {
		t.Errorf("the first pass got %d of %d bytes beside a later one", got[1], 50*block)
	}
}

func TestUnusedShareGoesToTheMostUrgent(t *testing.T) {
	// Four tenants of equal weight, two of them idle: the idle half goes to the urgent one, so it gets three quarters.
	s := newScheduler(t, 1, 1, 1, 1)
	got := serve(s, 4000, Lane{Tenant: 0, Class: bundle.Bulk}, Lane{Tenant: 1, Class: bundle.Urgent})
	if share := float64(got[1]) / (4000 * block); math.Abs(share-0.75) > 0.01 {
		t.Errorf("the urgent tenant got %.3f of the link, want 0.75", share)
	}
}

func TestUnusedShareIsSplitEvenlyAmongEquals(t *testing.T) {
	s := newScheduler(t, 1, 1, 6)
	got := serve(s, 4000, Lane{Tenant: 0, Class: bundle.Normal}, Lane{Tenant: 1, Class: bundle.Normal})
	if share := float64(got[0]) / (4000 * block); math.Abs(share-0.5) > 0.01 {
		t.Errorf("the first of two equals got %.3f", share)
	}
}

func TestReturningTenantHasNoClaimOnThePast(t *testing.T) {
	s := newScheduler(t, 1, 1)
	serve(s, 10000, Lane{Tenant: 0, Class: bundle.Normal})
	got := serve(s, 100, Lane{Tenant: 0, Class: bundle.Normal}, Lane{Tenant: 1, Class: bundle.Normal})
	if got[0] < (50-2*MaxCredit)*block {
		t.Errorf("after another's silence the tenant that went on got %d blocks of 100", got[0]/block)
	}
}

func TestShareHoldsWhateverTheMix(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 6).Draw(t, "tenants")
		list := make([]Weight, n)
		total := 0
		for i := range list {
			w := rapid.IntRange(1, 10).Draw(t, "weight")
			list[i] = Weight{bundle.Name(string(rune('a' + i))), w}
			total += w
		}
		s, err := New(list, block)
		if err != nil {
			t.Fatal(err)
		}
		// Tenant 0 waits always; the others come and go with any class. Tenant 0 must get its share over the run.
		const rounds = 2000
		mine := 0
		for range rounds {
			lanes := []Lane{{Tenant: 0, Class: bundle.Bulk, Later: true}}
			for i := 1; i < n; i++ {
				if rapid.Bool().Draw(t, "waits") {
					lanes = append(lanes, Lane{Tenant: i, Class: bundle.Class(rapid.IntRange(1, 3).Draw(t, "class"))})
				}
			}
			i, _ := s.Pick(lanes)
			s.Charge(lanes[i], block)
			if i == 0 {
				mine++
			}
		}
		want := rounds * float64(list[0].Weight) / float64(total)
		if float64(mine) < want-2*MaxCredit-1 {
			t.Fatalf("tenant 0 with weight %d of %d got %d blocks of %d, want at least %.0f", list[0].Weight, total, mine, rounds, want)
		}
	})
}

func TestNewRefusesNonsense(t *testing.T) {
	for _, row := range []struct {
		name    string
		tenants []Weight
		block   int
	}{
		{"no tenant", nil, block},
		{"weight zero", []Weight{{"a", 0}}, block},
		{"a tenant twice", []Weight{{"a", 1}, {"a", 2}}, block},
		{"no block", []Weight{{"a", 1}}, 0},
	} {
		if _, err := New(row.tenants, row.block); err == nil {
			t.Errorf("%s: accepted", row.name)
		}
	}
}
