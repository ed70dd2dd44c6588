// Package collect turns datagrams into complete, decoded, checked blocks of records. It keeps SPEC.md sections 3 to 6 on the receiving
// side: P-1 to P-9, S-1 to S-10, F-2, B-1 and B-2.
//
//	socket -> drain -> ring -> collector ------------> complete blocks -> workers -> Sink
//	            |               |    ^   table:                            recover what is missing,
//	            |               |    |   sessions, windows, blocks, slots  check sum and header
//	      full: counted         |    |
//	                            v    | opens sessions
//	                          lobby: announcements by the key id that they name
//	                            |
//	                          gate: verifies them in turn, at most 200 a second
//
// It promises: a block reaches the sink at most once in a life of the process, and only when every packet of it was sealed by the
// session's sender and its sum holds. The drain waits for nothing but its socket. Memory has a limit that no sender moves: when it
// is full, the sender that holds most gives up the block that has stood still the longest, and that is counted. Every packet that is missing has
// an address: this host's kernel, this process, or the link.
//
// It refuses packets and announcements by the reasons of SPEC.md section 12, and counts them. Nothing that a peer sends ends it, and
// refusing a packet or an announcement allocates nothing.
//
// It does not know what records mean, which bundles exist, or what a disk is, but for the session numbers that it must remember.
//
// How long a drain may be away: the socket's buffer divided by the rate. How long the collector may: Options.Queue divided by the
// rate. How long the sink may: Options.Memory, less what unfinished blocks hold, divided by the rate.
package collect
