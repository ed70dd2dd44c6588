package pack

import (
	"time"

	"golang.org/x/sys/unix"
)

// stamp is what a file or a directory was like, as far as its status tells. The kernel moves ctime with every change of content, status or name, and nobody can set
// it back.
type stamp struct {
	dev, ino     uint64
	mtime, ctime int64 // nanoseconds, modulo 2^64
}

func stampOf(st *unix.Stat_t) stamp {
	return stamp{dev: st.Dev, ino: st.Ino, mtime: nanoseconds(st.Mtim), ctime: nanoseconds(st.Ctim)}
}

func nanoseconds(t unix.Timespec) int64 { return t.Sec*1e9 + t.Nsec }

// compareFile says what happened to a file since it had this stamp and size; "" for nothing.
func (s stamp) compareFile(st *unix.Stat_t, size int64) string {
	switch now := stampOf(st); {
	case st.Mode&unix.S_IFMT != unix.S_IFREG || now.dev != s.dev || now.ino != s.ino:
		return whatReplaced
	case st.Nlink == 0:
		return whatGone
	case st.Size > size:
		return whatGrew
	case st.Size < size:
		return whatShrank
	case now != s || st.Nlink != 1:
		return whatRewritten
	}
	return ""
}

// compareDir says what happened to a directory since it had this stamp; "" for nothing.
func (s stamp) compareDir(st *unix.Stat_t) string {
	switch now := stampOf(st); {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR || now.dev != s.dev || now.ino != s.ino:
		return whatReplaced
	case now != s:
		return whatListing
	}
	return ""
}

// tick waits until a change would show in ctime. Times of files step with the kernel's coarse clock, by up to 10 ms: what is changed twice in one step looks as if it had been
// changed once. Once that clock has passed a file's ctime, every later change gives it another one. Where times are fine there is nothing to wait for: whatever is changed after it was
// looked at has another ctime.
type tick struct {
	fine   uint64 // the device of the file system where they are; 0 for none
	coarse int64
}

// tickMost is longer than any step. A ctime that is farther ahead is of another clock (a file server's), for which there is nothing to wait.
const tickMost = 20 * time.Millisecond

// pass says whether it had to wait: then what was seen before it has to be looked at again.
func (t *tick) pass(device uint64, ctime int64) (waited bool) {
	if device != 0 && device == t.fine {
		return false
	}
	for range 2 * tickMost / time.Millisecond {
		if ctime < t.coarse {
			return waited
		}
		var now unix.Timespec
		if unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &now) != nil {
			return waited
		}
		t.coarse = nanoseconds(now)
		if ctime < t.coarse || ctime-t.coarse > int64(tickMost) {
			return waited
		}
		time.Sleep(time.Millisecond)
		waited = true
	}
	return waited
}
