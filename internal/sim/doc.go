// Package sim runs both houses in one process, over a link and disks that one seed makes misbehave, on a virtual clock. It has no code of its own: only tests may know both houses.
//
//	seed -> plan: sizes, code, items, faults, when
//	             |
//	 outboxes -> low house -> link -> high house -> imports        production code, by the seams that production uses:
//	             |  disk      |       |  disk                      transmit.Socket and Pacer, collect.Socket, disk.Probe, the houses' clocks
//	             crash, full, lost,   crash, full,
//	             error ...    flipped error ...
//	                          ...
//
// A run has some tens of transfers and three times. First faults happen, as planned. Then they end, and what needs no operator has to arrive by itself. At last operators do what
// the runbooks say: what is damaged or missing is sent again. Then everything that was dropped has to be accounted for, by the invariants of the checker.
//
// Each run is a process of its own in which nothing happens by chance (calm_test.go): its seed decides every act of a disk and every datagram, and a seed that fails prints the command
// that makes the same run again, with all of that written out. Builds with a bug (-tags bug_skiphash, bug_replay, bug_fsync, bug_shortblock) have to be found.
//
// Sizes are scaled down by 1,024: a chunk has 4 KiB, an item up to 64 KiB, and a block a few kilobytes, so that an item still takes several blocks and a window several of those.
package sim
