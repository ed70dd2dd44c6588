package pack

import (
	"cmp"
	"context"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
)

// Options of a pass.
type Options struct {
	ChunkSize int // bytes: a power of two, 4,096 to 4 MiB; 0 is 4 MiB
	Buffers   *Buffers
	Tenant    int          // of whom: those that hold memory keep some free for one that holds none
	Class     bundle.Class // how pressing its need of memory is; 0 is Normal

	// Patience is how long a first pass waits, for all its files together, until nobody has one open for writing; 0: it fails at once. Between fork and exec a child holds all open files of its
	// parent, also those that the parent has closed and dropped meanwhile.
	Patience time.Duration
}

// Chunk is one chunk, ready to be cut into slices. Its bundle is for the caller to fill in. Runs, frame and stored content belong to it until Release.
type Chunk struct {
	record.Chunk
	Mark bundle.Mark

	buffers borrower
	content []byte // while it is worked on; where it is stored, until Release
	users   atomic.Int32
	work    sync.WaitGroup
	skip    bool // it no longer matches its mark
	err     error
	gone    atomic.Bool
}

// Release gives the chunk's memory back. Calling it again does nothing.
func (c *Chunk) Release() {
	if c.gone.Swap(true) {
		return
	}
	if c.Frame != nil {
		c.buffers.give(c.Frame)
		c.Frame = nil
	}
	if c.Stored != nil {
		c.Stored = nil
		c.leave()
	}
}

// leave ends one use of the content; the last one gives it back.
func (c *Chunk) leave() {
	if c.users.Add(-1) == 0 {
		c.buffers.give(c.content)
		c.content = nil
	}
}

// drop ends the use of one who works on it.
func (c *Chunk) drop() {
	c.leave()
	c.work.Done()
}

// store has the chunk sent as it was read: its content is in use until Release, and no frame is.
func (c *Chunk) store() {
	c.users.Add(1)
	c.Stored = c.content
	c.buffers.give(c.Frame)
	c.Frame = nil
}

// source is what a pass reads: its chunks in order, each once.
type source interface {
	// next gives the number, the runs (valid until the next call) and the length of the next chunk; ok is false at the end.
	next() (number int, runs []bundle.Run, raw int, ok bool)
	// read fills content with what the runs say. skip asks for the chunk to be left out.
	read(ctx context.Context, runs []bundle.Run, content []byte) (skip bool, err error)
	// await waits for what kept a chunk from being read, and says whether it may be tried once more.
	await(ctx context.Context, why error) bool
	// hash takes the content of each chunk in order; it is called beside everything else, and only where hashes is true.
	hash(runs []bundle.Run, content []byte)
	hashes() bool
	// mark takes the mark of a chunk, and says whether it is to be left out. It is called for several chunks at once.
	mark(number int, m bundle.Mark) (skip bool)
	// finish is called when all chunks have been taken well; its error ends the pass instead of io.EOF.
	finish() error
	// small says that the pass is one chunk that is not worth goroutines.
	small() bool
	close()
}

// Pass is one reading of an item. One goroutine calls Next and Close.
//
//	reader --> compressors --\
//	       \--> hasher -------> Next (in order)
//
// Content is read once, and worked on by both while it is in the cache. A pass of one small chunk has no goroutines: most bundles are small.
type Pass struct {
	source  source
	options Options
	skipped []uint32
	err     error // what Next returns from now on

	// The rest is of a pass with goroutines.
	started bool
	ctx     context.Context
	stop    context.CancelFunc
	group   sync.WaitGroup
	out     chan *Chunk // closed at the end; each chunk stands in it before it is worked on, so that they come out in order
	pack    chan *Chunk
	sum     chan *Chunk
}

func newPass(s source, o Options) *Pass {
	if o.Class == 0 {
		o.Class = bundle.Normal
	}
	return &Pass{source: s, options: o}
}

// Next gives the next chunk, io.EOF at the end, or the error that ended the pass, after which nothing more comes. A pass that ended in any way needs no Close.
func (p *Pass) Next(ctx context.Context) (*Chunk, error) {
	for p.err == nil {
		c, err := p.one(ctx)
		if err == nil && c == nil {
			if err = p.source.finish(); err == nil {
				err = io.EOF
			}
		}
		if err != nil {
			p.end(err)
			break
		}
		if !c.skip {
			return c, nil
		}
		p.skipped = append(p.skipped, c.Number)
		c.Release()
	}
	return nil, p.err
}

// Skipped lists the chunks that were left out so far because they no longer match what was signed, ascending.
func (p *Pass) Skipped() []uint32 { return p.skipped }

// Close ends the pass. Chunks that Next has given stay until they are released.
func (p *Pass) Close() {
	if p.err == nil {
		p.end(context.Canceled)
	}
}

func (p *Pass) end(err error) {
	p.err = err
	if p.started {
		p.stop()
		for c := range p.out {
			c.work.Wait()
			c.Release()
		}
		p.group.Wait()
	}
	p.source.close()
}

// one gives the next chunk, skipped or not, or nil at the end.
func (p *Pass) one(ctx context.Context) (*Chunk, error) {
	if !p.started && p.source.small() {
		return p.inline(ctx)
	}
	p.start()
	var c *Chunk
	select {
	case c = <-p.out:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if c == nil {
		return nil, nil
	}
	c.work.Wait()
	if c.err != nil {
		c.Release()
		return nil, c.err
	}
	return c, nil
}

// inline makes a chunk here and now.
func (p *Pass) inline(ctx context.Context) (*Chunk, error) {
	c, err := p.fetch(ctx)
	if c == nil || err != nil {
		return nil, err
	}
	if p.source.hashes() {
		p.source.hash(c.Runs, c.content)
		c.drop()
	}
	p.compress(c)
	if c.err != nil {
		c.Release()
		return nil, c.err
	}
	return c, nil
}

// fetch reads the next chunk; nil is the end.
func (p *Pass) fetch(ctx context.Context) (*Chunk, error) {
	number, runs, raw, ok := p.source.next()
	if !ok {
		return nil, nil
	}
	b := p.options.Buffers.of(p.options.Tenant)
	c := &Chunk{buffers: b}
	c.Number, c.Raw = uint32(number), uint32(raw)
	c.Runs = append(make([]bundle.Run, 0, len(runs)), runs...)
	for {
		var err error
		if c.content, c.Frame, err = b.take(ctx, p.options.Class, raw); err != nil {
			return nil, err
		}
		if c.skip, err = p.source.read(ctx, c.Runs, c.content); err == nil {
			break
		}
		b.give(c.content)
		b.give(c.Frame)
		if !p.source.await(ctx, err) { // with no memory in its hands: others need it
			return nil, cmp.Or(ctx.Err(), err)
		}
	}
	users := int32(1)
	if p.source.hashes() {
		users = 2
	}
	c.users.Store(users)
	c.work.Add(int(users))
	return c, nil
}

// compress marks a chunk and makes its frame, where one is worth it.
func (p *Pass) compress(c *Chunk) {
	defer c.drop()
	if c.skip {
		return
	}
	c.Mark = bundle.Mark(xxhash.Sum64(c.content))
	if c.skip = p.source.mark(int(c.Number), c.Mark); c.skip {
		return
	}
	frame, err := c.buffers.compress(c.Frame, c.content)
	switch {
	case err != nil:
		c.err = err
	case frame == nil:
		c.store()
	default:
		c.Frame = c.buffers.shrink(frame)
	}
}

// smallContent is what one core reads, hashes and compresses in less time than it takes to share the work well.
const smallContent = 256 << 10

// The chunks that are read and not taken yet are few: each holds two buffers. Half of the memory is left to others.
const (
	depthLeast = 2
	depthMost  = 8
)

func (p *Pass) start() {
	if p.started {
		return
	}
	p.started = true
	p.ctx, p.stop = context.WithCancel(context.Background())
	loan := 2 * int64(classSize(classOf(p.options.ChunkSize)))
	depth := int(min(max(p.options.Buffers.limit/2/loan, depthLeast), depthMost))
	p.out = make(chan *Chunk, depth-1) // one more is being read
	p.pack = make(chan *Chunk, depth)
	if p.source.hashes() {
		p.sum = make(chan *Chunk, depth)
		p.group.Go(p.hasher)
	}
	for range min(depth, runtime.GOMAXPROCS(0)) {
		p.group.Go(p.compressor)
	}
	p.group.Go(p.read) // last: it hands chunks to whatever channels there are
}

// read reads ahead. The channels behind out have room for all that out holds and one more, so that only out makes it wait.
func (p *Pass) read() {
	defer close(p.out)
	defer close(p.pack)
	if p.sum != nil {
		defer close(p.sum)
	}
	for {
		c, err := p.fetch(p.ctx)
		if err != nil {
			c = &Chunk{err: err}
		}
		if c == nil {
			return
		}
		select {
		case p.out <- c:
		case <-p.ctx.Done():
			if err == nil {
				c.buffers.give(c.content)
				c.Release()
			}
			return
		}
		if err != nil {
			return
		}
		p.pack <- c
		if p.sum != nil {
			p.sum <- c
		}
	}
}

func (p *Pass) compressor() {
	for c := range p.pack {
		p.compress(c)
	}
}

func (p *Pass) hasher() {
	for c := range p.sum {
		p.source.hash(c.Runs, c.content)
		c.drop()
	}
}
