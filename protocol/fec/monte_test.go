package fec

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The planner's model against a simulated link: W blocks of k + m packets in turn, each packet lost by itself with the stated chance, and in each
// window one burst of P packets somewhere. The target is scaled down so that failures can be counted.
func TestMeasuredFailuresAgreeWithTheComputedOnes(t *testing.T) {
	const (
		seed    = 11
		windows = 40_000
		target  = 1e-2
	)
	for _, row := range []struct {
		name             string
		k, window, burst int
		loss             float64
	}{
		{"loss and burst", 48, 6, 20, 0.05},
		{"heavy loss", 32, 4, 8, 0.25},
		{"burst eats one at most", 56, 8, 5, 0.02},
		{"loss alone", 48, 2, 0, 0.05},
	} {
		most := ceilDiv(row.burst, row.window)
		m := 1
		for !meets(row.k, m, most, row.loss, target) {
			m++
		}
		n := row.k + m
		rng := rand.New(rand.NewPCG(seed, 1))
		blocks, failed := map[int]int{}, map[int]int{} // by the shards of the block that the burst ate
		for range windows {
			start := rng.IntN(row.window*n - row.burst + 1)
			eaten, lost := make([]int, row.window), make([]int, row.window)
			for i := range row.window * n {
				switch b := i % row.window; {
				case i >= start && i < start+row.burst:
					eaten[b]++
				case rng.Float64() < row.loss:
					lost[b]++
				}
			}
			for b := range row.window {
				blocks[eaten[b]]++
				if eaten[b]+lost[b] > m {
					failed[eaten[b]]++
				}
			}
		}
		for b, count := range blocks {
			if b > most {
				t.Errorf("%s, seed %d: the burst ate %d shards of a block, counted %d", row.name, seed, b, most)
			}
			want := tail(n-b, row.loss, m-b)
			got := float64(failed[b]) / float64(count)
			band := 4*math.Sqrt(want*(1-want)/float64(count)) + 1/float64(count)
			if math.Abs(got-want) > band {
				t.Errorf("%s, seed %d: %d+%d, %d eaten: %v of %d blocks failed, computed %v, band %v", row.name, seed, row.k, m, b, got, count, want, band)
			}
			if got > target+band {
				t.Errorf("%s, seed %d: %d+%d, %d eaten: %v failed, target %v", row.name, seed, row.k, m, b, got, target)
			}
		}
		if failed[most] == 0 {
			t.Errorf("%s, seed %d: no block failed, so nothing was measured", row.name, seed)
		}
	}
}
