package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/receiver/release"
)

const (
	chunkSize = 4 << 10  // 4 MiB, scaled down by 1,024
	itemMost  = 64 << 10 // 64 MiB, likewise
	shard     = 1408

	dropsUntil  = 15 * time.Second // items are dropped before
	faultsFrom  = 500 * time.Millisecond
	faultsUntil = 25 * time.Second // and faults begin before; then they all end
)

// plan is all that a seed decides. It is a pure function of it.
type plan struct {
	seed                uint64
	k, m                int
	window              int
	rate                int64 // bits a second
	latency             time.Duration
	passes              int
	apart               time.Duration
	idle                time.Duration // of the assembler
	moved               bool          // imported content is moved out of quarantine, not copied
	apartLow, apartHigh bool          // state and outboxes, state and imports stand on file systems of their own
	tenants             []tenantPlan
	items               []itemPlan
	faults              []fault
}

type tenantPlan struct {
	name   bundle.Name
	weight int
	mode   release.Mode
}

// itemPlan is one item to be dropped.
type itemPlan struct {
	name   string
	tenant int
	at     time.Duration
	class  bundle.Class // 0: dropped as an operator drops it
	seed   uint64
	size   int
	files  int // 0: one file, else a tree of so many
	random bool
	reject bool // by the officer, where one decides
}

// source is one stream of decisions of a run: what is added to one leaves the others as they are.
func source(seed uint64, stream uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, stream)) }

// Streams of decisions.
const (
	ofPlan uint64 = iota + 1
	ofItems
	ofFaults
	ofLink
	ofContent
	ofLowDisk
	ofHighDisk
	ofRot
	ofRuntime
)

// makePlan decides everything about a run.
func makePlan(seed uint64) *plan {
	r := source(seed, ofPlan)
	p := &plan{
		seed: seed, k: 4 + r.IntN(9), m: 2 + r.IntN(7), window: 2 + r.IntN(5), rate: int64(2+r.IntN(19)) * 1_000_000,
		latency: between(r, 50*time.Microsecond, 20*time.Millisecond), passes: 1 + r.IntN(3), apart: between(r, time.Second, 6*time.Second),
		idle: between(r, time.Second, 4*time.Second), moved: r.IntN(2) == 0, apartLow: r.IntN(3) == 0, apartHigh: r.IntN(3) == 0,
	}
	modes := []release.Mode{release.ModeAutomatic, release.ModeAutomatic, release.ModeOne}
	for i := range 1 + r.IntN(3) {
		p.tenants = append(p.tenants, tenantPlan{bundle.Name(fmt.Sprintf("t%d", i+1)), 1 + r.IntN(4), modes[r.IntN(len(modes))]})
	}
	p.makeItems(source(seed, ofItems))
	p.faults = makeFaults(source(seed, ofFaults))
	return p
}

func (p *plan) makeItems(r *rand.Rand) {
	for i := range 24 + r.IntN(33) {
		it := itemPlan{
			name: fmt.Sprintf("item-%02d", i+1), tenant: r.IntN(len(p.tenants)), at: between(r, 0, dropsUntil), seed: r.Uint64(),
			size: logUniform(r, itemMost), random: r.IntN(3) > 0,
		}
		if r.IntN(4) == 0 {
			it.class = []bundle.Class{bundle.Urgent, bundle.Normal, bundle.Bulk}[r.IntN(3)]
		}
		if r.IntN(5) == 0 {
			it.files = 1 + r.IntN(9)
		}
		if i == 0 { // three full blocks at least, and more of them than the window
			it.size, it.random, it.files = min(itemMost, max(3, p.window+1)*p.k*shard), true, 0
		}
		it.reject = p.tenants[it.tenant].mode == release.ModeOne && r.IntN(8) == 0
		p.items = append(p.items, it)
	}
	slices.SortStableFunc(p.items, func(a, b itemPlan) int { return int(a.at - b.at) })
}

// logUniform is 0 once in twenty times, else up to most with an even logarithm.
func logUniform(r *rand.Rand, most int) int {
	if r.IntN(20) == 0 {
		return 0
	}
	return int(math.Exp(r.Float64() * math.Log(float64(most))))
}

func between(r *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(r.Int64N(int64(high-low))).Truncate(time.Microsecond)
}

// String is the plan in a few lines.
func (p *plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: k %d, m %d, window %d, %d Mbit/s, latency %v, %d passes %v apart, idle %v, moved %v, file systems apart %v %v\n", p.seed, p.k, p.m, p.window, p.rate/1_000_000, p.latency,
		p.passes, p.apart, p.idle, p.moved, p.apartLow, p.apartHigh)
	for _, t := range p.tenants {
		fmt.Fprintf(&b, "tenant %s: weight %d, release %s\n", t.name, t.weight, t.mode)
	}
	for _, f := range p.faults {
		fmt.Fprintf(&b, "fault %s\n", f)
	}
	return b.String()
}
