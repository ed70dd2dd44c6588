package disk

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Open opens a file or a directory for reading.
func (d *Disk) Open(path string) (*File, error) { return d.OpenFile(path, os.O_RDONLY, 0) }

// OpenFile opens a file as os.OpenFile does.
func (d *Disk) OpenFile(path string, flag int, perm fs.FileMode) (f *File, err error) {
	err = d.do(Op{Kind: opening(flag), Path: path, Fd: -1, Flag: flag}, func() error {
		f, err = d.file(os.OpenFile(path, flag, perm))
		return err
	})
	return f, err
}

func opening(flag int) Kind {
	if flag&os.O_CREATE != 0 {
		return Create
	}
	return Open
}

// CreateTemp makes a file of a new name in a directory; what is random takes the place of the pattern's star. Its mode is 0600.
func (d *Disk) CreateTemp(dir, pattern string) (*File, error) {
	return d.OpenFile(filepath.Join(dir, strings.Replace(pattern, "*", rand.Text(), 1)), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

// Mkdir makes one directory.
func (d *Disk) Mkdir(path string, perm fs.FileMode) error {
	return d.do(Op{Kind: Mkdir, Path: path, Fd: -1}, func() error { return os.Mkdir(path, perm) })
}

// Rename gives a thing another name. What has that name goes.
func (d *Disk) Rename(from, to string) error {
	return d.do(Op{Kind: Rename, Path: from, To: to, Fd: -1}, func() error { return os.Rename(from, to) })
}

// Remove removes a file or an empty directory.
func (d *Disk) Remove(path string) error {
	return d.do(Op{Kind: Remove, Path: path, Fd: -1}, func() error { return os.Remove(path) })
}

// RemoveAll removes a tree, or nothing. A probe sees each name go.
func (d *Disk) RemoveAll(path string) error {
	if d.probe == nil {
		return os.RemoveAll(path)
	}
	return removeAll(path, d.Remove, d.List)
}

// removeAll removes a tree name by name, in the order of names.
func removeAll(path string, remove func(string) error, list func(string) ([]fs.DirEntry, error)) error {
	err := remove(path)
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if !errors.Is(err, syscall.ENOTEMPTY) && !errors.Is(err, syscall.EEXIST) {
		return err
	}
	entries, failed := list(path)
	for _, e := range entries {
		failed = errors.Join(failed, removeAll(filepath.Join(path, e.Name()), remove, list))
	}
	if failed != nil {
		return failed
	}
	if err := remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Chmod sets a mode.
func (d *Disk) Chmod(path string, mode fs.FileMode) error {
	return d.do(Op{Kind: Chmod, Path: path, Fd: -1}, func() error { return os.Chmod(path, mode) })
}

// Lchown sets owner and group; -1 leaves one as it is. It follows no link.
func (d *Disk) Lchown(path string, uid, gid int) error {
	return d.do(Op{Kind: Chown, Path: path, Fd: -1}, func() error { return os.Lchown(path, uid, gid) })
}

// Chtimes sets times; a zero one stays as it is.
func (d *Disk) Chtimes(path string, accessed, modified time.Time) error {
	times := make([]unix.Timespec, 2)
	for i, t := range []time.Time{accessed, modified} { // os.Chtimes counts nanoseconds in 64 bits, which end in 2262
		times[i] = unix.Timespec{Sec: t.Unix(), Nsec: int64(t.Nanosecond())}
		if t.IsZero() {
			times[i] = unix.Timespec{Nsec: unix.UTIME_OMIT}
		}
	}
	return d.do(Op{Kind: Times, Path: path, Fd: -1}, func() error {
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, times, 0); err != nil {
			return &fs.PathError{Op: "chtimes", Path: path, Err: err}
		}
		return nil
	})
}

// Stat looks at what a path leads to.
func (d *Disk) Stat(path string) (info fs.FileInfo, err error) {
	err = d.do(Op{Kind: Stat, Path: path, Fd: -1}, func() error { info, err = os.Stat(path); return err })
	return info, err
}

// Lstat looks at what stands under a path, and follows no link.
func (d *Disk) Lstat(path string) (info fs.FileInfo, err error) {
	err = d.do(Op{Kind: Stat, Path: path, Fd: -1}, func() error { info, err = os.Lstat(path); return err })
	return info, err
}

// List lists a directory, sorted. The probe does not see what Info of an entry looks at: use Lstat.
func (d *Disk) List(dir string) (entries []fs.DirEntry, err error) {
	err = d.do(Op{Kind: List, Path: dir, Fd: -1}, func() error { entries, err = os.ReadDir(dir); return err })
	return entries, err
}

// The acts below are the system's own, for the rooms that go through trees of others by open directories. They allocate nothing without a probe.

// Openat is openat(2). What it gives is closed by the system's own close, or by the File that Listing makes of it.
func (d *Disk) Openat(dir int, name string, flag int, mode uint32) (fd int, err error) {
	if d.probe == nil {
		for {
			if fd, err = unix.Openat(dir, name, flag, mode); err != unix.EINTR {
				return fd, err
			}
		}
	}
	return d.openat(dir, name, flag, mode)
}

func (d *Disk) openat(dir int, name string, flag int, mode uint32) (fd int, err error) {
	err = d.watched(Op{Kind: opening(flag), Path: d.at(dir, name), Fd: -1, Flag: flag}, func() error {
		fd, err = unix.Openat(dir, name, flag, mode)
		return err
	})
	if err != nil {
		return -1, err
	}
	return fd, nil
}

// Mkdirat is mkdirat(2).
func (d *Disk) Mkdirat(dir int, name string, perm uint32) error {
	return d.do(Op{Kind: Mkdir, Path: d.at(dir, name), Fd: -1}, func() error {
		return patient(func() error { return unix.Mkdirat(dir, name, perm) })
	})
}

// Fstatat is fstatat(2).
func (d *Disk) Fstatat(dir int, name string, st *unix.Stat_t, flags int) error {
	if d.probe == nil {
		return unix.Fstatat(dir, name, st, flags)
	}
	return d.watched(Op{Kind: Stat, Path: d.at(dir, name), Fd: -1}, func() error { return unix.Fstatat(dir, name, st, flags) })
}

// Fstat is fstat(2).
func (d *Disk) Fstat(fd int, st *unix.Stat_t) error {
	if d.probe == nil {
		return unix.Fstat(fd, st)
	}
	return d.watched(Op{Kind: Stat, Path: pathOf(fd), Fd: fd}, func() error { return unix.Fstat(fd, st) })
}

// Faccessat is faccessat(2).
func (d *Disk) Faccessat(dir int, name string, mode uint32, flags int) error {
	if d.probe == nil {
		return unix.Faccessat(dir, name, mode, flags)
	}
	return d.watched(Op{Kind: Stat, Path: d.at(dir, name), Fd: -1}, func() error { return unix.Faccessat(dir, name, mode, flags) })
}

// Pread is pread(2).
func (d *Disk) Pread(fd int, b []byte, at int64) (int, error) {
	if d.probe == nil {
		return unix.Pread(fd, b, at)
	}
	return d.pread(fd, b, at)
}

func (d *Disk) pread(fd int, b []byte, at int64) (n int, err error) {
	err = d.watched(Op{Kind: Read, Path: pathOf(fd), Fd: fd, At: at, Len: len(b)}, func() error {
		n, err = unix.Pread(fd, b, at)
		return err
	})
	return n, err
}

// Renameat2 is renameat2(2). Without flags it is renameat(2), which every file system has.
func (d *Disk) Renameat2(from int, name string, to int, final string, flags uint) error {
	kind := Rename
	switch {
	case flags&unix.RENAME_EXCHANGE != 0:
		kind = Exchange
	case flags&unix.RENAME_NOREPLACE != 0:
		kind = RenameNew
	}
	return d.do(Op{Kind: kind, Path: d.at(from, name), To: d.at(to, final), Fd: -1}, func() error {
		if flags == 0 {
			return patient(func() error { return unix.Renameat(from, name, to, final) })
		}
		return patient(func() error { return unix.Renameat2(from, name, to, final, flags) })
	})
}

// patient does an act again that a signal has interrupted: the runtime sends them, and file systems of the network or in user space give way.
func patient(act func() error) error {
	for {
		if err := act(); err != unix.EINTR {
			return err
		}
	}
}

// Listing makes a File of an open descriptor, which is closed with it.
func (d *Disk) Listing(fd int, name string) *File {
	return &File{f: os.NewFile(uintptr(fd), name), d: d}
}
