package pack

import (
	"strings"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
)

// trail keeps the directories open that lead to the present path, so that a file is opened by its last name: names come in the order of the tree, and no path is
// walked twice. It follows no link. One goroutine owns it.
type trail struct {
	disk  *disk.Disk
	root  int // of the directory that holds the item; -1 before it is opened
	dir   string
	steps []step
}

// step is one open directory: the path that leads to it from the root, and its descriptor.
type step struct {
	path string
	fd   int
}

func newTrail(d *disk.Disk, dir string) *trail { return &trail{disk: d, root: -1, dir: dir} }

// parent gives the open directory that holds path, valid until the next call.
func (t *trail) parent(path bundle.Path) (fd int, name string, err error) {
	if t.root < 0 {
		root, err := t.disk.Openat(unix.AT_FDCWD, t.dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return -1, "", lookupError(t.dir, err)
		}
		t.root = root
	}
	above := string(path.Parent())
	t.leave(above)
	fd, at := t.root, 0
	if n := len(t.steps); n > 0 {
		fd, at = t.steps[n-1].fd, len(t.steps[n-1].path)+1
	}
	for at < len(above) {
		end := at + max(strings.IndexByte(above[at:], '/'), 0)
		if end == at {
			end = len(above)
		}
		fd, err = t.disk.Openat(fd, above[at:end], unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return -1, "", lookupError(above[:end], err)
		}
		t.steps = append(t.steps, step{above[:end], fd})
		at = end + 1
	}
	return fd, path.Base(), nil
}

// leave closes the directories that do not lead to above.
func (t *trail) leave(above string) {
	for n := len(t.steps); n > 0; n-- {
		if p := t.steps[n-1].path; strings.HasPrefix(above, p) && (len(above) == len(p) || above[len(p)] == '/') {
			return
		}
		unix.Close(t.steps[n-1].fd)
		t.steps = t.steps[:n-1]
	}
}

// stat gives the status of what stands at a path.
func (t *trail) stat(path bundle.Path, st *unix.Stat_t) error {
	fd, name, err := t.parent(path)
	if err != nil {
		return err
	}
	if err := t.disk.Fstatat(fd, name, st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return lookupError(string(path), err)
	}
	return nil
}

// open opens a file for reading, without waiting at a pipe.
func (t *trail) open(path bundle.Path) (int, error) {
	fd, name, err := t.parent(path)
	if err != nil {
		return -1, err
	}
	file, err := t.disk.Openat(fd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return -1, lookupError(string(path), err)
	}
	return file, nil
}

func (t *trail) close() {
	for _, s := range t.steps {
		unix.Close(s.fd)
	}
	t.steps = nil
	if t.root >= 0 {
		unix.Close(t.root)
		t.root = -1
	}
}
