package collect

import (
	"testing"
	"time"

	"ecluse/protocol/packet"
)

// prober sends probes to a table.
type prober struct {
	*testBench
	from *testSender
	here uint64 // what this host has thrown away
}

func newProber(t testing.TB) *prober {
	s := testSession("low", 1, 1)
	p := &prober{testBench: newBench(t, testMemory, s), from: newTestSender(t, s, 0)}
	p.tab.host = func() uint64 { return p.here }
	return p
}

// step sends a step but for the packets that are lost, in the order that is given or in theirs.
func (p *prober) step(run uint32, step, steps uint16, packets uint32, lost func(i uint32) bool) {
	for i := range packets {
		if lost == nil || !lost(i) {
			p.one(packet.Probe{Run: run, Step: step, Steps: steps, Rate: 1e9, Packets: packets, Index: i})
		}
	}
}

func (p *prober) one(x packet.Probe) {
	p.from.number++
	p.take(p.from.sealer.SealProbe(nil, p.from.number, [6]byte{}, x, 1408))
}

// P-10: what came, what did not, in how long runs, and what of it this host threw away, is known of each step.
func TestAProbeIsSummedUpStepByStep(t *testing.T) {
	p := newProber(t)
	p.step(7, 0, 5, 1000, nil)
	p.step(7, 1, 5, 1000, func(i uint32) bool { return i%100 == 3 })
	p.here = 5
	p.step(7, 2, 5, 1000, func(i uint32) bool { return i >= 200 && i < 260 || i == 700 })
	p.here = 12
	p.step(7, 4, 5, 1000, func(i uint32) bool { return i < 4 || i >= 985 }) // of step 3 nothing came, and of this one neither end
	if r := p.tab.probe.snapshot(); r.Over || len(r.Steps) != 5 || r.Run != 7 || r.Sender != "low" || r.Size != 1408+packet.Overhead {
		t.Fatalf("%+v", r)
	}
	p.tab.tick(p.now)
	p.tab.probe.tick(p.now+int64(probeQuiet)-1, p.tab.host)
	if p.tab.probe.snapshot().Over {
		t.Error("it is over while more may come")
	}
	p.tab.probe.tick(p.now+int64(probeQuiet), p.tab.host)
	r := p.tab.probe.snapshot()
	for i, want := range []ProbeStep{
		{Rate: 1e9, Sent: 1000},
		{Rate: 1e9, Sent: 1000, Lost: 10, Longest: 1, Here: 5},
		{Rate: 1e9, Sent: 1000, Lost: 61, Bursts: 60, Longest: 60, Here: 7},
		{},
		{Rate: 1e9, Sent: 1000, Lost: 19, Bursts: 15, Longest: 15},
	} {
		got := r.Steps[i]
		if got.Took == 0 && want.Sent > 0 {
			t.Errorf("step %d took no time", i)
		}
		if got.Took = 0; got != want {
			t.Errorf("step %d: %+v, want %+v", i, got, want)
		}
	}
	if !r.Over || p.tab.packets.Accepted != 4000-10-61-19 || p.tab.blocks != 0 || p.tab.arena.used != 0 {
		t.Errorf("over %v, %d accepted, %d blocks", r.Over, p.tab.packets.Accepted, p.tab.blocks)
	}
}

func TestAProbeIsOverWithItsLastPacketAndTheNextOneCountsAnew(t *testing.T) {
	p := newProber(t)
	p.step(7, 0, 1, 50, nil)
	if r := p.tab.probe.snapshot(); !r.Over || r.Steps[0].Lost != 0 {
		t.Errorf("%+v", r)
	}
	p.step(8, 0, 2, 50, func(i uint32) bool { return i == 9 })
	if r := p.tab.probe.snapshot(); r.Over || r.Run != 8 || r.Steps[0].Lost != 1 {
		t.Errorf("%+v", r)
	}
}

func TestPacketsOfAProbeThatWereOvertakenAreNotLost(t *testing.T) {
	p := newProber(t)
	for _, i := range []uint32{0, 1, 4, 2, 3, 5, 9, 8, 7, 6} {
		p.one(packet.Probe{Run: 7, Steps: 1, Rate: 1, Packets: 10, Index: i})
	}
	if s := p.tab.probe.snapshot().Steps[0]; s.Lost != 0 {
		t.Errorf("%+v", s)
	}
}

// A sender that contradicts itself, or begins one probe after another, costs nothing but the sums.
func TestProbesTakeNoMemory(t *testing.T) {
	p := newProber(t)
	run := uint32(1)
	all := make([][]byte, 200)
	for i := range all {
		p.from.number++
		x := packet.Probe{Run: run + uint32(i/2), Step: uint16(i % 60), Steps: 64, Rate: uint64(1 + i%3), Packets: 100, Index: uint32(i % 7)}
		all[i] = p.from.sealer.SealProbe(nil, p.from.number, [6]byte{}, x, 1408)
	}
	p.take(all[0])
	i := 0
	if n := testing.AllocsPerRun(150, func() { i++; p.take(all[i]) }); n != 0 {
		t.Errorf("%v allocations for a packet", n)
	}
}

func TestAProbeTellsHowLongAStepTook(t *testing.T) {
	p := newProber(t)
	p.step(7, 0, 1, 1001, nil)
	if took := p.tab.probe.snapshot().Steps[0].Took; took != time.Millisecond { // a packet each microsecond
		t.Errorf("it took %v", took)
	}
}
