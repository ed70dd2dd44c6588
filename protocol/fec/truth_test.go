package fec

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
)

// soak reads how many loss patterns are asked for: scripts/soak.sh sets the variable by scripts/counts.
func soak(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("ECLUSE_SOAK_FEC"))
	if err != nil || n < 1 {
		t.Skip("not a soak: ECLUSE_SOAK_FEC says how many")
	}
	return n
}

// profiles are the codes that plans make: of full blocks, and of the partial ones by either way, for links of every kind.
func profiles(t *testing.T) (codes []Code) {
	t.Helper()
	seen := map[Code]bool{}
	add := func(c Code) {
		if !seen[c] {
			seen[c] = true
			codes = append(codes, c)
		}
	}
	for _, mtu := range []int{1500, 1600, 2000, 4000, 4200, 6000, 8192, 9000, 9216} {
		for _, f := range []Facts{
			{Rate: 900e6, Loss: 0.01, Burst: 10 * ms}, {Rate: 9e9, Loss: 0.01, Burst: 10 * ms}, {Rate: 1e6, Loss: 0.01, Burst: 10 * ms},
			{Rate: 900e6}, {Rate: 900e6, Loss: 0.001}, {Rate: 900e6, Burst: 50 * ms}, {Rate: 100e6, Loss: 0.05, Burst: 20 * ms},
			{Rate: 900e6, Loss: 0.2, Burst: 10 * ms}, {Rate: 900e6, Loss: 0.5, Burst: 10 * ms},
		} {
			f.MTU = mtu
			p := mustPlan(t, f)
			add(p.Code)
			for _, k := range []int{1, 2, 7, p.K / 3, p.K - 1} {
				add(Code{k, p.Partial(k), p.Shard})
			}
			for _, k := range []int{1, 3, p.PromptMax() / 2, p.PromptMax()} {
				if m := 0; k >= 1 && k <= p.PromptMax() {
					m, _ = p.Prompt(k)
					add(Code{k, m, p.Shard})
				}
			}
		}
	}
	if len(codes) < 100 {
		t.Fatalf("only %d codes", len(codes))
	}
	return codes
}

// sealed returns the shards of a block that holds one record of random bytes, with its sum and its parity.
func sealed(t *testing.T, coder *Coder, code Code, rng *rand.ChaCha8) [][]byte {
	t.Helper()
	shards := make([][]byte, code.K+code.M)
	mem := make([]byte, len(shards)*code.Shard)
	for i := range shards {
		shards[i] = mem[i*code.Shard : (i+1)*code.Shard : (i+1)*code.Shard]
	}
	b := record.NewBlock(mem[:code.K*code.Shard])
	for size := min(b.Room()-64, bundle.ChunkSizeMax); size > 0; size = min(b.Room()-64, bundle.ChunkSizeMax) {
		data := make([]byte, size)
		rng.Read(data)
		s := record.Slice{Bundle: bundle.ID{1}, Raw: uint32(size), Frame: uint32(size), Runs: []bundle.Run{{File: 1, Length: uint32(size)}}, Data: [][]byte{data}}
		if !s.AppendTo(b) {
			t.Fatalf("%v: a slice of %d bytes does not fit", code, size)
		}
	}
	b.Seal(7, code.K*code.Shard)
	if err := coder.Encode(code, shards[:code.K], shards[code.K:]); err != nil {
		t.Fatal(err)
	}
	return shards
}

// proof holds one block against loss patterns.
type proof struct {
	t     *testing.T
	code  Code
	coder *Coder
	sent  [][]byte
	got   [][]byte
	room  []byte // for what is missing
	read  record.Reader
}

// receive puts what is left of the block into got.
func (p *proof) receive(lost []int) {
	copy(p.got, p.sent)
	free := p.room
	for _, i := range lost {
		if p.got[i] = nil; i < p.code.K {
			p.got[i], free = free[:0:p.code.Shard], free[p.code.Shard:]
		}
	}
}

// repairs demands the block as it was sent, and a sum that holds.
func (p *proof) repairs(seed uint64, lost []int) {
	p.t.Helper()
	p.receive(lost)
	if err := p.coder.Reconstruct(p.code, p.got); err != nil {
		p.t.Fatalf("F-2: %v, seed %d: %d lost, %v: %v", p.code, seed, len(lost), lost, err)
	}
	if err := p.read.Reset(p.got[:p.code.K], 7); err != nil {
		p.t.Fatalf("B-1: %v, seed %d: lost %v: %v", p.code, seed, lost, err)
	}
	for i := range p.code.K {
		if !bytes.Equal(p.got[i], p.sent[i]) {
			p.t.Fatalf("F-2: %v, seed %d: lost %v: shard %d is wrong", p.code, seed, lost, i)
		}
	}
}

// refuses demands an error for one loss too many, and that nothing was made up.
func (p *proof) refuses(seed uint64, lost []int) {
	p.t.Helper()
	p.receive(lost)
	if err := p.coder.Reconstruct(p.code, p.got); !errors.Is(err, ErrTooFew) {
		p.t.Fatalf("F-2: %v, seed %d: %d lost, %v: %v", p.code, seed, len(lost), lost, err)
	}
	for _, i := range lost {
		if len(p.got[i]) != 0 {
			p.t.Fatalf("F-2: %v, seed %d: shard %d was made up from too little", p.code, seed, i)
		}
	}
}

// lies demands that a wrong bit in a shard that a repair rests on is told by the sum: the code itself is silent about it.
func (p *proof) lies(rng *rand.Rand, seed uint64, lost []int) {
	p.t.Helper()
	p.receive(lost)
	from := rng.IntN(len(p.got))
	for len(p.got[from]) == 0 {
		from = (from + 1) % len(p.got)
	}
	wrong := slices.Clone(p.got[from])
	wrong[rng.IntN(len(wrong))] ^= 1 << rng.IntN(8)
	p.got[from] = wrong
	if err := p.coder.Reconstruct(p.code, p.got); err != nil {
		p.t.Fatal(err)
	}
	reason, _ := bundle.ReasonOf(p.read.Reset(p.got[:p.code.K], 7))
	if touched := from < p.code.K || slices.ContainsFunc(lost, func(i int) bool { return i < p.code.K }); touched && reason != bundle.ReasonBlockCRC {
		p.t.Fatalf("B-1: %v, seed %d: lost %v and a bit of shard %d wrong: %q", p.code, seed, lost, from, reason)
	}
}

// F-2 for every code that a plan makes: any m losses are repaired, all data first among them, one more never is, and nothing but
// the block that was sent ever passes its sum.
func TestSoakFECRepairs(t *testing.T) {
	n := soak(t)
	codes, coder := profiles(t), NewCoder()
	each := max(1, (n+len(codes)-1)/len(codes)-3)
	done := 0
	for c, code := range codes {
		seed := uint64(c)
		rng := rand.New(rand.NewPCG(seed, 4))
		p := &proof{t: t, code: code, coder: coder, sent: sealed(t, coder, code, rand.NewChaCha8([32]byte{byte(c), byte(c >> 8)})),
			got: make([][]byte, code.K+code.M), room: make([]byte, min(code.K, code.M+1)*code.Shard)}
		for _, lost := range losses(code, code.M, each, seed) { // its beginning, its end, its middle, and at random
			p.repairs(seed, lost)
			done++
		}
		for _, lost := range losses(code, code.M+1, each, seed) {
			p.refuses(seed, lost)
		}
		for _, lost := range losses(code, code.M, min(each, 3), seed)[2:] {
			p.lies(rng, seed, lost)
		}
	}
	if done < n {
		t.Fatalf("%d patterns done of %d", done, n)
	}
	t.Logf("%d codes of plans, MTU 1500 to 9216: %d patterns of m losses repaired, as many of m + 1 refused", len(codes), done)
}

// point is one place where the planner's number is measured: a plan, and as much loss more than it was made for as makes failures of its blocks
// frequent enough to be counted.
type point struct {
	name   string
	facts  Facts
	prompt int     // k of a prompt block; 0 for full ones
	fails  float64 // the chance to fail that the applied loss is chosen for
	coder  bool    // by the real coder, on fewer blocks
}

var points = []point{
	{"the default link", Facts{Rate: 900e6, MTU: 1500, Loss: 0.01, Burst: 10 * ms}, 0, 0.05, false},
	{"the default link, worse", Facts{Rate: 900e6, MTU: 1500, Loss: 0.01, Burst: 10 * ms}, 0, 0.5, false},
	{"small packets at 9 Gbit/s", Facts{Rate: 9e9, MTU: 1500, Loss: 0.01, Burst: 10 * ms}, 0, 0.02, false},
	{"jumbo packets at 9 Gbit/s", Facts{Rate: 9e9, MTU: 9000, Loss: 0.01, Burst: 10 * ms}, 0, 0.1, false},
	{"the largest packets", Facts{Rate: 9e9, MTU: 9216, Loss: 0.02, Burst: 5 * ms}, 0, 0.01, false},
	{"packets between", Facts{Rate: 2e9, MTU: 4000, Loss: 0.03, Burst: 20 * ms}, 0, 0.05, false},
	{"loss alone", Facts{Rate: 900e6, MTU: 1500, Loss: 0.01}, 0, 0.03, false},
	{"burst alone, then loss", Facts{Rate: 900e6, MTU: 1500, Burst: 10 * ms}, 0, 0.2, false},
	{"no loss was stated", Facts{Rate: 900e6, MTU: 1500}, 0, 0.1, false},
	{"no loss was stated, jumbo", Facts{Rate: 9e9, MTU: 9000}, 0, 0.01, false},
	{"a slow link", Facts{Rate: 1e6, MTU: 1500, Loss: 0.01, Burst: 10 * ms}, 0, 0.05, false},
	{"30 % loss", Facts{Rate: 900e6, MTU: 1500, Loss: 0.3, Burst: 10 * ms}, 0, 0.05, false},
	{"long bursts", Facts{Rate: 100e6, MTU: 2000, Loss: 0.01, Burst: 100 * ms}, 0, 0.1, false},
	{"a prompt block of 1", Facts{Rate: 900e6, MTU: 1500, Loss: 0.05}, 1, 0.02, false},
	{"a prompt block of 20", Facts{Rate: 900e6, MTU: 1500, Loss: 0.01}, 20, 0.01, false},
	{"coded: a prompt block of 1", Facts{Rate: 900e6, MTU: 1500, Loss: 0.01}, 1, 0.1, true},
	{"coded: a prompt block of 40", Facts{Rate: 900e6, MTU: 1500, Loss: 0.02}, 40, 0.1, true},
	{"coded: the smallest full block", Facts{Rate: 1e6, MTU: 1500, Burst: 10 * ms}, 0, 0.3, true},
	{"coded: jumbo packets", Facts{Rate: 9e9, MTU: 9000, Loss: 0.01, Burst: 10 * ms}, 0, 0.2, true},
	{"coded: the default link", Facts{Rate: 900e6, MTU: 1500, Loss: 0.01, Burst: 10 * ms}, 0, 0.2, true},
}

// measurement is what came of one point: of its blocks that a burst hit as hard as is counted on.
type measurement struct {
	code           Code
	window, eaten  int
	burst          int     // packets in a row
	applied        float64 // loss
	computed       float64 // the planner's number for it
	blocks, failed int
}

// appliedLoss finds the loss at which a block fails with a chance.
func appliedLoss(n, m, eaten int, fails float64) float64 {
	low, high := 0.0, 0.999
	for range 100 {
		if p := (low + high) / 2; tail(n-eaten, p, m-eaten) < fails {
			low = p
		} else {
			high = p
		}
	}
	return low
}

// measure sends windows of interleaved blocks over a link that loses each packet by itself, and in each window one burst somewhere, until as
// many blocks as asked for were hit in full. A block fails where more is lost than it has parity; with a coder, where the coder says so.
func (pt point) measure(t *testing.T, seed uint64, blocks int) (r measurement) {
	p := mustPlan(t, pt.facts)
	r.code, r.window, r.eaten, r.burst = p.Code, p.Window, p.BurstLoss, p.line.burstPackets()
	if pt.prompt > 0 {
		m, _ := p.Prompt(pt.prompt)
		r.code, r.window = Code{pt.prompt, m, p.Shard}, 1
	}
	n := r.code.K + r.code.M
	r.applied = appliedLoss(n, r.code.M, r.eaten, pt.fails)
	r.computed = tail(n-r.eaten, r.applied, r.code.M-r.eaten)
	rng := rand.New(rand.NewPCG(seed, 8))
	var real *proof
	if pt.coder {
		coder := NewCoder()
		real = &proof{t: t, code: r.code, coder: coder, sent: sealed(t, coder, r.code, rand.NewChaCha8([32]byte{byte(seed)})),
			got: make([][]byte, n), room: make([]byte, r.code.K*r.code.Shard)}
	}
	var lost []int
	for r.blocks < blocks {
		start := rng.IntN(r.window*n - r.burst + 1)
		for b := range r.window {
			var eaten int
			if lost, eaten = lose(rng, lost[:0], n, r.window, b, start, r.burst, r.applied); eaten > r.eaten {
				t.Fatalf("%s, seed %d: a burst ate %d shards of a block, the planner counts on %d", pt.name, seed, eaten, r.eaten)
			} else if eaten < r.eaten {
				continue
			}
			r.blocks++
			if len(lost) > r.code.M {
				r.failed++
			}
			if real != nil && len(lost) > r.code.M {
				real.refuses(seed, lost)
			} else if real != nil {
				real.repairs(seed, lost)
			}
		}
	}
	return r
}

// lose gives the shards of block b of a window that are lost: those in the burst, and each other one by chance. Shard j of the block is packet j *
// window + b. Gaps between losses by chance are drawn as such, which is the same and faster.
func lose(rng *rand.Rand, lost []int, n, window, b, start, burst int, loss float64) (all []int, eaten int) {
	hit := func(j int) bool { return j*window+b >= start && j*window+b < start+burst }
	for j := max(0, (start-b+window-1)/window); j < n && hit(j); j++ {
		lost = append(lost, j)
	}
	eaten = len(lost)
	each := math.Log1p(-loss)
	for j := -1; loss > 0; {
		gap := math.Log(1-rng.Float64()) / each
		if gap > float64(n) {
			break
		}
		if j += 1 + int(gap); j >= n {
			break
		}
		if !hit(j) {
			lost = append(lost, j)
		}
	}
	return lost, eaten
}

// band is the exact binomial confidence interval (Clopper and Pearson) of a chance, when x of n failed, at error alpha.
func band(n, x int, alpha float64) (low, high float64) {
	find := func(above func(p float64) bool) float64 {
		a, b := 0.0, 1.0
		for range 100 {
			if p := (a + b) / 2; above(p) {
				b = p
			} else {
				a = p
			}
		}
		return a
	}
	low, high = 0, 1
	if x > 0 {
		low = find(func(p float64) bool { return tail(n, p, x-1) > alpha/2 }) // P(X >= x)
	}
	if x < n {
		high = find(func(p float64) bool { return 1-tail(n, p, x) < alpha/2 }) // P(X <= x)
	}
	return low, high
}

func TestBandsAreThoseOfTheBooks(t *testing.T) {
	for _, row := range []struct {
		n, x      int
		low, high float64 // 95 %
	}{{10, 0, 0, 0.3085}, {10, 3, 0.0667, 0.6525}, {20, 10, 0.2720, 0.7280}, {100, 5, 0.0164, 0.1128}} {
		if low, high := band(row.n, row.x, 0.05); math.Abs(low-row.low) > 1e-4 || math.Abs(high-row.high) > 1e-4 {
			t.Errorf("%d of %d: %.4f to %.4f, want %.4f to %.4f", row.x, row.n, low, high, row.low, row.high)
		}
	}
}

// The planner's arithmetic against blocks that are lost shard by shard. The bands hold all points together at an error of 0.001.
func TestSoakFECFailures(t *testing.T) {
	const (
		alpha  = 0.001
		factor = 20 // arithmetic blocks for each pattern that is asked for
		slower = 10 // fewer coded ones
		rarest = 20 // failures below which nothing was measured
	)
	n := soak(t)
	if len(points) < 12 {
		t.Fatalf("%d points", len(points))
	}
	t.Logf("%-32s %11s %5s %3s %8s %8s %9s %8s %10s %10s  %s", "point", "code", "W", "b", "stated", "applied", "blocks", "failed", "measured", "planner", "band")
	for i, pt := range points {
		blocks := n * factor
		if pt.coder {
			blocks = max(500, n/slower)
		}
		at := time.Now()
		r := pt.measure(t, uint64(i), blocks)
		low, high := band(r.blocks, r.failed, alpha/float64(len(points)))
		t.Logf("%-32s %5d+%-5d %5d %3d %8.4f %8.4f %9d %8d %10.6f %10.6f  %.6f to %.6f (%v)", pt.name, r.code.K, r.code.M, r.window, r.eaten,
			pt.facts.Loss, r.applied, r.blocks, r.failed, float64(r.failed)/float64(r.blocks), r.computed, low, high, time.Since(at).Round(ms))
		if r.computed < low || r.computed > high {
			t.Errorf("%s, seed %d: the planner's %v lies outside the band %v to %v", pt.name, i, r.computed, low, high)
		}
		if r.failed < rarest || r.failed == r.blocks || r.applied <= pt.facts.Loss {
			t.Errorf("%s: %d of %d blocks failed at a loss of %v: nothing was measured", pt.name, r.failed, r.blocks, r.applied)
		}
	}
	t.Logf("soak fec: %d done", n)
}

// A number that is a little off is outside its band: the measurement tells.
func TestTheMeasurementTellsAWrongNumber(t *testing.T) {
	pt := points[0]
	r := pt.measure(t, 1, 20_000)
	low, high := band(r.blocks, r.failed, 0.001/float64(len(points)))
	n := r.code.K + r.code.M
	for name, wrong := range map[string]float64{
		"the burst forgotten":              tail(n, r.applied, r.code.M),
		"one shard of the burst forgotten": tail(n-r.eaten+1, r.applied, r.code.M-r.eaten+1),
		"m losses taken for too many":      tail(n-r.eaten, r.applied, r.code.M-r.eaten-1),
	} {
		if wrong >= low && wrong <= high {
			t.Errorf("%s: %v is within %v to %v (%v)", name, wrong, low, high, r.code)
		}
	}
}
