package points

import (
	"context"
	"errors"
	"sync"
	"time"

	"ecluse/internal/udp"
	"ecluse/receiver/collect"
)

// errClosed is what a closed port gives.
var errClosed = errors.New("the socket is closed")

const latency = time.Millisecond

// link carries datagrams one way, in order. It loses what the script has it lose, and what comes while nobody listens.
type link struct {
	w *world

	mu    sync.Mutex
	pass  int // of so many datagrams one passes; 0: none, 1: all
	sent  int
	queue []arrival
	port  *port
	seen  map[[10]byte]bool
}

type arrival struct {
	at   time.Time
	data []byte
}

// let says what passes from now on: one of n, or nothing.
func (l *link) let(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pass = n
}

// tap is the sender's end, for one life.
type tap struct {
	link  *link
	alive func() bool
}

// Send implements transmit.Socket.
func (t tap) Send(batch []byte, segment int) (n int, err error) {
	if !t.alive() {
		return 0, errClosed
	}
	for ; len(batch) > 0; n++ {
		size := min(segment, len(batch))
		t.link.send(batch[:size])
		batch = batch[size:]
	}
	return n, nil
}

func (l *link) send(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(b) >= 10 && b[0] == 0x12 { // a data packet: tag and number, whatever the salt (P-4)
		key := [10]byte(b)
		if l.seen[key] {
			l.w.fail("packet number used twice under one key: %x", key)
		}
		l.seen[key] = true
	}
	l.sent++
	if l.pass == 0 || l.sent%l.pass != 0 || l.port == nil {
		return
	}
	l.queue = append(l.queue, arrival{time.Now().Add(latency), append([]byte(nil), b...)})
	select {
	case l.port.wake <- struct{}{}:
	default:
	}
}

// port is the receiver's end, for one life.
type port struct {
	link   *link
	wake   chan struct{}
	closed chan struct{}
	once   sync.Once
}

// open gives a receiver its socket.
func (l *link) open() *port {
	p := &port{link: l, wake: make(chan struct{}, 1), closed: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue, l.port = nil, p
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
func (p *port) Dropped() uint64 { return 0 }

// Receive implements collect.Socket.
func (p *port) Receive(buffers []collect.Buffer) (int, error) {
	const most = time.Second
	deadline := time.Now().Add(most)
	timer := time.NewTimer(most)
	defer timer.Stop()
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

func (p *port) take(buffers []collect.Buffer) (n int, next time.Time) {
	l := p.link
	l.mu.Lock()
	defer l.mu.Unlock()
	for now := time.Now(); n < len(buffers) && len(l.queue) > 0 && !l.queue[0].at.After(now); n++ {
		buffers[n].N, buffers[n].Segment = copy(buffers[n].Mem, l.queue[0].data), 0
		l.queue = l.queue[1:]
	}
	if len(l.queue) > 0 {
		next = l.queue[0].at
	}
	return n, next
}

// pacer is udp.Pacer on the virtual clock: it neither naps in the system nor spins.
type pacer struct{ *udp.Pacer }

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
