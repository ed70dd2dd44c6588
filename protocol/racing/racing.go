// Package racing tells tests whether they are built with the race detector, under which everything takes ten times as long.
//
// What one goroutine does by itself races with nobody: millions of contents through a parser show the detector no more than some of them. So such tests make fewer there, by Part or in
// steps of Step; make test makes all of them, without the detector. Lives that are cut short at each of their acts, or that see one thing again and again, show it as much in a part of
// them. No test is left out.
package racing

// Part is how many of n are made: all of them, and under the race detector about one in Step, at least one.
func Part(n int) int { return max(1, n/Step) }
