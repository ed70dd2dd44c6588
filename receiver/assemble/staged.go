package assemble

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
)

// Disk is what this room needs of a file system.
type Disk interface {
	MkdirAll(dir string) error
	// OpenStaged opens a file for reading and writing, and makes it if it is not there; it follows no link.
	OpenStaged(path string) (File, error)
	ReadFile(path string, limit int64) ([]byte, error)
	ReadDir(dir string) ([]string, error)
	// Replace puts a whole file in place, durably.
	Replace(path string, content []byte) error
	RemoveAll(path string) error
	// SyncAll makes everything durable that was written below dir. Its failure is never to be tried again.
	SyncAll(dir string) error
}

// File is a staged file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// WriteThrough is WriteAt for much at once: where content lies in memory as it will in the file, modulo disk.Page, it goes to the disk as it is.
	WriteThrough(b []byte, at int64) (int, error)
	// StartWriteback asks the system to begin writing a range out, so that a later sync finds little to do.
	StartWriteback(at, n int64) error
}

// staged is an open staged file.
type staged struct {
	number uint32
	file   File
}

// groupSize is how many staged files stand in one directory. Most bundles have few, and those stand in the staging directory itself: making and removing directories costs more than all that
// is done to a small file.
const groupSize = 1000

// StagedPath is where file number stands below a bundle's staging directory.
func StagedPath(dir string, number uint32) string {
	name := strconv.Itoa(int(number))
	if number < groupSize {
		return filepath.Join(dir, name)
	}
	return filepath.Join(dir, strconv.Itoa(int(number/groupSize))+"k", name)
}

// write puts a chunk's runs in place. Jobs of one bundle may write at once, to different places.
func (a *Assembler) write(f *frame, raw []byte) error {
	a.mu.Lock() // a close may come meanwhile
	err := runsFit(f, raw)
	a.mu.Unlock()
	if err != nil {
		return err
	}
	for _, r := range f.runs {
		if err := a.writeRun(f.bundle, r, raw[:r.Length]); err != nil {
			return fmt.Errorf("stage file %d of %s: %w", r.File, f.bundle.id, err)
		}
		raw = raw[r.Length:]
	}
	return nil
}

// runsFit holds the runs against what was decompressed.
func runsFit(f *frame, raw []byte) error {
	if len(raw) != int(f.raw) {
		return errFrame
	}
	return f.bundle.allows(f.chunk, f.runs)
}

// writeback is the least write for which it pays to start writing out at once.
const writeback = 1 << 20

// shift is how far into a buffer that begins on a page a chunk's content has to begin, so that its largest run lies in memory as it will in its file.
func shift(runs []bundle.Run) int {
	least, at, by := uint32(writeback), 0, 0
	for _, r := range runs {
		if r.Length >= least {
			least, by = r.Length, (int(r.Offset%disk.Page)-at)&(disk.Page-1)
		}
		at += int(r.Length)
	}
	return by
}

func (a *Assembler) writeRun(in *incoming, r bundle.Run, content []byte) error {
	file, keep, err := a.openStaged(in, r)
	if err != nil {
		return err
	}
	if len(content) < writeback {
		_, err = file.WriteAt(content, int64(r.Offset))
	} else if _, err = file.WriteThrough(content, int64(r.Offset)); err == nil {
		err = file.StartWriteback(int64(r.Offset), int64(len(content))) // what of it went the usual way
	}
	if !keep {
		err = errors.Join(err, file.Close())
	}
	return err
}

// openStaged opens the file of a run. One that spans chunks is kept open: it will be needed again at once.
func (a *Assembler) openStaged(in *incoming, r bundle.Run) (f File, keep bool, err error) {
	a.mu.Lock()
	if in.open.file != nil && in.open.number == r.File {
		f = in.open.file
		a.mu.Unlock()
		return f, true, nil
	}
	group := r.File / groupSize
	known := in.dirs[group]
	a.mu.Unlock()
	path := StagedPath(a.dir(in.id), r.File)
	if !known {
		if err := a.options.Disk.MkdirAll(filepath.Dir(path)); err != nil {
			return nil, false, err
		}
	}
	f, err = a.options.Disk.OpenStaged(path)
	if err != nil {
		return nil, false, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	in.dirs[group] = true
	if in.open.file == nil && r.Length >= writeback {
		in.open = staged{r.File, f}
		return f, true, nil
	}
	return f, false, nil
}

// readBack reads what was staged, for the hasher.
func (a *Assembler) readBack(id bundle.ID, file uint32, at int64, b []byte) error {
	f, err := a.options.Disk.OpenStaged(StagedPath(a.dir(id), file))
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := f.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	return errors.Join(err, io.ErrUnexpectedEOF)
}

// shut closes the file that was kept open.
func (in *incoming) shut() {
	if in.open.file != nil {
		in.open.file.Close() // what was written is synced by name, not by handle
		in.open = staged{}
	}
}

// Staged is a bundle whose every chunk is on the disk, not yet durable and not yet verified.
type Staged struct {
	ID       bundle.ID
	Dir      string // its staging directory; files by StagedPath
	Source   Source
	Offer    *record.Offer
	Close    *record.Close
	Received int64 // Unix seconds of its first packet, by our clock

	hashes *hashes
	a      *Assembler
	in     *incoming
}

func (a *Assembler) staged(in *incoming) *Staged {
	return &Staged{
		ID: in.id, Dir: a.dir(in.id), Source: in.source, Offer: in.offer, Close: in.close, Received: in.received.Unix(),
		hashes: in.hashes, a: a, in: in,
	}
}

// Digest returns the SHA-256 of file number as it was written, if its content came in order and has exactly that size; otherwise the file has to be read.
func (s *Staged) Digest(number int, size int64) (bundle.Digest, bool) {
	if s.hashes == nil || number >= len(s.hashes.sizes) || s.hashes.sizes[number] != size {
		return bundle.Digest{}, false
	}
	return s.hashes.digests[number], true
}

// Done ends the bundle here, whatever became of it: the Owner has moved its files away or does not want them. What is left of the staging directory is removed.
func (s *Staged) Done() error {
	s.a.mu.Lock()
	s.a.drop(s.in)
	s.a.swallow.add(s.ID)
	s.a.mu.Unlock()
	if err := s.a.options.Disk.RemoveAll(s.Dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove staging of %s: %w", s.ID, err)
	}
	return nil
}

// Wrong takes the bundle back: these chunks do not hold what the manifest says, and are missing again. files are the files they belong to.
func (s *Staged) Wrong(chunks []uint32, files []uint32) {
	s.a.mu.Lock()
	for _, c := range chunks {
		s.in.have.clear(c)
	}
	s.in.taken = max(0, s.in.taken-int64(len(chunks))*int64(s.Offer.ChunkSize)) // they may come again
	for _, f := range files {
		s.in.hashes.forget(f)
	}
	s.in.phase, s.in.dirty = idle, true
	m := s.in.missing()
	s.a.mu.Unlock()
	s.a.options.Owner.Damaged(s.ID, m)
}

// Drop forgets a bundle that is not whole, with all that was staged of it: it was abandoned, or has expired.
func (a *Assembler) Drop(id bundle.ID) error {
	a.mu.Lock()
	in := a.bundles[id]
	if in == nil || in.phase == finishing {
		a.mu.Unlock()
		return nil
	}
	a.drop(in)
	in.shut()
	a.swallow.add(id)
	a.mu.Unlock()
	if err := a.options.Disk.RemoveAll(a.dir(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove staging of %s: %w", id, err)
	}
	return nil
}
