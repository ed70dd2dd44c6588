package disk

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Root is an os.Root: no name leads out of its directory, whatever it says.
type Root struct {
	r *os.Root
	d *Disk
}

// OpenRoot opens a directory as a Root. It follows a link that stands under path itself.
func (d *Disk) OpenRoot(path string) (r *Root, err error) {
	err = d.do(Op{Kind: Open, Path: path, Fd: -1, Flag: os.O_RDONLY}, func() error {
		r, err = d.root(os.OpenRoot(path))
		return err
	})
	return r, err
}

func (d *Disk) root(r *os.Root, err error) (*Root, error) {
	if err != nil {
		return nil, err
	}
	return &Root{r, d}, nil
}

// do does one act on a name below the directory, which keeps its own name while a Root is open: the paths that a probe sees are made of it.
func (r *Root) do(op Op, name string, act func() error) error {
	if r.d.probe == nil {
		return act()
	}
	op.Path, op.Fd = r.at(name), -1
	return r.d.watched(op, act)
}

func (r *Root) at(name string) string { return filepath.Join(r.r.Name(), name) }

// Name is the path of the directory.
func (r *Root) Name() string { return r.r.Name() }

// Close closes the directory.
func (r *Root) Close() error { return r.r.Close() }

// FS gives the directory for reading. A probe does not see what is read through it.
func (r *Root) FS() fs.FS { return r.r.FS() }

// OpenRoot opens a directory below.
func (r *Root) OpenRoot(name string) (below *Root, err error) {
	err = r.do(Op{Kind: Open, Flag: os.O_RDONLY}, name, func() error {
		below, err = r.d.root(r.r.OpenRoot(name))
		return err
	})
	return below, err
}

// Open opens a file or a directory for reading.
func (r *Root) Open(name string) (*File, error) { return r.OpenFile(name, os.O_RDONLY, 0) }

// OpenFile opens a file as os.OpenFile does.
func (r *Root) OpenFile(name string, flag int, perm fs.FileMode) (f *File, err error) {
	err = r.do(Op{Kind: opening(flag), Flag: flag}, name, func() error {
		f, err = r.d.file(r.r.OpenFile(name, flag, perm))
		return err
	})
	return f, err
}

// Mkdir makes one directory.
func (r *Root) Mkdir(name string, perm fs.FileMode) error {
	return r.do(Op{Kind: Mkdir}, name, func() error { return r.r.Mkdir(name, perm) })
}

// Rename gives a thing another name. What has that name goes.
func (r *Root) Rename(from, to string) error {
	return r.do(Op{Kind: Rename, To: r.at(to)}, from, func() error { return r.r.Rename(from, to) })
}

// Remove removes a file or an empty directory.
func (r *Root) Remove(name string) error {
	return r.do(Op{Kind: Remove}, name, func() error { return r.r.Remove(name) })
}

// RemoveAll removes a tree, or nothing. A probe sees each name go.
func (r *Root) RemoveAll(name string) error {
	if r.d.probe == nil {
		return r.r.RemoveAll(name)
	}
	return removeAll(name, r.Remove, r.List)
}

// Chmod sets a mode.
func (r *Root) Chmod(name string, mode fs.FileMode) error {
	return r.do(Op{Kind: Chmod}, name, func() error { return r.r.Chmod(name, mode) })
}

// Lstat looks at what stands under a name, and follows no link.
func (r *Root) Lstat(name string) (info fs.FileInfo, err error) {
	err = r.do(Op{Kind: Stat}, name, func() error { info, err = r.r.Lstat(name); return err })
	return info, err
}

// List lists a directory, sorted.
func (r *Root) List(name string) (entries []fs.DirEntry, err error) {
	err = r.do(Op{Kind: List}, name, func() error {
		f, err := r.r.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		entries, err = f.ReadDir(-1)
		return err
	})
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}
