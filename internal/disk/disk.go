// Package disk gives the rooms of both houses the few acts on a file system that they are made of, with their promises.
//
//	Put       a whole file appears under its name, or nothing; durable after the next SyncAll
//	Replace   the same, durable on return
//	SyncAll   everything changed below a directory's file system is durable on return
//
// A name without the temporary suffix is a finished thing. A failed sync is never tried again: what is on the disk is then unknown, and the process has to end.
//
// SyncAll is one syncfs for all that wait: callers that come while one runs share the next. That is what lets thousands of small bundles a second be durable.
package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// temporary marks a name that is not finished.
const temporary = ".ecluse-tmp"

// Disk is the real file system. It may be used from many goroutines.
type Disk struct {
	mu      sync.Mutex
	systems map[uint64]*system // by device
}

// New makes a Disk.
func New() *Disk { return &Disk{systems: make(map[uint64]*system)} }

// MkdirAll makes a directory and its parents, for this process's user alone.
func (*Disk) MkdirAll(dir string) error { return os.MkdirAll(dir, 0o700) }

// Put puts a whole file in place by rename.
func (d *Disk) Put(path string, content []byte) error {
	return d.put(path, content, false)
}

// Replace is Put, durable on return.
func (d *Disk) Replace(path string, content []byte) error {
	if err := d.put(path, content, true); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func (*Disk) put(path string, content []byte, sync bool) error {
	name := path + temporary
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		f, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil && sync {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return os.Rename(name, path)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// ReadFile reads a file of at most limit bytes.
func (*Disk) ReadFile(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		return nil, fmt.Errorf("read %s: more than %d bytes", path, limit)
	}
	return b, err
}

// ReadDir lists the finished names of a directory, sorted.
func (*Disk) ReadDir(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), temporary) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// RemoveAll removes a tree, or nothing.
func (*Disk) RemoveAll(path string) error { return os.RemoveAll(path) }

// File is a file that is written in place.
type File struct{ *os.File }

// OpenStaged opens a file for reading and writing, and makes it if it is not there. It follows no link.
func (*Disk) OpenStaged(path string) (*File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	return &File{f}, nil
}

// StartWriteback asks the system to begin writing a range out. Where the file system cannot, nothing is lost.
func (f *File) StartWriteback(at, n int64) error {
	err := unix.SyncFileRange(int(f.Fd()), at, n, unix.SYNC_FILE_RANGE_WRITE)
	if errors.Is(err, unix.ESPIPE) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return err
}

// Space returns the free bytes and inodes of the file system that holds a path, for this process. inodes is -1 where the file system has no count of them.
func Space(path string) (bytes, inodes, total int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, 0, 0, fmt.Errorf("ask for free space at %s: %w", path, err)
	}
	inodes = int64(s.Ffree)
	if s.Files == 0 {
		inodes = -1
	}
	return int64(s.Bavail) * s.Bsize, inodes, int64(s.Blocks) * s.Bsize, nil
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
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	d.mu.Lock()
	s := d.systems[st.Dev]
	if s == nil {
		s = &system{}
		d.systems[st.Dev] = s
	}
	d.mu.Unlock()
	return s.sync(int(f.Fd()))
}

// sync waits for a sync that began after the call: the next one, which all share that came while another ran. One of the callers does it.
func (s *system) sync(fd int) error {
	s.mu.Lock()
	if s.running {
		done := make(chan error, 1)
		s.waiting = append(s.waiting, done)
		s.mu.Unlock()
		return <-done
	}
	s.running = true
	s.mu.Unlock()
	err := unix.Syncfs(fd)
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
		shared := unix.Syncfs(fd)
		for _, done := range next {
			done <- shared
		}
	}
}

// ReplaceLike is Replace for a file that people keep: the new one gets the old one's mode and, where that is allowed, its owner.
func ReplaceLike(path string, content []byte, like fs.FileInfo) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	d := New()
	temp := path + ".new"
	if err := d.Replace(temp, content); err != nil {
		return err
	}
	if st, ok := like.Sys().(*syscall.Stat_t); ok {
		_ = os.Chown(temp, int(st.Uid), int(st.Gid)) // only root may give files away, and only root edits what is another's
	}
	if err := os.Chmod(temp, like.Mode().Perm()); err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	return d.SyncAll(filepath.Dir(path))
}

// Device is the number of the file system that holds a path.
func Device(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, fmt.Errorf("look at %s: %w", path, err)
	}
	return st.Dev, nil
}
