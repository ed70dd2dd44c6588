// Package policy holds an item against what its tenant lets in: the names, number and sizes of its files, their kinds by content, their text, and all of that again for what stands in
// archives within.
//
//	file --> name, size --> kind by its first bytes --> allowed? --+--> whatever it is: phrases that must not occur
//	                                                              +--> document: macros
//	                                                              +--> archive: opened, each entry goes the same way, one level deeper
//
// It promises that a finding names the rule and the file, down to the entry of an archive in an archive; that memory and time do not follow what a peer states: every level is opened
// as a stream, and counted against the depth, number, size and ratio that the rules allow; and that what cannot be looked into to its end is a finding, never silence.
//
// It finds, and decides nothing: what becomes of an item with findings is said by the receiver's chamber. Signatures of viruses are not its business: that is what inspectors are for.
package policy
