package fec

import (
	"fmt"
	"time"
)

// promptSpan is the least time over which the parity of a prompt block is spread.
const promptSpan = 2 * time.Millisecond

// Prompt returns the parity of a prompt block of k data shards, 1 to PromptMax, and the span over which it is spread. The
// code is Code{k, m, Shard}.
//
// A prompt block is a partial one on a link that has run dry. Its k data shards leave at once, back to back; its m parity
// shards follow, evenly by the clock, over the span
//
//	S = max(3 burst, 2 ms, m t)         t: the time of one packet at the link's rate
//
// and the receiver has the block with the k-th shard that arrives. One burst, wherever it falls, eats at most
//
//	e = min(k, P) + ceil(m burst / S) + 1     P = floor(burst / t) + 1
//
// shards (e = 0 without bursts), and m is the smallest with P(Binomial(k + m - e, loss) > m - e) <= Target.
//
// It costs a table look-up.
func (p *Plan) Prompt(k int) (m int, span time.Duration) {
	if k < 1 || k > p.PromptMax() {
		panic("fec: prompt block outside 1 to PromptMax")
	}
	m = int(p.prompt[k])
	return m, p.promptSpan(m)
}

// PromptMax returns the largest k that is sent promptly; it may be 0. Larger partial blocks go by Partial. It is at most the K
// of a full block, the code keeps to the field of the plan (a plan in GF(2^8) never needs the tables of GF(2^16)), and m2
// is at most 1,024.
func (p *Plan) PromptMax() int { return len(p.prompt) - 1 }

// Partial returns the parity m of a partial block of k data shards, 1 to K, that is sent in the bulk way: its shards are spread
// evenly over WindowTime T, so that a burst eats at most
//
//	b = floor((k + m) burst / T) + 1
//
// of them (0 without bursts), and m is the smallest with P(Binomial(k + m - b, loss) > m - b) <= Target. It is never more
// than the M of a full block.
//
// It costs a table look-up.
func (p *Plan) Partial(k int) (m int) {
	if k < 1 || k > p.K {
		panic("fec: partial block outside 1 to K")
	}
	return int(p.partial[k])
}

// promptSpan returns S for m parity shards.
func (p *Plan) promptSpan(m int) time.Duration {
	return max(3*p.Facts.Burst, promptSpan, p.line.time(m))
}

// promptHits returns e.
func (p *Plan) promptHits(k, m int) int {
	burst := int64(p.Facts.Burst)
	if burst == 0 {
		return 0
	}
	span := int64(p.promptSpan(m))
	spread := (int64(m)*burst + span - 1) / span // m <= 1,024 and burst <= 1 h: no overflow
	return min(k, p.line.burstPackets()) + int(spread) + 1
}

// promptTable returns the parity of prompt blocks by k. m never falls as k grows: one more data shard is one more that can be lost, and
// no better for the others. So one walk through k and m finds all.
func (p *Plan) promptTable() []uint16 {
	table, m := []uint16{0}, 1
	for k := 1; k <= p.K; k++ {
		for m <= fullBlock && !meets(k, m, p.promptHits(k, m), p.Facts.Loss, p.Target) {
			m++
		}
		code := Code{k, m, p.Shard}
		if m > fullBlock || code.Validate() != nil || code.Wide() && !p.Wide() {
			break
		}
		table = append(table, uint16(m))
	}
	return table
}

// partialHits returns b for a partial block of n shards in the bulk way. A full block's spacing is the narrowest, so its b is the most.
func (p *Plan) partialHits(n int) int {
	if p.Facts.Burst == 0 {
		return 0
	}
	window := float64(p.Window*(p.K+p.M)) * p.line.tick
	return min(int(float64(n)*p.Facts.Burst.Seconds()/window)+1, p.BurstLoss)
}

// partialTable returns the parity of partial blocks in the bulk way by k, by the same walk. M is enough for every k: with it the
// spacing is no narrower and the shards are fewer than in a full block.
func (p *Plan) partialTable() []uint16 {
	table, m := make([]uint16, p.K+1), 1
	for k := 1; k < p.K; k++ {
		for m < p.M && !meets(k, m, p.partialHits(k+m), p.Facts.Loss, p.Target) {
			m++
		}
		// The worst links for which there is a plan at all need nine tenths of what is allowed (see the tests).
		if err := (Code{k, m, p.Shard}).Validate(); err != nil {
			panic(fmt.Sprintf("fec: planned a partial block: %v", err))
		}
		table[k] = uint16(m)
	}
	table[p.K] = uint16(p.M)
	return table
}
