package diskfault

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
)

// Model is the disks of one machine.
type Model struct {
	mu      sync.Mutex // held from a Before to its After
	systems []*system
	life    *Life // the one that runs; nil for none
	doing   act
	fired   map[What]int
	lost    Lost
	broken  error // why the model does not know any more what is there
}

// act is what Before has found, for After.
type act struct {
	on       *system // nil: nothing to be noted
	from, to place
	file     uint64 // the inode of what is written, synced, changed or moved
	dir      bool   // a directory is moved
	was      uint64 // the inode that stands under to, or of what is removed
	kept     bool   // was stands in the grave
	attr     attr   // of file, as it was
	size     int64  // of file, as it was; of what goes
}

// place is a name in a directory.
type place struct {
	dir  uint64
	name string
}

// New takes directories, each as a file system of its own. Nothing in them is removed before it is lost for good: until then it lies in a grave beside the directory. Those
// directories have to be on a file system with renames and hard links.
func New(roots ...string) (*Model, error) {
	m := &Model{fired: make(map[What]int)}
	for _, root := range roots {
		s, err := newSystem(root)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("model of %s: %w", root, err), m.Close())
		}
		m.systems = append(m.systems, s)
	}
	return m, nil
}

// brokenError is a failure of the model's own.
type brokenError struct{ error }

func (e *brokenError) Unwrap() error { return e.error }

// Close removes the graves.
func (m *Model) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var err error
	for _, s := range m.systems {
		err = errors.Join(err, os.RemoveAll(s.grave))
	}
	return err
}

// Lost counts what power cuts have taken.
type Lost struct {
	Cuts   int // power cuts
	Acts   int // names, modes and the like
	Pages  int // pages that are not what was last written
	Beyond int // things that somebody has changed around the seam, so that they could not be taken back
}

// Lost tells what power cuts have taken so far.
func (m *Model) Lost() Lost {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lost
}

// Pending tells how many acts, and the content of how many files, are not durable yet.
func (m *Model) Pending() (acts, files int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.systems {
		acts += len(s.log)
		files += len(s.files)
	}
	return acts, files
}

// Limit lets the file system that holds a path have so many bytes; 0 is no limit.
func (m *Model) Limit(path string, bytes int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.of(path)
	if s == nil {
		return fmt.Errorf("%s is on no file system of the model", path)
	}
	s.limit = bytes
	return s.measure()
}

// of finds the file system of a path.
func (m *Model) of(path string) *system {
	for _, s := range m.systems {
		if s.holds(path) {
			return s
		}
	}
	return nil
}

// note finds out what an act is about to change. An error is what the system would say.
func (m *Model) note(op *disk.Op) error {
	m.doing = act{}
	s := m.of(op.Path)
	if op.To != "" && m.of(op.To) != s {
		return unix.EXDEV
	}
	if s == nil {
		return nil
	}
	a := act{on: s}
	var err error
	switch op.Kind {
	case disk.Create, disk.Open:
		err = s.noteOpen(op, &a)
	case disk.Write, disk.Truncate:
		err = s.noteWrite(op, &a)
	case disk.Mkdir:
		a.from, err = placeOf(op.Path)
	case disk.Rename, disk.RenameNew, disk.Exchange:
		err = s.noteRename(op, &a)
	case disk.Remove:
		err = s.noteRemove(op, &a)
	case disk.Chmod, disk.Chown, disk.Times, disk.Sync, disk.SyncDir:
		var st unix.Stat_t
		if st, err = look(op.Path, op.Fd); err == nil {
			a.file, a.attr = st.Ino, attrOf(&st)
		}
	case disk.SyncSystem, disk.Space:
	default:
		a.on = nil
	}
	var ours *brokenError
	if errors.As(err, &ours) {
		m.broken = errors.Join(m.broken, fmt.Errorf("%v %s: %w", op.Kind, op.Path, err))
	}
	if err == nil { // or the act itself will say so
		m.doing = a
	}
	return nil
}

// noted takes what the act has changed.
func (m *Model) noted(op *disk.Op, err error) {
	a := &m.doing
	s := a.on
	if s == nil {
		return
	}
	if err != nil && op.Kind != disk.Write {
		path := op.Path
		if op.To != "" {
			path = op.To
		}
		s.restore(path, a)
		return
	}
	switch op.Kind {
	case disk.Create, disk.Open:
		s.opened(op, a)
	case disk.Write:
		s.wrote(op, a, err)
	case disk.Truncate:
		s.truncated(a, op.At)
	case disk.Mkdir:
		if st, err := look(op.Path, -1); err == nil {
			s.add(&change{names: []name{{a.from, 0, st.Ino}}, makes: st.Ino})
		}
	case disk.Rename, disk.RenameNew, disk.Exchange:
		s.renamed(op, a)
	case disk.Remove:
		s.used -= pages(a.size) * pageSize
		s.add(&change{names: []name{{a.from, a.was, 0}}, unmakes: a.was})
	case disk.Chmod, disk.Chown, disk.Times:
		if st, err := look(op.Path, op.Fd); err == nil {
			s.add(&change{file: a.file, attr: &[2]attr{a.attr, attrOf(&st)}})
		}
	case disk.Sync, disk.SyncDir:
		s.synced(a.file, op.Kind == disk.SyncDir)
	case disk.SyncSystem:
		s.syncedAll()
	case disk.Space:
		s.space(op.Free)
	}
}

// look gives the status of what is open, or stands under a path.
func look(path string, fd int) (st unix.Stat_t, err error) {
	if fd >= 0 {
		err = unix.Fstat(fd, &st)
	} else {
		err = unix.Lstat(path, &st)
	}
	return st, err
}

// placeOf gives the place of a path.
func placeOf(path string) (place, error) {
	var st unix.Stat_t
	if err := unix.Stat(filepath.Dir(path), &st); err != nil {
		return place{}, err
	}
	return place{st.Ino, filepath.Base(path)}, nil
}

func isDir(st *unix.Stat_t) bool  { return st.Mode&unix.S_IFMT == unix.S_IFDIR }
func isFile(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFREG }

// attr is what a file system keeps of a thing beside its content.
type attr struct {
	mode     uint32
	uid, gid uint32
	mtime    unix.Timespec
}

func attrOf(st *unix.Stat_t) attr { return attr{st.Mode & 0o7777, st.Uid, st.Gid, st.Mtim} }

// apply gives a thing these attributes.
func (a attr) apply(path string) error {
	err := os.Lchown(path, int(a.uid), int(a.gid))
	if errors.Is(err, fs.ErrPermission) {
		err = nil // only root gives files away, and only root has any to give
	}
	if err == nil {
		err = unix.Chmod(path, a.mode)
	}
	if err == nil {
		err = unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{{Nsec: unix.UTIME_OMIT}, a.mtime}, unix.AT_SYMLINK_NOFOLLOW)
	}
	return err
}

// inside says whether a path is a directory or below it.
func inside(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// syncFailed notes what a sync that fails was to cover.
func (m *Model) syncFailed(op *disk.Op) {
	s := m.of(op.Path)
	if s == nil || op.Kind == disk.SyncDir {
		return
	}
	inode := uint64(0)
	if op.Kind == disk.Sync {
		st, err := look(op.Path, op.Fd)
		if err != nil {
			return
		}
		inode = st.Ino
	}
	s.syncFailed(inode)
}
