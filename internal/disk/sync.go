package disk

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// guard is whom a failed sync is told to.
type guard struct {
	dir    string
	lost   func(error)
	broken error // the first that failed; under the Disk's lock
}

// guards says whether a path is the directory, or below it.
func (g *guard) guards(path string) bool {
	return g != nil && (path == g.dir || strings.HasPrefix(path, g.dir+"/"))
}

// ErrLost is what every sync below a guarded directory gives after one of them has failed. The system tells a failed writeback once, and thinks of what was lost as written: another sync
// would find nothing to do, and say that all of it is durable.
var ErrLost = errors.New("not tried: an earlier sync has failed")

// Guard has lost told of each sync that fails below a directory, from now on; also of one that has failed there already. Whoever asked for the sync gets its error too, and may think
// of what he wrote as a thing to be tried again: what the disk has lost beside it nobody knows, so the process has to end.
func (d *Disk) Guard(dir string, lost func(error)) {
	d.mu.Lock()
	d.guard = &guard{dir: absolute(dir), lost: lost}
	before := d.failed
	d.mu.Unlock()
	for path, err := range before {
		d.synced(path, err)
	}
}

// failuresMost bounds what is remembered of failed syncs until somebody guards.
const failuresMost = 64

// synced hands through what a sync gave.
func (d *Disk) synced(path string, err error) error {
	if err == nil {
		return nil
	}
	path = absolute(path)
	d.mu.Lock()
	g := d.guard
	if g == nil && len(d.failed) < failuresMost {
		if d.failed == nil {
			d.failed = make(map[string]error)
		}
		d.failed[path] = err
	}
	guarded := g.guards(path)
	if guarded && g.broken == nil {
		g.broken = err
		d.broken.Store(true)
	}
	d.mu.Unlock()
	if guarded {
		g.lost(fmt.Errorf("sync of %s: %w", path, err))
	}
	return err
}

// lost says whether a sync of a path is not to be tried any more, and why.
func (d *Disk) lost(path func() string) error {
	if !d.broken.Load() {
		return nil
	}
	at := absolute(path())
	d.mu.Lock()
	defer d.mu.Unlock()
	if g := d.guard; g.guards(at) && g.broken != nil {
		return fmt.Errorf("sync of %s: %w: %w", at, ErrLost, g.broken)
	}
	return nil
}

// SyncDir makes the names in a directory durable.
func (d *Disk) SyncDir(dir string) error {
	if err := d.lost(func() string { return dir }); err != nil {
		return err
	}
	return d.synced(dir, d.syncDir(dir))
}

func (d *Disk) syncDir(dir string) error {
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
	if err := d.lost(func() string { return dir }); err != nil {
		return err
	}
	s, err := d.system(dir)
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return d.synced(dir, s.sync(func() error {
		return d.do(Op{Kind: SyncSystem, Path: dir, Fd: -1}, func() error { return unix.Syncfs(int(s.dir.Fd())) })
	}))
}

func (d *Disk) system(dir string) (*system, error) {
	device, err := d.Device(dir)
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
