package pack

import (
	"context"
	"fmt"
	"math/bits"
	"runtime"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
)

// MinMemory is the least that Buffers may have: every class gets a chunk of the largest size within its share.
const MinMemory = 16 << 20

// DefaultMemory holds five chunks of the largest size on their way.
const DefaultMemory = 48 << 20

// Buffers is the memory of all passes together: what is read, what it is compressed to, and the compressors. A chunk takes both its buffers at once, so that no two passes
// wait for each other's. Its methods may be called from several goroutines.
//
// The last quarter of the memory is not for bulk, and the last eighth for urgent bundles alone: a link that is slow to take a bulk chunk does not
// keep an urgent one from being read. Nor does it keep the first chunk of another tenant: of several,
// one that holds something already leaves room for one chunk of the largest size, for whichever of the others comes first. So it is from 22 MiB of memory on; of less, a bulk chunk may
// find no room beside another. It is no share of each tenant's: the third waits until one of two gives something back.
type Buffers struct {
	limit    int64
	first    int64         // what those that hold something leave, bytes: room for a chunk of the largest size; 0 where there is one tenant
	encoders chan *encoder // as many as there are processors; nil is one that is not made yet
	level    zstd.EncoderLevel

	mu      sync.Mutex
	used    int64         // bytes that are lent
	holds   map[int]int64 // the same, by tenant; none that holds nothing
	made    int64         // bytes that exist: lent and got, or in free
	free    [classes][][]byte
	waiting []*waiter // by class, then in order
}

// A buffer's class is the power of two, from the least chunk size to the largest, whose frames fit it.
const (
	classes  = 11
	leastLog = 12
)

func classOf(size int) int {
	return max(bits.Len(uint(max(size, 1)-1))-leastLog, 0)
}

func classSize(class int) int { return record.MaxFrame(bundle.ChunkSizeMin << class) }

// waiter is one request that does not fit yet.
type waiter struct {
	tenant  int
	urgency bundle.Class
	need    int64
	granted chan struct{} // closed under the lock
}

// NewBuffers makes Buffers of at most so many bytes, not counting the compressors, of which each takes about 1 MiB, and for the time of a copy a quarter of a chunk. A level of 0 is zstd's fastest.
// Where there are several tenants, those that hold something leave room for one that does not; one alone may have all.
func NewBuffers(memory int64, level zstd.EncoderLevel, tenants int) *Buffers {
	if level == 0 {
		level = zstd.SpeedFastest
	}
	b := &Buffers{limit: max(memory, MinMemory), level: level, encoders: make(chan *encoder, runtime.GOMAXPROCS(0)), holds: make(map[int]int64)}
	if tenants > 1 {
		b.first = 2 * int64(classSize(classes-1))
	}
	for range cap(b.encoders) {
		b.encoders <- nil
	}
	return b
}

// fits says whether there is room for a request.
func (b *Buffers) fits(w *waiter) bool {
	room := b.limit
	switch w.urgency {
	case bundle.Urgent:
	case bundle.Bulk:
		room -= b.limit / 4
	default:
		room -= b.limit / 8
	}
	if b.holds[w.tenant] > 0 {
		room -= b.first
	}
	return b.used+w.need <= room
}

// lend counts bytes as lent to a tenant, or as given back.
func (b *Buffers) lend(tenant int, bytes int64) {
	b.used += bytes
	if b.holds[tenant] += bytes; b.holds[tenant] == 0 {
		delete(b.holds, tenant)
	}
}

// Used is the number of bytes that are lent.
func (b *Buffers) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// borrower is Buffers as the passes of one tenant know them.
type borrower struct {
	*Buffers
	tenant int
}

// of gives the buffers to a tenant's passes.
func (b *Buffers) of(tenant int) borrower { return borrower{b, tenant} }

// take lends two buffers for a chunk of raw bytes: one to read it into, one for its frame. It waits until they fit.
func (b borrower) take(ctx context.Context, c bundle.Class, raw int) (content, frame []byte, err error) {
	class := classOf(raw)
	if err := b.reserve(ctx, waiter{tenant: b.tenant, urgency: c, need: 2 * int64(classSize(class))}); err != nil {
		return nil, nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.get(class)[:raw], b.get(class)[:0], nil
}

// reserve counts what is asked for as lent, as soon as it fits.
func (b *Buffers) reserve(ctx context.Context, asked waiter) error {
	b.mu.Lock()
	if len(b.waiting) == 0 && b.fits(&asked) {
		b.lend(asked.tenant, asked.need)
		b.mu.Unlock()
		return nil
	}
	w := &asked
	w.granted = make(chan struct{})
	at := len(b.waiting)
	for at > 0 && b.waiting[at-1].urgency > w.urgency {
		at--
	}
	b.waiting = slices.Insert(b.waiting, at, w)
	b.grant()
	b.mu.Unlock()
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if at := slices.Index(b.waiting, w); at >= 0 {
		b.waiting = slices.Delete(b.waiting, at, at+1)
	} else { // it was granted in the same moment
		b.lend(w.tenant, -w.need)
	}
	b.grant()
	return ctx.Err()
}

// grant wakes those whose turn it is and for whom there is room. One who does not fit holds up what is behind him, so that large chunks get their turn; but one whose tenant
// holds something already holds up none whose tenant does not.
func (b *Buffers) grant() {
	held := false // somebody who holds something does not fit
	for at := 0; at < len(b.waiting); {
		w := b.waiting[at]
		holds := b.holds[w.tenant] > 0
		switch {
		case held && holds:
			at++
		case b.fits(w):
			b.lend(w.tenant, w.need)
			close(w.granted)
			b.waiting = slices.Delete(b.waiting, at, at+1)
		case holds:
			held = true
			at++
		default:
			return
		}
	}
}

// get gives a buffer that is counted already. Idle buffers of other sizes make room for a new one.
func (b *Buffers) get(class int) []byte {
	size := int64(classSize(class))
	if list := b.free[class]; len(list) > 0 {
		buffer := list[len(list)-1]
		b.free[class] = list[:len(list)-1]
		return buffer
	}
	b.made += size
	for other := classes - 1; other >= 0; other-- {
		for b.made > b.limit && len(b.free[other]) > 0 {
			list := b.free[other]
			list[len(list)-1] = nil
			b.free[other] = list[:len(list)-1]
			b.made -= int64(classSize(other))
		}
	}
	return make([]byte, size)
}

// give takes a buffer back.
func (b borrower) give(buffer []byte) {
	class := classOf((cap(buffer) - 1024) / 129 * 128)
	if cap(buffer) != classSize(class) {
		panic("pack: internal error: a buffer of no class")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	size := int64(cap(buffer))
	b.lend(b.tenant, -size)
	if b.made <= b.limit {
		b.free[class] = append(b.free[class], buffer[:size])
	} else {
		b.made -= size
	}
	b.grant()
}

// shrink moves a frame to a smaller buffer where that frees at least three quarters of what it holds: while it waits for the link, the rest serves others.
// It never waits, because it takes less than it gives back.
func (b borrower) shrink(frame []byte) []byte {
	class := classOf(len(frame))
	if 4*classSize(class) > cap(frame) {
		return frame
	}
	b.mu.Lock()
	b.lend(b.tenant, int64(classSize(class)))
	small := b.get(class)
	b.mu.Unlock()
	small = append(small[:0], frame...)
	b.give(frame)
	return small
}

// encoder is a compressor with its memory for samples.
type encoder struct {
	zstd   *zstd.Encoder
	sample []byte
	out    []byte
}

func newEncoder(level zstd.EncoderLevel) (*encoder, error) {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(level), zstd.WithEncoderCRC(false),
		zstd.WithSingleSegment(true), zstd.WithWindowSize(bundle.ChunkSizeMax))
	if err != nil {
		return nil, fmt.Errorf("make a compressor: %w", err)
	}
	return &encoder{zstd: e, sample: make([]byte, 0, samples*sampleSize), out: make([]byte, 0, record.MaxFrame(samples*sampleSize))}, nil
}

// A large chunk is tried out on so many samples of it, spread evenly. What is compressed, encrypted or random already is most of what is large, and looking for what repeats in all of it
// takes as long as reading it. What no sample shows is not made smaller: random bytes that come again far from where they were, and
// text that lies between samples, 270 KiB apart in the largest chunk.
const (
	samples     = 16
	sampleSize  = 4 << 10
	sampledFrom = 256 << 10 // bytes of content
	worthwhile  = 32        // one part in so many has to be saved: less than what one sample among all others gives that is text
)

// hopeless says that compression would hardly make the content smaller. It depends on the content alone: each pass makes the same frame.
func (e *encoder) hopeless(content []byte) bool {
	if len(content) < sampledFrom {
		return false
	}
	e.sample = e.sample[:0]
	for i := range samples {
		at := (len(content) - sampleSize) / (samples - 1) * i
		e.sample = append(e.sample, content[at:at+sampleSize]...)
	}
	e.out = e.zstd.EncodeAll(e.sample, e.out[:0])
	return len(e.out) > len(e.sample)-len(e.sample)/worthwhile
}

// compress appends one frame to dst: no dictionary, the size of the content in its header, in a single segment, without a checksum, which the block and the
// manifest have. It is nil where that is not worth it.
func (b *Buffers) compress(dst, content []byte) (frame []byte, err error) {
	e := <-b.encoders
	defer func() { b.encoders <- e }()
	if e == nil {
		if e, err = newEncoder(b.level); err != nil {
			return nil, err
		}
	}
	if e.hopeless(content) {
		return nil, nil
	}
	frame = e.zstd.EncodeAll(content, dst)
	if len(frame) > record.MaxFrame(len(content)) || cap(frame) != cap(dst) {
		return nil, fmt.Errorf("compress: %d bytes became %d", len(content), len(frame))
	}
	return frame, nil
}
