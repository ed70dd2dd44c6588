package watch

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"ecluse/internal/config"
	"ecluse/protocol/bundle"
	"ecluse/receiver/collect"
)

// Probe is what a probe found of a link: what was sent and what came, step by step, and what follows for the sender's configuration.
type Probe struct {
	Run     uint32      `json:"run"`
	Sender  bundle.Name `json:"sender"`
	Over    bool        `json:"over"`
	Steps   []ProbeStep `json:"steps"`
	Rate    int64       `json:"rate"`    // the highest at which nothing was lost beyond what is lost at any rate, in bits a second; 0 where there was none
	Limited bool        `json:"limited"` // a higher one was tried, and lost more
	Loss    float64     `json:"loss"`    // at random and at any rate, as a part of 1: an upper bound
	Burst   float64     `json:"burst"`   // the longest loss in a row at those rates, in seconds; 0 where none was long
	Here    uint64      `json:"here"`    // of what was lost, what this host threw away
	Advice  []string    `json:"advice"`  // lines for the sender's configuration; none where the probe allows no conclusion
}

// ProbeStep is one step.
type ProbeStep struct {
	Rate    int64   `json:"rate"`    // asked for, in bits a second
	Reached int64   `json:"reached"` // that came, or would have come without loss
	Sent    uint32  `json:"sent"`
	Lost    uint32  `json:"lost"`
	Longest float64 `json:"longest"` // the longest loss in a row, in seconds
	Here    uint64  `json:"here"`
}

const (
	headers   = 28   // bytes of IPv4 and UDP, which the sender's rate counts
	safely    = 0.95 // of the highest rate that held
	reachable = 0.9  // of a rate that was asked for has to be reached for it to be called that
	leastLoss = 0.0001
)

// JudgeProbe says what follows from a probe; nil stays nil.
func JudgeProbe(r *collect.ProbeRun) *Probe {
	if r == nil {
		return nil
	}
	p := &Probe{Run: r.Run, Sender: r.Sender, Over: r.Over, Steps: []ProbeStep{}, Advice: []string{}}
	wire := float64(8 * (r.Size + headers))
	for _, s := range r.Steps {
		step := ProbeStep{Rate: int64(s.Rate), Sent: s.Sent, Lost: s.Lost, Here: s.Here, Longest: float64(s.Longest) * wire / max(1, float64(s.Rate))}
		if s.Took > 0 {
			step.Reached = int64(wire * float64(s.Sent) / s.Took.Seconds())
		}
		p.Here += s.Here
		p.Steps = append(p.Steps, step)
	}
	good := holding(r.Steps)
	p.Limited = good < len(r.Steps)
	var sent, lost float64
	for i, s := range r.Steps[:good] {
		sent, lost = sent+float64(s.Sent), lost+float64(single(s))
		if s.Bursts > 0 {
			p.Burst = max(p.Burst, p.Steps[i].Longest)
		}
		p.Rate = int64(s.Rate)
		if reached := p.Steps[i].Reached; float64(reached) < reachable*float64(s.Rate) {
			p.Rate = reached
		}
	}
	if sent > 0 {
		p.Loss = max(leastLoss, (lost+3*math.Sqrt(lost)+3)/sent)
		p.advise()
	}
	return p
}

// holding is how many steps, from the slowest on, lost no more than is lost at any rate: twice what the slowest three say of that, and what chance adds. Of a short step that has lost
// nothing chance may say so as well: what a step says is the most that it can be.
func holding(steps []collect.ProbeStep) int {
	share := 1.0
	for _, s := range steps[:min(3, len(steps))] {
		if lost := float64(single(s)); s.Sent > 0 {
			share = min(share, (lost+3*math.Sqrt(lost)+3)/float64(s.Sent))
		}
	}
	for i, s := range steps {
		usual := share * float64(s.Sent)
		if s.Sent == 0 || float64(single(s)) > 2*usual+3*math.Sqrt(usual) || s.Bursts > s.Sent/10 {
			return i
		}
	}
	return len(steps)
}

// single is what was lost outside long runs.
func single(s collect.ProbeStep) uint32 { return s.Lost - min(s.Lost, s.Bursts) }

// advise writes the lines that go into the sender's configuration.
func (p *Probe) advise() {
	rate := fmt.Sprintf("rate: %dMbit # or more: nothing faster came", max(1, p.Rate/1e6))
	if p.Limited {
		rate = fmt.Sprintf("rate: %dMbit", max(1, int64(safely*float64(p.Rate)/1e6)))
	}
	p.Advice = append(p.Advice, rate, "loss: "+percent(p.Loss))
	if p.Burst > 0 {
		p.Advice = append(p.Advice, fmt.Sprintf("burst: %dms", int64(math.Ceil(1000*p.Burst))))
	}
}

// percent writes a share with two digits that count, rounded up.
func percent(share float64) string {
	unit := math.Pow(10, math.Floor(math.Log10(100*share))-1)
	return strconv.FormatFloat(math.Ceil(100*share/unit-1e-9)*unit, 'g', 2, 64) + "%"
}

// Lines are what a person is told of a probe, one thing a line.
func (p *Probe) Lines() (lines []string) {
	for _, s := range p.Steps {
		if s.Sent == 0 {
			lines = append(lines, "a step of which nothing came")
			continue
		}
		line := fmt.Sprintf("%s: %d of %d lost", config.FormatRate(float64(s.Rate)), s.Lost, s.Sent)
		if s.Lost > 0 {
			line += fmt.Sprintf(", %v in a row at the most", (time.Duration(s.Longest * float64(time.Second))).Round(10*time.Microsecond))
		}
		if s.Here > 0 {
			line += fmt.Sprintf("; this host threw away %d", s.Here)
		}
		if float64(s.Reached) < reachable*float64(s.Rate) {
			line += fmt.Sprintf("; it came at %s", config.FormatRate(float64(s.Reached)))
		}
		lines = append(lines, line)
	}
	switch {
	case !p.Over:
		return append(lines, "it goes on")
	case p.Rate == 0 && p.Steps[0].Sent == 0:
		return append(lines, "its slowest step did not come: was there an outage?")
	case p.Rate == 0:
		return append(lines, "already the slowest step lost more than it may: probe again with a lower --up-to")
	case p.Limited:
		lines = append(lines, fmt.Sprintf("it holds %s; what is faster loses more", config.FormatRate(float64(p.Rate))))
	default:
		lines = append(lines, fmt.Sprintf("it holds %s, the most that came", config.FormatRate(float64(p.Rate))))
	}
	if p.Here > 0 {
		lines = append(lines, "some of it was lost in this host, not on the link: doctor looks at the socket's buffer")
	}
	if p.Burst == 0 {
		lines = append(lines, "no loss was long: keep the burst that you know of")
	}
	return append(lines, "for links[] of the sender's configuration:")
}
