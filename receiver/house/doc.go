// Package house joins the rooms of the high side: it opens a state, and runs what works in it. Everything that the world gives it (sockets, disk, keys, trust, log) is an
// argument, so that the daemon and a simulation run the same house.
//
//	Open  --> State        what commands at rest need too: lock, clock, ledger, chamber
//	Join  --> House        sockets -> collector -> assembler -> chamber -> ledger; nothing runs yet
//	Run                    until ctx ends or a promise to the disk cannot be kept
//
// They end in the order in which bytes walk: first nothing more comes in, then what came in is made durable, at last the book is closed.
package house
