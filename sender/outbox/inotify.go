package outbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// event is what inotify says about one name at the top of the outbox.
type event struct {
	kind eventKind
	name string
}

type eventKind uint8

const (
	eventMoved    eventKind = iota // the name appeared by rename
	eventTouched                   // it was created, or somebody who wrote it closed it
	eventAttrib                    // its rights or owner changed
	eventOverflow                  // events were lost
	eventEnd                       // the directory is not the one that is watched any more
)

// watchMask is what is asked for. Writing as such is not: it would come for every write, and looking tells it anyway. fsnotify cannot be used: it gives a
// creation and a rename the same name.
const watchMask = unix.IN_MOVED_TO | unix.IN_CREATE | unix.IN_CLOSE_WRITE | unix.IN_ATTRIB |
	unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR | unix.IN_DONT_FOLLOW

// notifier is one inotify watch of one directory. A goroutine of its own reads it, until close.
type notifier struct {
	file   *os.File
	events chan []event // closed at the end
}

// notify begins to watch a directory. A batch that nobody takes yet waits in the kernel, whose queue is bounded and tells when it overflows.
func notify(dir string) (*notifier, error) {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	if _, err := unix.InotifyAddWatch(fd, dir, watchMask); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	n := &notifier{file: os.NewFile(uintptr(fd), "inotify"), events: make(chan []event)}
	return n, nil
}

// run reads until close or stop.
func (n *notifier) run(stop <-chan struct{}) {
	defer close(n.events)
	buffer := make([]byte, 64<<10)
	for {
		size, err := n.file.Read(buffer)
		if err != nil {
			return
		}
		batch := parseEvents(buffer[:size])
		if len(batch) == 0 {
			continue
		}
		select {
		case n.events <- batch:
		case <-stop:
			return
		}
	}
}

func (n *notifier) close() error {
	if err := n.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// parseEvents reads what one read of an inotify descriptor gave (inotify(7)).
//
//	0        4       8        12       16        16+length
//	+--------+-------+--------+--------+---------+
//	| watch  | mask  | cookie | length | name, 0 |
//	+--------+-------+--------+--------+---------+
func parseEvents(b []byte) (events []event) {
	for len(b) >= unix.SizeofInotifyEvent {
		mask := binary.NativeEndian.Uint32(b[4:])
		length := int(binary.NativeEndian.Uint32(b[12:]))
		b = b[unix.SizeofInotifyEvent:]
		if length > len(b) {
			return append(events, event{kind: eventOverflow})
		}
		name, _, _ := bytes.Cut(b[:length], []byte{0})
		b = b[length:]
		if e, ok := eventOf(mask, string(name)); ok {
			events = append(events, e)
		}
	}
	return events
}

func eventOf(mask uint32, name string) (event, bool) {
	switch {
	case mask&unix.IN_Q_OVERFLOW != 0:
		return event{kind: eventOverflow}, true
	case mask&(unix.IN_DELETE_SELF|unix.IN_MOVE_SELF|unix.IN_IGNORED|unix.IN_UNMOUNT) != 0:
		return event{kind: eventEnd}, true
	case leftAlone(name):
		return event{}, false
	case mask&unix.IN_MOVED_TO != 0:
		return event{eventMoved, name}, true
	case mask&(unix.IN_CREATE|unix.IN_CLOSE_WRITE) != 0:
		return event{eventTouched, name}, true
	case mask&unix.IN_ATTRIB != 0:
		return event{eventAttrib, name}, true
	}
	return event{}, false
}
