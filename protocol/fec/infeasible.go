package fec

import (
	"fmt"
	"math"
	"time"
)

// Infeasible says that no code meets the target under the facts, and what would help: each of the two changes is enough by itself. A
// zero means that this change alone does not help.
type Infeasible struct {
	Facts  Facts
	Memory int64         // with at least this memory ...
	Delay  time.Duration // ... and at least this delay there is a plan
	Burst  time.Duration // with the given memory and delay there is one for a burst of this length
}

// Error says what to change, in the operator's words.
func (e *Infeasible) Error() string {
	f := e.Facts
	s := fmt.Sprintf("fec: no plan for loss %g%% and burst %v at %d bit/s with memory %s and delay %v",
		f.Loss*100, f.Burst, f.Rate, mebibytes(f.Memory), f.Delay)
	if e.Memory > 0 {
		s += fmt.Sprintf("; it takes memory %s and delay %v", mebibytes(e.Memory), e.Delay)
	}
	if e.Burst > 0 {
		s += fmt.Sprintf("; or state a burst of at most %v", e.Burst)
	}
	return s
}

// mebibytes shows a size in MiB, rounded up: the figure is typed in again by a person.
func mebibytes(n int64) string {
	if n < 10<<20 {
		return fmt.Sprintf("%.1f MiB", math.Ceil(float64(n)/(1<<20)*10)/10)
	}
	return fmt.Sprintf("%d MiB", (n+1<<20-1)>>20)
}

// infeasible finds the nearest facts for which there is a plan.
func (l line) infeasible() *Infeasible {
	e := &Infeasible{Facts: l.Facts}
	burst := l.burstPackets()
	for slots := fullBlock; slots >= leastBlock; slots /= 2 {
		ladder(slots, func(k, m int) bool {
			hits := l.mostHits(k, m)
			if hits < 0 || hits == 0 && burst > 0 {
				return true
			}
			if most := l.maxWindow(k + m); most > 0 && burst > 0 {
				// Half a packet less than what would touch one more.
				e.Burst = max(e.Burst, seconds((float64(hits*most)-0.5)*l.tick).Truncate(time.Microsecond))
			}
			window := 1
			if burst > 0 {
				window = ceilDiv(burst, hits)
			}
			need := int64(window) * int64((k+m)*l.shard)
			if window <= MaxWindow && (e.Memory == 0 || need < e.Memory) {
				e.Memory, e.Delay = need, l.Delay
				if window > 1 { // one block alone fits every delay
					e.Delay = max(l.Delay, roundUp(l.time(window*(k+m))))
				}
			}
			return true
		})
	}
	if e.Memory > 0 {
		e.Memory = max(e.Memory, l.Memory)
	}
	return e
}

// roundUp returns d in whole milliseconds, a little more than needed.
func roundUp(d time.Duration) time.Duration { return d.Truncate(time.Millisecond) + time.Millisecond }
