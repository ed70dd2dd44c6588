package collect

import "time"

const (
	// verifiedPerSecond is how many announcements are verified in any second (S-8): 4 % of a core, and far more than honest
	// senders need.
	verifiedPerSecond = 200
	// verifiedOfOne is how many of them may be under one sender's key id.
	verifiedOfOne = verifiedPerSecond / 2
)

// limiter lets at most so many things happen in any second.
type limiter struct {
	at   []int64 // when the last ones happened, a ring
	next int
	full bool
}

func newLimiter(perSecond int) *limiter { return &limiter{at: make([]int64, perSecond)} }

// may tells whether one more may happen now, in nanoseconds.
func (l *limiter) may(now int64) bool { return !l.full || now-l.at[l.next] >= int64(time.Second) }

// note counts one that happens now.
func (l *limiter) note(now int64) {
	l.at[l.next] = now
	if l.next++; l.next == len(l.at) {
		l.next, l.full = 0, true
	}
}
