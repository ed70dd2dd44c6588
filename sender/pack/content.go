package pack

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
)

// openFile is the file that a source has open; number 0 is none.
type openFile struct {
	number uint32
	fd     int
	path   bundle.Path
	size   int64
}

func (f *openFile) close() {
	if f.number != 0 {
		unix.Close(f.fd)
		f.number = 0
	}
}

// readaheadSize is the size above which the kernel is told that a file is read from end to end, so that it reads farther ahead.
const readaheadSize = 1 << 20

// readFull reads exactly len(b) bytes at an offset; io.ErrUnexpectedEOF says that the file is shorter.
func readFull(ctx context.Context, d *disk.Disk, fd int, b []byte, offset int64) error {
	for len(b) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := d.Pread(fd, b, offset)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		case n == 0:
			return io.ErrUnexpectedEOF
		}
		b = b[n:]
		offset += int64(n)
	}
	return nil
}

// First begins the first pass of an item that has been walked. When Next has said io.EOF the digests stand in the item's Table and Marks gives the marks: what was read is one
// state of the item. Any other end means that nothing of it may be signed.
func First(w *Walked, o Options) *Pass {
	o = o.filled()
	layout := bundle.NewLayout(w.Table, o.ChunkSize)
	s := &first{w: w, layout: layout, trail: newTrail(w.disk, w.dir), tick: tick{fine: w.fine}, sha: sha256.New(), patience: o.Patience}
	p := newPass(s, o)
	if layout.Chunks() > bundle.MaxContentChunks {
		p.err = errTooManyChunks
		return p
	}
	s.marks = make([]bundle.Mark, layout.Chunks())
	return p
}

func (o Options) filled() Options {
	if o.ChunkSize == 0 {
		o.ChunkSize = bundle.ChunkSizeMax
	}
	if o.ChunkSize < bundle.ChunkSizeMin || o.ChunkSize > bundle.ChunkSizeMax || o.ChunkSize&(o.ChunkSize-1) != 0 || o.Buffers == nil {
		panic("pack: internal error: an impossible chunk size, or no buffers")
	}
	return o
}

// Marks gives the mark of every chunk of a first pass that has come to its end; nil for other passes.
func (p *Pass) Marks() []bundle.Mark {
	if s, ok := p.source.(*first); ok && errors.Is(p.err, io.EOF) {
		return s.marks
	}
	return nil
}

// first reads an item that must not change. The reader owns the trail, the file, the tick and the patience; the hasher owns sha and the digests of the table.
type first struct {
	w      *Walked
	layout *bundle.Layout
	trail  *trail
	file   openFile
	tick   tick

	patience, pause time.Duration // what is left of Options.Patience; how long it waited last

	sha   hash.Hash
	sum   bundle.Digest // what sha writes to, so that a file costs no allocation
	marks []bundle.Mark
}

func (s *first) next() (int, []bundle.Run, int, bool) { return s.layout.Next() }
func (s *first) small() bool                          { return s.layout.Chunks() <= 1 && s.w.Table.Total() <= smallContent }
func (s *first) hashes() bool                         { return true }

func (s *first) mark(number int, m bundle.Mark) bool {
	s.marks[number] = m
	return false
}

func (s *first) read(ctx context.Context, runs []bundle.Run, content []byte) (bool, error) {
	for _, r := range runs {
		if s.file.number != r.File {
			if err := s.open(r.File); err != nil {
				return false, err
			}
		}
		err := readFull(ctx, s.w.disk, s.file.fd, content[:r.Length], int64(r.Offset))
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return false, &ErrChanged{string(s.file.path), whatShrank}
		}
		if err != nil {
			return false, readError(s.file.path, err)
		}
		content = content[r.Length:]
		if int64(r.Offset)+int64(r.Length) == s.file.size {
			err := s.check()
			s.file.close()
			if err != nil {
				return false, err
			}
		}
	}
	return false, nil
}

func readError(path bundle.Path, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("read %s: %w", strconv.Quote(string(path)), err)
}

// open opens a file and holds that it is the one that was walked, at a moment from which on every change will show.
func (s *first) open(number uint32) error {
	f := s.w.Table.File(int(number))
	fd, err := s.trail.open(f.Path)
	if err != nil {
		return err
	}
	s.file = openFile{number: number, fd: fd, path: f.Path, size: f.Size}
	if held, _ := disk.WriterHolds(fd); held { // where leases do not work what settled is trusted
		s.file.close()
		return &ErrChanged{string(f.Path), whatHeld}
	}
	was := s.w.files.at(int(number) - 1)
	s.tick.pass(was.dev, was.ctime)
	if f.Size >= readaheadSize {
		_ = unix.Fadvise(fd, 0, 0, unix.FADV_SEQUENTIAL) // advice
	}
	return s.check()
}

// The steps in which a pass waits for a writer: a fork takes a millisecond where the machine is idle, and up to a hundred times as long where it is not.
const (
	awaitFirst = time.Millisecond
	awaitMost  = 100 * time.Millisecond
)

func (s *first) await(ctx context.Context, why error) bool {
	var changed *ErrChanged
	if !errors.As(why, &changed) || changed.What != whatHeld || s.patience <= 0 {
		return false
	}
	s.pause = min(max(2*s.pause, awaitFirst), awaitMost)
	began := time.Now()
	select {
	case <-time.After(s.pause):
	case <-ctx.Done():
	}
	s.patience -= time.Since(began)
	return ctx.Err() == nil
}

// check holds that the open file is what it was when it was walked.
func (s *first) check() error {
	var st unix.Stat_t
	if err := s.w.disk.Fstat(s.file.fd, &st); err != nil {
		return readError(s.file.path, err)
	}
	if what := s.w.files.at(int(s.file.number)-1).compareFile(&st, s.file.size); what != "" {
		return &ErrChanged{string(s.file.path), what}
	}
	return nil
}

func (s *first) hash(runs []bundle.Run, content []byte) {
	for _, r := range runs {
		if r.Offset == 0 {
			s.sha.Reset()
		}
		s.sha.Write(content[:r.Length])
		content = content[r.Length:]
		if int64(r.Offset)+int64(r.Length) == s.w.Table.Size(int(r.File)) {
			s.sha.Sum(s.sum[:0])
			s.w.Table.SetDigest(int(r.File), s.sum)
		}
	}
}

// finish is called when the other goroutines have nothing left to do: every chunk has been taken.
func (s *first) finish() error {
	empty := bundle.Digest(sha256.Sum256(nil))
	for n := 1; n <= s.w.Table.Files(); n++ {
		if s.w.Table.Size(n) == 0 {
			s.w.Table.SetDigest(n, empty)
		}
	}
	return s.w.verify(s.trail)
}

func (s *first) close() {
	s.file.close()
	s.trail.close()
}
