// Package instance guards a state directory: one process writes it at a time, and no program writes a state that a newer one has made.
//
//	<state>/lock      held (flock) by whoever writes; it says who that is
//	<state>/version   the form of the directory, a number
//
// The kernel drops the lock with the process, however that ends.
package instance

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrBusy is returned when another process holds the lock.
var ErrBusy = errors.New("another process is running on it")

// ErrNewer is returned for a state that a newer program has written.
var ErrNewer = errors.New("a newer program wrote it")

// Lock is a held state directory.
type Lock struct{ f *os.File }

// Replace puts a whole file in place, durably.
type Replace func(path string, content []byte) error

// Take locks a state directory, which has to exist, and checks that its form is at most version; an older or an empty one becomes it.
func Take(state string, version int, replace Replace) (*Lock, error) {
	f, err := os.OpenFile(filepath.Join(state, "lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the state: %w", err)
	}
	l := &Lock{f}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("state %s: %w%s", state, ErrBusy, holder(f))
		}
		return nil, fmt.Errorf("lock the state: %w", err)
	}
	if err := l.prepare(state, version, replace); err != nil {
		return nil, errors.Join(err, l.Release())
	}
	return l, nil
}

// Held says whether some process holds a state. It reads the list of locks: to try the lock would keep it from a daemon that starts. It is false where that cannot be told: the list shows
// this namespace of processes only, and some file systems (btrfs, overlayfs) have other numbers of devices there.
func Held(state string) bool {
	var st unix.Stat_t
	if unix.Stat(filepath.Join(state, "lock"), &st) != nil {
		return false
	}
	list, err := os.ReadFile("/proc/locks")
	if err != nil {
		return false
	}
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	for line := range strings.Lines(string(list)) {
		f := strings.Fields(line) // 3: FLOCK ADVISORY WRITE 1074 00:27:20 0 EOF; one who waits has -> in the second place
		if len(f) >= 6 && f[1] == "FLOCK" && f[5] == file {
			return true
		}
	}
	return false
}

// holder reads who wrote itself into the lock. It is for people: only the lock itself counts.
func holder(f *os.File) string {
	b, _ := io.ReadAll(io.LimitReader(f, 32))
	if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
		return fmt.Sprintf(" (pid %d)", pid)
	}
	return ""
}

func (l *Lock) prepare(state string, version int, replace Replace) error {
	if err := checkVersion(state, version); err != nil {
		return err
	}
	if have, _ := readVersion(state); have != version {
		if err := replace(filepath.Join(state, "version"), []byte(strconv.Itoa(version)+"\n")); err != nil {
			return fmt.Errorf("note the version of the state: %w", err)
		}
	}
	if err := l.f.Truncate(0); err != nil {
		return fmt.Errorf("lock the state: %w", err)
	}
	if _, err := l.f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return fmt.Errorf("lock the state: %w", err)
	}
	return nil
}

// checkVersion refuses a state of a later form.
func checkVersion(state string, version int) error {
	have, err := readVersion(state)
	if err != nil {
		return err
	}
	if have > version {
		return fmt.Errorf("state %s: %w: its form is %d, this program knows %d; install the newer program", state, ErrNewer, have, version)
	}
	return nil
}

// readVersion returns 0 for a state that says nothing yet.
func readVersion(state string) (int, error) {
	b, err := os.ReadFile(filepath.Join(state, "version"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the version of the state: %w", err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || n < 1 {
		return 0, fmt.Errorf("state %s: version holds %q, not a number", state, b)
	}
	return n, nil
}

// Release gives the state free.
func (l *Lock) Release() error { return l.f.Close() }
