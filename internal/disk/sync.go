package disk

import (
	"errors"
	"fmt"
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
//
// Its descriptor stays open: the kernel tells a failed writeback to every descriptor that was open at the time, but to one that is opened later only where nobody else has
// been told of it yet.
type system struct {
	dir *os.File

	mu      sync.Mutex
	running bool
	waiting []chan error // for the sync after the one that runs
}

// SyncAll makes durable what was changed on the file system of dir before the call.
func (d *Disk) SyncAll(dir string) error {
	s, err := d.system(dir)
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return s.sync(func() error {
		return d.do(Op{Kind: SyncSystem, Path: dir, Fd: -1}, func() error { return unix.Syncfs(int(s.dir.Fd())) })
	})
}

func (d *Disk) system(dir string) (*system, error) {
	device, err := Device(dir)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.systems[device]
	if s == nil {
		f, err := os.Open(dir)
		if err != nil {
			return nil, err
		}
		s = &system{dir: f}
		d.systems[device] = s
	}
	return s, nil
}

// sync waits for a sync that began after the call: the next one, which all share that came while another ran. One of the callers does it.
func (s *system) sync(do func() error) error {
	s.mu.Lock()
	if s.running {
		done := make(chan error, 1)
		s.waiting = append(s.waiting, done)
		s.mu.Unlock()
		return <-done
	}
	s.running = true
	s.mu.Unlock()
	err := do()
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
		shared := do()
		for _, done := range next {
			done <- shared
		}
	}
}

// SyncSystem makes durable what was changed on the file system of something open. It is shared with nobody: what has failed there since it was opened is told to it.
func (f *File) SyncSystem() error {
	return f.do(Op{Kind: SyncSystem}, func() error { return unix.Syncfs(f.Fd()) })
}
