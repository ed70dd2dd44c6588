package transmit

import (
	"context"
	"crypto/rand"
	"sync/atomic"
	"time"

	"ecluse/protocol/packet"
)

// Socket takes batches of equal datagrams, the last of which may be shorter. It never waits for long.
type Socket interface {
	Send(batch []byte, segment int) (int, error)
}

// Pacer says when bytes may leave, and waits until then. Times are nanoseconds since it was made.
type Pacer interface {
	// Next books bytes, headers included, and returns their departure.
	Next(now int64, bytes int) (departure int64)
	// Wait returns when the departure has come, or when ctx ends.
	Wait(ctx context.Context, departure int64) error
	// Now is the pacer's clock.
	Now() int64
}

// link is the goroutine that owns the interleaver, the packet numbers and the socket.
type link struct {
	interleaver *Interleaver
	socket      Socket
	pacer       Pacer
	wire        int // bytes that a packet costs beside itself: IP and UDP headers
	shard       int // bytes
	most        int // packets in a batch
	loss        float64
	burst       time.Duration

	blocks     [ways]chan emitted // the builder's
	rekey      <-chan *Session
	probes     <-chan *probing
	probe      *probing // under way; nil for none
	sessions   *sessions
	announcers []*announcer // the newest session's last

	batch []byte
	left  []*Coded
	stats *linkStats

	failed func(error) error
	alive  func()
}

type linkStats struct {
	packets, bytes, errors, announcements atomic.Uint64
}

func (l *link) now() int64 { return l.pacer.Now() }

// run sends until ctx ends.
func (l *link) run(ctx context.Context) error {
	defer l.endProbe()
	for ctx.Err() == nil {
		l.alive()
		now := l.now()
		if err := l.announce(ctx, now); err != nil {
			return err
		}
		if l.announced() {
			l.admit(now)
			segment, err := l.fill(now)
			if err != nil {
				return err
			}
			if len(l.batch) > 0 {
				if err := l.send(ctx, segment); err != nil {
					return err
				}
				continue
			}
			if l.probe != nil && l.interleaver.InWindow() == 0 {
				if err := l.measure(ctx); err != nil {
					return err
				}
				continue
			}
		}
		l.wait(ctx, now)
	}
	return ctx.Err()
}

// announced says that the session in use has been announced often enough for data to follow.
func (l *link) announced() bool { return len(l.announcers) > 0 && l.announcers[0].done() }

// announce sends what is due, and puts the newest session to use once it has been announced. The session before it goes on with the blocks that
// were made under it, and is announced no more.
func (l *link) announce(ctx context.Context, now int64) error {
	for _, a := range l.announcers {
		if !a.due(now) {
			continue
		}
		l.stats.announcements.Add(1)
		for _, p := range a.session.packets {
			if err := l.paced(ctx, l.pacer, p, len(p), 1); err != nil {
				return err
			}
		}
	}
	if n := len(l.announcers); n > 1 && l.announcers[n-1].done() {
		l.sessions.current.Store(l.announcers[n-1].session)
		l.announcers = l.announcers[n-1:]
	}
	return nil
}

// admit takes what the builder has, as far as the interleaver admits it.
func (l *link) admit(now int64) {
	for {
		open := l.open()
		select {
		case s := <-l.rekey:
			l.announcers = append(l.announcers, newAnnouncer(s, now, l.loss, l.burst))
		case l.probe = <-l.asked():
		case e := <-open[Express]:
			l.interleaver.Add(now, e.block, e.emission)
		case e := <-open[Prompt]:
			l.interleaver.Add(now, e.block, e.emission)
		case e := <-open[Bulk]:
			l.interleaver.Add(now, e.block, e.emission)
		default:
			return
		}
	}
}

// open returns the channels that may be read now: a nil channel is never ready.
func (l *link) open() (open [ways]<-chan emitted) {
	for w, c := range l.blocks {
		if l.interleaver.Admits(Way(w)) && (Way(w) != Bulk || l.probe == nil) {
			open[w] = c
		}
	}
	return open
}

// asked is where the next probe is asked for, while none is under way.
func (l *link) asked() <-chan *probing {
	if l.probe != nil {
		return nil
	}
	return l.probes
}

// fill seals the shards that are due into the batch, and returns the size of a packet.
func (l *link) fill(now int64) (segment int, err error) {
	var salt [6]byte
	l.batch = l.batch[:0]
	for range l.most {
		c, index, last, ok := l.interleaver.Next(now)
		if !ok {
			break
		}
		if len(l.batch) == 0 {
			if _, err := rand.Read(salt[:]); err != nil { // for each batch: see rule P-4
				return 0, err
			}
		}
		s := c.Session
		in := packet.Inner{Block: c.Number, Index: uint16(index), K: uint16(c.Code.K), M: uint16(c.Code.M)}
		l.batch = s.sealer.SealWithin(l.batch, s.nextPacket, salt, in, c.area, headroom+index*c.Code.Shard, c.Code.Shard)
		s.nextPacket++
		if last {
			l.left = append(l.left, c)
		}
	}
	return packet.Overhead + l.shard, nil
}

// send hands the batch to the socket when its time has come.
func (l *link) send(ctx context.Context, segment int) error {
	err := l.paced(ctx, l.pacer, l.batch, segment, (len(l.batch)+segment-1)/segment)
	for i, c := range l.left {
		c.left()
		l.left[i] = nil
	}
	l.left = l.left[:0]
	return err
}

// refusedPause is how long the link waits before it offers again what the system would not take.
const refusedPause = 100 * time.Millisecond

// paced waits for the departure time of count packets and sends them. What the system will not take, because the interface is down or its MTU too small, is offered again until it does:
// nothing may be called sent that has not left. Meanwhile everything waits.
func (l *link) paced(ctx context.Context, by Pacer, batch []byte, segment, count int) error {
	departure := by.Next(by.Now(), len(batch)+count*l.wire)
	if err := by.Wait(ctx, departure); err != nil {
		return err
	}
	for len(batch) > 0 {
		taken, err := l.socket.Send(batch, segment)
		left := batch[min(taken*segment, len(batch)):]
		l.stats.packets.Add(uint64(taken))
		l.stats.bytes.Add(uint64(len(batch) - len(left)))
		if batch = left; err == nil {
			break
		}
		l.stats.errors.Add(1)
		if err := l.failed(err); err != nil {
			return err
		}
		l.alive()
		select {
		case <-time.After(refusedPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// wait sleeps until something is due or something comes.
func (l *link) wait(ctx context.Context, now int64) {
	next := int64(time.Second) + now
	for _, a := range l.announcers {
		next = min(next, a.next)
	}
	var open [ways]<-chan emitted
	probes := (<-chan *probing)(nil)
	if l.announced() {
		probes = l.asked()
		if due, ok := l.interleaver.Due(); ok {
			next = min(next, due)
		}
		open = l.open()
	}
	timer := time.NewTimer(time.Duration(max(next-now, 0)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case s := <-l.rekey:
		l.announcers = append(l.announcers, newAnnouncer(s, l.now(), l.loss, l.burst))
	case l.probe = <-probes:
	case e := <-open[Express]:
		l.interleaver.Add(l.now(), e.block, e.emission)
	case e := <-open[Prompt]:
		l.interleaver.Add(l.now(), e.block, e.emission)
	case e := <-open[Bulk]:
		l.interleaver.Add(l.now(), e.block, e.emission)
	}
}
