package pack

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"ecluse/protocol/bundle"
)

// Again begins a later pass or a repair of an item: the same chunks as in its manifest, all or those that are wanted. Of the item it needs the place only, which At gives.
// A chunk whose content is no longer what its mark says, or cannot be read, is left out and listed by Skipped (C-3). An error says that the manifest contradicts itself.
func Again(w *Walked, m *bundle.Manifest, wanted []bool, o Options) (*Pass, error) {
	o.ChunkSize = m.ChunkSize
	o = o.filled()
	layout := bundle.NewLayout(m.Table, m.ChunkSize)
	if layout.Chunks() != len(m.Marks) {
		return nil, fmt.Errorf("send again: the manifest has %d marks for %d chunks", len(m.Marks), layout.Chunks())
	}
	s := &again{table: m.Table, marks: m.Marks, wanted: wanted, layout: layout, trail: newTrail(w.disk, w.dir)}
	return newPass(s, o), nil
}

// again reads an item that may have changed, file by file as it is asked for.
type again struct {
	table  *bundle.Table
	marks  []bundle.Mark
	wanted []bool
	layout *bundle.Layout
	trail  *trail
	file   openFile
	at     int // the next chunk to consider
}

func (s *again) small() bool                       { return s.layout.Chunks() <= 1 && s.table.Total() <= smallContent }
func (s *again) hashes() bool                      { return false }
func (s *again) hash([]bundle.Run, []byte)         {}
func (s *again) finish() error                     { return nil }
func (s *again) close()                            { s.file.close(); s.trail.close() }
func (s *again) await(context.Context, error) bool { return false }
func (s *again) mark(n int, m bundle.Mark) bool    { return s.marks[n] != m }

func (s *again) next() (int, []bundle.Run, int, bool) {
	if s.wanted != nil {
		from := s.at
		for s.at < len(s.wanted) && !s.wanted[s.at] {
			s.at++
		}
		if s.at >= len(s.wanted) {
			return 0, nil, 0, false
		}
		if s.at > from {
			s.layout.Seek(s.at)
		}
	}
	s.at++
	return s.layout.Next()
}

// read leaves out what cannot be read. Only a shortage of our own is an error: it is no fault of the item.
func (s *again) read(ctx context.Context, runs []bundle.Run, content []byte) (skip bool, err error) {
	for _, r := range runs {
		if err = s.open(r.File); err == nil {
			err = readFull(ctx, s.trail.disk, s.file.fd, content[:r.Length], int64(r.Offset))
		}
		switch {
		case ctx.Err() != nil:
			return false, ctx.Err()
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOMEM):
			return false, err
		case err != nil:
			return true, nil
		}
		content = content[r.Length:]
	}
	return false, nil
}

func (s *again) open(number uint32) error {
	if s.file.number == number {
		return nil
	}
	s.file.close()
	f := s.table.File(int(number))
	fd, err := s.trail.open(f.Path)
	if err != nil {
		return err
	}
	s.file = openFile{number: number, fd: fd, path: f.Path, size: f.Size}
	var st unix.Stat_t
	if err := s.trail.disk.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		s.file.close()
		return &ErrChanged{string(f.Path), whatReplaced}
	}
	if f.Size >= readaheadSize {
		_ = unix.Fadvise(fd, 0, 0, unix.FADV_SEQUENTIAL) // advice
	}
	return nil
}

// Manifest begins the chunks of a manifest of size bytes, which are numbered on from the content's.
func Manifest(r io.ReaderAt, size int64, contentChunks int, o Options) *Pass {
	return newPass(&manifest{r: r, size: size, first: contentChunks, options: o.filled()}, o.filled())
}

// manifest reads the manifest, which is file 0.
type manifest struct {
	r       io.ReaderAt
	size    int64
	first   int
	options Options
	at      int
	run     [1]bundle.Run
}

func (s *manifest) await(context.Context, error) bool { return false }
func (s *manifest) small() bool                       { return s.size <= min(smallContent, int64(s.options.ChunkSize)) }
func (s *manifest) hashes() bool                      { return false }
func (s *manifest) hash([]bundle.Run, []byte)         {}
func (s *manifest) mark(int, bundle.Mark) bool        { return false }
func (s *manifest) finish() error                     { return nil }
func (s *manifest) close()                            {}

func (s *manifest) next() (int, []bundle.Run, int, bool) {
	if int64(s.at)*int64(s.options.ChunkSize) >= s.size {
		return 0, nil, 0, false
	}
	s.run[0] = bundle.ManifestRun(s.at, s.size, s.options.ChunkSize)
	s.at++
	return s.first + s.at - 1, s.run[:], int(s.run[0].Length), true
}

func (s *manifest) read(_ context.Context, runs []bundle.Run, content []byte) (bool, error) {
	if n, err := s.r.ReadAt(content, int64(runs[0].Offset)); n < len(content) {
		return false, fmt.Errorf("read manifest: %w", err)
	}
	return false, nil
}
