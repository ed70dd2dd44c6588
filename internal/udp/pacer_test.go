package udp

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var rates = []int64{1e6, 999_983, 900e6, 9e9, 10e9, 25e9}

// still is a clock that Next does not need.
func still() int64 { return 0 }

// eachRate runs f with packets of MTU 1500, and with whole batches of MTU 9000.
func eachRate(t *testing.T, f func(t *testing.T, p *Pacer, rate int64, bytes int)) {
	for _, rate := range rates {
		for _, bytes := range []int{1468, 7 * 8956} {
			t.Run(fmt.Sprint(rate, " ", bytes), func(t *testing.T) { f(t, NewPacer(rate, still), rate, bytes) })
		}
	}
}

// exact is when a link has sent bytes, in nanoseconds, rounded down.
func exact(bytes, rate int64) int64 {
	high, low := bits.Mul64(uint64(bytes), 8e9)
	quotient, _ := bits.Div64(high, low, uint64(rate))
	return int64(quotient)
}

func TestDeparturesFollowTheRateToTheNanosecond(t *testing.T) {
	eachRate(t, func(t *testing.T, p *Pacer, rate int64, bytes int) {
		booked, together := int64(0), int64(0)
		for departure := int64(0); ; {
			next := p.Next(departure, bytes)
			due := exact(booked, rate)
			switch together += int64(bytes); {
			case next == departure: // it leaves with the one before
				if booked > 0 && exact(booked+int64(bytes), rate) > departure+p.half {
					t.Fatalf("after %d bytes: %d, which is more than half a burst early", booked, next)
				}
			case next != due:
				t.Fatalf("after %d bytes: %d, want %d", booked, next, due)
			default:
				together = int64(bytes)
			}
			if most := max(burstBytes, rate/8*int64(leastBurst)/1e9); together > most && together > int64(bytes) {
				t.Fatalf("%d bytes leave together, and %d may", together, most)
			}
			if departure = next; departure >= int64(time.Second) {
				break
			}
			booked += int64(bytes)
		}
		if most := rate/8 + rate/8*p.half/1e9 + int64(bytes); booked < rate/8 || booked > most {
			t.Errorf("%d bytes left in a second, at %d bits a second", booked, rate)
		}
	})
}

// Whoever books comes too late as often as not, by up to half a burst after the link has run dry.
func TestALateWakeUpLosesNoRate(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	eachRate(t, func(t *testing.T, p *Pacer, rate int64, bytes int) {
		now, booked, late := int64(0), int64(0), 0
		for {
			departure := p.Next(now, bytes)
			if departure < now {
				t.Fatalf("departure %d is before now, %d", departure, now)
			}
			if departure >= int64(time.Second) {
				break
			}
			booked += int64(bytes)
			now = departure
			if p.next >= now && rng.IntN(2) == 0 {
				now = p.next + rng.Int64N(p.half)
				late++
			}
		}
		least, most := rate/8*(1e9-p.half)/1e9-int64(bytes), rate/8*(1e9+p.half)/1e9+int64(bytes) // it may be late, or early, when the second ends
		if booked < least || booked > most || late == 0 {
			t.Errorf("%d bytes left in a second, want from %d to %d; %d times late", booked, least, most, late)
		}
	})
}

// No burst is longer than 64 KiB, or 200 us where that is more: also not one that makes good for lateness.
func TestTimeUnusedIsLostButForHalfABurst(t *testing.T) {
	eachRate(t, func(t *testing.T, p *Pacer, rate int64, bytes int) {
		if p.half < int64(leastBurst)/2 || p.half > int64(mostBurst)/2 {
			t.Errorf("half a burst is %d ns", p.half)
		}
		now := int64(0)
		for range 3 {
			now += 10 * int64(time.Second)
			burst := int64(0)
			for p.Next(now, bytes) == now {
				burst += int64(bytes)
			}
			if most := max(burstBytes, rate/8*int64(leastBurst)/1e9); burst > most && burst > 2*int64(bytes) {
				t.Errorf("a burst of %d bytes, allowed are %d", burst, most)
			}
		}
	})
}

func TestBatchesAreShortOnSlowLinks(t *testing.T) {
	for _, c := range []struct {
		rate          int64
		segment, want int
	}{{1e6, 1440, 1}, {100e6, 1440, 8}, {900e6, 1440, 22}, {10e9, 1440, 45}, {1e6, 8928, 1}, {900e6, 8928, 3}, {9e9, 8928, 7}} {
		if got := NewPacer(c.rate, still).Batch(c.segment); got != c.want {
			t.Errorf("%d bit/s, %d bytes: %d, want %d", c.rate, c.segment, got, c.want)
		}
	}
}

// The bounds are loose: the host has other things to do as well.
func TestWaitEndsAtTheDepartureAndNotBefore(t *testing.T) {
	p := NewPacer(1e9, nil)
	for _, d := range []time.Duration{-time.Second, 0, 20 * time.Microsecond, 300 * time.Microsecond, 3 * time.Millisecond, 20 * time.Millisecond} {
		least := time.Hour
		for range 10 {
			departure := p.Now() + int64(d)
			if err := p.Wait(t.Context(), departure); err != nil {
				t.Fatal(err)
			}
			late := time.Duration(p.Now() - departure)
			if late < 0 {
				t.Fatalf("a wait of %v ended %v early", d, -late)
			}
			least = min(least, late)
		}
		if d >= 0 && least > 500*time.Microsecond {
			t.Errorf("waits of %v ended %v late at best", d, least)
		}
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	p := NewPacer(1e9, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := p.Wait(ctx, p.Now()+int64(time.Minute)); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if d := time.Since(start); d > time.Second {
		t.Errorf("after %v", d)
	}
	if err := p.Wait(ctx, p.Now()-1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a departure that has come: %v", err)
	}
	if err := p.Wait(t.Context(), p.Now()+int64(10*time.Millisecond)); err != nil {
		t.Errorf("the wait after that: %v", err)
	}
}

func TestWaitSleeps(t *testing.T) {
	used := func() time.Duration {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	p := NewPacer(1e6, nil)
	before := used()
	for range 50 { // packets of MTU 1500 at 3 Mbit/s
		if err := p.Wait(t.Context(), p.Now()+int64(4*time.Millisecond)); err != nil {
			t.Fatal(err)
		}
	}
	if cpu := used() - before; cpu > 60*time.Millisecond {
		t.Errorf("200 ms of waiting took %v of processor time", cpu)
	}
}

func TestPacingAllocatesNothing(t *testing.T) {
	p := NewPacer(1e9, nil)
	for _, d := range []time.Duration{10 * time.Microsecond, 200 * time.Microsecond, 5 * time.Millisecond} {
		if n := testing.AllocsPerRun(5, func() { _ = p.Wait(t.Context(), max(p.Next(p.Now(), 1), p.Now()+int64(d))) }); n != 0 {
			t.Errorf("%v allocations in a wait of %v", n, d)
		}
	}
}
