package collect

import (
	"time"

	"ecluse/protocol/bundle"
	"ecluse/protocol/packet"
)

const (
	// longLoss is how many packets in a row have to be lost for a burst: of losses at random, also of one in ten, no probe has so many in a row.
	longLoss = 10
	// probeQuiet is how long after its last packet a probe is over.
	probeQuiet = 2 * time.Second
)

// ProbeRun is what came of a probe (P-10): the newest one on a link.
type ProbeRun struct {
	SessionInfo
	Run   uint32
	Size  int // of each datagram, in bytes
	Steps []ProbeStep
	Over  bool // nothing more of it is expected
}

// ProbeStep is what came of one step. Of one of which nothing came Sent is 0.
type ProbeStep struct {
	Rate    uint64        // that was asked for, in bits a second
	Sent    uint32        // packets
	Lost    uint32        // of them; while the step goes on, up to the last one that came
	Bursts  uint32        // lost in runs of ten and more
	Longest uint32        // the longest run of lost packets
	Here    uint64        // what was thrown away in this host meanwhile: by the kernel, which counts buffers, or for want of room in the queue
	Took    time.Duration // from the first that came to the last
}

// probe follows one run. Its size is fixed, whatever a sender sends. The table's owner holds it.
type probe struct {
	channel *channel
	run     uint32
	size    int
	count   int // of steps
	at      int // the step under way
	last    int64
	over    bool
	steps   [bundle.MaxProbeSteps]probing
}

// probing is one step.
type probing struct {
	ProbeStep
	next   uint32 // index after the highest that came
	first  int64
	before uint64 // what this host had thrown away when it began
}

// take counts one packet of a probe. host is what this host has thrown away so far: it is asked when a step begins or ends.
func (p *probe) take(now int64, c *channel, x packet.Probe, size int, host func() uint64) {
	if p.channel != c || p.run != x.Run {
		*p = probe{channel: c, run: x.Run, size: size, count: int(x.Steps), at: int(x.Step)}
	}
	if p.over || int(x.Steps) != p.count || int(x.Step) < p.at {
		return // late: its step has been summed up
	}
	s := &p.steps[x.Step]
	if s.Sent == 0 {
		here := host()
		p.close(here)
		*s = probing{ProbeStep: ProbeStep{Rate: x.Rate, Sent: x.Packets}, first: now, before: here}
		p.at = int(x.Step)
	}
	if x.Packets != s.Sent || x.Rate != s.Rate {
		return // a sender that contradicts itself
	}
	switch {
	case x.Index >= s.next:
		s.lose(x.Index - s.next)
		s.next = x.Index + 1
	case s.Lost > 0: // it was overtaken
		s.Lost--
	}
	s.Took, p.last = time.Duration(now-s.first), now
	if p.at == p.count-1 && s.next == s.Sent && s.Lost == 0 { // else something of it may still come
		p.end(host)
	}
}

// lose counts a run of lost packets.
func (s *probing) lose(run uint32) {
	s.Lost += run
	if run >= longLoss {
		s.Bursts += run
	}
	s.Longest = max(s.Longest, run)
}

// close sums up the step under way.
func (p *probe) close(here uint64) {
	if s := &p.steps[p.at]; s.Sent > 0 {
		s.lose(s.Sent - s.next)
		s.next = s.Sent
		s.Here = here - s.before
	}
}

// end sums up the run.
func (p *probe) end(host func() uint64) {
	p.close(host())
	p.over = true
}

// tick ends a run of which nothing more comes.
func (p *probe) tick(now int64, host func() uint64) {
	if p.channel != nil && !p.over && now-p.last >= int64(probeQuiet) {
		p.end(host)
	}
}

// snapshot gives what is known, nil where there was no probe.
func (p *probe) snapshot() *ProbeRun {
	if p.channel == nil {
		return nil
	}
	r := &ProbeRun{SessionInfo: p.channel.session.Info, Run: p.run, Size: p.size, Over: p.over}
	for i := range p.count {
		r.Steps = append(r.Steps, p.steps[i].ProbeStep)
	}
	return r
}
