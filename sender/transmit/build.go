package transmit

import (
	"context"
	"slices"
	"time"

	"ecluse/protocol/fec"
	"ecluse/protocol/packet"
	"ecluse/protocol/record"
	"ecluse/sender/schedule"
)

// linger is how long the builder waits for a fuller block while a feed is busy. It bounds what a slow disk adds to the delay of what is
// already there.
const linger = 3 * time.Millisecond

// heartbeatEvery is the interval of SPEC.md section 7.
const heartbeatEvery = time.Second

// Beat gives the records of a heartbeat: the heartbeat itself, offers of open bundles, recent closes and abandons. The most important come first;
// what does not fit the blocks of one beat waits for the next. It is called from the builder's goroutine.
type Beat func() []Appender

// builder fills blocks and codes them. One goroutine runs it and owns everything in it.
type builder struct {
	plan      *fec.Plan
	scheduler *schedule.Scheduler
	feeds     *feedSet
	pool      *pool
	coder     *fec.Coder
	beat      Beat
	sessions  *sessions
	wire      int // bytes that a packet costs beside itself

	prompt chan<- emitted
	bulk   chan<- emitted

	block   record.Block
	buffer  *buffer
	parts   partList
	lanes   []schedule.Lane
	choices []*Feed
	inside  []int // tenants with something in the block
	light   light
	alive   func()
}

// emitted is a coded block with its way of leaving.
type emitted struct {
	block    *Coded
	emission Emission
}

// run builds blocks until ctx ends. Only the wait for the link's window blocks it, and heartbeats go on meanwhile.
func (b *builder) run(ctx context.Context) error {
	beats := time.NewTicker(heartbeatEvery)
	defer beats.Stop()
	if err := b.heartbeat(ctx); err != nil {
		return err
	}
	for {
		b.alive()
		ready := b.choose()
		if !ready {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-beats.C:
				if err := b.heartbeat(ctx); err != nil {
					return err
				}
			case <-b.feeds.wake:
			}
			continue
		}
		if err := b.next(ctx, beats.C); err != nil {
			return err
		}
	}
}

// next builds the next block and gives it to the link.
func (b *builder) next(ctx context.Context, beats <-chan time.Time) error {
	if b.heavyWait() {
		if sent, err := b.overtake(ctx, beats); sent || err != nil {
			return err
		}
	}
	if err := b.fillBlock(ctx); err != nil {
		return err
	}
	e, err := b.finish()
	if err != nil {
		return err
	}
	return b.hand(ctx, e, beats)
}

// heavyWait says whether a tenant has something ready that is not light.
func (b *builder) heavyWait() bool {
	return slices.ContainsFunc(b.lanes, func(l schedule.Lane) bool { return !b.light.is(l.Tenant) })
}

// apart says whether a tenant's pieces do not go into the block under construction: light ones and others do not share one.
func (b *builder) apart(tenant int) bool {
	return len(b.inside) > 0 && b.light.is(b.inside[0]) != b.light.is(tenant)
}

// overtake gives a light tenant a block of its own, which leaves promptly: what it has waits neither for others' to fill a block, nor for the window that theirs share. It says whether it did.
func (b *builder) overtake(ctx context.Context, beats <-chan time.Time) (sent bool, err error) {
	most := min(b.plan.PromptMax(), b.plan.K/2) // no more: its buffer goes back at once
	if most < 1 || !b.choose() {
		return false, nil
	}
	first := slices.IndexFunc(b.lanes, func(l schedule.Lane) bool { return b.light.may(l.Tenant) })
	if first < 0 {
		return false, nil
	}
	tenant := b.lanes[first].Tenant
	if err := b.open(ctx, most); err != nil {
		return false, err
	}
	for {
		i := b.laneOf(tenant)
		if i < 0 {
			break
		}
		b.scheduler.Take(b.lanes)
		if b.fill(i) {
			b.light.heavy(tenant) // it has more than what is little
			break
		}
		b.choose()
	}
	b.light.spend(tenant, b.block.Used())
	e, err := b.finish()
	if err != nil {
		return false, err
	}
	return true, b.give(ctx, e, beats)
}

// laneOf is the most urgent lane of a tenant that has something ready, or -1.
func (b *builder) laneOf(tenant int) int {
	best := -1
	for i, l := range b.lanes {
		if l.Tenant == tenant && (best < 0 || l.Before(b.lanes[best])) {
			best = i
		}
	}
	return best
}

// fill puts what fits of a lane into the block, and says whether that is full.
func (b *builder) fill(i int) (full bool) {
	l, used := b.lanes[i], b.block.Used()
	full = b.choices[i].fill(&b.block, &b.parts)
	b.scheduler.Charge(l, b.block.Used()-used)
	if !slices.Contains(b.inside, l.Tenant) {
		b.inside = append(b.inside, l.Tenant)
	}
	return full
}

// hand gives a block to the link. A full window makes it wait; heartbeats overtake, and light tenants.
func (b *builder) hand(ctx context.Context, e emitted, beats <-chan time.Time) error {
	if e.emission.Prompt {
		return b.give(ctx, e, beats)
	}
	for {
		for sent := true; sent; {
			var err error
			if sent, err = b.overtake(ctx, beats); err != nil {
				return err
			}
		}
		select {
		case b.bulk <- e:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-beats:
			b.alive()
			if err := b.heartbeat(ctx); err != nil {
				return err
			}
		case <-b.feeds.wake:
		}
	}
}

// give gives a block to the link, and lets nothing overtake but heartbeats.
func (b *builder) give(ctx context.Context, e emitted, beats <-chan time.Time) error {
	out := b.bulk
	if e.emission.Prompt {
		out = b.prompt
	}
	for {
		select {
		case out <- e:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-beats:
			b.alive()
			if err := b.heartbeat(ctx); err != nil {
				return err
			}
		}
	}
}

// choose refreshes the lanes that have something ready.
func (b *builder) choose() bool {
	b.lanes, b.choices = b.feeds.ready(b.lanes[:0], b.choices[:0])
	return len(b.lanes) > 0
}

// fillBlock fills a block with what the scheduler picks, until it is full or everything is dry.
func (b *builder) fillBlock(ctx context.Context) error {
	if err := b.open(ctx, b.plan.K); err != nil {
		return err
	}
	var timer *time.Timer
	for {
		i, ok := b.scheduler.Pick(b.lanes)
		if !ok {
			if !b.feeds.anyBusy() {
				return nil
			}
			if timer == nil {
				timer = time.NewTimer(linger)
				defer timer.Stop()
			}
			select {
			case <-b.feeds.wake:
			case <-timer.C:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
			b.choose()
			continue
		}
		if b.apart(b.lanes[i].Tenant) || b.fill(i) {
			return nil
		}
		b.choose()
	}
}

// open begins a block of k data shards.
func (b *builder) open(ctx context.Context, k int) error {
	buf, err := b.pool.get(ctx)
	if err != nil {
		return err
	}
	b.buffer = buf
	b.block.Reset(buf.bytes[headroom : headroom+k*b.plan.Shard])
	b.parts, b.inside = partList{}, b.inside[:0]
	return nil
}

// finish seals the block under construction, adds its parity and decides how it leaves.
func (b *builder) finish() (emitted, error) {
	shard := b.plan.Shard
	k := (b.block.Used() + shard - 1) / shard
	e := emitted{emission: Emission{Span: int64(b.plan.WindowTime)}}
	m := b.plan.M
	switch {
	case k == b.plan.K:
	case k <= b.plan.PromptMax() && b.parts.mayOvertake():
		var span time.Duration
		m, span = b.plan.Prompt(k)
		e.emission = Emission{Prompt: true, Span: int64(span)}
	default:
		m = b.plan.Partial(k)
	}
	b.parts.book(e.emission.Prompt)
	if !e.emission.Prompt {
		b.light.bulk(b.inside)
	}
	b.parts.charge(int64(k+m) * int64(packet.Overhead+shard+b.wire))
	session, number := b.sessions.block()
	c := &Coded{Session: session, Number: number, Code: fec.Code{K: k, M: m, Shard: shard}, parts: b.parts.parts, bulk: !e.emission.Prompt}
	c.Data = b.block.Seal(number, k*shard)
	b.memory(c)
	if err := b.coder.Encode(c.Code, c.dataShards(), c.Parity); err != nil {
		return emitted{}, err
	}
	e.block = c
	return e, nil
}

// headroom is kept before a block's first shard, for the inner header of its packet: see packet.SealWithin. It keeps the shards on their boundary of 64 bytes.
const headroom = 64

// memory gives the block its parity's memory. A full block keeps its buffer from the pool, which has room for the parity behind the data. A small one
// moves to memory of its own size, so that a few packets do not hold a whole buffer while their parity waits for its time.
func (b *builder) memory(c *Coded) {
	shard := c.Code.Shard
	need := headroom + (c.Code.K+c.Code.M)*shard
	area := b.buffer.bytes
	if buf := b.buffer; need <= len(area) && c.Code.K > b.plan.K/2 {
		c.free = func() { b.pool.put(buf) }
	} else {
		area = make([]byte, need)
		copy(area[headroom:], c.Data)
		b.pool.put(b.buffer)
		c.Data = area[headroom : headroom+len(c.Data)]
	}
	c.area = area
	b.buffer = nil
	c.Parity = make([][]byte, c.Code.M)
	for i := range c.Parity {
		at := headroom + (c.Code.K+i)*shard
		c.Parity[i] = area[at : at+shard : at+shard]
	}
}

func (c *Coded) dataShards() [][]byte {
	list := make([][]byte, c.Code.K)
	for i := range list {
		list[i] = c.Shard(i)
	}
	return list
}

// heartbeatBlocks bounds what one beat may cost on a slow link.
const heartbeatBlocks = 4

// heartbeat sends what Beat gives, as prompt blocks.
func (b *builder) heartbeat(ctx context.Context) error {
	records := b.beat()
	for range heartbeatBlocks {
		if len(records) == 0 {
			return nil
		}
		if err := b.open(ctx, b.beatShards()); err != nil {
			return err
		}
		n := 0
		for n < len(records) && records[n].AppendTo(&b.block) {
			n++
		}
		if n == 0 { // one record larger than a heartbeat's block: it can never fit
			n = 1
		}
		records = records[n:]
		e, err := b.finish()
		if err != nil {
			return err
		}
		select {
		case b.prompt <- e:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// beatShards is the size of a heartbeat's block: small enough to be sent promptly on any link.
func (b *builder) beatShards() int { return min(b.plan.PromptMax(), b.plan.K, 64) }
