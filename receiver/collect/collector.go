package collect

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"ecluse/protocol/fec"
)

// Defaults of Options.
const (
	DefaultMemory  = 128 << 20 // for blocks, for each link: what a sender's plan uses by default
	DefaultQueue   = 16 << 20  // for datagrams between drain and collector, for each link
	DefaultWorkers = 2
)

// Options say what a Collector works with. Zero values stand for the defaults.
type Options struct {
	Links    []Link
	Verifier Verifier
	Sink     Sink

	Memory  int // bytes for blocks, for each link
	Queue   int // bytes for datagrams between drain and collector, for each link
	Workers int // decoders, for all links

	// Now is the wall clock by which keys are valid; it must not run back. The default is time.Now.
	Now func() time.Time
	// OnRefusal is told of a refused session, at most once a minute for each reason. It must not wait.
	OnRefusal func(Refusal)
	// OnWide is told once, before tables of fec.WideTables bytes are made, which stay. It must not wait.
	OnWide func()
	// OnFault is told of errors of this side that the collector lives with: a floor that could not be stored. It must not wait.
	OnFault func(error)
}

// Link is one link's name and its socket, which the Collector closes.
type Link struct {
	Name   string
	Socket Socket
}

// Collector turns the datagrams of its links into blocks of records.
type Collector struct {
	links   []*link
	gate    *gate
	sink    Sink
	workers int
	queue   chan *block
	start   time.Time
	wide    sync.Once
	onWide  func()

	decoders sync.WaitGroup
}

// New reserves the memory of a Collector. It opens nothing and starts nothing; close the sources if it fails.
func New(o Options) (*Collector, error) {
	setDefaults(&o)
	c := &Collector{sink: o.Sink, workers: o.Workers, start: time.Now(), onWide: o.OnWide}
	for i, l := range o.Links {
		made, err := newLink(i, l, o.Memory, o.Queue, c.clock)
		if err != nil {
			return nil, errors.Join(err, c.free())
		}
		c.links = append(c.links, made)
	}
	room := 0
	for _, l := range c.links {
		room += l.table.limit
	}
	c.queue = make(chan *block, room)
	c.gate = newGate(&o, c.links, c.clock)
	for _, l := range c.links {
		l.queue, l.gate, l.prepare = c.queue, c.gate, c.prepareWide
	}
	return c, nil
}

func setDefaults(o *Options) {
	if o.Memory == 0 {
		o.Memory = DefaultMemory
	}
	if o.Queue == 0 {
		o.Queue = DefaultQueue
	}
	if o.Workers == 0 {
		o.Workers = DefaultWorkers
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.OnRefusal == nil {
		o.OnRefusal = func(Refusal) {}
	}
	if o.OnWide == nil {
		o.OnWide = func() {}
	}
	if o.OnFault == nil {
		o.OnFault = func(error) {}
	}
}

// newLink reserves the memory of one link.
func newLink(i int, from Link, memory, queue int, clock func() int64) (*link, error) {
	t, err := newTable(memory)
	if err != nil {
		return nil, fmt.Errorf("link %s: %w", from.Name, err)
	}
	ringMemory, err := newMapping(max(1, queue/bufferSize) * bufferSize)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("link %s: %w", from.Name, err), t.arena.mem.close())
	}
	l := &link{index: i, name: from.Name, socket: from.Socket, clock: clock, table: t, memory: ringMemory, ring: newRing(ringMemory, readAtOnce)}
	t.host = l.here
	l.rates.note(clock(), 0, 0)
	l.scratch = make([]Buffer, readAtOnce)
	mem := make([]byte, bufferSize)
	for i := range l.scratch {
		l.scratch[i].Mem = mem
	}
	return l, nil
}

// clock is the monotonic clock: nanoseconds since the Collector was made, never 0.
func (c *Collector) clock() int64 { return int64(time.Since(c.start)) + 1 }

// Run collects until ctx ends or a socket fails. Then it takes in what was read, hands on every block that is complete, stores
// the packet floors, and gives its memory back. It is called once.
func (c *Collector) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var drains, collectors, gate sync.WaitGroup
	drained := make(chan struct{})
	for _, l := range c.links {
		drains.Go(func() { cancel(l.drain(ctx)) })
		collectors.Go(func() { l.collect(drained) })
	}
	gate.Go(func() { c.gate.run(ctx) })
	for range c.workers {
		c.decoders.Go(c.decode)
	}
	<-ctx.Done()
	var failed []error
	for _, l := range c.links {
		failed = append(failed, l.socket.Close())
	}
	drains.Wait()
	close(drained)
	collectors.Wait()
	close(c.queue)
	gate.Wait()
	c.gate.store()
	c.decoders.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		failed = append(failed, cause)
	}
	return errors.Join(append(failed, c.free())...)
}

// decode hands complete blocks to the sink until there will be no more.
func (c *Collector) decode() {
	w := newWorker()
	for b := range c.queue {
		l := c.links[b.link]
		info := b.lane.channel.session.Info
		info.Link = l.name
		r, recovered, err := w.open(l.table, b)
		if err == nil {
			c.sink.Block(info, r)
		}
		w.done()
		l.finish(b, recovered, err)
	}
}

// prepareWide builds the tables of wide codes beside everything else, once: 0.3 s in which a link of 10 Gbit/s would fill its memory
// with blocks that wait for them.
func (c *Collector) prepareWide() {
	c.wide.Do(func() {
		c.onWide()
		c.decoders.Go(func() {
			_ = fec.NewCoder().Prepare(wideCode) // a worker that needs the tables meets the same fault
		})
	})
}

// wideCode is a code in GF(2^16), whichever: all share their tables.
var wideCode = fec.Code{K: fec.MaxData, M: 1, Shard: fec.MinShard}

// Heartbeat notes that a heartbeat record came over a link: the records are the sink's to read.
func (c *Collector) Heartbeat(link string) {
	for _, l := range c.links {
		if l.name == link {
			l.mu.Lock()
			l.heartbeat = c.clock()
			l.mu.Unlock()
		}
	}
}

// Recheck closes the sessions of senders that are not enrolled any more. Call it when enrolment has changed.
func (c *Collector) Recheck() {
	select {
	case c.gate.recheck <- struct{}{}:
	default: // it will be done
	}
}

// Alive tells, for each link, the time since its drain last came round. It does so each second at least, whatever the link, the
// disk and the sink do: a watchdog may believe that.
func (c *Collector) Alive() time.Duration {
	var oldest time.Duration
	for _, l := range c.links {
		oldest = max(oldest, time.Duration(c.clock()-l.alive.Load()))
	}
	return oldest
}

// free gives the memory back.
func (c *Collector) free() error {
	var failed []error
	for _, l := range c.links {
		failed = append(failed, l.close())
	}
	return errors.Join(failed...)
}
