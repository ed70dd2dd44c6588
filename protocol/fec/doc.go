// Package fec turns a block into shards and back, and plans how. It keeps section 5 of SPEC.md.
//
//	   block: k shards           k + m shards, one a packet           any k of them
//	+----+----+-- --+----+    +----+-- --+----+----+-- --+----+      +----+----+----+
//	| d0 | d1 | ... |    | -> | d0 | ... |    | p0 | ... |    |  ->  | d0 | d1 | ...|
//	+----+----+-- --+----+    +----+-- --+----+----+-- --+----+      +----+----+----+
//	                 Encode                      |    Reconstruct
//	                                  p(m) .. p(m2-1) are never sent
//
// What it promises: any k of the k + m shards of a block give the block (Coder.Reconstruct), fewer give ErrTooFew and
// touch nothing; a Plan meets its target under the facts that were stated, and with less parity no block of its size would.
//
// What it refuses: a code outside the limits, or one whose repair would cost its receiver more work a packet than an
// honest code does (Code.Validate). Memory for shards is always the caller's.
//
// What it does not do: FEC repairs absence, not lies. One wrong bit in one accepted shard makes every recovered shard
// wrong, without an error. Packets are authenticated before their shards come here, and the block's CRC, which tells a
// wrong repair, belongs to the block's own header.
//
// # The link that the planner assumes
//
// A burst is a time in which every packet is lost. At the link's rate, one packet every t seconds, a burst of d eats at
// most P = floor(d/t) + 1 packets in a row. The sender interleaves W blocks: of any W packets in a row at most one belongs to
// a given block, so the burst eats at most
//
//	b = ceil(P/W)
//
// shards of one block. All other packets are lost each by itself with probability p. A block of n = k + m shards fails when
// more than m are lost. With every block counted as hit once,
//
//	P(block fails) = P(Binomial(n - b, p) > m - b)
//
// and the plan keeps this at or below 1e-9 divided by the number of blocks in 100 GiB.
package fec
