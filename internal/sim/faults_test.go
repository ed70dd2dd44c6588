package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// kind is one way in which the world misbehaves.
type kind string

// The kinds. Those of the link count packets, those of a side count times.
const (
	loss      kind = "loss"      // packets lost at random
	burst     kind = "burst"     // packets lost in bursts, after Gilbert and Elliott
	reorder   kind = "reorder"   // packets overtaken
	duplicate kind = "duplicate" // packets that come twice
	flip      kind = "flip"      // packets with one bit flipped
	cut       kind = "cut"       // packets cut short
	replay    kind = "replay"    // packets that come again much later
	outage    kind = "outage"    // packets lost while the link is dark
	stall     kind = "stall"     // times that the receiver's drain stood still, until its socket ran over

	lowKill     kind = "low killed"
	highKill    kind = "high killed"
	lowPower    kind = "low power cut"
	highPower   kind = "high power cut"
	lowAgain    kind = "low killed again while it recovers"
	highAgain   kind = "high killed again while it recovers"
	lowFull     kind = "low disk full"
	highFull    kind = "high disk full"
	highTight   kind = "high disk says it is full"
	lowError    kind = "low disk error"
	highError   kind = "high disk error"
	lowSync     kind = "low sync failed"
	highSync    kind = "high sync failed"
	lowCatalog  kind = "low killed, catalog lost"
	highCatalog kind = "high killed, catalog lost"
	lowOld      kind = "low killed, catalog older"
	highOld     kind = "high killed, catalog older"
	highRot     kind = "high killed, a file damaged"
	lowRestart  kind = "low restarted"
	highRestart kind = "high restarted"
	lowClock    kind = "low clock jumped"
	highClock   kind = "high clock jumped"
)

var kinds = []kind{loss, burst, reorder, duplicate, flip, cut, replay, outage, stall, lowKill, highKill, lowPower, highPower, lowAgain, highAgain, lowFull, highFull, highTight,
	lowError, highError, lowSync, highSync, lowCatalog, highCatalog, lowOld, highOld, highRot, lowRestart, highRestart, lowClock, highClock}

// fault is one of them, from a time on and for a time.
type fault struct {
	kind  kind
	at    time.Duration
	last  time.Duration
	level float64 // of link faults: a chance; of others: where between least and most it strikes
	after int     // acts of the disk, from at on, until it strikes
}

func (f fault) String() string {
	s := fmt.Sprintf("%s at %v", f.kind, f.at)
	if f.last > 0 {
		s += fmt.Sprintf(" for %v", f.last)
	}
	if f.level > 0 {
		s += fmt.Sprintf(", level %.3f", f.level)
	}
	if f.after > 0 {
		s += fmt.Sprintf(", after %d acts", f.after)
	}
	return s
}

// makeFaults draws two to six kinds, each once to three times.
func makeFaults(r *rand.Rand) (list []fault) {
	chosen := slices.Clone(kinds)
	r.Shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
	for _, k := range chosen[:2+r.IntN(5)] {
		for range 1 + r.IntN(3) {
			f := fault{kind: k, at: between(r, faultsFrom, faultsUntil), level: r.Float64()}
			switch k {
			case outage:
				f.last = between(r, 10*time.Millisecond, 8*time.Second)
			case stall:
				f.last = between(r, 100*time.Millisecond, 5*time.Second)
			case lowFull, highFull, highTight:
				f.last = between(r, 500*time.Millisecond, 10*time.Second)
			case loss, burst, reorder, duplicate, flip, cut, replay:
				f.last = between(r, time.Second, 20*time.Second)
			}
			switch k {
			case lowKill, highKill, lowPower, highPower, lowError, highError, lowSync, highSync, lowCatalog, highCatalog, lowOld, highOld, highRot, lowAgain, highAgain:
				f.after = 1 + logUniform(r, 400)
			}
			list = append(list, f)
			if k == lowOld || k == highOld { // the older one is that of an end in order
				before := fault{kind: lowRestart, at: faultsFrom + time.Duration(r.Int64N(int64(f.at-faultsFrom)+1))}
				if k == highOld {
					before.kind = highRestart
				}
				list = append(list, before)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b fault) int { return int(a.at - b.at) })
	return list
}

// tally counts how often each fault fired.
type tally struct {
	mu    sync.Mutex
	fired map[kind]int
}

func newTally() *tally { return &tally{fired: make(map[kind]int)} }

func (t *tally) add(k kind) {
	t.mu.Lock()
	t.fired[k]++
	t.mu.Unlock()
}

// sum says how often some kinds fired.
func (t *tally) sum(k ...kind) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range k {
		n += t.fired[k]
	}
	return n
}

// total says how often any fired.
func (t *tally) total() int { return t.sum(kinds...) }

// has says whether one of some kinds fired.
func (t *tally) has(k ...kind) bool { return t.sum(k...) > 0 }

func table(fired map[kind]int) string {
	names := make([]string, 0, len(kinds))
	for _, k := range kinds {
		names = append(names, fmt.Sprintf("%10d  %s", fired[k], k))
	}
	return strings.Join(names, "\n")
}
