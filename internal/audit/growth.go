package audit

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"ecluse/internal/config"
)

// Growth is how large a log is, and how fast it grows.
type Growth struct {
	Bytes  int64    `json:"bytes"`         // of entries and hashes
	PerDay *float64 `json:"bytes_per_day"` // over the last 30 days, or since it was begun; nil in its first hour
	Lasts  *float64 `json:"days_left"`     // until the room is taken, at that rate and by nothing else; nil where no rate is known
}

// String says it to people.
func (g *Growth) String() string {
	text := "audit log: " + config.FormatBytes(g.Bytes)
	if g.PerDay != nil {
		text += fmt.Sprintf(", %s a day", config.FormatBytes(int64(*g.PerDay)))
	}
	switch {
	case g.Lasts == nil:
		return text
	case *g.Lasts >= 3650:
		return text + "; at that rate the disk has room for ten years and more"
	}
	return text + fmt.Sprintf("; at that rate the disk has room for %.0f days, if nothing else takes any", *g.Lasts)
}

// growthOver is how far back a look at the growth goes, and growthLeast how old a log has to be.
const (
	growthOver  = 30 * 24 * time.Hour
	growthLeast = time.Hour
)

// Growth looks at the files of a log whose disk has so much room. It reads one of them at the most.
func (r Reader) Growth(now time.Time, room int64) (g Growth, err error) {
	firsts, err := segments(r.Disk, r.Dir)
	if err != nil {
		return g, err
	}
	hashes, err := r.bytesOf(filepath.Join(r.Dir, hashesName))
	if err != nil {
		return g, err
	}
	sizes := make([]int64, len(firsts))
	var entries int64
	for i, first := range firsts {
		if sizes[i], err = r.bytesOf(segmentPath(r.Dir, first)); err != nil {
			return g, err
		}
		entries += sizes[i]
	}
	g.Bytes = entries + hashes
	since, grown := now, int64(0)
	from := now.Add(-growthOver)
	for i := len(firsts) - 1; i >= 0 && entries > 0; i-- {
		at, err := r.beginning(firsts[i])
		if err != nil {
			return g, err
		}
		if at.Before(from) {
			later, err := r.bytesSince(firsts[i], from)
			if err != nil {
				return g, err
			}
			since, grown = from, grown+later
			break
		}
		since, grown = at, grown+sizes[i]
	}
	if age := now.Sub(since); age >= growthLeast {
		perDay := float64(grown) * float64(g.Bytes) / float64(entries) / (age.Hours() / 24)
		g.PerDay = &perDay
		if perDay > 0 {
			lasts := float64(max(room, 0)) / perDay
			g.Lasts = &lasts
		}
	}
	return g, nil
}

// bytesOf is the size of a file.
func (r Reader) bytesOf(path string) (int64, error) {
	f, err := r.Disk.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// beginning is when the first entry of a file was written.
func (r Reader) beginning(first uint64) (at time.Time, err error) {
	f, err := r.Disk.OpenFile(segmentPath(r.Dir, first), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return at, err
	}
	defer f.Close()
	text := make([]byte, lineMost+1)
	n, _ := f.ReadAt(text, 0) // what is short has no whole line
	line, _, _ := bytes.Cut(text[:n], []byte("\n"))
	e, err := parseAt(line, first)
	if err != nil {
		return at, err
	}
	return e.At, nil
}

// bytesSince is the size of those entries of a file that are not older than a time.
func (r Reader) bytesSince(first uint64, from time.Time) (n int64, err error) {
	lines, err := r.lines(first)
	if err != nil {
		return 0, err
	}
	for i := len(lines) - 1; i >= 0; i-- {
		e, err := parseAt(lines[i], first+uint64(i))
		if err != nil {
			return 0, err
		}
		if e.At.Before(from) {
			return n, nil
		}
		n += int64(len(lines[i])) + 1
	}
	return n, nil
}
