// Package host looks at the machine under a link: what of it slows the link down, or loses.
//
//	Toward, At   the interface by which packets leave, or come in: MTU, offloads, queueing discipline, neighbour
//	Available    memory that a window may take
//	Governors    what sets the processors' speed
//	Written      how fast a directory's disk takes what a link brings
//	Counters     what this kernel has thrown away, by cause
//	Synchronised whether somebody keeps the clock right
//	Advice       what of it is worth a word, and what to type: by pure functions, which doctor on either side tells
//
// It changes nothing, but for Written, which makes one file and removes it.
package host
