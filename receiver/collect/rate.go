package collect

import "time"

// verifiedPerSecond is how many announcements are verified in any second (S-8): 4 % of a core, and far more than honest
// senders need.
const verifiedPerSecond = 200

// limiter lets at most verifiedPerSecond things happen in any second. The zero limiter is ready.
type limiter struct {
	at   [verifiedPerSecond]int64 // when the last ones happened, a ring
	next int
	full bool
}

// allow tells whether one more may happen now, in nanoseconds, and counts it if so.
func (l *limiter) allow(now int64) bool {
	if l.full && now-l.at[l.next] < int64(time.Second) {
		return false
	}
	l.at[l.next] = now
	if l.next++; l.next == len(l.at) {
		l.next, l.full = 0, true
	}
	return true
}
