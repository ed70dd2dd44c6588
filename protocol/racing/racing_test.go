package racing

import "testing"

func TestAllIsMadeWithoutTheDetectorAndSomeWithIt(t *testing.T) {
	for _, n := range []int{1, Step, 17_000} {
		if got := Part(n); got < 1 || got > n || got*Step > n+Step || Step == 1 && got != n {
			t.Errorf("of %d are made %d, in steps of %d", n, got, Step)
		}
	}
}
