package fec

import (
	"errors"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const ms = time.Millisecond

func mustPlan(t testing.TB, f Facts) *Plan {
	t.Helper()
	p, err := NewPlan(f)
	if err != nil {
		t.Fatalf("%+v: %v", f, err)
	}
	return p
}

func TestPlansOfKnownLinks(t *testing.T) {
	for _, row := range []struct {
		name      string
		facts     Facts
		k, m      int
		window, b int
	}{
		{"the default link", Facts{Rate: 900e6, MTU: 1500, Loss: 0.01, Burst: 10 * ms}, 960, 53, 69, 11},
		{"jumbo packets at 9 Gbit/s", Facts{Rate: 9e9, MTU: 9000, Loss: 0.01, Burst: 10 * ms}, 192, 40, 63, 20},
		{"small packets at 9 Gbit/s", Facts{Rate: 9e9, MTU: 1500, Loss: 0.01, Burst: 10 * ms}, 896, 122, 93, 81},
		{"nothing is ever lost", Facts{Rate: 900e6, MTU: 1500}, 1023, 1, 1, 0},
		{"nothing is ever lost, jumbo", Facts{Rate: 9e9, MTU: 9000}, 255, 1, 1, 0},
		{"loss without bursts", Facts{Rate: 900e6, MTU: 1500, Loss: 0.01}, 960, 42, 1, 0},
		{"bursts without loss", Facts{Rate: 900e6, MTU: 1500, Burst: 10 * ms}, 1008, 11, 69, 11},
		{"30 % loss", Facts{Rate: 900e6, MTU: 1500, Loss: 0.3, Burst: 10 * ms}, 512, 384, 76, 10},
		{"50 % loss", Facts{Rate: 900e6, MTU: 1500, Loss: 0.5, Burst: 10 * ms}, 512, 802, 54, 14},
		{"a slow link takes smaller blocks", Facts{Rate: 1e6, MTU: 1500, Loss: 0.01, Burst: 10 * ms}, 480, 31, 1, 1},
		{"a slow link without loss takes the smallest", Facts{Rate: 1e6, MTU: 1500, Burst: 10 * ms}, 63, 1, 1, 1},
		{"a slow link with long bursts needs large ones", Facts{Rate: 1e6, MTU: 1500, Loss: 0.01, Burst: time.Second}, 896, 125, 1, 84},
		{"never more blocks than a receiver opens", Facts{Rate: 100e9, MTU: 1500, Burst: 300 * ms, Memory: 1 << 40, Delay: time.Minute}, 512, 611, 4092, 611},
		{"jumbo packets where a small block costs too much", Facts{Rate: 9e9, MTU: 9000, Loss: 0.05, Burst: 10 * ms}, 384, 106, 30, 42},
	} {
		p := mustPlan(t, row.facts)
		if p.K != row.k || p.M != row.m || p.Window != row.window || p.BurstLoss != row.b {
			t.Errorf("%s: %d+%d, W = %d, b = %d; want %d+%d, %d, %d", row.name, p.K, p.M, p.Window, p.BurstLoss, row.k, row.m, row.window, row.b)
		}
	}
}

func TestFiguresOfTheDefaultLink(t *testing.T) {
	p := mustPlan(t, Facts{Rate: 900e6, MTU: 1500, Loss: 0.01, Burst: 10 * ms})
	if p.Facts.Memory != 128<<20 || p.Facts.Delay != time.Second || p.Facts.IPOverhead != 48 {
		t.Errorf("defaults: %+v", p.Facts)
	}
	if want := int64(69 * 1013 * 1408); p.WindowBytes != want {
		t.Errorf("memory %d, want %d", p.WindowBytes, want)
	}
	if want := 69 * 1013 * 1500 * 8 * time.Second / 900e6; (p.WindowTime - want).Abs() > time.Microsecond {
		t.Errorf("delay %v, want %v", p.WindowTime, want)
	}
	if want := 900e6 * 960 * 1408 / (1013 * 1500); math.Abs(p.Content-want) > 1 {
		t.Errorf("content %v, want %v", p.Content, want)
	}
	blocks := math.Ceil((100 << 30) / (960 * 1408.0))
	if want := 1e-9 / blocks; math.Abs(p.Target/want-1) > 1e-9 || p.BlockFailure > want {
		t.Errorf("target %v, want %v; failure %v", p.Target, want, p.BlockFailure)
	}
	if want := blocks * p.BlockFailure; math.Abs(p.TransferFailure/want-1) > 1e-6 {
		t.Errorf("transfer failure %v, want %v", p.TransferFailure, want)
	}
	if want := 53.0 / 1013; p.Parity != want {
		t.Errorf("parity %v, want %v", p.Parity, want)
	}
}

func TestFaultyFactsAreSaidAllAtOnce(t *testing.T) {
	good := Facts{Rate: 900e6, MTU: 1500, Loss: 0.01, Burst: 10 * ms}
	for name, spoil := range map[string]func(*Facts){
		"no rate":         func(f *Facts) { f.Rate = 0 },
		"huge rate":       func(f *Facts) { f.Rate = 1e12 + 1 },
		"small mtu":       func(f *Facts) { f.MTU = 1499 },
		"large mtu":       func(f *Facts) { f.MTU = 9217 },
		"negative loss":   func(f *Facts) { f.Loss = -0.01 },
		"too much loss":   func(f *Facts) { f.Loss = 0.51 },
		"loss no number":  func(f *Facts) { f.Loss = math.NaN() },
		"negative burst":  func(f *Facts) { f.Burst = -1 },
		"endless burst":   func(f *Facts) { f.Burst = 2 * time.Hour },
		"negative memory": func(f *Facts) { f.Memory = -1 },
		"negative delay":  func(f *Facts) { f.Delay = -1 },
		"odd ip overhead": func(f *Facts) { f.IPOverhead = 20 },
	} {
		f := good
		spoil(&f)
		if _, err := NewPlan(f); err == nil || errors.As(err, new(*Infeasible)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := NewPlan(Facts{Rate: -1, MTU: 1, Loss: 2, Burst: -1, Memory: -1, Delay: -1, IPOverhead: 1})
	if faults, ok := err.(interface{ Unwrap() []error }); !ok || len(faults.Unwrap()) != 7 {
		t.Errorf("seven faults gave %v", err)
	}
}

// drawFacts draws links of every kind that an operator may state.
func drawFacts(t *rapid.T) Facts {
	return Facts{
		Rate:       int64(math.Pow(10, rapid.Float64Range(5, 11).Draw(t, "log rate"))),
		MTU:        rapid.SampledFrom([]int{1500, 2000, 4000, 4200, 9000, 9216}).Draw(t, "mtu"),
		Loss:       rapid.OneOf(rapid.Just(0.0), rapid.Float64Range(0, 0.02), rapid.Float64Range(0, 0.5)).Draw(t, "loss"),
		Burst:      time.Duration(rapid.OneOf(rapid.Just(0), rapid.IntRange(0, 50e6), rapid.IntRange(0, 5e9)).Draw(t, "burst")),
		Memory:     int64(rapid.OneOf(rapid.Just(0), rapid.IntRange(1<<18, 1<<30)).Draw(t, "memory")),
		Delay:      time.Duration(rapid.OneOf(rapid.Just(0), rapid.IntRange(1e6, 1e10)).Draw(t, "delay")),
		IPOverhead: rapid.SampledFrom([]int{0, OverheadIPv4, OverheadIPv6}).Draw(t, "ip overhead"),
	}
}

// drawPlan draws a link for which there is a plan.
func drawPlan(t *rapid.T) *Plan {
	p, err := NewPlan(drawFacts(t))
	if err != nil {
		t.Skip("no plan") // rapid draws again
	}
	return p
}

func TestPlanMeetsItsTargetWithinItsMeans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		code, n := p.Code, p.K+p.M
		if err := code.Validate(); err != nil {
			t.Fatal(err)
		}
		wire := float64(p.Facts.IPOverhead + 44 + code.Shard)
		burst := 0
		if p.Facts.Burst > 0 {
			burst = int(p.Facts.Burst.Seconds()/(wire*8/float64(p.Facts.Rate))) + 1
		}
		if want := (burst + p.Window - 1) / p.Window; p.BurstLoss != want {
			t.Fatalf("b = %d, want %d", p.BurstLoss, want)
		}
		target := 1e-9 / math.Ceil((100<<30)/float64(code.K*code.Shard))
		if f := tail(n-p.BurstLoss, p.Facts.Loss, code.M-p.BurstLoss); f > target || f != p.BlockFailure {
			t.Fatalf("failure %v, stated %v, target %v", f, p.BlockFailure, target)
		}
		if p.TransferFailure > 1e-9 {
			t.Fatalf("transfer failure %v", p.TransferFailure)
		}
		if used := int64(p.Window * n * code.Shard); used > p.Facts.Memory || used != p.WindowBytes {
			t.Fatalf("memory %d, stated %d, allowed %d", used, p.WindowBytes, p.Facts.Memory)
		}
		if p.WindowTime > p.Facts.Delay+time.Microsecond && p.Window > 1 || p.Window > MaxWindow || p.Window < 1 {
			t.Fatalf("W = %d, delay %v", p.Window, p.WindowTime)
		}
	})
}

func TestNoSmallerWindowAndNoLessParityWouldDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		l := p.line
		s, ok := l.choose()
		if !ok || s.k != p.K || s.m != p.M {
			t.Fatalf("another choice: %+v", s)
		}
		burst := l.burstPackets()
		if s.window > 1 && l.meets(s.k, s.m, ceilDiv(burst, s.window-1)) {
			t.Fatalf("W = %d would do", s.window-1)
		}
		tried, last := 0, -1.0
		ladder(s.slots, func(k, m int) bool {
			if k == s.k && m == s.m {
				return false
			}
			part := float64(m) / float64(k+m)
			if part <= last {
				t.Fatalf("%d+%d is out of order", k, m)
			}
			tried, last = tried+1, part
			most := l.maxWindow(k + m)
			if most > 0 && l.meets(k, m, ceilDiv(burst, most)) {
				t.Fatalf("%d+%d with W = %d would do", k, m, most)
			}
			return true
		})
		if last >= s.parity() {
			t.Fatalf("%d codes tried, the last with more parity", tried)
		}
	})
}

func TestParityNeverFallsWithLossOrBurst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawPlan(t).line
		slots := rapid.SampledFrom([]int{64, 128, 256, 512, 1024}).Draw(t, "slots")
		worse := l
		worse.Loss = min(maxLoss, l.Loss*rapid.Float64Range(1, 3).Draw(t, "more loss"))
		worse.Burst += time.Duration(rapid.IntRange(0, 1e8).Draw(t, "more burst"))
		was, ok := l.least(slots)
		is, still := worse.least(slots)
		if still && (!ok || is.parity() < was.parity()) {
			t.Fatalf("%v at loss %v and burst %v, %v at %v and %v", was, l.Loss, l.Burst, is, worse.Loss, worse.Burst)
		}
	})
}

func TestWhatAnInfeasiblePlanAsksForIsEnough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFacts(t)
		f.Burst = time.Duration(rapid.IntRange(1e6, 1e11).Draw(t, "long burst"))
		f.Memory = int64(rapid.IntRange(1<<16, 1<<27).Draw(t, "little memory"))
		_, err := NewPlan(f)
		if err == nil {
			t.Skip("there is a plan")
		}
		no := new(Infeasible)
		if !errors.As(err, &no) {
			t.Fatal(err)
		}
		if no.Memory > 0 {
			more := f
			more.Memory, more.Delay = no.Memory, no.Delay
			if _, err := NewPlan(more); err != nil {
				t.Fatalf("%v; but then: %v", no, err)
			}
		}
		if no.Burst > 0 {
			less := f
			less.Burst = no.Burst
			if no.Burst >= f.Burst {
				t.Fatalf("%v", no)
			}
			if _, err := NewPlan(less); err != nil {
				t.Fatalf("%v; but then: %v", no, err)
			}
			less.Burst += less.Burst/100 + 2*time.Microsecond + time.Duration(1.01*float64(time.Second)*no.tick())
			if _, err := NewPlan(less); err == nil {
				t.Fatalf("%v; but there is a plan for %v", no, less.Burst)
			}
		}
	})
}

// tick returns the seconds that one packet takes.
func (e *Infeasible) tick() float64 {
	shard, _ := ShardSize(e.Facts.MTU)
	return float64(WireSize(shard, e.Facts.IPOverhead)) * 8 / float64(e.Facts.Rate)
}

func TestInfeasibleSpeaksToTheOperator(t *testing.T) {
	_, err := NewPlan(Facts{Rate: 900e6, MTU: 1500, Loss: 0.01, Burst: 10 * time.Second})
	want := "fec: no plan for loss 1% and burst 10s at 900000000 bit/s with memory 128 MiB and delay 1s; " +
		"it takes memory 1289 MiB and delay 12.798s; or state a burst of at most 780.366ms"
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant\n%s", err, want)
	}
}

func BenchmarkNewPlan(b *testing.B) {
	for b.Loop() {
		if _, err := NewPlan(Facts{Rate: 900e6, MTU: 1500, Loss: 0.01, Burst: 10 * ms}); err != nil {
			b.Fatal(err)
		}
	}
}

// A plan of a given shape is one like any other: the tables hold for every block, up to the full one.
func TestAPlanOfAGivenShapeServesEveryBlock(t *testing.T) {
	facts := Facts{Rate: 10_000_000, MTU: 1500, Loss: 0.01, Burst: 5 * time.Millisecond}
	p, err := NewPlanOf(facts, 8, 4, 3)
	if err != nil {
		t.Fatal(err)
	}
	if p.Code != (Code{8, 4, 1408}) || p.Window != 3 || p.WindowTime <= 0 || p.PromptMax() < 1 || p.PromptMax() > 8 {
		t.Fatalf("%+v", p)
	}
	for k := 1; k <= p.K; k++ {
		if m := p.Partial(k); m < 1 || m > p.M {
			t.Errorf("partial block of %d: parity of %d", k, m)
		}
	}
	for k := 1; k <= p.PromptMax(); k++ {
		if m, span := p.Prompt(k); m < 1 || span <= 0 {
			t.Errorf("prompt block of %d: parity of %d over %v", k, m, span)
		}
	}
	for _, wrong := range [][3]int{{0, 4, 3}, {8, 0, 3}, {8, 4, 0}, {8, 4, MaxWindow + 1}, {MaxData + 1, 4, 1}} {
		if _, err := NewPlanOf(facts, wrong[0], wrong[1], wrong[2]); err == nil {
			t.Errorf("%v made a plan", wrong)
		}
	}
	if _, err := NewPlanOf(Facts{Rate: 1}, 8, 4, 3); err == nil {
		t.Error("facts that contradict themselves made a plan")
	}
}
