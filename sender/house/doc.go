// Package house joins the rooms of the low side: it opens a state, and runs what works in it. Everything that the world gives it (socket, pacer, disk, keys, log) is an
// argument, so that the daemon and a simulation run the same house.
//
//	Open  --> State        what commands at rest need too: lock, epoch, ticket key, ledger
//	Join  --> House        outboxes -> dispatcher -> engine -> socket; nothing runs yet
//	Run                    until ctx ends or a promise to the disk cannot be kept
//
// They end in the order in which bytes walk: first nothing more is claimed, then the lanes, at last the book is closed.
package house
