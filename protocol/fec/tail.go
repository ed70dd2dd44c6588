package fec

import "math"

// tail returns P(X > m) for X ~ Binomial(n, p), with 0 <= p < 1, to a relative error below 1e-9.
//
// The first term comes from logarithms, the others from the ratio of neighbours,
//
//	P(X = i+1) / P(X = i) = (n-i)/(i+1) * p/(1-p),
//
// and all that is added is positive. Above the mean the terms fall from m+1 upwards; at or below it the complement is
// summed from m downwards, which is not near 1, so that 1 - P(X <= m) loses nothing.
func tail(n int, p float64, m int) float64 {
	switch {
	case m < 0:
		return 1
	case m >= n || p == 0:
		return 0
	}
	odds := p / (1 - p)
	if float64(m+1) > float64(n)*p {
		sum, term := 1.0, 1.0
		for i := m + 1; i < n && term > sum*0x1p-60; i++ {
			term *= float64(n-i) / float64(i+1) * odds
			sum += term
		}
		return math.Exp(logPoint(n, p, m+1) + math.Log(sum))
	}
	sum, term := 1.0, 1.0
	for i := m; i > 0 && term > sum*0x1p-60; i-- {
		term *= float64(i) / float64(n-i+1) / odds
		sum += term
	}
	return 1 - math.Exp(logPoint(n, p, m)+math.Log(sum))
}

// logPoint returns ln P(X = i) for X ~ Binomial(n, p), 0 < p < 1.
func logPoint(n int, p float64, i int) float64 {
	return logFactorial(n) - logFactorial(i) - logFactorial(n-i) + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p)
}

// logFactorial returns ln(n!).
func logFactorial(n int) float64 {
	v, _ := math.Lgamma(float64(n) + 1)
	return v
}
