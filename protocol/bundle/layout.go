package bundle

import (
	"math"
	"slices"
	"sort"
)

// Run is a piece of one file within a chunk. File 0 is the manifest.
type Run struct {
	File   uint32 // from 1 in manifest order
	Offset uint64 // bytes
	Length uint32 // bytes, at least 1
}

// Sizes is what a layout follows from: files numbered 1 to Files, and the bytes of each. A *Table is one.
type Sizes interface {
	Files() int
	Size(number int) int64
}

// indexFiles is how many files lie between two entries of the index: at most so many are walked by a Seek.
const indexFiles = 4096

// Layout says which bytes of which files each content chunk holds (C-1, C-2). It is a pure function of the sizes and the chunk size:
//
//	file 1                 2  3   4 (empty)   5
//	|---------------------|--|---||----------------------|
//	|---chunk 0---|---chunk 1---|---chunk 2---|--chunk 3-|     all but the last of one size, unless 2,048 runs end one early
//
// The sizes must not change while it is used. One goroutine owns it.
type Layout struct {
	sizes  Sizes
	chunk  int64 // size of a chunk
	at     place // where the next chunk begins
	chunks int
	index  []place
	runs   []Run
}

// place is where a chunk begins.
type place struct {
	chunk  int
	file   int // number; the file has bytes at offset, or is one behind the last
	offset int64
}

// NewLayout lays out files in chunks of chunkSize bytes, at a cost of one step for each file.
func NewLayout(sizes Sizes, chunkSize int) *Layout {
	if chunkSize < 1 {
		panic("bundle: internal error: a chunk of no size")
	}
	l := &Layout{sizes: sizes, chunk: int64(chunkSize)}
	start := l.settle(place{file: 1})
	l.index = []place{start}
	for at := start; at.file <= sizes.Files(); {
		at = l.skip(at, math.MaxInt)
		if at.file >= l.index[len(l.index)-1].file+indexFiles {
			l.index = append(l.index, at)
		}
		l.chunks = at.chunk
	}
	l.at = start
	return l
}

// Chunks is the number of content chunks. Sizes that a peer claims may give more than MaxContentChunks.
func (l *Layout) Chunks() int { return l.chunks }

// Next gives the next chunk: its number, its runs, which are valid until the next call, and its raw length in bytes. ok is false at the end.
func (l *Layout) Next() (chunk int, runs []Run, raw int, ok bool) {
	if l.at.file > l.sizes.Files() {
		return 0, nil, 0, false
	}
	l.runs = l.runs[:0]
	chunk = l.at.chunk
	l.at, raw = l.walk(l.at, func(r Run) { l.runs = append(l.runs, r) })
	return chunk, l.runs, raw, true
}

// Seek has Next continue with the given chunk; one that is not there is the end.
func (l *Layout) Seek(chunk int) {
	i, found := slices.BinarySearchFunc(l.index, chunk, func(p place, c int) int { return p.chunk - c })
	if !found {
		i = max(0, i-1)
	}
	l.at = l.index[i]
	for l.at.chunk < chunk && l.at.file <= l.sizes.Files() {
		l.at = l.skip(l.at, chunk)
	}
}

// SeekFile has Next continue with the first chunk that holds bytes of a file, from 1: so a wrong file finds its chunks. For an empty
// file, which has none, it is a chunk at or before where they would be.
func (l *Layout) SeekFile(number int) {
	i := sort.Search(len(l.index), func(i int) bool { return l.index[i].file >= number })
	l.at = l.index[max(0, i-1)]
	for l.at.file < number && l.at.file <= l.sizes.Files() {
		next := l.skip(l.at, math.MaxInt)
		if next.file > number || next.file == number && next.offset > 0 {
			return
		}
		l.at = next
	}
}

// settle moves a place over empty and finished files.
func (l *Layout) settle(p place) place {
	for n := l.sizes.Files(); p.file <= n && p.offset == l.sizes.Size(p.file); {
		p.file, p.offset = p.file+1, 0
	}
	return p
}

// forward moves over full chunks that lie in one file.
func (l *Layout) forward(p place, chunks int64) place {
	p.chunk += int(chunks)
	p.offset += chunks * l.chunk
	return l.settle(p)
}

// skip moves over the full chunks in one file at once, or over one chunk of several files; not past the chunk that is the limit.
func (l *Layout) skip(p place, limit int) place {
	full := min((l.sizes.Size(p.file)-p.offset)/l.chunk, int64(limit-p.chunk))
	if full > 0 {
		return l.forward(p, full)
	}
	next, _ := l.walk(p, func(Run) {})
	return next
}

// walk goes over one chunk, shows each run of it and gives its length and where the next begins.
func (l *Layout) walk(p place, each func(Run)) (next place, raw int) {
	room := l.chunk
	for runs := 0; runs < MaxRuns && room > 0 && p.file <= l.sizes.Files(); runs++ {
		n := min(room, l.sizes.Size(p.file)-p.offset)
		each(Run{File: uint32(p.file), Offset: uint64(p.offset), Length: uint32(n)})
		room -= n
		p.offset += n
		p = l.settle(p)
	}
	p.chunk++
	return p, int(l.chunk - room)
}

// ChunkCount gives the number of content chunks that files of these sizes take.
func ChunkCount(sizes Sizes, chunkSize int) int { return NewLayout(sizes, chunkSize).Chunks() }

// ManifestChunks gives the number of chunks that a manifest of size bytes takes; they are numbered on from the content's.
func ManifestChunks(size int64, chunkSize int) int {
	return int((size + int64(chunkSize) - 1) / int64(chunkSize))
}

// ManifestRun gives the only run of the manifest's chunk i, from 0.
func ManifestRun(i int, size int64, chunkSize int) Run {
	offset := int64(i) * int64(chunkSize)
	return Run{Offset: uint64(offset), Length: uint32(min(int64(chunkSize), size-offset))}
}

func checkChunkSize(size int) error {
	if size < ChunkSizeMin || size > ChunkSizeMax || size&(size-1) != 0 {
		return Reject(ReasonManifestField, "M-2", "a chunk of %d bytes is no power of two from %d to %d", size, ChunkSizeMin, ChunkSizeMax)
	}
	return nil
}
