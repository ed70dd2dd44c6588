package watch

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"ecluse/receiver/collect"
)

// probed makes a run of steps of 100 to 1,000 Mbit/s, a second each, of which each lost what lose says: packets, those in bursts, the longest run.
func probed(lose func(step int, sent uint32) (lost, bursts, longest uint32)) *collect.ProbeRun {
	r := &collect.ProbeRun{Run: 1, Size: 1472, Over: true}
	for i := range 10 {
		s := collect.ProbeStep{Rate: uint64(i+1) * 1e8, Took: time.Second}
		s.Sent = uint32(s.Rate / (8 * 1500))
		s.Lost, s.Bursts, s.Longest = lose(i, s.Sent)
		r.Steps = append(r.Steps, s)
	}
	return r
}

func TestWhatFollowsFromAProbe(t *testing.T) {
	for name, row := range map[string]struct {
		lose    func(step int, sent uint32) (lost, bursts, longest uint32)
		advice  string
		limited bool
	}{
		"nothing is lost": {func(int, uint32) (uint32, uint32, uint32) { return 0, 0, 0 }, "rate: 1000Mbit # or more: nothing faster came loss: 0.01%", false},
		"a link of 450 Mbit/s": {func(i int, sent uint32) (uint32, uint32, uint32) {
			if i < 4 {
				return 0, 0, 0
			}
			return sent - 37500, 0, 9
		}, "rate: 380Mbit loss: 0.01%", true},
		"a link of 150 Mbit/s": {func(i int, sent uint32) (uint32, uint32, uint32) {
			if i == 0 {
				return 0, 0, 0
			}
			return sent - 12500, 0, 9
		}, "rate: 95Mbit loss: 0.037%", true},
		"one in a hundred at any rate": {func(_ int, sent uint32) (uint32, uint32, uint32) { return sent / 100, 0, 2 }, "rate: 1000Mbit # or more: nothing faster came loss: 1.1%", false},
		"one in a hundred, and a limit": {func(i int, sent uint32) (uint32, uint32, uint32) {
			if i < 7 {
				return sent/100 + uint32(i), 0, 2
			}
			return sent / 10, 0, 4
		}, "rate: 665Mbit loss: 1.1%", true},
		"bursts of 12 ms": {func(i int, sent uint32) (uint32, uint32, uint32) {
			return sent * 12 / 1000, sent * 12 / 1000, sent * 12 / 1000
		}, "rate: 1000Mbit # or more: nothing faster came loss: 0.01% burst: 12ms", false},
		"the slowest step is lost": {func(i int, sent uint32) (uint32, uint32, uint32) { return sent, sent, sent }, "", true},
	} {
		p := JudgeProbe(probed(row.lose))
		if got := strings.Join(p.Advice, " "); got != row.advice || p.Limited != row.limited {
			t.Errorf("%s: %q, limited %v; want %q, %v", name, got, p.Limited, row.advice, row.limited)
		}
		if lines := p.Lines(); len(lines) < 11 {
			t.Errorf("%s: %q", name, lines)
		}
	}
	if JudgeProbe(nil) != nil {
		t.Error("there was none")
	}
}

func TestARateThatWasNotReachedIsNotAdvised(t *testing.T) {
	r := probed(func(int, uint32) (uint32, uint32, uint32) { return 0, 0, 0 })
	for i := 6; i < 10; i++ { // the sender is no faster
		r.Steps[i].Took = time.Second * time.Duration(i+1) / 6
	}
	if p := JudgeProbe(r); !strings.HasPrefix(p.Advice[0], "rate: 599Mbit") && !strings.HasPrefix(p.Advice[0], "rate: 600Mbit") {
		t.Errorf("%v", p.Advice)
	}
}

func TestAProbeThatGoesOnConcludesNothing(t *testing.T) {
	r := probed(func(int, uint32) (uint32, uint32, uint32) { return 0, 0, 0 })
	r.Over, r.Steps = false, r.Steps[:4]
	if lines := JudgeProbe(r).Lines(); lines[len(lines)-1] != "it goes on" {
		t.Errorf("%q", lines)
	}
}

// One in a hundred, over steps of a hundred packets and more: the slowest has lost none, or the next ones many.
func TestShortStepsAreNotTakenForMoreThanTheySay(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	wrong := 0
	for range 1000 {
		r := probed(func(int, uint32) (uint32, uint32, uint32) { return 0, 0, 0 })
		for i := range r.Steps {
			s := &r.Steps[i]
			s.Sent = uint32(126 * (i + 1))
			for range s.Sent {
				if rng.IntN(100) == 0 {
					s.Lost++
				}
			}
		}
		if p := JudgeProbe(r); p.Limited || p.Loss < 0.007 || p.Loss > 0.025 {
			wrong++
		}
	}
	if wrong > 1 {
		t.Errorf("%d of 1000 probes of a link that holds all rates were judged otherwise", wrong)
	}
}
