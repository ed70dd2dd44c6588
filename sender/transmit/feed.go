package transmit

import (
	"context"
	"sync/atomic"

	"ecluse/protocol/record"
	"ecluse/sender/schedule"
)

// Appender is a record that goes whole into a block: an offer, a close, an abandon. It reports false when the block has no room left for it.
type Appender interface {
	AppendTo(*record.Block) bool
	Length() int // of its body
}

// Piece is one thing to send: a chunk, or else a small record.
type Piece struct {
	Record  Appender
	Chunk   *record.Chunk
	Out     *Out   // the pass it belongs to; nil for none
	Content int64  // bytes of raw content that it stands for
	Release func() // gives the chunk's memory back once it stands in a block; may be nil
}

// A feed holds at most feedPieces pieces, so that a thousand small bundles share a block, and at most feedChunks large chunks among them, so
// that one tenant does not hoard the memory of all (4 MiB each) while it waits for its turn. Put waits when either is full.
const (
	feedPieces = 256
	feedChunks = 2
	largeChunk = 64 << 10 // bytes of a frame above which a chunk counts as large
)

func (p *Piece) large() bool { return p.Chunk != nil && p.Chunk.FrameLength() > largeChunk }

// Feed is one stream of pieces, in order: what one tenant sends in one class. One goroutine puts, the builder takes.
type Feed struct {
	lane    schedule.Lane
	pieces  chan Piece
	large   chan struct{} // a token for each large chunk in pieces
	wake    chan<- struct{}
	busy    atomic.Bool // the putter is working on the next piece: waiting a little for it makes a fuller block
	closed  atomic.Bool
	current *Piece // the builder's: the piece under way
	slicer  record.Slicer
}

// Put hands a piece over; it waits while the feed is full. It fails only when ctx ends. From here on the piece counts for its pass: what waits in a feed is not out.
func (f *Feed) Put(ctx context.Context, p Piece) error {
	if p.Out != nil {
		p.Out.enter()
	}
	err := f.put(ctx, p)
	if err != nil && p.Out != nil {
		p.Out.settle(0)
	}
	return err
}

func (f *Feed) put(ctx context.Context, p Piece) error {
	if p.large() {
		select {
		case f.large <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case f.pieces <- p:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
	return nil
}

// Busy tells the builder whether more is about to come.
func (f *Feed) Busy(busy bool) {
	f.busy.Store(busy)
	if !busy {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
}

// Close says that nothing more will be put. What was put is still sent.
func (f *Feed) Close() {
	f.closed.Store(true)
	f.Busy(false)
}

// ready says whether the feed has something to send now. The builder calls it.
func (f *Feed) ready() bool {
	if f.current != nil {
		return true
	}
	select {
	case p := <-f.pieces:
		f.current = &p
		if p.large() {
			<-f.large
		}
		if p.Chunk != nil {
			f.slicer = record.NewSlicer(*p.Chunk)
		}
		return true
	default:
		return false
	}
}

// fill appends as much as fits, until the feed is dry or the block is full, which it reports.
func (f *Feed) fill(b *record.Block, parts *partList) (full bool) {
	for f.ready() {
		p := f.current
		used := b.Used()
		var done bool
		if p.Chunk != nil {
			done = f.slicer.AppendTo(b)
		} else {
			done = p.Record.AppendTo(b)
		}
		parts.used += b.Used() - used
		if b.Used() > used && p.Out != nil {
			parts.enter(p.Out, b.Used()-used)
		}
		if !done {
			return true
		}
		if p.Out != nil {
			parts.add(p.Out, p.Content)
			p.Out.settle(0) // the block counts for it now
		}
		if p.Release != nil {
			p.Release()
		}
		f.current = nil
	}
	return false
}

// discard throws away what waits. The builder calls it.
func (f *Feed) discard() {
	for f.ready() {
		p := f.current
		if p.Out != nil {
			p.Out.cut.Store(true)
			p.Out.settle(0)
		}
		if p.Release != nil {
			p.Release()
		}
		f.current = nil
	}
}

// partList gathers what each pass has in the block under construction.
type partList struct {
	parts []part
	used  int // bytes of the block, also of what is no pass's
}

// enter notes that a pass has bytes in the block, or more of them.
func (l *partList) enter(o *Out, bytes int) {
	for i := len(l.parts) - 1; i >= 0; i-- { // most often it is the last
		if l.parts[i].out == o {
			l.parts[i].used += bytes
			return
		}
	}
	o.enter()
	l.parts = append(l.parts, part{out: o, used: bytes})
}

// charge shares what the block takes of the wire, parity and headers too, between the passes in it, by their bytes and without a rest.
func (l *partList) charge(wire int64) {
	sum, charged := int64(0), int64(0)
	for i := range l.parts {
		sum += int64(l.parts[i].used)
		upTo := wire * sum / int64(l.used)
		l.parts[i].wire = upTo - charged
		charged = upTo
	}
}

// mayOvertake says whether the block may leave promptly: see Out.
func (l *partList) mayOvertake() bool {
	for _, p := range l.parts {
		if !p.out.mayOvertake() {
			return false
		}
	}
	return true
}

func (l *partList) book(prompt bool) {
	for _, p := range l.parts {
		p.out.book(prompt)
	}
}

func (l *partList) add(o *Out, content int64) {
	for i := len(l.parts) - 1; i >= 0; i-- {
		if l.parts[i].out == o {
			l.parts[i].content += content
			return
		}
	}
}
