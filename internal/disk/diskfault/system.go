package diskfault

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
)

// system is one file system: what has been done to it and is not durable yet, in order.
type system struct {
	root, alias string // the directory, and under which other name it was given
	grave       string // what was removed and may come back, by inode
	log         []*change
	seen        int              // changes so far
	journal     int              // up to which one an ordered journal is durable
	refs        map[uint64]int   // changes in the log that name an inode
	buried      map[uint64]bool  // inodes in the grave
	files       map[uint64]*file // files whose content is not durable
	order       []uint64         // their inodes, in the order in which they were first written
	limit, used int64            // bytes; 0: no limit
}

func newSystem(given string) (*system, error) {
	root, err := filepath.EvalSymlinks(given)
	if err != nil {
		return nil, err
	}
	alias, err := filepath.Abs(given)
	if err != nil {
		return nil, err
	}
	grave, err := os.MkdirTemp(filepath.Dir(root), ".grave-")
	if err != nil {
		return nil, err
	}
	return &system{
		root: root, alias: alias, grave: grave, refs: make(map[uint64]int), buried: make(map[uint64]bool), files: make(map[uint64]*file),
	}, nil
}

func (s *system) holds(path string) bool { return inside(path, s.root) || inside(path, s.alias) }

func (s *system) buriedAt(inode uint64) string {
	return filepath.Join(s.grave, strconv.FormatUint(inode, 10))
}

// noteOpen looks at a file that may be made, or emptied, by being opened.
func (s *system) noteOpen(op *disk.Op, a *act) (err error) {
	if op.Flag&(os.O_CREATE|os.O_TRUNC) == 0 {
		a.on = nil
		return nil
	}
	if a.from, err = placeOf(op.Path); err != nil {
		return err
	}
	st, err := look(op.Path, -1)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil
	case err != nil:
		return err
	case !isFile(&st) || op.Flag&os.O_EXCL != 0:
		a.on = nil
		return nil
	}
	if op.Flag&os.O_TRUNC == 0 {
		a.on = nil
		return nil
	}
	a.file, a.size = st.Ino, st.Size
	return s.hold(op.Path, -1, &st)
}

func (s *system) opened(op *disk.Op, a *act) {
	if a.file != 0 {
		s.truncated(a, 0)
		return
	}
	if st, err := look(op.Path, -1); err == nil && isFile(&st) {
		s.begin(st.Ino, nil)
		s.add(&change{names: []name{{a.from, 0, st.Ino}}})
	}
}

func (s *system) noteWrite(op *disk.Op, a *act) error {
	st, err := look(op.Path, op.Fd)
	if err != nil {
		return err
	}
	if !isFile(&st) {
		a.on = nil
		return nil
	}
	a.file, a.size = st.Ino, st.Size
	return s.hold(op.Path, op.Fd, &st)
}

func (s *system) noteRename(op *disk.Op, a *act) (err error) {
	if a.from, err = placeOf(op.Path); err != nil {
		return err
	}
	if a.to, err = placeOf(op.To); err != nil {
		return err
	}
	st, err := look(op.Path, -1)
	if err != nil {
		return err
	}
	a.file, a.dir = st.Ino, isDir(&st)
	old, err := look(op.To, -1)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	a.was, a.dir = old.Ino, a.dir || isDir(&old)
	if old.Ino == st.Ino {
		a.on = nil // two names of one file: nothing happens
	}
	if op.Kind != disk.Rename || old.Ino == st.Ino {
		return nil
	}
	if isDir(&st) != isDir(&old) {
		return unix.ENOTDIR
	}
	return s.bury(op.To, &old, a, false)
}

func (s *system) renamed(op *disk.Op, a *act) {
	if a.from == a.to {
		return
	}
	c := &change{names: []name{{a.from, a.file, 0}, {a.to, a.was, a.file}}, moves: a.dir}
	if op.Kind == disk.Exchange {
		c.names[0].after = a.was
	} else {
		c.unmakes = a.was
		s.used -= pages(a.size) * pageSize
	}
	s.add(c)
}

func (s *system) noteRemove(op *disk.Op, a *act) (err error) {
	if a.from, err = placeOf(op.Path); err != nil {
		return err
	}
	st, err := look(op.Path, -1)
	if err != nil {
		return err
	}
	a.was = st.Ino
	return s.bury(op.Path, &st, a, true)
}

// bury keeps what is about to go. A file gets a second name. A directory cannot: it is moved away, and where the act is to remove it, an empty one takes its place.
func (s *system) bury(path string, st *unix.Stat_t, a *act, removed bool) error {
	at := s.buriedAt(st.Ino)
	a.size = st.Size
	if !isDir(st) {
		if err := os.Link(path, at); err != nil {
			return &brokenError{err}
		}
		a.kept, s.buried[st.Ino] = true, true
		return nil
	}
	a.size = 0
	if entries, err := os.ReadDir(path); err != nil || len(entries) > 0 {
		return unix.ENOTEMPTY
	}
	err := os.Rename(path, at)
	if err == nil && removed {
		err = os.Mkdir(path, 0o700)
	}
	if err != nil {
		return &brokenError{err}
	}
	a.kept, s.buried[st.Ino] = true, true
	return nil
}

// restore takes back what bury has done for an act that has failed. path is where it was.
func (s *system) restore(path string, a *act) {
	if !a.kept {
		return
	}
	delete(s.buried, a.was)
	at := s.buriedAt(a.was)
	info, err := os.Lstat(at)
	if err == nil && !info.IsDir() {
		err = os.Remove(at)
	} else if err == nil {
		_ = os.Remove(path) // the empty one that was put there
		err = os.Rename(at, path)
	}
	if err != nil {
		panic("diskfault: internal error: " + err.Error())
	}
}

// pageSize is what the kernel writes at once.
const pageSize = 4096

func pages(size int64) int64 { return (size + pageSize - 1) / pageSize }

// measure counts what stands in the directory.
func (s *system) measure() error {
	s.used = 0
	err := filepath.WalkDir(s.root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if st, err := look(path, -1); err == nil && isFile(&st) {
			s.used += pages(st.Size) * pageSize
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("measure %s: %w", s.root, err)
	}
	return nil
}

// fits holds an act against the limit. Of a write it lets through what there is room for.
func (s *system) fits(op *disk.Op) error {
	left := max(s.limit-s.used, 0) / pageSize
	st, err := look(op.Path, op.Fd)
	switch op.Kind {
	case disk.Create, disk.Mkdir:
		if errors.Is(err, unix.ENOENT) && left == 0 {
			return unix.ENOSPC
		}
	case disk.Write:
		if err != nil {
			return nil // the act itself will say so
		}
		if room := max((pages(st.Size)+left)*pageSize-op.At, 0); int64(op.Len) > room {
			op.Len = int(room)
			return unix.ENOSPC
		}
	}
	return nil
}

// space says what a limit leaves.
func (s *system) space(free *disk.Free) {
	if s.limit > 0 {
		free.Bytes, free.Total = max(s.limit-s.used, 0), s.limit
	}
}
