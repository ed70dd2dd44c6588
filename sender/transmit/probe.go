package transmit

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/protocol/packet"
)

// ProbeStep is one step of a probe: so many packets at a rate, in bits a second of the wire, which its pacer keeps.
type ProbeStep struct {
	Rate    int64
	Packets uint32
	Pacer   Pacer
	Batch   int // packets handed to the socket at once
}

// ErrProbing says that a probe is under way already.
var ErrProbing = errors.New("a probe of this link is under way already")

// probeRest is a pause behind each step: what queues on the way has time to leave, and no step pays for the one before.
const probeRest = 200 * time.Millisecond

// ProbeSteps are steps at rates that rise evenly up to one, each for a time. wire is what a packet takes of the link in bytes, pacer gives what keeps a rate, and its batches.
func ProbeSteps(count int, upTo int64, each time.Duration, wire int, pacer func(rate int64) (Pacer, int)) (steps []ProbeStep, err error) {
	if count < 1 || count > bundle.MaxProbeSteps {
		return nil, fmt.Errorf("probe: %d steps, and there may be 1 to %d", count, bundle.MaxProbeSteps)
	}
	for i := range count {
		s := ProbeStep{Rate: upTo / int64(count) * int64(i+1)}
		packets := float64(s.Rate) * each.Seconds() / float64(8*wire)
		if s.Rate < 1 || packets < 1 || packets > bundle.MaxProbePackets {
			return nil, fmt.Errorf("probe: %v at %d bit/s are %.0f packets, and a step may have 1 to %d", each, s.Rate, packets, bundle.MaxProbePackets)
		}
		s.Packets = uint32(packets)
		s.Pacer, s.Batch = pacer(s.Rate)
		steps = append(steps, s)
	}
	return steps, nil
}

// probing is a probe under way. The link owns it, but for what its asker waits on.
type probing struct {
	ctx   context.Context // of whoever asked
	steps []ProbeStep
	done  chan struct{}

	run   uint32
	step  int
	index uint32 // of the next packet of the step
}

// Probe sends a pattern, and returns when it is out. Nothing else leaves meanwhile but announcements and heartbeats: what is in the window leaves before, and what waits goes on behind it.
func (e *Engine) Probe(ctx context.Context, steps []ProbeStep) error {
	if !e.probing.CompareAndSwap(false, true) {
		return ErrProbing
	}
	defer e.probing.Store(false)
	var run [4]byte
	if _, err := rand.Read(run[:]); err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	p := &probing{ctx: ctx, steps: steps, done: make(chan struct{}), run: binary.BigEndian.Uint32(run[:]) | 1}
	select {
	case e.probes <- p:
	case <-ctx.Done():
		return ctx.Err()
	}
	<-p.done // the link looks at ctx before each batch, thus not while the system takes no packet
	if p.step < len(p.steps) {
		return errors.Join(ctx.Err(), errors.New("the probe was broken off"))
	}
	return nil
}

// measure sends one batch of the probe under way, and ends it when nothing is left of it.
func (l *link) measure(ctx context.Context) error {
	p := l.probe
	if p.ctx.Err() != nil || p.step == len(p.steps) {
		l.endProbe()
		return nil
	}
	s := &p.steps[p.step]
	if p.index == s.Packets {
		p.step, p.index = p.step+1, 0
		return s.Pacer.Wait(ctx, s.Pacer.Now()+int64(probeRest))
	}
	var salt [6]byte
	if _, err := rand.Read(salt[:]); err != nil { // for each batch: see rule P-4
		return err
	}
	session := l.sessions.current.Load()
	l.batch = l.batch[:0]
	count := min(max(1, s.Batch), l.most, int(s.Packets-p.index))
	for range count {
		x := packet.Probe{Run: p.run, Step: uint16(p.step), Steps: uint16(len(p.steps)), Rate: uint64(s.Rate), Packets: s.Packets, Index: p.index}
		l.batch = session.sealer.SealProbe(l.batch, session.nextPacket, salt, x, l.shard)
		session.nextPacket++
		p.index++
	}
	return l.paced(ctx, s.Pacer, l.batch, packet.Overhead+l.shard, count)
}

// endProbe tells whoever asked.
func (l *link) endProbe() {
	if l.probe != nil {
		close(l.probe.done)
		l.probe = nil
	}
}
