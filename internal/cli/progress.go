package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"ecluse/internal/config"
)

// IsTerminal says whether a stream is a person's screen.
func IsTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// rateSpan is the time over which a rate is taken: long enough to stand still, short enough to follow.
const rateSpan = 5 * time.Second

// Meter follows how far something is, and says at which rate it goes and how long it takes yet.
type Meter struct {
	samples []sample
}

type sample struct {
	at   time.Time
	done int64
}

// Note tells how much is done by now.
func (m *Meter) Note(now time.Time, done int64) {
	m.samples = append(m.samples, sample{now, done})
	for len(m.samples) > 2 && now.Sub(m.samples[1].at) >= rateSpan {
		m.samples = m.samples[1:]
	}
}

// Rate is bytes a second of late; 0 while nothing is known.
func (m *Meter) Rate() float64 {
	if len(m.samples) < 2 {
		return 0
	}
	first, last := m.samples[0], m.samples[len(m.samples)-1]
	if span := last.at.Sub(first.at).Seconds(); span > 0 {
		return max(0, float64(last.done-first.done)/span)
	}
	return 0
}

// Line is one line of progress: how far, how fast, how long yet. total is below 0 where it is not known yet. width is that of the screen; 0 leaves the bar out.
func (m *Meter) Line(label string, total int64, width int) string {
	label = Quote(label)
	if runes := []rune(label); len(runes) > 24 {
		label = string(runes[:23]) + "…"
	}
	switch {
	case total < 0:
		return label + "  waits for its turn"
	case total == 0:
		return label + "  has no content: only names go out"
	}
	var done int64
	if n := len(m.samples); n > 0 {
		done = m.samples[n-1].done
	}
	part := min(1, float64(done)/float64(total))
	rate := m.Rate()
	left := "--:--"
	if rate > 0 {
		left = clock(time.Duration(float64(max(0, total-done)) / rate * float64(time.Second)))
	}
	figures := fmt.Sprintf(" %3.0f%%  %s of %s  %s  %s left", 100*part, config.FormatBytes(done), config.FormatBytes(total), config.FormatRate(8*rate), left)
	bar := ""
	if room := width - len([]rune(label)) - len(figures) - 4; width > 0 && room >= 8 {
		filled := int(part * float64(room))
		bar = " [" + strings.Repeat("#", filled) + strings.Repeat(".", room-filled) + "]"
	}
	return label + bar + figures
}

// clock shows a length of time as h:mm:ss or mm:ss.
func clock(d time.Duration) string {
	s := int64(d.Round(time.Second) / time.Second)
	if s >= 100*3600 {
		return "more than 99 h"
	}
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%02d:%02d", s/60, s%60)
}

// Bar shows a Meter on a terminal, over itself; elsewhere it prints a line now and then.
type Bar struct {
	Meter
	w        io.Writer
	terminal bool
	last     time.Time
}

// quietEvery is the time between two lines of a Bar that is not on a terminal.
const quietEvery = 10 * time.Second

// NewBar makes a Bar on a stream.
func NewBar(w io.Writer) *Bar { return &Bar{w: w, terminal: IsTerminal(w)} }

// Show notes how far it is, and shows it.
func (b *Bar) Show(now time.Time, label string, done, total int64) {
	b.Note(now, done)
	if b.terminal {
		width, _, err := term.GetSize(int(b.w.(*os.File).Fd()))
		if err != nil {
			width = 80
		}
		fmt.Fprintf(b.w, "\r\x1b[K%s", b.Line(label, total, width))
		return
	}
	if now.Sub(b.last) >= quietEvery {
		b.last = now
		fmt.Fprintln(b.w, b.Line(label, total, 0))
	}
}

// Idle says on a terminal that there is nothing to show.
func (b *Bar) Idle(text string) {
	if b.terminal {
		fmt.Fprintf(b.w, "\r\x1b[K%s", text)
	}
}

// End leaves the line.
func (b *Bar) End() {
	if b.terminal {
		fmt.Fprintln(b.w)
	}
}
