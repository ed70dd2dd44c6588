//go:build race

package racing

// Step is how far a loop over all of something goes at once. A prime: what it leaves out is never one bit, or one column, of everything.
const Step = 17

// Stride is how far a loop over the moments of a life goes at once, of which each is a whole life with all its goroutines. It shares no divisor with what such loops choose by.
const Stride = 7
