package usage

import (
	"sync/atomic"
	"time"
)

// Floor is the first moment that is in no closed month. The zero Floor is before all. It may be used by several goroutines.
type Floor struct{ at atomic.Int64 }

// Raise tells that all before a time is closed. An earlier one than before changes nothing: what is closed stays so.
func (f *Floor) Raise(at time.Time) {
	for {
		have := f.at.Load()
		if at.UnixNano() <= have || f.at.CompareAndSwap(have, at.UnixNano()) {
			return
		}
	}
}

// Countable is the time under which something is noted that counts: the present, or, where a clock was set back into a month that is closed, the first moment behind it.
func (f *Floor) Countable(now time.Time) time.Time {
	if at := f.at.Load(); at > 0 && now.UnixNano() < at {
		return time.Unix(0, at).UTC()
	}
	return now.UTC()
}
