// Package udp moves datagrams over a one-way link as fast as the system can, and says when they may leave.
//
//	batch -> Pacer -> Sender --- UDP_SEGMENT | sendmmsg | one by one ---> link
//	link -> UDP_GRO | recvmmsg ---> Receiver -> views: one datagram each, or several of one size
//
// What it promises: no datagram is ever fragmented or larger than the route's MTU; what the system offers is probed, and what it
// turns out not to do is done without, for good; no memory is allocated for a batch or a reading; a call ends within a second,
// and within a millisecond after Close; what this host lost is counted (Receiver.Dropped, KernelCounters).
//
// What it does not do: nobody answers on a one-way link, so no reply, no error that comes back by ICMP and no path MTU is waited
// for. What a datagram means is not known here.
package udp
