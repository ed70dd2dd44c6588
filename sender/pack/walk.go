package pack

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
)

// Walked is an item whose list of files is fixed.
type Walked struct {
	Table *bundle.Table // what the manifest will list; a First pass fills in the digests

	disk  *disk.Disk
	dir   string // that holds the item
	fine  uint64 // see tick
	files stamps // as the files of the table, from 0
	dirs  stamps // as its directories
}

// At is an item that was walked before, in an earlier pass or an earlier life: Again needs no more of it than the place. It has no Table.
func At(d *disk.Disk, path string) *Walked { return &Walked{disk: d, dir: filepath.Dir(path)} }

// stamps is a list that does not move what it holds as it grows: of 500,000 files, copies would cost more than the list.
type stamps struct {
	pages [][]stamp
	n     int
}

const stampPage = 4096

func (s *stamps) add(v stamp) {
	if s.n%stampPage == 0 {
		page := make([]stamp, 0, min(stampPage, 8+s.n)) // the first page grows: most items have few files
		s.pages = append(s.pages, page)
	}
	last := &s.pages[len(s.pages)-1]
	*last = append(*last, v)
	s.n++
}

func (s *stamps) at(i int) stamp { return s.pages[i/stampPage][i%stampPage] }

// Walk goes once through the item at path, which is a file or the top of a tree, and fixes the list of its files without reading them. It returns ErrRefused for things that cannot
// travel, a *bundle.Rejection for names and limits ("split it"), and ErrChanged when something vanished meanwhile.
func Walk(d *disk.Disk, path string, policy bundle.NamePolicy) (*Walked, error) {
	w := &walker{Walked: &Walked{Table: new(bundle.Table), disk: d, dir: filepath.Dir(path)}}
	if device, fine := d.FineTimes(w.dir); fine {
		w.fine, w.tick.fine = device, device
	}
	name := filepath.Base(path)
	if err := w.walk(name); err != nil {
		return nil, err
	}
	if w.refused.Total > 0 {
		return nil, &w.refused
	}
	if err := w.Table.Check(policy, name); err != nil {
		return nil, err
	}
	return w.Walked, nil
}

// walker is one walk under way.
type walker struct {
	*Walked
	refused ErrRefused
	entries int
	tick    tick
}

func (w *walker) walk(name string) error {
	fd, err := w.disk.Openat(unix.AT_FDCWD, w.dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("walk %s: %w", strconv.Quote(name), err)
	}
	defer unix.Close(fd)
	return w.entry(fd, name, name)
}

// entry takes one name of an open directory.
func (w *walker) entry(fd int, name, path string) error {
	if w.entries++; w.entries > bundle.MaxFiles+bundle.MaxDirs {
		return errTooLarge
	}
	p, err := bundle.ParsePath(path)
	if err != nil {
		w.refused.add(path, detailOf(err))
		return nil
	}
	var st unix.Stat_t
	if err := w.disk.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return w.unreadable(path, err)
	}
	switch kind := st.Mode & unix.S_IFMT; kind {
	case unix.S_IFREG:
		return w.file(fd, name, p, &st)
	case unix.S_IFDIR:
		return w.directory(fd, name, p)
	default:
		w.refused.add(path, kindName(kind))
		return nil
	}
}

// detailOf is the part of a refusal that says what is wrong; the name stands beside it anyway.
func detailOf(err error) string {
	var r *bundle.Rejection
	if errors.As(err, &r) {
		return r.Detail
	}
	return err.Error()
}

func kindName(kind uint32) string {
	switch kind {
	case unix.S_IFLNK:
		return "a symbolic link"
	case unix.S_IFIFO:
		return "a named pipe"
	case unix.S_IFSOCK:
		return "a socket"
	case unix.S_IFCHR, unix.S_IFBLK:
		return "a device"
	}
	return "neither a file nor a directory"
}

// unreadable lists what a right is missing for. What was there a moment ago and is not now has changed.
func (w *walker) unreadable(path string, err error) error {
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		w.refused.add(path, "the daemon may not read it")
		return nil
	}
	return lookupError(path, err)
}

func (w *walker) file(fd int, name string, p bundle.Path, st *unix.Stat_t) error {
	if st.Nlink > 1 {
		w.refused.add(string(p), fmt.Sprintf("a file with %d names", st.Nlink))
		return nil
	}
	if err := w.disk.Faccessat(fd, name, unix.R_OK, unix.AT_EACCESS|unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return w.unreadable(string(p), err)
	}
	if _, err := w.Table.AddFile(p, st.Size, st.Mode, mtimeOf(st)); err != nil {
		return err
	}
	w.files.add(stampOf(st))
	return nil
}

// mtimeOf keeps a time within what a manifest holds (M-4): beyond it there is nothing but nonsense, and no reason to refuse the file.
func mtimeOf(st *unix.Stat_t) int64 {
	return min(max(st.Mtim.Sec, bundle.MinMtime), bundle.MaxMtime)
}

// directory takes a directory and all below it, in the order of N-5: names bytewise, a directory before what it holds.
func (w *walker) directory(parent int, name string, p bundle.Path) error {
	fd, err := w.disk.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return w.unreadable(string(p), err)
	}
	d := w.disk.Listing(fd, name)
	defer d.Close()
	var st unix.Stat_t
	if err := w.calm(fd, &st); err != nil {
		return lookupError(string(p), err)
	}
	if err := w.Table.AddDir(p, st.Mode, mtimeOf(&st)); err != nil {
		return err
	}
	w.dirs.add(stampOf(&st))
	names, err := w.names(d)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := w.entry(fd, n, string(p)+"/"+n); err != nil {
			return err
		}
	}
	return nil
}

// calm takes the status of a directory such that a name which comes or goes from now on shows in it.
func (w *walker) calm(fd int, st *unix.Stat_t) error {
	err := w.disk.Fstat(fd, st)
	if err == nil && w.tick.pass(st.Dev, nanoseconds(st.Ctim)) {
		err = w.disk.Fstat(fd, st)
	}
	return err
}

// names reads a listing, as far as a bundle could hold it, and sorts it.
func (w *walker) names(d *disk.File) ([]string, error) {
	var all []string
	for {
		batch, err := d.Readdirnames(1024)
		all = append(all, batch...)
		if errors.Is(err, io.EOF) {
			slices.Sort(all)
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", strconv.Quote(d.Name()), err)
		}
		if w.entries+len(all) > bundle.MaxFiles+bundle.MaxDirs {
			return nil, errTooLarge
		}
	}
}

// verify holds that everything is still what it was when it was walked: since ctime cannot be set back, the whole item has stood still since then. Without it a tree of
// which one file was read before a change and another one after it would pass.
func (w *Walked) verify(t *trail) error {
	var st unix.Stat_t
	for i := range w.Table.Dirs() {
		p := w.Table.Dir(i).Path
		if err := t.stat(p, &st); err != nil {
			return err
		}
		if what := w.dirs.at(i).compareDir(&st); what != "" {
			return &ErrChanged{string(p), what}
		}
	}
	for n := 1; n <= w.Table.Files(); n++ {
		f := w.Table.File(n)
		if err := t.stat(f.Path, &st); err != nil {
			return err
		}
		if what := w.files.at(n-1).compareFile(&st, f.Size); what != "" {
			return &ErrChanged{string(f.Path), what}
		}
	}
	return nil
}

// Fits holds that the item takes no more chunks of a size than a bundle may have. At the largest chunk size only an item of nearly 64 TiB does not.
func (w *Walked) Fits(chunkSize int) error {
	if bundle.ChunkCount(w.Table, chunkSize) > bundle.MaxContentChunks {
		return errTooManyChunks
	}
	return nil
}
