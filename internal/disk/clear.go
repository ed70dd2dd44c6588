package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Clear removes a directory in which somebody hostile has worked, and all in it: directories whose modes have closed them, and trees that are deeper than a path can say, or than there are descriptors for.
// Nobody works in it any more. It is no error when nothing is there. Nothing in it was ever promised to last, so it goes around probes.
func Clear(dir string) error {
	if err := os.Remove(dir); err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := clearDir(dir); err != nil {
		return fmt.Errorf("clear %s: %w", dir, err)
	}
	return nil
}

// batchNames is how many names of a directory are held at once.
const batchNames = 1024

// clearer takes a tree apart: each directory that is found below another is moved to the top, so that none is ever deeper than one below it.
type clearer struct {
	top   *os.File
	moved int
	left  []string // directories at the top
}

func clearDir(dir string) error {
	if err := os.Chmod(dir, 0o700); err != nil {
		return err
	}
	top, err := openDir(unix.AT_FDCWD, dir)
	if err != nil {
		return err
	}
	defer top.Close()
	c := &clearer{top: top}
	for {
		names := len(c.left)
		if err := c.empty(top, func(name string) error { c.left = append(c.left, name); return nil }); err != nil {
			return err
		}
		if names == len(c.left) {
			return os.Remove(dir)
		}
		for len(c.left) > 0 {
			name := c.left[len(c.left)-1]
			c.left = c.left[:len(c.left)-1]
			if err := c.one(name); err != nil {
				return err
			}
		}
		if _, err := top.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
}

func openDir(at int, name string) (*os.File, error) {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// one removes a directory at the top; what is below it comes to the top.
func (c *clearer) one(name string) error {
	at := int(c.top.Fd())
	for {
		err := unix.Unlinkat(at, name, unix.AT_REMOVEDIR)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) {
			return err
		}
		if err := unix.Fchmodat(at, name, 0o700, 0); err != nil {
			return err
		}
		d, err := openDir(at, name)
		if err != nil {
			return err
		}
		err = errors.Join(c.empty(d, func(below string) error { return c.lift(d, below) }), d.Close())
		if err != nil {
			return err
		}
	}
}

// empty removes what is in a directory, and has each directory in it taken away.
func (c *clearer) empty(d *os.File, take func(name string) error) error {
	for {
		names, err := d.Readdirnames(batchNames)
		for _, name := range names {
			err := unix.Unlinkat(int(d.Fd()), name, 0)
			if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) {
				err = take(name)
			}
			if err != nil && !errors.Is(err, unix.ENOENT) {
				return err
			}
		}
		if err == io.EOF || err == nil && len(names) == 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// lift moves a directory to the top.
func (c *clearer) lift(from *os.File, name string) error {
	if err := unix.Fchmodat(int(from.Fd()), name, 0o700, 0); err != nil { // or it may not be moved
		return err
	}
	for {
		c.moved++
		to := fmt.Sprintf(".clear-%d", c.moved)
		err := unix.Renameat2(int(from.Fd()), name, int(c.top.Fd()), to, unix.RENAME_NOREPLACE)
		if errors.Is(err, unix.EEXIST) {
			continue
		}
		if err == nil {
			c.left = append(c.left, to)
		}
		return err
	}
}
