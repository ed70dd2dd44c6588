package sim

import (
	"testing"
	"time"
	"unsafe"
)

// instant is time.Time as package time lays it out where there is a monotonic reading: the highest bit of wall is set, 33 bits below it count seconds since 1885, the last 30
// are nanoseconds, and ext is the reading.
type instant struct {
	wall uint64
	ext  int64
	loc  *time.Location
}

// reading makes a time as a machine reads it whose wall clock may have been set wrong: package time has no way to say that, and gives none of its own in a bubble.
func reading(wall time.Time, monotonic time.Duration) time.Time {
	t := wall
	i := (*instant)(unsafe.Pointer(&t))
	since1885 := wall.Unix() + 2_682_288_000 // 1885 to 1970
	i.wall = 1<<63 | uint64(since1885)<<30 | uint64(wall.Nanosecond())
	i.ext = int64(monotonic)
	return t
}

func TestAJumpMovesTheWallClockAlone(t *testing.T) {
	wall := time.Date(2000, 1, 1, 0, 0, 0, 123, time.UTC)
	for _, by := range []time.Duration{0, time.Hour, -time.Hour, 10 * 365 * 24 * time.Hour, -10 * 365 * 24 * time.Hour} {
		before, after := reading(wall, time.Second), reading(wall.Add(by), 3*time.Second)
		if !before.Round(0).Equal(wall) || !after.Round(0).Equal(wall.Add(by)) {
			t.Errorf("by %v: the clock reads %v and %v", by, before, after)
		}
		if d := after.Sub(before); d != 2*time.Second {
			t.Errorf("by %v: the monotonic clock went on by %v", by, d)
		}
	}
}
