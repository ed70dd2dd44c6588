package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// temporary marks a name that is not finished.
const temporary = ".ecluse-tmp"

// Disk is how a house touches its file systems: one for each house, handed to every room. It may be used from many goroutines.
type Disk struct {
	probe Probe         // nil in production
	moves atomic.Uint64 // how often a name was changed under the probe

	mu      sync.Mutex
	systems map[uint64]*system // by device
	fine    map[uint64]bool    // the same: whether times are
	guard   *guard
	failed  map[string]error // syncs that failed before there was a guard, by path
	broken  atomic.Bool      // a sync below the guarded directory has failed
}

// New makes a Disk.
func New() *Disk { return Watched(nil) }

// Watched makes a Disk whose every act a probe sees.
func Watched(p Probe) *Disk {
	return &Disk{probe: p, systems: make(map[uint64]*system), fine: make(map[uint64]bool)}
}

// MkdirAll makes a directory and its parents, for this process's user alone.
func (d *Disk) MkdirAll(dir string) error {
	if d.probe == nil {
		return os.MkdirAll(dir, 0o700)
	}
	info, err := d.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
	case err == nil || !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if above := filepath.Dir(dir); above != dir {
		if err := d.MkdirAll(above); err != nil {
			return err
		}
	}
	if err := d.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// Replace puts a whole file in place, durable on return.
func (d *Disk) Replace(path string, content []byte) error {
	if err := d.write(path, content, true); err != nil {
		return err
	}
	if err := d.Place(path); err != nil {
		return err
	}
	return d.SyncDir(filepath.Dir(path))
}

// Prepare writes a whole file beside its place, where it means nothing. Between it and Place comes a SyncAll: of a name that is given before the content is durable, power may
// leave an empty file.
func (d *Disk) Prepare(path string, content []byte) error { return d.write(path, content, false) }

// Prepared reads what was prepared and has not got its name: a file of at most limit bytes.
func (d *Disk) Prepared(path string, limit int64) ([]byte, error) {
	return d.ReadFile(path+temporary, limit)
}

// Place gives what was prepared its name. What has that name goes.
func (d *Disk) Place(path string) error { return d.Rename(path+temporary, path) }

// Discard removes what was prepared, if anything was.
func (d *Disk) Discard(path string) error {
	if err := d.Remove(path + temporary); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// unpolled is the flag with which our own files are opened. To files and directories it means nothing, unless somebody holds a lease on them: then an opening fails instead of waiting, and
// nobody but this program has business with these. Without it package os makes four calls more of each opening, to try whether it can be polled.
const unpolled = unix.O_NONBLOCK

// write writes the temporary file of a path. A failure leaves none.
func (d *Disk) write(path string, content []byte, sync bool) error {
	name := path + temporary
	const how = os.O_WRONLY | os.O_CREATE | os.O_TRUNC | unix.O_NOFOLLOW | unpolled
	f, err := d.OpenFile(name, how, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if err := d.MkdirAll(filepath.Dir(path)); err != nil {
			return err
		}
		f, err = d.OpenFile(name, how, 0o600)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil && sync {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, d.Remove(name))
	}
	return nil
}

// ReadFile reads a file of at most limit bytes.
func (d *Disk) ReadFile(path string, limit int64) ([]byte, error) {
	f, err := d.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := f.readAll(limit + 1)
	if err == nil && int64(len(b)) > limit {
		return nil, fmt.Errorf("read %s: more than %d bytes", path, limit)
	}
	return b, err
}

// readAll reads at most limit bytes: into room that is made once, as large as the file is. Under a probe it reads as ever, so that a run has the same acts.
func (f *File) readAll(limit int64) ([]byte, error) {
	if f.d.probe != nil {
		return io.ReadAll(io.LimitReader(f, limit))
	}
	info, err := f.f.Stat()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.Grow(int(min(info.Size(), limit)) + bytes.MinRead)
	_, err = b.ReadFrom(io.LimitReader(f.f, limit))
	return b.Bytes(), err
}

// ReadDir lists the finished names of a directory, sorted.
func (d *Disk) ReadDir(dir string) ([]string, error) {
	entries, err := d.List(dir)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), temporary) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// OpenStaged opens a file for reading and writing, and makes it if it is not there. It follows no link.
func (d *Disk) OpenStaged(path string) (*File, error) {
	return d.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unpolled, 0o600)
}

// Space tells what the file system that holds a path has left for this process. Inodes is -1 where the file system has no count of them.
func (d *Disk) Space(path string) (free Free, err error) {
	if d.probe == nil {
		return space(path)
	}
	op := Op{Kind: Space, Path: path, Fd: -1, Free: new(Free)}
	err = d.watched(op, func() (err error) { *op.Free, err = space(path); return err })
	return *op.Free, err
}

func space(path string) (Free, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return Free{}, fmt.Errorf("ask for free space at %s: %w", path, err)
	}
	free := Free{Bytes: int64(s.Bavail) * s.Bsize, Inodes: int64(s.Ffree), Total: int64(s.Blocks) * s.Bsize}
	if s.Files == 0 {
		free.Inodes = -1
	}
	return free, nil
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

// Device is the number of the file system that holds a path. A probe may tell file systems apart that are one.
func (d *Disk) Device(path string) (uint64, error) {
	device, err := Device(path)
	if p, ok := d.probe.(interface {
		Device(path string, real uint64) uint64
	}); ok && err == nil {
		device = p.Device(absolute(path), device)
	}
	return device, err
}

// Device is the number of the file system that holds a path.
func Device(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, fmt.Errorf("look at %s: %w", path, err)
	}
	return st.Dev, nil
}
