package deliver

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
)

// destination is a directory, opened once for a batch. One goroutine owns it.
type destination struct {
	disk *disk.Disk
	path string
	root *disk.Root
	dir  *disk.File // the same directory, for what os.Root cannot do
	info fs.FileInfo

	taken map[string]bool // names that the batch has chosen and not yet used
}

// openDestination opens a directory that is no symbolic link. os.OpenRoot follows one, so what was opened is held against what stands under the name.
func openDestination(disks *disk.Disk, path string) (*destination, error) {
	path = filepath.Clean(path)
	root, err := disks.OpenRoot(path)
	if err != nil {
		return nil, fault(err, "open the directory")
	}
	d := &destination{disk: disks, path: path, root: root, taken: make(map[string]bool)}
	d.dir, err = root.Open(".")
	if err == nil {
		d.info, err = d.dir.Stat()
	}
	if err != nil {
		d.close()
		return nil, fault(err, "open the directory")
	}
	if err := d.still(); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// still says whether the directory that was opened is the one that stands under its name.
func (d *destination) still() error {
	info, err := d.disk.Lstat(d.path)
	switch {
	case err != nil:
		return fault(err, "look at the directory")
	case info.Mode()&fs.ModeSymlink != 0:
		return unfit("%s is a symbolic link: name the directory itself", d.path)
	case !os.SameFile(info, d.info):
		return unfit("%s was exchanged for another directory", d.path)
	}
	return nil
}

func (d *destination) close() {
	d.root.Close()
	if d.dir != nil {
		d.dir.Close()
	}
}

// gid is the group of what is created in the directory: its own, where it hands that on, or the process's.
func (d *destination) gid() int {
	if d.info.Mode()&fs.ModeSetgid != 0 {
		return int(stat(d.info).Gid)
	}
	return os.Getegid()
}

// room refuses what does not fit, before a disk is filled for nothing.
func (d *destination) room(bytes int64) error {
	free, err := d.disk.Space(d.path)
	if err != nil {
		return fault(err, "ask for free space")
	}
	if free.Total == 0 || bytes <= 0 {
		return nil // a file system that does not count
	}
	if bytes > free.Bytes {
		return fault(unix.ENOSPC, "%d bytes, and %d are free", bytes, free.Bytes)
	}
	return nil
}

// free says whether nothing stands under a name, and no other bundle of the batch is about to.
func (d *destination) free(name string) (bool, error) {
	if reserved(name) || d.taken[name] {
		return false, nil
	}
	_, err := d.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fault(err, "look at %q", name)
	}
	return false, nil
}

// Landed says whether what an intent names stands under its final name in a directory, durably.
func Landed(d *disk.Disk, directory, final string, of uint64) (bool, error) {
	to, err := openDestination(d, directory)
	if err != nil {
		return false, err
	}
	defer to.close()
	info, err := to.root.Lstat(final)
	if errors.Is(err, fs.ErrNotExist) || err == nil && inode(info) != of {
		return false, nil
	}
	if err != nil {
		return false, fault(err, "look at %q", final)
	}
	return true, fault(to.dir.Sync(), "sync")
}

// Leftover is what an attempt to deliver has left in a directory, under a hidden name.
type Leftover struct {
	Bundle bundle.ID
	hidden string
}

// Of says whether an item of its bundle has left it. Whatever else is called so is somebody else's.
func (l Leftover) Of(item string) bool { return l.hidden == temporary(item, l.Bundle) }

// Leftovers finds what may be one in a directory.
func Leftovers(disks *disk.Disk, directory string) (left []Leftover, err error) {
	d, err := openDestination(disks, directory)
	if err != nil {
		return nil, err
	}
	defer d.close()
	for {
		names, err := d.dir.Readdirnames(1024)
		for _, n := range names {
			if id, ok := temporaryOf(n); ok {
				left = append(left, Leftover{id, n})
			}
		}
		if errors.Is(err, io.EOF) {
			return left, nil
		}
		if err != nil {
			return left, fault(err, "list the directory")
		}
	}
}

// Discard removes what attempts to deliver a bundle have left in a directory.
func Discard(d *disk.Disk, directory, name string, id bundle.ID) error {
	to, err := openDestination(d, directory)
	if err != nil {
		return err
	}
	defer to.close()
	return discard(to.root, temporary(name, id))
}
