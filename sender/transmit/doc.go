// Package transmit turns records into packets on one link: it fills blocks, codes them, interleaves their shards, seals and paces them.
//
// It promises that the link is never idle while something waits, that no burst of the stated length takes more of a block than its parity
// repairs, that a packet number is never used twice under one key, and that a pass is reported out only when its last shard has left the socket.
// It keeps sections 3 to 6 of SPEC.md.
//
//	feeds (one a tenant and class) --> builder --> a channel a way --> link --> socket
//	                                  schedule,                              Interleaver,
//	                                  record.Block,                          packet.Sealer,
//	                                  fec.Coder                              udp.Pacer, udp.Sender
//
// Two goroutines do it, beside which sessions are renewed and tables are made, each owning what it touches: the builder owns the accounts, the block under construction and the block numbers; the link
// owns the interleaver, the packet numbers and the socket. Blocks pass from one to the other over a channel for each way of leaving (express, prompt, bulk), and come back as buffers.
package transmit
