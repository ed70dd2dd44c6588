package sim

import (
	"container/heap"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"ecluse/internal/udp"
	"ecluse/receiver/collect"
)

// errClosed is what a closed port gives.
var errClosed = errors.New("the socket is closed")

// link carries datagrams one way. The fate of each is drawn in the order of sending from the link's own source.
type link struct {
	w *world

	mu       sync.Mutex
	rand     *rand.Rand
	active   map[kind]fault // of the link, and when they end
	ends     map[kind]time.Time
	dark     bool // the state of the Gilbert-Elliott chain
	queue    arrivals
	sent     uint64
	distinct int
	held     []byte // a packet that will come again
	seen     map[[16]byte]bool
	port     *port
	dropped  uint64
}

// arrival is a datagram on its way.
type arrival struct {
	at   time.Time
	n    uint64
	data []byte
}

type arrivals []arrival

func (a arrivals) Len() int { return len(a) }
func (a arrivals) Less(i, j int) bool {
	if !a[i].at.Equal(a[j].at) {
		return a[i].at.Before(a[j].at)
	}
	return a[i].n < a[j].n
}
func (a arrivals) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *arrivals) Push(x any)   { *a = append(*a, x.(arrival)) }
func (a *arrivals) Pop() any {
	last := len(*a) - 1
	x := (*a)[last]
	(*a)[last] = arrival{}
	*a = (*a)[:last]
	return x
}

func newLink(w *world) *link {
	return &link{w: w, rand: source(w.plan.seed, ofLink), active: make(map[kind]fault), ends: make(map[kind]time.Time), seen: make(map[[16]byte]bool)}
}

// begin makes a fault of the link hold for its time.
func (l *link) begin(f fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active[f.kind], l.ends[f.kind] = f, time.Now().Add(f.last)
}

// calm ends all faults of the link.
func (l *link) calm() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.active)
	l.dark = false
}

// level is how strong a fault is now, 0 where it does not hold.
func (l *link) level(k kind, now time.Time) float64 {
	f, ok := l.active[k]
	if !ok || !now.Before(l.ends[k]) {
		return 0
	}
	return max(f.level, 1e-3)
}

// tap is the sender's end, for one life.
type tap struct {
	link  *link
	alive func() bool
}

// Send implements transmit.Socket.
func (t tap) Send(batch []byte, segment int) (int, error) {
	if !t.alive() {
		return 0, errClosed
	}
	n := 0
	for rest := batch; len(rest) > 0; n++ {
		size := min(segment, len(rest))
		t.link.send(rest[:size])
		rest = rest[size:]
	}
	return n, nil
}

// send decides what becomes of one datagram.
func (l *link) send(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.sent++
	l.w.trace(sentPacket, b[:min(len(b), 16)], int64(len(b)))
	l.distinctly(b)
	strike := func(k kind, chance float64) bool {
		if chance == 0 || l.rand.Float64() >= chance {
			return false
		}
		l.w.tally.add(k)
		return true
	}
	if l.level(outage, now) > 0 {
		l.w.tally.add(outage)
		return
	}
	if v := l.level(burst, now); v > 0 {
		if l.dark {
			l.dark = l.rand.Float64() > 0.02+0.2*(1-v) // 5 to 50 packets long
		} else {
			l.dark = l.rand.Float64() < 0.01+0.03*v
		}
		if l.dark && strike(burst, 0.95) {
			return
		}
	}
	if strike(loss, 0.4*l.level(loss, now)*l.level(loss, now)) {
		return
	}
	data := append([]byte(nil), b...)
	if strike(flip, 0.2*l.level(flip, now)) {
		bit := l.rand.IntN(8 * len(data))
		data[bit/8] ^= 1 << (bit % 8)
	}
	if strike(cut, 0.2*l.level(cut, now)) {
		data = data[:l.rand.IntN(len(data))]
	}
	at := now.Add(l.w.plan.latency)
	if v := l.level(reorder, now); strike(reorder, 0.5*v) {
		at = at.Add(time.Duration(l.rand.Int64N(int64(v*float64(200*time.Millisecond)) + 1)))
	}
	l.arrive(at, data)
	if strike(duplicate, 0.5*l.level(duplicate, now)) {
		l.arrive(at.Add(time.Duration(l.rand.Int64N(int64(50*time.Millisecond)))), data)
	}
	if v := l.level(replay, now); v > 0 {
		if l.held != nil && strike(replay, 0.1) {
			l.arrive(at.Add(time.Duration(l.rand.Int64N(int64(5*time.Second)))), l.held)
		}
		if l.rand.IntN(4) == 0 {
			l.held = data
		}
	}
	l.rouse()
}

// distinctly holds a data packet's tag and nonce against all before it: a pair that comes twice would open both (P-4).
func (l *link) distinctly(b []byte) {
	if len(b) < 16 || b[0] != 0x12 {
		return
	}
	key := [16]byte(b[:16])
	clear(key[10:]) // the salt: a number is never used twice, whatever the salt
	if l.seen[key] {
		l.w.fail("packet number used twice under one key: %x", b[:16])
	}
	l.seen[key] = true
	l.distinct++
}

func (l *link) arrive(at time.Time, data []byte) {
	l.queueUp(arrival{at, l.sent, data})
}

func (l *link) queueUp(a arrival) { heap.Push(&l.queue, a) }

// rouse wakes the port, under the lock.
func (l *link) rouse() {
	if l.port != nil {
		select {
		case l.port.wake <- struct{}{}:
		default:
		}
	}
}

// port is the receiver's end, for one life.
type port struct {
	link   *link
	wake   chan struct{}
	closed chan struct{}
	once   sync.Once
	born   time.Time
	alive  func() bool
	took   map[[16]byte]bool // which data packets were received, by their clear headers
}

// open gives a receiver its socket. What arrived while there was none is gone.
func (l *link) open(alive func() bool) *port {
	p := &port{link: l, wake: make(chan struct{}, 1), closed: make(chan struct{}), born: time.Now(), alive: alive, took: make(map[[16]byte]bool)}
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) > 0 && !l.queue[0].at.After(p.born) {
		heap.Pop(&l.queue)
	}
	l.port = p
	return p
}

// Close implements collect.Socket.
func (p *port) Close() error {
	p.once.Do(func() {
		close(p.closed)
		p.link.mu.Lock()
		defer p.link.mu.Unlock()
		if p.link.port == p {
			p.link.port = nil
		}
	})
	return nil
}

// Dropped implements collect.Socket.
func (p *port) Dropped() uint64 {
	p.link.mu.Lock()
	defer p.link.mu.Unlock()
	return p.link.dropped
}

// socketHolds is what waits for a drain that stands still, in datagrams.
const socketHolds = 64

// Receive implements collect.Socket.
func (p *port) Receive(buffers []collect.Buffer) (int, error) {
	const most = time.Second
	timer := time.NewTimer(most)
	defer timer.Stop()
	deadline := time.Now().Add(most)
	for {
		n, next := p.take(buffers)
		if n > 0 {
			return n, nil
		}
		if next.IsZero() || next.After(deadline) {
			next = deadline
		}
		timer.Reset(time.Until(next))
		select {
		case <-p.closed:
			return 0, errClosed
		case <-p.wake:
		case <-timer.C:
			if !time.Now().Before(deadline) {
				return 0, nil
			}
		}
	}
}

// take fills buffers with what has arrived, some of one size together as the kernel does it, and says when the next arrives.
func (p *port) take(buffers []collect.Buffer) (n int, next time.Time) {
	l := p.link
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if v := l.level(stall, now); v > 0 {
		l.overrun(now)
		return 0, l.ends[stall]
	}
	for n < len(buffers) && len(l.queue) > 0 && !l.queue[0].at.After(now) {
		b := &buffers[n]
		first := heap.Pop(&l.queue).(arrival).data
		p.note(first)
		b.N, b.Segment = copy(b.Mem, first), 0
		for together := 1; together < 8 && len(first) > 0 && len(l.queue) > 0 && !l.queue[0].at.After(now) && len(l.queue[0].data) == len(first); together++ {
			b.Segment = len(first)
			next := heap.Pop(&l.queue).(arrival).data
			p.note(next)
			b.N += copy(b.Mem[b.N:], next)
		}
		n++
	}
	if len(l.queue) > 0 {
		next = l.queue[0].at
	}
	return n, next
}

func (p *port) note(b []byte) {
	if len(b) >= 16 {
		p.took[[16]byte(b)] = true
	}
}

// overrun drops what no longer fits a socket whose drain stands still.
func (l *link) overrun(now time.Time) {
	due := 0
	for _, a := range l.queue {
		if !a.at.After(now) {
			due++
		}
	}
	for ; due > socketHolds; due-- {
		heap.Pop(&l.queue) // the oldest, which is as good as any
		l.dropped++
		l.w.tally.add(stall)
	}
}

// pacer is udp.Pacer on the virtual clock: it neither naps in the system nor spins.
type pacer struct{ *udp.Pacer }

func newPacer(rate int64) pacer { return pacer{udp.NewPacer(rate, nil)} }

// Wait implements transmit.Pacer.
func (p pacer) Wait(ctx context.Context, departure int64) error {
	if left := time.Duration(departure - p.Now()); left > 0 {
		timer := time.NewTimer(left)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}
