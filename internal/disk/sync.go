package disk

import (
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// SyncDir makes the names in a directory durable.
func (d *Disk) SyncDir(dir string) error {
	return d.do(Op{Kind: SyncDir, Path: dir, Fd: -1}, func() error {
		f, err := os.Open(dir)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}

// system is one mounted file system, and who waits for it.
type system struct {
	mu      sync.Mutex
	running bool
	waiting []chan error // for the sync after the one that runs
}

// SyncAll makes durable what was changed on the file system of dir before the call.
func (d *Disk) SyncAll(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return d.SyncAllAt(&File{f, d})
}

// SyncAllAt is SyncAll for the file system of something open.
func (d *Disk) SyncAllAt(f *File) error {
	var st unix.Stat_t
	if err := unix.Fstat(f.Fd(), &st); err != nil {
		return err
	}
	d.mu.Lock()
	s := d.systems[st.Dev]
	if s == nil {
		s = &system{}
		d.systems[st.Dev] = s
	}
	d.mu.Unlock()
	return s.sync(f)
}

// sync waits for a sync that began after the call: the next one, which all share that came while another ran. One of the callers does it.
func (s *system) sync(f *File) error {
	s.mu.Lock()
	if s.running {
		done := make(chan error, 1)
		s.waiting = append(s.waiting, done)
		s.mu.Unlock()
		return <-done
	}
	s.running = true
	s.mu.Unlock()
	err := f.syncSystem()
	for {
		s.mu.Lock()
		next := s.waiting
		s.waiting = nil
		if len(next) == 0 {
			s.running = false
			s.mu.Unlock()
			return err
		}
		s.mu.Unlock()
		// The descriptor is this caller's, of the same file system.
		shared := f.syncSystem()
		for _, done := range next {
			done <- shared
		}
	}
}

func (f *File) syncSystem() error {
	return f.do(Op{Kind: SyncSystem}, func() error { return unix.Syncfs(f.Fd()) })
}
