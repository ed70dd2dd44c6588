package fec

import (
	"errors"
	"fmt"
	"time"
)

// Facts is what an operator knows about a link. There is no parameter among them: the planner chooses those.
type Facts struct {
	Rate  int64         // bits a second that the link carries, counted in IP packets; 64,000 to 10^12
	MTU   int           // 1,500 to 9,216
	Loss  float64       // chance that a packet is lost outside bursts, 0 to 0.5
	Burst time.Duration // the longest time in which everything is lost, 0 to one hour

	Memory     int64         // bytes that one window may take; 0 means 128 MiB
	Delay      time.Duration // time that one window, or one block if that is longer, may take; 0 means 1 s
	IPOverhead int           // OverheadIPv4 or OverheadIPv6; 0 means OverheadIPv6
}

// What a zero in Facts means, and the limits of the others.
const (
	DefaultMemory = 128 << 20
	DefaultDelay  = time.Second

	minRate  = 64_000
	maxRate  = 1_000_000_000_000
	maxLoss  = 0.5
	maxBurst = time.Hour
)

// withDefaults puts the defaults in place of zeroes.
func (f Facts) withDefaults() Facts {
	if f.Memory == 0 {
		f.Memory = DefaultMemory
	}
	if f.Delay == 0 {
		f.Delay = DefaultDelay
	}
	if f.IPOverhead == 0 {
		f.IPOverhead = OverheadIPv6
	}
	return f
}

// validate returns every fault at once.
func (f Facts) validate() error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("fec: "+format, args...))
		}
	}
	check(f.Rate >= minRate && f.Rate <= maxRate, "rate of %d bit/s is not within %d to %d", f.Rate, minRate, int64(maxRate))
	check(f.MTU >= MinMTU && f.MTU <= MaxMTU, "mtu %d is not within %d to %d", f.MTU, MinMTU, MaxMTU)
	check(f.Loss >= 0 && f.Loss <= maxLoss, "loss of %v is not within 0 to %v", f.Loss, maxLoss)
	check(f.Burst >= 0 && f.Burst <= maxBurst, "burst of %v is not within 0 to %v", f.Burst, maxBurst)
	check(f.Memory > 0, "memory of %d bytes is negative", f.Memory)
	check(f.Delay > 0, "delay of %v is negative", f.Delay)
	check(f.IPOverhead == OverheadIPv4 || f.IPOverhead == OverheadIPv6, "ip overhead of %d is neither %d nor %d", f.IPOverhead, OverheadIPv4, OverheadIPv6)
	return errors.Join(faults...)
}

// line is a link in the planner's units: packets of one size, one every tick.
type line struct {
	Facts
	shard int
	tick  float64 // seconds that one packet takes at the link's rate
}

// burstPackets returns the packets in a row that a burst can touch: floor(burst/tick) + 1, or 0 without bursts.
func (l line) burstPackets() int {
	if l.Burst == 0 {
		return 0
	}
	return int(l.Burst.Seconds()/l.tick) + 1
}

// time returns how long n packets take.
func (l line) time(n int) time.Duration {
	return seconds(float64(n) * l.tick)
}

// seconds turns a number of seconds into a Duration, at most the largest one.
func seconds(s float64) time.Duration {
	const most = 1<<63 - 1
	if ns := s * 1e9; ns < most {
		return time.Duration(ns)
	}
	return most
}

// maxWindow returns the largest number of blocks of n shards that may be interleaved, and 0 if memory holds not even one.
func (l line) maxWindow(n int) int {
	byMemory := l.Memory / int64(n*l.shard)
	byDelay := max(1, l.Delay.Seconds()/(float64(n)*l.tick))
	return int(min(byMemory, int64(min(byDelay, MaxWindow)), MaxWindow))
}
