package disk

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Dirs opens what stands below a Root, and keeps the directory open in which it was last: what is in one directory mostly comes together, and each name of a path costs calls of the
// system. A directory must not be moved away while it is the last one. One goroutine uses it.
type Dirs struct {
	root *Root
	path string
	dir  *File // nil for none
}

// Dirs makes one.
func (r *Root) Dirs() *Dirs { return &Dirs{root: r} }

// At gives the open directory that holds a name, and the last part of that.
func (d *Dirs) At(name string) (dir *File, base string, err error) {
	if !filepath.IsLocal(name) {
		return nil, "", &os.PathError{Op: "open", Path: name, Err: unix.EXDEV}
	}
	path := filepath.Dir(name)
	if d.dir == nil || d.path != path {
		d.Close()
		if d.dir, err = d.root.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unpolled, 0); err != nil {
			d.dir = nil
			return nil, "", err
		}
		d.path = path
	}
	return d.dir, filepath.Base(name), nil
}

// Open opens a file for reading. The last part of its name is no link, and no part leads out of the Root; it waits for nobody where it is none.
func (d *Dirs) Open(name string) (*File, error) {
	dir, base, err := d.At(name)
	if err != nil {
		return nil, err
	}
	fd, err := d.root.d.Openat(dir.Fd(), base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return d.root.d.Listing(fd, name), nil
}

// Lstat looks at what stands under a name, and follows no link.
func (d *Dirs) Lstat(name string, st *unix.Stat_t) error {
	dir, base, err := d.At(name)
	if err != nil {
		return err
	}
	if err := d.root.d.Fstatat(dir.Fd(), base, st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "lstat", Path: name, Err: err}
	}
	return nil
}

// Mkdir makes one directory.
func (d *Dirs) Mkdir(name string, perm uint32) error {
	dir, base, err := d.At(name)
	if err != nil {
		return err
	}
	if err := d.root.d.Mkdirat(dir.Fd(), base, perm); err != nil {
		return &os.PathError{Op: "mkdir", Path: name, Err: err}
	}
	return nil
}

// Rename gives a thing a name in another Dirs of the same disk. What has that name goes.
func (d *Dirs) Rename(from string, to *Dirs, final string) error {
	if to == d {
		panic("disk: internal error: one Dirs cannot hold two directories")
	}
	here, name, err := d.At(from)
	if err != nil {
		return err
	}
	there, base, err := to.At(final)
	if err != nil {
		return err
	}
	if err := d.root.d.Renameat2(here.Fd(), name, there.Fd(), base, 0); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: final, Err: err}
	}
	return nil
}

// Close closes the directory that is open.
func (d *Dirs) Close() {
	if d.dir != nil {
		d.dir.Close()
		d.dir = nil
	}
}
