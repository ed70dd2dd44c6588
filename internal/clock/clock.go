// Package clock is a wall clock that never runs back, not even across restarts.
//
// Whether a key is valid is judged by this clock. So setting the machine's clock back makes no key valid again that had expired, and no machine whose clock was lost
// believes a key that is over. A clock that was set ahead and right again stays ahead, and goes at half its speed until time has caught up; removing the file, with the daemon
// stopped, resets it.
//
//	this clock   ____/------- half speed ------- ....  it never stands still, and never goes back
//	wall         ____/|________________________________
//	              set ahead, and right again
//
// It is for times that are kept or judged. How long something takes is measured by a monotonic clock.
package clock

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"ecluse/internal/journal"
)

// Files is what a Clock needs of a disk.
type Files interface {
	ReadFile(path string, limit int64) ([]byte, error)
	Replace(path string, content []byte) error // durable on return
}

// Clock is the clock. Its methods may be called from several goroutines.
type Clock struct {
	files Files
	path  string
	wall  func() time.Time // with a monotonic reading

	start time.Time // of this process, for the monotonic part

	mu   sync.Mutex
	read time.Time // the wall clock at the last reading
	last time.Time // what this clock said then
}

// Open takes the clock up where an earlier life has left it.
func Open(files Files, path string, wall func() time.Time) (*Clock, error) {
	c := &Clock{files: files, path: path, wall: wall, start: wall()}
	c.read, c.last = c.start, c.start.Round(0)
	file, err := files.ReadFile(path, 256)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("read the clock: %w", err)
	default:
		text, _, err := journal.Open(file)
		var at time.Time
		if err == nil {
			at, err = time.Parse(time.RFC3339, strings.TrimSpace(string(text)))
		}
		if err != nil {
			return nil, fmt.Errorf("read the clock: %s holds %q, which is no time; with the right time set, remove it", path, file)
		}
		if at.After(c.last) {
			c.last = at
		}
	}
	return c, nil
}

// AtRest gives the time of a state that nobody has open. A clock that is damaged keeps no person from saying a word: then it is the wall's, and the next start tells of it.
func AtRest(files Files, path string, wall func() time.Time) func() time.Time {
	c, err := Open(files, path, wall)
	if err != nil {
		return wall
	}
	return c.Now
}

// Now is the time: never before what it ever was, and later by what has passed.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall := c.wall()
	passed := max(0, wall.Sub(c.read)) // monotonic
	c.read, wall = wall, wall.Round(0)
	if next := c.last.Add(passed / 2); next.After(wall) {
		c.last = next
	} else {
		c.last = wall
	}
	return c.last
}

// Aged is the time by which things have stayed long enough to be removed: Aged of this clock's life.
func (c *Clock) Aged() time.Time {
	wall := c.wall()
	return Aged(c.start, wall.Sub(c.start), wall)
}

// Aged is what a wall clock says, but not later than the time of a start and what has passed since by the monotonic clock: whoever sets a clock ahead makes nothing old, and nothing
// is removed before it has stayed its time.
func Aged(start time.Time, passed time.Duration, wall time.Time) time.Time {
	aged := start.Round(0).Add(passed)
	if wall = wall.Round(0); wall.Before(aged) {
		return wall
	}
	return aged
}

// Ahead is how far the clock is before the machine's.
func (c *Clock) Ahead() time.Duration { return c.Now().Sub(c.wall().Round(0)) }

// Save keeps the time for the next life.
func (c *Clock) Save() error {
	text := c.Now().UTC().Format(time.RFC3339)
	if err := c.files.Replace(c.path, journal.Seal([]byte(text))); err != nil {
		return fmt.Errorf("keep the clock: %w", err)
	}
	return nil
}
