//go:build race

package racing

// Step is how far a loop over all of something goes at once. A prime: what it leaves out is never one bit, or one column, of everything.
const Step = 17
