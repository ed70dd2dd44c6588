package pack

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"ecluse/protocol/bundle"
)

// ErrChanged is returned when an item changed while it was read.
type ErrChanged struct {
	Path string // as it is; Error quotes it
	What string
}

// Error names the path, quoted, and what happened to it.
func (e *ErrChanged) Error() string {
	return fmt.Sprintf("%s changed while it was read: %s", strconv.Quote(e.Path), e.What)
}

// What an ErrChanged says.
const (
	whatGone      = "it is gone"
	whatReplaced  = "another stands in its place"
	whatGrew      = "it grew"
	whatShrank    = "it shrank"
	whatRewritten = "it was written"
	whatHeld      = "somebody has it open for writing"
	whatListing   = "something in it came or went"
)

// maxListed is how many things an ErrRefused lists.
const maxListed = 10

// ErrRefused lists what in an item cannot travel.
type ErrRefused struct {
	Things []Thing // the first ten
	Total  int
}

// Thing is one name that cannot travel.
type Thing struct {
	Path string // as it is; Error quotes it
	Why  string
}

// Error lists the first ten names, quoted.
func (e *ErrRefused) Error() string {
	var b strings.Builder
	if e.Total == 1 {
		b.WriteString("it holds one thing that cannot travel: ")
	} else {
		fmt.Fprintf(&b, "it holds %d things that cannot travel: ", e.Total)
	}
	for i, t := range e.Things {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s (%s)", strconv.Quote(t.Path), t.Why)
	}
	if more := e.Total - len(e.Things); more > 0 {
		fmt.Fprintf(&b, "; and %d more", more)
	}
	return b.String()
}

func (e *ErrRefused) add(path, why string) {
	e.Total++
	if len(e.Things) < maxListed {
		e.Things = append(e.Things, Thing{strings.Clone(path), why})
	}
}

// errTooLarge is the refusal of an item that no bundle holds.
var errTooLarge = fmt.Errorf("it holds more than %d files and %d directories: split it", bundle.MaxFiles, bundle.MaxDirs)

// lookupError says what it means that a name which was there cannot be opened.
func lookupError(path string, err error) error {
	switch {
	case errors.Is(err, unix.ENOENT):
		return &ErrChanged{path, whatGone}
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENXIO), errors.Is(err, unix.EAGAIN):
		return &ErrChanged{path, whatReplaced}
	}
	return fmt.Errorf("read %s: %w", strconv.Quote(path), err)
}

// errTooManyChunks is the refusal of an item whose content takes more chunks than a bundle may have.
var errTooManyChunks = fmt.Errorf("its content takes more than %d chunks: split it", bundle.MaxContentChunks)
