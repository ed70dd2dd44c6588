package transmit

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/protocol/fec"
	"ecluse/protocol/packet"
	"ecluse/sender/schedule"
)

// rekeyAfter is the age at which a session is replaced; rekeyBlocks the number of blocks. Both are far below what AES-GCM and the counters allow: they
// bound what one lost key would open.
const (
	rekeyAfter  = 24 * time.Hour
	rekeyBlocks = 1 << 30
)

// Options describe one link and what it serves.
type Options struct {
	Plan       *fec.Plan
	Tenants    []schedule.Weight
	Socket     Socket
	Pacer      Pacer
	Batch      int // packets handed to the socket at once
	Secrets    Secrets
	Epoch      bundle.Epoch
	Beat       Beat
	Loss       float64
	Burst      time.Duration
	IPOverhead int // bytes of IP and UDP headers a packet
	// Alive is told which of builder and link is alive, for the watchdog.
	Alive func(who string)
	// Failed is told each time that the system will not take datagrams; it may end the engine by returning an error. Else they are offered again.
	Failed func(error) error
	// Unrenewed is told why a session that is old could not be replaced. The old one goes on, far below what its key allows, and a minute later it is tried again.
	Unrenewed func(error)
}

// Engine drives one link. Make it with New, then Run it; feeds may be opened before and while it runs.
type Engine struct {
	options  Options
	feeds    *feedSet
	sessions sessions
	stats    linkStats
	probes   chan *probing
	probing  atomic.Bool
}

// New checks the options: all but Alive, Failed and Unrenewed are needed.
func New(o Options) *Engine {
	if o.Plan == nil || o.Socket == nil || o.Pacer == nil || o.Secrets == nil || o.Beat == nil {
		panic("transmit: incomplete options")
	}
	if o.Batch < 1 {
		o.Batch = 1
	}
	if o.Alive == nil {
		o.Alive = func(string) {}
	}
	if o.Unrenewed == nil {
		o.Unrenewed = func(error) {}
	}
	if o.Failed == nil {
		o.Failed = func(error) error { return nil }
	}
	return &Engine{options: o, feeds: newFeedSet(), probes: make(chan *probing)}
}

// Open opens a feed for a lane.
func (e *Engine) Open(lane schedule.Lane) *Feed { return e.feeds.open(lane) }

// Halt has nothing more of a tenant leave from the next block on: what waits in its feeds is thrown away, and its passes end as Cut. Or it lets the tenant send again.
func (e *Engine) Halt(tenant int, halt bool) { e.feeds.halt(tenant, halt) }

// Status is what the link has done since it started.
type Status struct {
	Session       uint64
	Packets       uint64
	Bytes         uint64 // of datagrams, without IP and UDP headers
	Errors        uint64 // how often the system would not take a batch
	Announcements uint64
}

// Status may be called at any time.
func (e *Engine) Status() Status {
	s := Status{
		Packets: e.stats.packets.Load(), Bytes: e.stats.bytes.Load(),
		Errors: e.stats.errors.Load(), Announcements: e.stats.announcements.Load(),
	}
	if c := e.sessions.current.Load(); c != nil {
		s.Session = c.Number
	}
	return s
}

// Run announces a session and sends until ctx ends or something of ours fails.
func (e *Engine) Run(ctx context.Context) error {
	first, err := NewSession(e.options.Secrets, e.options.Epoch)
	if err != nil {
		return err
	}
	e.sessions.current.Store(first)
	memory, err := newPool(e.options.Plan.Window+spareBuffers, headroom+(e.options.Plan.K+e.options.Plan.M)*e.options.Plan.Shard)
	if err != nil {
		return err
	}
	var blocks [ways]chan emitted
	for w := range blocks {
		blocks[w] = make(chan emitted, 1)
	}
	rekey := make(chan *Session)
	b, err := e.builder(memory, blocks)
	if err != nil {
		return errors.Join(err, memory.close())
	}
	l := e.link(first, blocks, rekey)

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan struct{}, 4)
	for _, run := range []func(context.Context) error{b.run, l.run, func(ctx context.Context) error { return e.rekey(ctx, rekey) }, e.prepare} {
		go func() {
			if err := run(ctx); ctx.Err() == nil {
				cancel(err)
			}
			done <- struct{}{}
		}()
	}
	for range cap(done) {
		<-done
	}
	return errors.Join(context.Cause(ctx), memory.close())
}

// prepare makes the tables of the code beside everything else: else the first full block holds up what is behind it (see fec.Coder.Prepare).
func (e *Engine) prepare(ctx context.Context) error {
	if err := fec.NewCoder().Prepare(e.options.Plan.Code); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// spareBuffers are those outside the window: one in the channel for prompt blocks and one in that for bulk, one in the builder's hand or being filled, one of a prompt block.
const spareBuffers = 4

func (e *Engine) builder(memory *pool, blocks [ways]chan emitted) (*builder, error) {
	o := &e.options
	s, err := schedule.New(o.Tenants, o.Plan.K*o.Plan.Shard)
	if err != nil {
		return nil, err
	}
	b := &builder{
		plan: o.Plan, scheduler: s, feeds: e.feeds, pool: memory, coder: fec.NewCoder(), beat: o.Beat, sessions: &e.sessions, wire: o.IPOverhead,
		blocks: blocks, light: newLight(o.Plan, packet.Overhead+o.Plan.Shard+o.IPOverhead, s.Share, o.Pacer.Now), alive: func() { o.Alive("builder") },
	}
	b.express = &buffer{make([]byte, headroom+max(b.expressMost(), b.beatShards())*o.Plan.Shard)}
	return b, nil
}

func (e *Engine) link(first *Session, blocks [ways]chan emitted, rekey <-chan *Session) *link {
	o := &e.options
	size := packet.Overhead + o.Plan.Shard
	l := &link{
		interleaver: NewInterleaver(o.Plan.Window), socket: o.Socket, pacer: o.Pacer, wire: o.IPOverhead, shard: o.Plan.Shard,
		most: o.Batch, loss: o.Loss, burst: o.Burst, blocks: blocks, rekey: rekey, probes: e.probes,
		sessions: &e.sessions, stats: &e.stats, failed: o.Failed, alive: func() { o.Alive("link") },
	}
	l.batch = make([]byte, 0, l.most*size)
	l.announcers = []*announcer{newAnnouncer(first, 0, o.Loss, o.Burst)}
	return l
}

// rekey replaces the session when it is old. The new one is announced while the old one runs on.
func (e *Engine) rekey(ctx context.Context, to chan<- *Session) error {
	born := time.Now()
	look := time.NewTicker(time.Minute)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
		}
		if time.Since(born) < rekeyAfter && e.sessions.blocks.Load() < rekeyBlocks {
			continue
		}
		s, err := NewSession(e.options.Secrets, e.options.Epoch)
		if err != nil { // a full disk, or an agent that is not there: neither ends what runs
			e.options.Unrenewed(fmt.Errorf("rekey: %w", err))
			continue
		}
		select {
		case to <- s:
			born = time.Now()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
