// Package vectors holds the test vectors of the protocol, and the tests that hold the packages beside it against them.
//
// It promises that SPEC.md says enough: generate.py writes the vectors from the text alone and shares no code with the packages, so where
// both agree, a third writer can know what they know. Where both directions of a format exist, what Go writes equals what Python wrote.
//
// Every numbered rule of SPEC.md is held by a vector here or by a test that TestEveryRuleIsHeld names.
package vectors
