package udp

import (
	"context"
	"math/bits"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// burstBytes is what may leave in a row, as long as it takes the link a time between leastBurst and mostBurst. One half of it is for what leaves early, in batches that are worth a
	// system call; the other for what leaves late, because a process is not woken to the microsecond.
	burstBytes = 64 << 10
	leastBurst = 200 * time.Microsecond
	mostBurst  = 2 * time.Millisecond

	// nap is the part of a wait that ctx does not end. The runtime's own timers, which it does, are late by up to a millisecond
	// while the process is idle.
	nap = 2 * time.Millisecond
)

// Clock is a monotonic clock in nanoseconds from any start.
type Clock func() int64

// Pacer gives each batch its earliest departure time, so that a link of a stated rate is neither left idle nor overrun. One
// goroutine uses it; Now may be called from any.
//
//	departures:  |batch|batch|batch|      (nothing to send)      |batch|
//	                               ^ next                      ^ now - half a burst
//
// The link is thought of as busy until next. Time that has passed unused is lost, but for half a burst. What the link is done with within half a burst from now leaves at once: on a
// fast link several batches leave together, and then one longer wait is slept, where a wait for each would have to be spun away.
type Pacer struct {
	rate  uint64 // bits a second
	half  int64  // of a burst, in nanoseconds
	clock Clock
	start int64

	next     int64  // when the link has sent what was booked, rounded down
	fraction uint64 // what was rounded off, in 1/rate nanoseconds
	timer    *time.Timer
}

// NewPacer makes one for a rate, which is more than 0. A nil clock stands for the system's.
func NewPacer(bitsPerSecond int64, clock Clock) *Pacer {
	if bitsPerSecond <= 0 {
		panic("udp: internal error: a link without a rate")
	}
	if clock == nil {
		zero := time.Now()
		clock = func() int64 { return int64(time.Since(zero)) }
	}
	p := &Pacer{rate: uint64(bitsPerSecond), clock: clock, start: clock(), timer: time.NewTimer(0)}
	p.timer.Stop()
	burst, _ := p.duration(burstBytes)
	p.half = min(max(burst, int64(leastBurst)), int64(mostBurst)) / 2
	return p
}

// Now is the time in nanoseconds since the Pacer was made.
func (p *Pacer) Now() int64 { return p.clock() - p.start }

// Batch is how many datagrams of a size one batch should have on this link: what it sends within half a burst, up to
// BatchSegments, and at least one.
func (p *Pacer) Batch(segment int) int {
	ns, _ := p.duration(max(segment, 1))
	return int(max(1, min(int64(BatchSegments(segment)), p.half/max(ns, 1))))
}

// Next books bytes, headers included, and returns when they may leave, which is not before now.
func (p *Pacer) Next(now int64, bytes int) (departure int64) {
	if earliest := now - p.half; p.next < earliest {
		p.next, p.fraction = earliest, 0
	}
	ns, rest := p.duration(bytes)
	departure = max(p.next, now)
	if p.next+ns <= now+p.half {
		departure = now
	}
	p.next += ns
	if p.fraction += rest; p.fraction >= p.rate {
		p.fraction -= p.rate
		p.next++
	}
	return departure
}

// duration is how long the link takes for bytes: nanoseconds, and 1/rate of them.
func (p *Pacer) duration(bytes int) (ns int64, rest uint64) {
	high, low := bits.Mul64(uint64(bytes), 8*uint64(time.Second))
	quotient, rest := bits.Div64(high, low, p.rate)
	return int64(quotient), rest
}

// Wait returns when the departure has come, or when ctx ends. It sleeps.
func (p *Pacer) Wait(ctx context.Context, departure int64) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		left := time.Duration(departure - p.Now())
		switch {
		case left <= 0:
			return nil
		case left <= 2*nap:
			t := unix.NsecToTimespec(int64(left))
			_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &t, nil) // where a signal ends it, the rest is slept in the next turn
		default:
			p.timer.Reset(left - nap)
			select {
			case <-p.timer.C:
			case <-ctx.Done():
				p.timer.Stop()
			}
		}
	}
}
