package collect

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"ecluse/protocol/packet"
)

const (
	// readAtOnce is how many buffers a drain offers the socket in one call.
	readAtOnce = 32
	tickEvery  = time.Second
)

// Socket is the socket of a link. One drain calls Receive.
type Socket interface {
	// Receive waits for datagrams and fills buffers from the first on; it returns how many it filled. It may return 0 without an
	// error, and does so at least each second while nothing comes.
	Receive(buffers []Buffer) (int, error)
	// Dropped is how many times the kernel threw something away because this socket's buffer was full. It answers after Close
	// as well.
	Dropped() uint64
	// Close makes Receive return an error.
	Close() error
}

// link is one link: its socket, its drain, its collector, and its table.
type link struct {
	index  int
	name   string
	socket Socket
	ring   *ring
	memory mapping // of the ring
	clock  func() int64

	// The drain's marks.
	alive       atomic.Int64  // when the drain last came round
	buffers     atomic.Uint64 // filled
	overrun     atomic.Uint64 // datagrams that found the ring full
	overrunRead atomic.Uint64 // buffers that they came in
	scratch     []Buffer      // all in one memory: what is read into them is thrown away

	// mu is held by the collector for one buffer of packets at a time (at most 64 KiB), and by others for as long as it takes to
	// look, to open a session, or to give the slots of a block back.
	mu        sync.Mutex
	table     *table
	held      [][]byte // announcements of open sessions
	heartbeat int64    // when the sender's last heartbeat came, 0 for never
	rates     rates

	gate    *gate
	prepare func()        // makes ready for wide codes
	queue   chan<- *block // never full: it has room for every block that the tables may hold
}

// drain reads the socket until it is closed. It waits for nothing but the socket: where the collector is behind it reads on into
// memory that it throws away, and counts, so that this loss has an address.
func (l *link) drain(ctx context.Context) error {
	for {
		l.alive.Store(l.clock())
		into, keep := l.ring.room(), true
		if len(into) == 0 {
			into, keep = l.scratch, false
		}
		n, err := l.socket.Receive(into)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("read link %s: %w", l.name, err)
		}
		l.buffers.Add(uint64(n))
		if keep {
			l.ring.publish(n)
			continue
		}
		for i := range into[:n] {
			l.overrun.Add(uint64(into[i].datagrams()))
			l.overrunRead.Add(1)
		}
	}
}

// collect takes the buffers of the drain until that has ended, and then what is left of them.
func (l *link) collect(drained <-chan struct{}) {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for ended := false; ; {
		for b := l.ring.front(); b != nil; b = l.ring.front() {
			l.take(b)
			l.ring.pop()
			select {
			case <-tick.C:
				l.tick()
			default:
			}
		}
		if ended {
			return
		}
		select {
		case <-drained:
			ended = true
		case <-l.ring.wake:
		case <-tick.C:
			l.tick()
		}
	}
}

// take goes through the datagrams of one buffer.
func (l *link) take(b *Buffer) {
	now := l.clock()
	l.mu.Lock()
	defer l.mu.Unlock()
	for rest := b.Mem[:b.N]; rest != nil; {
		var datagram []byte
		datagram, rest = b.next(rest)
		l.datagram(now, datagram)
	}
	if l.table.wide {
		l.prepare()
	}
}

// datagram sends one datagram where it belongs.
func (l *link) datagram(now int64, datagram []byte) {
	t := l.table
	t.packets.Received++
	kind, tag, err := packet.Classify(datagram)
	switch {
	case err != nil:
		t.refused.add(err)
	case kind == packet.KindAnnounce:
		l.announcement(now, datagram)
	default:
		if done := t.packet(now, kind, tag, datagram); done != nil {
			done.link = l.index
			l.queue <- done
		}
	}
}

// tick lets time pass.
func (l *link) tick() {
	now := l.clock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.table.tick(now)
	l.table.probe.tick(now, l.table.host)
	l.rates.note(now, l.table.packets.Accepted, l.table.packets.Bytes)
}

// here is what this host has thrown away of what came for this link, as it is counted.
func (l *link) here() uint64 { return l.socket.Dropped() + l.overrun.Load() }

// open lets a session's packets in.
func (l *link) open(s *Session) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.table.open(s); err != nil {
		return fmt.Errorf("open session %d on link %s: %w", s.Info.Number, l.name, err)
	}
	return nil
}

// shut ends a session.
func (l *link) shut(s *Session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.table.close(l.clock(), s)
}

// finish gives back a block that a worker is done with.
func (l *link) finish(b *block, recovered int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.table.finish(l.clock(), b, recovered, err)
}

// close gives the memory back. Drain, collector and workers have ended.
func (l *link) close() error {
	return errors.Join(l.table.arena.mem.close(), l.memory.close())
}
