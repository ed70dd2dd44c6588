package fec

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// exactTail returns P(X > m) for X ~ Binomial(n, p) in rational arithmetic: every term is a whole number over 2^(53 n) or so.
func exactTail(n int, p float64, m int) *big.Rat {
	loss := new(big.Rat).SetFloat64(p)
	keep := new(big.Rat).Sub(big.NewRat(1, 1), loss) // exact
	a, b, one := loss.Num(), new(big.Int).Mul(keep.Num(), new(big.Int).Div(loss.Denom(), keep.Denom())), loss.Denom()
	// P(X = i) = C(n, i) a^i b^(n-i) / one^n, with p = a/one and 1-p = b/one. Horner's rule from the last term down.
	sum, choose, power := new(big.Int), big.NewInt(1), new(big.Int).Exp(a, big.NewInt(int64(m+1)), nil)
	for i := n; i > m; i-- { // sum = C(n,m+1) b^(n-m-1) + C(n,m+2) a b^(n-m-2) + ... + C(n,n) a^(n-m-1)
		term := new(big.Int).Mul(choose, new(big.Int).Exp(a, big.NewInt(int64(i-m-1)), nil))
		term.Mul(term, new(big.Int).Exp(b, big.NewInt(int64(n-i)), nil))
		sum.Add(sum, term)
		choose.Mul(choose, big.NewInt(int64(i)))
		choose.Div(choose, big.NewInt(int64(n-i+1)))
	}
	return new(big.Rat).SetFrac(sum.Mul(sum, power), new(big.Int).Exp(one, big.NewInt(int64(n)), nil))
}

// relativeError returns |got - want| / want.
func relativeError(got float64, want *big.Rat) float64 {
	diff := new(big.Rat).Sub(new(big.Rat).SetFloat64(got), want)
	f, _ := diff.Quo(diff.Abs(diff), want).Float64()
	return f
}

func checkTail(t *testing.T, n int, p float64, m int) {
	t.Helper()
	want, got := exactTail(n, p, m), tail(n, p, m)
	if least, _ := want.Float64(); least < 1e-290 {
		if got > 1e-289 {
			t.Errorf("P(Bin(%d, %v) > %d) = %v, want less than 1e-289", n, p, m, got)
		}
		return
	}
	if e := relativeError(got, want); e > 1e-9 {
		t.Errorf("P(Bin(%d, %v) > %d) = %v: relative error %v", n, p, m, got, e)
	}
}

func TestTailEqualsRationalArithmetic(t *testing.T) {
	losses := []float64{1e-9, 1e-6, 1e-4, 0.001, 0.01, 0.05, 0.1, 0.25, 0.3, 0.49, 0.5}
	for n := 1; n <= 12; n++ {
		for _, p := range losses {
			for m := range n {
				checkTail(t, n, p, m)
			}
		}
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{63, 232, 256} {
		for _, p := range losses {
			mean := int(float64(n) * p)
			for _, m := range []int{0, mean - 1, mean, mean + 1, mean + 10, mean + 40, n / 2, n - 1, rng.IntN(n)} {
				if m >= 0 && m < n {
					checkTail(t, n, p, m)
				}
			}
		}
	}
	for _, row := range []struct {
		n int
		p float64
		m int
	}{{1002, 0.01, 42}, {1013, 0.01, 5}, {937, 0.05, 106}, {1024, 0.3, 430}, {1024, 0.5, 512}, {1314, 0.5, 788}, {1024, 1e-4, 8}} {
		checkTail(t, row.n, row.p, row.m)
	}
}

func TestTailAtItsEdges(t *testing.T) {
	for _, row := range []struct {
		name string
		n    int
		p    float64
		m    int
		want float64
	}{
		{"less than nothing is always exceeded", 10, 0.1, -1, 1},
		{"nothing is lost of nothing", 0, 0.5, 0, 0},
		{"no more than all are lost", 10, 0.5, 10, 0},
		{"nothing is lost without loss", 1000, 0, 0, 0},
		{"one in four", 1, 0.25, 0, 0.25},
		{"far below the mean", 4096, 0.5, 1, 1},
	} {
		if got := tail(row.n, row.p, row.m); math.Abs(got-row.want) > 1e-12 {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}
}

func BenchmarkTail(b *testing.B) {
	for b.Loop() {
		tail(1002, 0.01, 42)
	}
}
