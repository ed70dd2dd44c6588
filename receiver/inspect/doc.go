// Package inspect asks those who know what is malicious about a bundle in quarantine, and keeps what each said.
//
//	bundle --> the tenant's rules (internal/policy) --> antivirus --> gateway --> own command --> clean, when all of them say so
//	                |                                      |             |            |
//	                +--------------------------------------+-------------+------------+--> flagged: the others need not be asked
//	                                                                                  +--> failed, absent, too late: held, and asked again
//
// They are asked one after another, in the order of the configuration, each within its time. What each said is evidence: who, by which configuration, version and signatures, when, and what. Judge
// makes a verdict of it, and is pure: no evidence of one that is required means that nobody knows.
//
// It promises that an inspector is not believed but tried: before each bundle it has to find the test virus, plain and in an archive, and must not let pass what is nested deeper than it looks; and
// before a content that is larger than any it was tried with, it has to find the virus in one of that size. Scanners pass by themselves what is above their bounds.
//
// It refuses to take anything for clean but the word for it: what cannot be read, comes too late, contradicts itself or says more than an answer is an error, and the bundle is held.
//
// Before each stands a Door: one that hangs is not waited for by more than a few, and nobody else waits.
//
// The rooms below know one way to ask each: clamd, icap, command. What a peer says is bounded before it is kept.
package inspect
