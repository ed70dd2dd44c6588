//go:build !race

package racing

// Step is how far a loop over all of something goes at once: to the next.
const Step = 1
