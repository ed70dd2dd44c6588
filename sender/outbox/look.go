package outbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
)

// What a look goes through at most. What is larger than a bundle may be is taken for what was seen of it; the room that reads it refuses it.
const (
	lookEntries = 2_200_000
	lookDepth   = 72
	lookBatch   = 1024 // names of a directory that are held at once
)

// lookAt looks at the whole tree of an item. When probe is set it also looks whether its files can be read, and whether writers hold them: not where writers cannot be seen (blind), nor where
// none matters (moved). It follows no link: every step is a name below an open directory. now is for what the look took.
func lookAt(disks *disk.Disk, dir, name string, probe, moved, blind bool, now func() time.Time) look {
	start := now()
	l := look{probed: probe, blind: blind}
	fd, err := disks.Openat(unix.AT_FDCWD, dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		l.gone = true
		return l
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := disks.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		l.gone = true
		return l
	}
	l.inode = inode{st.Dev, st.Ino}
	w := looker{look: &l, disk: disks, moved: moved}
	w.entry(fd, name, name, 0, &st, 0)
	l.took = now().Sub(start)
	return l
}

// looker is one look under way.
type looker struct {
	*look
	disk    *disk.Disk
	moved   bool
	entries int
	scratch []byte
}

// entry adds one file or directory to the sum, and goes on below a directory. above stands for the path that leads to it.
func (w *looker) entry(fd int, name, path string, above uint64, st *unix.Stat_t, depth int) {
	w.entries++
	own := w.add(name, above, st)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		w.bytes += st.Size
		if w.probed && w.writer == "" && w.denied == nil {
			w.probe(fd, name, path)
		}
	case unix.S_IFDIR:
		if depth < lookDepth {
			w.directory(fd, name, path, own, depth)
		}
	}
}

// add takes an entry into the sum, which does not depend on the order in which a directory lists its names.
func (w *looker) add(name string, above uint64, st *unix.Stat_t) uint64 {
	b := binary.LittleEndian.AppendUint64(w.scratch[:0], above)
	b = append(b, name...)
	own := xxhash.Sum64(b)
	for _, v := range []uint64{
		uint64(st.Mode), uint64(st.Size), st.Ino, st.Dev, uint64(st.Nlink),
		uint64(st.Mtim.Sec), uint64(st.Mtim.Nsec), uint64(st.Ctim.Sec), uint64(st.Ctim.Nsec),
	} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	w.sum += xxhash.Sum64(b)
	w.scratch = b
	return own
}

func (w *looker) directory(parent int, name, path string, own uint64, depth int) {
	fd, err := w.disk.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		w.unreadable(path, err)
		return
	}
	d := w.disk.Listing(fd, "")
	defer d.Close()
	for w.entries < lookEntries {
		names, err := d.Readdirnames(lookBatch)
		for _, n := range names {
			var st unix.Stat_t
			if err := w.disk.Fstatat(fd, n, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
				w.unreadable(path+"/"+n, err)
				continue
			}
			w.entry(fd, n, path+"/"+n, own, &st, depth+1)
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				w.unreadable(path, err)
			}
			return
		}
	}
}

// probe opens a file, which shows that it can be read, and asks for a read lease, which is granted only while nobody has it open for writing. Of what was moved in no writer matters, and
// the right to read is asked for alone, where the file system is one that is asked no more when a file is opened: one on which leases work.
func (w *looker) probe(fd int, name, path string) {
	if w.moved && !w.blind {
		if err := w.disk.Faccessat(fd, name, unix.R_OK, unix.AT_EACCESS|unix.AT_SYMLINK_NOFOLLOW); err != nil {
			w.unreadable(path, err)
		}
		return
	}
	f, err := w.disk.Openat(fd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EAGAIN) { // somebody's write lease stands in the way
		w.writer = path
		return
	}
	if err != nil {
		w.unreadable(path, err)
		return
	}
	defer unix.Close(f)
	if w.blind {
		return
	}
	switch held, err := disk.WriterHolds(f); {
	case err != nil:
		w.blind = true
	case held:
		w.writer = path
	}
}

// unreadable notes what cannot be looked at. Where that is not for want of a right it went, or turned into another kind, since its name was read: then the sum is
// made another one, because the tree does not stand still.
func (w *looker) unreadable(path string, err error) {
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		if w.denied == nil {
			w.denied = fmt.Errorf("%s cannot be read: %w", strconv.Quote(path), err)
		}
		return
	}
	w.sum += xxhash.Sum64String(path) | 1
}
