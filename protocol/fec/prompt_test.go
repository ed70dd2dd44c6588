package fec

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPromptBlocksOfTheDefaultLink(t *testing.T) {
	p := mustPlan(t, Facts{Rate: 900e6, MTU: 1500, Loss: 0.01, Burst: 10 * ms})
	for k, m := range map[int]int{1: 12, 5: 21, 16: 41, 100: 176, 300: 488} {
		if got, span := p.Prompt(k); got != m || span != 30*ms {
			t.Errorf("k = %d: m = %d over %v, want %d over 30ms", k, got, span, m)
		}
	}
	if p.PromptMax() != 647 {
		t.Errorf("PromptMax is %d", p.PromptMax())
	}
	for k, m := range map[int]int{1: 7, 16: 11, 100: 18, 959: 53, 960: 53} {
		if got := p.Partial(k); got != m {
			t.Errorf("k = %d: m = %d, want %d", k, got, m)
		}
	}
}

func TestPromptBlocksHaveTheLeastParityThatMeetsTheTarget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		if p.PromptMax() == 0 {
			t.Skip("none is sent promptly")
		}
		fails := func(k, m int) float64 {
			wire := float64(p.Facts.IPOverhead+44+p.Shard) * 8 / float64(p.Facts.Rate)
			span := max(3*p.Facts.Burst.Seconds(), 0.002, float64(m)*wire)
			eaten := 0
			if burst := p.Facts.Burst.Seconds(); burst > 0 {
				eaten = min(k, int(burst/wire)+1) + int(math.Ceil(float64(m)*burst/span-1e-12)) + 1
			}
			if eaten > m {
				return 1
			}
			return tail(k+m-eaten, p.Facts.Loss, m-eaten)
		}
		k := rapid.IntRange(1, p.PromptMax()).Draw(t, "k")
		m, span := p.Prompt(k)
		code := Code{k, m, p.Shard}
		if err := code.Validate(); err != nil || code.Padded() > 1024 || code.Wide() && !p.Wide() {
			t.Fatalf("%v, %v", code, err)
		}
		if span < 3*p.Facts.Burst || span < 2*ms || span < p.line.time(code.M) {
			t.Fatalf("span %v", span)
		}
		if f := fails(k, code.M); f > p.Target {
			t.Fatalf("%v fails with %v, target %v", code, f, p.Target)
		}
		if f := fails(k, code.M-1); f <= p.Target && code.M > 1 {
			t.Fatalf("%v would do with one less: %v, target %v", code, f, p.Target)
		}
		if k > 1 {
			if before, _ := p.Prompt(k - 1); before > m {
				t.Fatalf("%v after m = %d", code, before)
			}
		}
	})
}

func TestPartialBlocksHaveTheLeastParityThatMeetsTheTarget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		fails := func(k, m int) float64 {
			eaten := 0
			if p.Facts.Burst > 0 {
				eaten = int(float64(k+m)*p.Facts.Burst.Seconds()/p.WindowTime.Seconds()*(1-1e-9)) + 1
			}
			if eaten > m {
				return 1
			}
			return tail(k+m-eaten, p.Facts.Loss, m-eaten)
		}
		k := rapid.IntRange(1, p.K).Draw(t, "k")
		code := Code{k, p.Partial(k), p.Shard}
		if err := code.Validate(); err != nil || code.M > p.M || code.Wide() && !p.Wide() {
			t.Fatalf("%v for k = %d, %v", code, k, err)
		}
		if f := fails(code.K, code.M); f > p.Target {
			t.Fatalf("%v fails with %v, target %v", code, f, p.Target)
		}
		if f := fails(code.K, code.M-1); f <= p.Target && code.M > 1 && k < p.K {
			t.Fatalf("%v would do with one less: %v, target %v", code, f, p.Target)
		}
	})
}

func TestAPlanInTheSmallFieldStaysThere(t *testing.T) {
	p := mustPlan(t, Facts{Rate: 9e9, MTU: 9000, Loss: 0.01, Burst: 10 * ms})
	if p.Wide() {
		t.Fatal("the plan is wide")
	}
	for k := 1; k <= p.K; k++ {
		if code := (Code{k, p.Partial(k), p.Shard}); code.Wide() {
			t.Errorf("partial block %v is wide", code)
		}
		if k <= p.PromptMax() {
			if m, _ := p.Prompt(k); (Code{k, m, p.Shard}).Wide() {
				t.Errorf("prompt block %d+%d is wide", k, m)
			}
		}
	}
}

// The limit on m for a small k must never stand in the way of a plan, whatever the link.
func TestTheWorstLinksStayWellInsideTheLimits(t *testing.T) {
	for _, loss := range []float64{0.3, 0.4, 0.5} {
		plans := 0
		for burst := ms; burst < 2*time.Second; burst += burst/5 + ms {
			p, err := NewPlan(Facts{Rate: 9e9, MTU: 1500, Loss: loss, Burst: burst, Memory: 1 << 30, Delay: 5 * time.Second})
			if err != nil {
				continue
			}
			plans++
			for k := 1; k <= p.K; k++ {
				if m := p.Partial(k); m*10 > max(parityFree, parityPerData*k)*9 {
					t.Errorf("loss %v, burst %v: %d+%d", loss, burst, k, m)
				}
			}
			if p.PromptMax() < 100 {
				t.Errorf("loss %v, burst %v: at most %d are sent promptly", loss, burst, p.PromptMax())
			}
		}
		if plans < 10 {
			t.Errorf("loss %v: only %d plans", loss, plans)
		}
	}
}

func TestBlocksOutsideThePlanAreABug(t *testing.T) {
	p := mustPlan(t, Facts{Rate: 900e6, MTU: 1500})
	for name, call := range map[string]func(){
		"prompt 0":       func() { p.Prompt(0) },
		"prompt too big": func() { p.Prompt(p.PromptMax() + 1) },
		"partial 0":      func() { p.Partial(0) },
		"partial > K":    func() { p.Partial(p.K + 1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s did not panic", name)
				}
			}()
			call()
		}()
	}
}

// A burst is a closed interval of time. Wherever it falls on the packets of a prompt block, it eats no more than the planner counts.
func TestNoBurstEatsMoreOfAPromptBlockThanCounted(t *testing.T) {
	for _, f := range []Facts{
		{Rate: 900e6, MTU: 1500, Loss: 0.01, Burst: 10 * ms},
		{Rate: 900e6, MTU: 1500, Loss: 0.01, Burst: 100 * time.Microsecond},
		{Rate: 10e6, MTU: 1500, Loss: 0.01, Burst: 10 * ms},
		{Rate: 9e9, MTU: 9000, Loss: 0.05, Burst: 3 * ms},
	} {
		p := mustPlan(t, f)
		for _, k := range []int{1, 2, 16, 64} {
			m, span := p.Prompt(k)
			var at []float64 // when each packet leaves
			for i := range k {
				at = append(at, float64(i)*p.line.tick)
			}
			for i := range m {
				at = append(at, float64(k)*p.line.tick+span.Seconds()*float64(i)/float64(m))
			}
			for first := range at {
				last := first
				for last+1 < len(at) && at[last+1] <= at[first]+f.Burst.Seconds() {
					last++
				}
				if eaten := last - first + 1; eaten > p.promptHits(k, m) {
					t.Errorf("%+v: %d+%d: a burst from packet %d eats %d, counted %d", f, k, m, first, eaten, p.promptHits(k, m))
				}
			}
		}
	}
}

func BenchmarkPrompt(b *testing.B) {
	p := mustPlan(b, Facts{Rate: 900e6, MTU: 1500, Loss: 0.01, Burst: 10 * ms})
	for b.Loop() {
		p.Prompt(300)
	}
}
