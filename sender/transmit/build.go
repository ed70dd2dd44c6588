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

	blocks [ways]chan emitted // the link's

	block   record.Block
	buffer  *buffer // of the block under construction
	express *buffer // of express blocks, which move to memory of their own: what waits for nobody waits for no buffer of the window's either
	parts   partList
	lanes   []schedule.Lane
	choices []*Feed
	inside  []tenantPart
	light   light
	alive   func()
}

// tenantPart is what one tenant has in the block under construction.
type tenantPart struct{ tenant, used int }

// emitted is a coded block with its way of leaving.
type emitted struct {
	block    *Coded
	emission Emission
}

// run builds blocks until ctx ends. It waits for the link's window and for buffers, and heartbeats go on meanwhile; and for the link to take an express block, which takes it no longer than a few of them.
func (b *builder) run(ctx context.Context) error {
	beats := time.NewTicker(heartbeatEvery)
	defer beats.Stop()
	if err := b.heartbeat(ctx); err != nil {
		return err
	}
	for {
		b.alive()
		if err := b.beatIfDue(ctx, beats.C); err != nil {
			return err
		}
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
		if sent, err := b.overtake(ctx); sent || err != nil {
			return err
		}
	}
	buf, err := b.until(ctx, beats, nil, emitted{}, b.pool.free)
	if err != nil {
		return err
	}
	b.open(buf, b.plan.K)
	if err := b.fillBlock(ctx); err != nil {
		return err
	}
	if len(b.inside) == 0 { // all of it has overtaken
		b.pool.put(buf)
		return nil
	}
	e, err := b.finish()
	if err != nil {
		return err
	}
	if e.emission.Way == Express {
		return b.give(ctx, e)
	}
	_, err = b.until(ctx, beats, b.blocks[e.emission.Way], e, nil)
	return err
}

// heavyWait says whether a tenant has something ready that is not light.
func (b *builder) heavyWait() bool {
	return slices.ContainsFunc(b.lanes, func(l schedule.Lane) bool { return !b.light.is(l.Tenant) })
}

// apart says whether a tenant's pieces do not go into the block under construction: what a light one has stands in a block of its own, which another's does not delay.
func (b *builder) apart(tenant int) bool {
	return len(b.inside) > 0 && b.inside[0].tenant != tenant && (b.light.is(b.inside[0].tenant) || b.light.is(tenant))
}

// expressMost is how many data shards an express block has at most: so few that its buffer goes back at once.
func (b *builder) expressMost() int { return min(b.plan.PromptMax(), b.plan.K/2) }

// overtake gives a light tenant a block of its own, which leaves express: what it has waits neither for others' to fill a block, nor for what of theirs is before the link. It says whether it did.
func (b *builder) overtake(ctx context.Context) (sent bool, err error) {
	if b.expressMost() < 1 || !b.choose() {
		return false, nil
	}
	tenant := -1
	for _, l := range b.lanes {
		if b.light.is(l.Tenant) && (tenant < 0 || b.light.owes(l.Tenant) < b.light.owes(tenant)) {
			tenant = l.Tenant
		}
	}
	if tenant < 0 {
		return false, nil
	}
	b.open(b.express, b.expressMost())
	for i := b.laneOf(tenant); i >= 0; i = b.laneOf(tenant) {
		b.scheduler.Take(b.lanes)
		if b.fill(i) {
			break
		}
		b.choose()
	}
	if b.inside[0].used == 0 { // a record that no express block holds
		b.light.tooLarge(tenant)
		return false, nil
	}
	e, err := b.finish()
	if err != nil {
		return false, err
	}
	return true, b.give(ctx, e)
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
	used = b.block.Used() - used
	if at := slices.IndexFunc(b.inside, func(p tenantPart) bool { return p.tenant == l.Tenant }); at >= 0 {
		b.inside[at].used += used
	} else {
		b.inside = append(b.inside, tenantPart{l.Tenant, used})
	}
	return full
}

// until waits for the link: until it takes a block, or is done with the buffer of another; the channel that is not waited for is nil. Meanwhile heartbeats overtake, and light tenants.
func (b *builder) until(ctx context.Context, beats <-chan time.Time, takes chan<- emitted, e emitted, free <-chan *buffer) (*buffer, error) {
	for {
		if err := b.beatIfDue(ctx, beats); err != nil {
			return nil, err
		}
		select {
		case takes <- e:
			return nil, nil
		case buf := <-free:
			return buf, nil
		default:
		}
		if sent, err := b.overtake(ctx); err != nil {
			return nil, err
		} else if sent {
			continue
		}
		select {
		case takes <- e:
			return nil, nil
		case buf := <-free:
			return buf, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-beats:
			b.alive()
			if err := b.heartbeat(ctx); err != nil {
				return nil, err
			}
		case <-b.feeds.wake:
		}
	}
}

// beatIfDue sends a heartbeat whose time has come: also where nothing is ever waited for, because the link is faster than the builder.
func (b *builder) beatIfDue(ctx context.Context, beats <-chan time.Time) error {
	select {
	case <-beats:
		b.alive()
		return b.heartbeat(ctx)
	default:
		return nil
	}
}

// give gives an express block to the link, which takes it within the time of a few; or when the system takes datagrams again. Whoever only waits for the link is alive: that speaks for itself.
func (b *builder) give(ctx context.Context, e emitted) error {
	to := b.blocks[e.emission.Way]
	select {
	case to <- e:
		return nil
	default:
	}
	waits := time.NewTicker(heartbeatEvery)
	defer waits.Stop()
	for {
		select {
		case to <- e:
			return nil
		case <-waits.C:
			b.alive()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// choose refreshes the lanes that have something ready.
func (b *builder) choose() bool {
	b.lanes, b.choices = b.feeds.ready(b.lanes[:0], b.choices[:0])
	b.light.look(b.lanes)
	return len(b.lanes) > 0
}

// fillBlock fills a block with what the scheduler picks, until it is full or everything is dry.
func (b *builder) fillBlock(ctx context.Context) error {
	b.choose()
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

// open begins a block of k data shards in a buffer.
func (b *builder) open(buf *buffer, k int) {
	b.buffer = buf
	b.block.Reset(buf.bytes[headroom : headroom+k*b.plan.Shard])
	b.parts, b.inside = partList{}, b.inside[:0]
}

// finish seals the block under construction, adds its parity and decides how it leaves.
func (b *builder) finish() (emitted, error) {
	shard := b.plan.Shard
	k := (b.block.Used() + shard - 1) / shard
	e := emitted{emission: Emission{Way: Bulk, Span: int64(b.plan.WindowTime)}}
	m := b.plan.M
	switch {
	case k == b.plan.K:
	case k <= b.plan.PromptMax() && b.parts.mayOvertake():
		var span time.Duration
		m, span = b.plan.Prompt(k)
		e.emission = Emission{Way: Prompt, Span: int64(span)}
		switch {
		case len(b.inside) == 0: // the gateway's own
			e.emission.Way = Express
		case k <= b.expressMost() && len(b.inside) == 1 && b.light.is(b.inside[0].tenant):
			e.emission.Way, e.emission.Owes = Express, b.light.owes(b.inside[0].tenant)
		}
	default:
		m = b.plan.Partial(k)
	}
	bulk := e.emission.Way == Bulk
	b.parts.book(!bulk)
	wire := (k + m) * (packet.Overhead + shard + b.wire)
	b.parts.charge(int64(wire))
	session, number := b.sessions.block()
	c := &Coded{Session: session, Number: number, Code: fec.Code{K: k, M: m, Shard: shard}, parts: b.parts.parts, bulk: bulk}
	for _, p := range b.inside {
		b.light.sent(p.tenant, float64(wire)*float64(p.used)/float64(b.block.Used()), e.emission.Way == Express)
		if bulk {
			c.counted = append(c.counted, b.light.window(p.tenant))
		}
	}
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
// moves to memory of its own size, so that a few packets do not hold a whole buffer while their parity waits for its time; so does every express one.
func (b *builder) memory(c *Coded) {
	shard := c.Code.Shard
	need := headroom + (c.Code.K+c.Code.M)*shard
	area := b.buffer.bytes
	if buf := b.buffer; buf != b.express && need <= len(area) && c.Code.K > b.plan.K/2 {
		c.free = func() { b.pool.put(buf) }
	} else {
		area = make([]byte, need)
		copy(area[headroom:], c.Data)
		if b.buffer != b.express {
			b.pool.put(b.buffer)
		}
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

// heartbeat sends what Beat gives, as express blocks.
func (b *builder) heartbeat(ctx context.Context) error {
	records := b.beat()
	for range heartbeatBlocks {
		if len(records) == 0 {
			return nil
		}
		b.open(b.express, b.beatShards())
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
		if err := b.give(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// beatShards is the size of a heartbeat's block: small enough to be sent promptly on any link.
func (b *builder) beatShards() int { return min(b.plan.PromptMax(), b.plan.K, 64) }
