package fec

import (
	"fmt"
	"math"
	"time"
)

const (
	// TransferBytes and TransferTarget are the promise: a transfer of 100 GiB fails with this chance at most.
	TransferBytes  = 100 << 30
	TransferTarget = 1e-9

	// MaxWindow bounds the interleaved blocks, and so a receiver's table of open ones.
	MaxWindow = 4096

	fullBlock  = 1024 // slots (k + m2) of a block of small shards: GF(2^16), 1.4 MB at 1,408
	jumboBlock = 256  // the same for large shards: GF(2^8), half as fast again to repair, no tables of 75 MiB, 2.3 MB at 8,896
	leastBlock = 64
	jumboShard = 4096 // where large shards begin

	// give is the part of the link that a smaller block may cost: less variance is evened out in a small block, so it needs
	// more parity.
	give = 0.05
)

// Plan is what the sender does on one link: the code and the interleaving of full blocks, and the parity of partial
// ones. It is read-only once made, and may be shared.
type Plan struct {
	Facts  Facts // as given, defaults in place
	Code         // of full blocks: K, M, Shard
	Window int   // W, the interleaved blocks: of any W packets in a row at most one belongs to a given block

	BurstLoss       int           // b, the shards of one block that a burst eats at most
	Target          float64       // the chance to fail that one block is allowed
	BlockFailure    float64       // the chance that it has, hit by a burst
	TransferFailure float64       // the chance that 100 GiB fail, every block hit by a burst
	Parity          float64       // part of the packets that is parity: M/(K+M)
	Content         float64       // bits a second left for blocks, after parity and all headers of packets
	WindowBytes     int64         // bytes of one window: W (K+M) Shard
	WindowTime      time.Duration // time of one window: W (K+M) packets

	line    line
	prompt  []uint16 // prompt[k] is the parity of a prompt block of k; its length says what is sent promptly
	partial []uint16 // partial[k] likewise, in the bulk way, k up to K
}

// NewPlan returns the plan for a link, or an error: of the facts' faults, all at once, or Infeasible.
//
// For one size of block it takes the least parity whose smallest sufficient window fits the memory and the delay, and then
// that window. A window of one block fits every delay.
//
// The size of a block is k + m2 = 1,024 slots for shards below 4,096 bytes, and 256 for larger ones, where GF(2^8) repairs half as
// fast again and needs no large tables; but not where that costs more than a twentieth of the link over the best. A slow link
// takes smaller blocks, down to 64 slots, as long as one block alone takes longer than the delay and the smaller one costs
// no more than that same twentieth. At 1 Mbit/s, 1 % loss and MTU 1500 that is 512 slots, which take 6.1 s and 6.1 % of the
// link; 1,024 would take 12 s and 4.3 %, 64 less than a second and 24 %.
func NewPlan(f Facts) (*Plan, error) {
	l, err := newLine(f)
	if err != nil {
		return nil, err
	}
	c, ok := l.choose()
	if !ok {
		return nil, l.infeasible()
	}
	return l.plan(c), nil
}

// NewPlanOf returns a plan of a given code and window, whatever they promise on that link: for links that are smaller than any the planner serves, as tests have them.
func NewPlanOf(f Facts, k, m, window int) (*Plan, error) {
	l, err := newLine(f)
	if err != nil {
		return nil, err
	}
	if err := (Code{k, m, l.shard}).Validate(); err != nil {
		return nil, err
	}
	if window < 1 || window > MaxWindow {
		return nil, fmt.Errorf("fec: a window of %d blocks is not within 1 to %d", window, MaxWindow)
	}
	return l.plan(shape{k: k, m: m, window: window, hits: min(m, ceilDiv(l.burstPackets(), window))}), nil
}

func newLine(f Facts) (line, error) {
	f = f.withDefaults()
	if err := f.validate(); err != nil {
		return line{}, err
	}
	shard, err := ShardSize(f.MTU)
	if err != nil {
		return line{}, err
	}
	return line{Facts: f, shard: shard, tick: float64(WireSize(shard, f.IPOverhead)) * 8 / float64(f.Rate)}, nil
}

// plan works a shape out.
func (l line) plan(c shape) *Plan {
	n, blocks := c.k+c.m, l.blocks(c.k)
	p := &Plan{
		Facts:        l.Facts,
		Code:         Code{c.k, c.m, l.shard},
		Window:       c.window,
		BurstLoss:    c.hits,
		Target:       TransferTarget / blocks,
		BlockFailure: tail(n-c.hits, l.Loss, c.m-c.hits),
		Parity:       c.parity(),
		Content:      float64(c.k*l.shard) * 8 / (float64(n) * l.tick),
		WindowBytes:  int64(c.window * n * l.shard),
		WindowTime:   l.time(c.window * n),
		line:         l,
	}
	if err := p.Code.Validate(); err != nil {
		panic(fmt.Sprintf("fec: planned %v: %v", p.Code, err))
	}
	p.TransferFailure = -math.Expm1(blocks * math.Log1p(-p.BlockFailure))
	p.prompt, p.partial = p.promptTable(), p.partialTable()
	return p
}

// blocks returns the number of blocks of k data shards in 100 GiB.
func (l line) blocks(k int) float64 { return math.Ceil(TransferBytes / float64(k*l.shard)) }

// shape is a candidate for full blocks.
type shape struct {
	slots  int // the size of block it comes from
	k, m   int
	window int // W
	hits   int // b
}

func (s shape) parity() float64 { return float64(s.m) / float64(s.k+s.m) }

// choose takes a size of block.
func (l line) choose() (shape, bool) {
	var found []shape // larger blocks first
	var best shape
	for slots := fullBlock; slots >= leastBlock; slots /= 2 {
		s, ok := l.least(slots)
		if !ok {
			continue
		}
		if len(found) == 0 || s.parity() < best.parity() {
			best = s
		}
		found = append(found, s)
	}
	if len(found) == 0 {
		return shape{}, false
	}
	preferred := fullBlock
	if l.shard >= jumboShard {
		preferred = jumboBlock
	}
	pick := best
	for _, s := range found {
		if s.slots >= pick.slots || s.parity() > best.parity()+give {
			continue
		}
		if s.slots >= preferred || l.time(pick.k+pick.m) > l.Delay {
			pick = s
		}
	}
	return pick, true
}

// ladder yields the codes that are tried for a size of block, in order of rising parity: k + m2 = slots while m is at most half of
// them; then, for the worst of links, half and a quarter of the slots as data and up to all of them as parity.
func ladder(slots int, yield func(k, m int) bool) {
	for m := 1; m <= slots/2; m++ {
		if !yield(slots-nextPow2(m), m) {
			return
		}
	}
	for _, k := range []int{slots / 2, slots / 4} {
		for m := slots/2 + 1; m <= slots; m++ {
			if !yield(k, m) {
				return
			}
		}
	}
}

// least returns the code with the least parity that meets the target with a window that fits, and its smallest window.
func (l line) least(slots int) (found shape, ok bool) {
	burst := l.burstPackets()
	ladder(slots, func(k, m int) bool {
		most := l.maxWindow(k + m)
		if most == 0 || !l.meets(k, m, ceilDiv(burst, most)) {
			return true
		}
		found, ok = shape{slots: slots, k: k, m: m, window: 1}, true
		if burst > 0 {
			found.window = ceilDiv(burst, l.mostHits(k, m))
			found.hits = ceilDiv(burst, found.window)
		}
		return false
	})
	return found, ok
}

// meets reports whether a block of k + m, of which a burst eats b, meets the target of a full block of k.
func (l line) meets(k, m, b int) bool { return meets(k, m, b, l.Loss, TransferTarget/l.blocks(k)) }

// meets reports whether P(Binomial(k+m-b, loss) > m-b) <= target.
func meets(k, m, b int, loss, target float64) bool {
	return b <= m && tail(k+m-b, loss, m-b) <= target
}

// mostHits returns the largest b with which a block of k + m meets the target, -1 if there is none.
func (l line) mostHits(k, m int) int {
	low, high := -1, m+1 // meets at low, not at high
	for high-low > 1 {
		if b := (low + high) / 2; l.meets(k, m, b) {
			low = b
		} else {
			high = b
		}
	}
	return low
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
