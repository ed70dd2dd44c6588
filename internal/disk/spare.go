package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Spare is room that is kept back on a file system for its owner's own records: a directory with a file full of zeroes and some that are empty, removed when there is no other room, in
// bytes or in inodes, and made again when there is. So a full disk still takes a decision, a start, and the word that it is full.
//
// It is no promise on a file system that stores zeroes as nothing.
type Spare struct {
	disk *Disk
	dir  string // on the file system
	path string

	given atomic.Bool // and not made again since

	mu sync.Mutex
}

const (
	spareMost   = 16 << 20 // what a catalog takes to be opened, and some hundreds of records
	spareLeast  = 1 << 20
	sparePart   = 64 // of the file system, at the most
	readyLeast  = spareLeast / 4
	spareInodes = 32 // what a start and some decisions take at once, and as much again for what nobody waits for
)

// NewSpare is the spare room in a directory.
func NewSpare(d *Disk, dir string) *Spare {
	return &Spare{disk: d, dir: dir, path: filepath.Join(dir, "spare")}
}

// Give gives the room free, and says whether there was any.
func (s *Spare) Give() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.disk.Lstat(s.path); err != nil {
		return false
	}
	s.given.Store(true) // before there is room: it is not for everybody
	return s.disk.RemoveAll(s.path) == nil
}

// Given says that the room was given free, and that the disk has had no room since to make it again: who only brings more has to leave it alone.
func (s *Spare) Given() bool { return s.given.Load() }

// GiveWhenFull gives it free where there is hardly any other: before something that would not be tried twice.
func (s *Spare) GiveWhenFull() bool {
	free, err := s.disk.Space(s.dir)
	return err == nil && free.Full() && s.Give()
}

// Ready says whether its owner has room for what must not fail: the spare room, or what is left of it.
func (s *Spare) Ready() bool { return s.holds(readyLeast, 1) }

// Plenty says whether half of the room is left at the least. What nobody waits for takes no more: it comes without end, and would leave nothing for those who decide.
func (s *Spare) Plenty() bool { return s.holds(spareLeast/2, spareInodes/2) }

func (s *Spare) holds(bytes, inodes int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.disk.Lstat(s.path); err == nil {
		return true
	}
	free, err := s.disk.Space(s.dir)
	return err != nil || free.holds(bytes, inodes) // a disk that cannot be asked says more when it is written to
}

// Full says that a disk has hardly room left, in bytes or in inodes, but for what was kept back.
func (f Free) Full() bool { return !f.holds(spareLeast, spareInodes) }

func (f Free) holds(bytes, inodes int64) bool {
	return f.Bytes >= bytes && (f.Inodes < 0 || f.Inodes >= inodes)
}

// Keep makes the room again where it is not there and the disk has several times as much. That the disk is full is no error.
func (s *Spare) Keep() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.disk.Lstat(s.path); !errors.Is(err, fs.ErrNotExist) {
		s.given.Store(err != nil)
		return err
	}
	free, err := s.disk.Space(s.dir)
	if err != nil {
		return err
	}
	size := max(spareLeast, min(spareMost, free.Total/sparePart))
	if !free.holds(4*size, 4*spareInodes) {
		return nil
	}
	err = s.fill(size)
	if NoRoom(err) {
		return nil
	}
	return err
}

// NoRoom says that something failed because a disk, or somebody's quota of it, is full: that passes.
func NoRoom(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// fill makes it under another name first: one that is there is whole.
func (s *Spare) fill(size int64) error {
	dir := s.path + temporary
	err := s.disk.RemoveAll(dir)
	if err == nil {
		err = s.disk.Mkdir(dir, 0o700)
	}
	for i := range spareInodes {
		if err == nil {
			err = s.file(filepath.Join(dir, strconv.Itoa(i)), size)
		}
		size = 0 // the others are there for their inodes
	}
	if err != nil {
		return errors.Join(err, s.disk.RemoveAll(dir))
	}
	if err := s.disk.Rename(dir, s.path); err != nil {
		return err
	}
	s.given.Store(false)
	return nil
}

func (s *Spare) file(name string, size int64) error {
	f, err := s.disk.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	if size > 0 {
		zeroes := make([]byte, 1<<20)
		for n := int64(0); n < size && err == nil; n += int64(len(zeroes)) {
			_, err = f.Write(zeroes[:min(int64(len(zeroes)), size-n)])
		}
		if err == nil {
			err = f.Sync() // else the blocks may not be there when they are needed
		}
	}
	return errors.Join(err, f.Close())
}
