package collect

import "sync/atomic"

const (
	// bufferSize is what one reading of a socket may fill: the largest that the kernel puts together (GRO).
	bufferSize = 64 << 10
	// A reading that filled less than half of its buffer is moved up to the one before it, so that single datagrams do not
	// take 64 KiB each.
	closeUp = bufferSize / 2
	// ringUnit is the granularity of the ring's memory, a cache line; ringDatum is the mean size of a reading for which the ring has a
	// description: below that of any packet.
	ringUnit  = 64
	ringDatum = 1024
)

// Buffer is memory for one reading of a socket: one datagram, or several of one size that the kernel put together.
type Buffer struct {
	Mem     []byte
	N       int // bytes read
	Segment int // size of each datagram but the last, which may be shorter; 0 for one datagram
}

// datagrams is the number of datagrams in a buffer.
func (b *Buffer) datagrams() int {
	if b.Segment <= 0 || b.Segment >= b.N {
		return 1
	}
	return (b.N + b.Segment - 1) / b.Segment
}

// next cuts the first datagram off what is left of a buffer's content.
func (b *Buffer) next(rest []byte) (datagram, after []byte) {
	if b.Segment <= 0 || b.Segment >= len(rest) {
		return rest, nil
	}
	return rest[:b.Segment:b.Segment], rest[b.Segment:]
}

// ring carries readings from one drain to one collector, in order, through memory of a fixed size. Neither side waits for the
// other here.
//
//	memory:   | free: offered to the socket | read, not yet collected     | free                    |
//	----------+-----------------------------+-----------------------------+-------------------------+
//	          0                             tail                          head                      size
//
// Positions count on for ever; the place in memory is the position modulo its size. A reading never wraps: where the rest is
// too short for one, it is left out. Only the drain writes head, only the collector tail.
type ring struct {
	memory   []byte
	readings []reading // descriptions, a ring as well
	offered  []Buffer

	put  atomic.Uint64 // descriptions published by the drain
	got  atomic.Uint64 // descriptions given back by the collector
	tail atomic.Uint64
	head uint64

	wake chan struct{} // holds one token: more may be here
}

// reading describes one buffer on its way.
type reading struct {
	Buffer
	end uint64 // where it ends in the ring
}

// newRing works in memory of a multiple of bufferSize, and offers at most atOnce buffers at a time.
func newRing(memory []byte, atOnce int) *ring {
	return &ring{
		memory:   memory,
		readings: make([]reading, len(memory)/ringDatum),
		offered:  make([]Buffer, 0, atOnce),
		wake:     make(chan struct{}, 1),
	}
}

// room gives the drain free buffers that lie one behind the other; none when the collector is behind.
func (r *ring) room() []Buffer {
	size := uint64(len(r.memory))
	r.offered = r.offered[:0]
	if size-r.head%size < bufferSize {
		r.head += size - r.head%size
	}
	used := uint64(0)
	if r.got.Load() != r.put.Load() {
		used = r.head - r.tail.Load()
	}
	if used > size {
		return nil // the rest that was left out is all there was
	}
	at := r.head % size
	free := min(size-used, size-at) / bufferSize
	descriptions := uint64(len(r.readings)) - (r.put.Load() - r.got.Load())
	for i := range min(free, descriptions, uint64(cap(r.offered))) {
		from := at + i*bufferSize
		r.offered = append(r.offered, Buffer{Mem: r.memory[from : from+bufferSize : from+bufferSize]})
	}
	return r.offered
}

// publish hands the first n buffers of room to the collector, which the socket has filled.
func (r *ring) publish(n int) {
	if n == 0 {
		return
	}
	size, put := uint64(len(r.memory)), r.put.Load()
	first := r.head // where the first of the offered buffers lies; the others follow
	for i, b := range r.offered[:n] {
		if lies := first + uint64(i)*bufferSize; b.N >= closeUp {
			r.head = lies
		} else if r.head != lies {
			at := r.head % size
			b.Mem = r.memory[at : at+uint64(copy(r.memory[at:], b.Mem[:b.N]))]
		}
		r.head += (uint64(b.N) + ringUnit - 1) / ringUnit * ringUnit
		r.readings[(put+uint64(i))%uint64(len(r.readings))] = reading{b, r.head}
	}
	r.put.Add(uint64(n))
	select {
	case r.wake <- struct{}{}:
	default: // a token is there already, and the collector will look
	}
}

// front gives the collector the oldest reading, or nil.
func (r *ring) front() *Buffer {
	got := r.got.Load()
	if got == r.put.Load() {
		return nil
	}
	return &r.readings[got%uint64(len(r.readings))].Buffer
}

// pop gives the oldest reading's memory back to the drain.
func (r *ring) pop() {
	got := r.got.Load()
	r.tail.Store(r.readings[got%uint64(len(r.readings))].end)
	r.got.Add(1)
}
