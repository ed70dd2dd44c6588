//go:build !race

package racing

// Step is how far a loop over all of something goes at once: to the next.
const Step = 1

// Stride is how far a loop over the moments of a life goes at once: to the next.
const Stride = 1
