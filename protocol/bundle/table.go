package bundle

import "strings"

// File is one file of a bundle.
type File struct {
	Path   Path
	Size   int64  // bytes
	Mode   uint32 // the owner's bits: 0 to 0700 in steps of 0100
	Mtime  int64  // Unix seconds
	Digest Digest
}

// Dir is one directory of a bundle.
type Dir struct {
	Path  Path
	Mode  uint32
	Mtime int64
}

// Table is the list of the files and directories of one bundle, each in ascending order (N-5). An entry costs 56 bytes (a directory 16) and its
// path; nothing is moved as it grows past its first page. The zero Table is empty. One goroutine owns it while it grows; then any may read.
type Table struct {
	paths arena
	files pages[fileEntry]
	dirs  pages[dirEntry]
	total int64 // bytes of content
	lines int64 // bytes that the entries take in a manifest
}

type fileEntry struct {
	size, mtime int64
	path        pathRef
	mode        uint8 // in units of 0100
	digest      Digest
}

type dirEntry struct {
	mtime int64
	path  pathRef
	mode  uint8
}

// AddFile appends a file and gives its number, from 1. Of the mode the owner's three permission bits are kept. A path that does not come
// after the one before is manifest-tree; what breaks M-4 or a limit is manifest-field: the item must be split.
func (t *Table) AddFile(p Path, size int64, mode uint32, mtime int64) (number int, err error) {
	if r := addFile(t, p, size, uint8(mode>>6&7), mtime, Digest{}); r != nil {
		return 0, r
	}
	return t.files.n, nil
}

// AddDir appends a directory, under the same rules as AddFile.
func (t *Table) AddDir(p Path, mode uint32, mtime int64) error {
	if r := addDir(t, p, uint8(mode>>6&7), mtime); r != nil {
		return r
	}
	return nil
}

// addFile is AddFile for a path that still lies in the parser's buffer, so that it is copied once. The path has been checked.
func addFile[P ~string | ~[]byte](t *Table, p P, size int64, mode uint8, mtime int64, digest Digest) *Rejection {
	if t.files.n > 0 && comparePaths(t.path(t.files.at(t.files.n-1).path), p) >= 0 {
		return Reject(ReasonManifestTree, "M-3", "the files are not in strictly ascending order").about(string(p))
	}
	line := fileLine(p, size, mtime)
	switch {
	case t.files.n == MaxFiles:
		return Reject(ReasonManifestField, "M-2", "more than %d files: split it", MaxFiles)
	case size < 0 || size > MaxBytes || t.total+size > MaxBytes:
		return Reject(ReasonManifestField, "M-2", "more than %d bytes of content: split it", int64(MaxBytes))
	case t.lines+line > MaxManifest:
		return Reject(ReasonManifestField, "M-2", "a manifest of more than %d bytes: split it", MaxManifest)
	case mtime < MinMtime || mtime > MaxMtime:
		return Reject(ReasonManifestField, "M-4", "mtime %d is impossible", mtime).about(string(p))
	}
	t.files.add(fileEntry{size: size, mtime: mtime, path: put(&t.paths, p), mode: mode, digest: digest})
	t.total += size
	t.lines += line
	return nil
}

// addDir is AddDir for a path that still lies in the parser's buffer. The path has been checked.
func addDir[P ~string | ~[]byte](t *Table, p P, mode uint8, mtime int64) *Rejection {
	if t.dirs.n > 0 && comparePaths(t.path(t.dirs.at(t.dirs.n-1).path), p) >= 0 {
		return Reject(ReasonManifestTree, "M-3", "the directories are not in strictly ascending order").about(string(p))
	}
	line := dirLine(p, mtime)
	switch {
	case t.dirs.n == MaxDirs:
		return Reject(ReasonManifestField, "M-2", "more than %d directories: split it", MaxDirs)
	case t.lines+line > MaxManifest:
		return Reject(ReasonManifestField, "M-2", "a manifest of more than %d bytes: split it", MaxManifest)
	case mtime < MinMtime || mtime > MaxMtime:
		return Reject(ReasonManifestField, "M-4", "mtime %d is impossible", mtime).about(string(p))
	}
	t.dirs.add(dirEntry{mtime: mtime, path: put(&t.paths, p), mode: mode})
	t.lines += line
	return nil
}

// Files is the number of files; they are numbered 1 to Files.
func (t *Table) Files() int { return t.files.n }

// Dirs is the number of directories; they are numbered 0 to Dirs-1.
func (t *Table) Dirs() int { return t.dirs.n }

// Total is the sum of the sizes, in bytes.
func (t *Table) Total() int64 { return t.total }

// Size gives the bytes of a file. With Files it makes a Table the Sizes of a Layout.
func (t *Table) Size(number int) int64 { return t.files.at(number - 1).size }

// File gives a file by its number, from 1. Its path shares the table's memory.
func (t *Table) File(number int) File {
	e := t.files.at(number - 1)
	return File{Path: t.path(e.path), Size: e.size, Mode: uint32(e.mode) << 6, Mtime: e.mtime, Digest: e.digest}
}

// SetDigest notes the digest of a file.
func (t *Table) SetDigest(number int, d Digest) { t.files.at(number - 1).digest = d }

// Dir gives a directory, from 0. Its path shares the table's memory.
func (t *Table) Dir(i int) Dir {
	e := t.dirs.at(i)
	return Dir{Path: t.path(e.path), Mode: uint32(e.mode) << 6, Mtime: e.mtime}
}

func (t *Table) path(ref pathRef) Path { return Path(t.paths.get(ref)) }

const (
	pageEntries = 4096
	pageBytes   = 1 << 16
)

// pages is a list that never moves what it holds, but for the first page, which grows: a list of ten is small, and one of a million leaves no
// half-sized copies behind.
type pages[E any] struct {
	all [][]E
	n   int
}

func (p *pages[E]) add(e E) {
	if p.n%pageEntries == 0 {
		var page []E
		if p.n > 0 {
			page = make([]E, 0, pageEntries)
		}
		p.all = append(p.all, page)
	}
	last := &p.all[len(p.all)-1]
	*last = append(*last, e)
	p.n++
}

// at gives an entry to read or change; an index outside the list panics, as a slice would.
func (p *pages[E]) at(i int) *E { return &p.all[i/pageEntries][i%pageEntries] }

// arena keeps paths in pages of 64 KiB. A strings.Builder that stays within its capacity never moves its bytes, so what get returned
// stays valid.
type arena struct{ all []*strings.Builder }

// pathRef says where a path lies: page and offset in 16 bits each, and its length.
type pathRef struct {
	at     uint32
	length uint16
}

// put is a function because methods have no type parameters.
func put[P ~string | ~[]byte](a *arena, p P) pathRef {
	if len(a.all) == 0 {
		a.all = append(a.all, new(strings.Builder))
	}
	last := a.all[len(a.all)-1]
	if last.Len()+len(p) > pageBytes {
		last = new(strings.Builder)
		last.Grow(pageBytes)
		a.all = append(a.all, last)
	}
	ref := pathRef{at: uint32(len(a.all)-1)<<16 | uint32(last.Len()), length: uint16(len(p))}
	last.Write([]byte(p))
	return ref
}

func (a *arena) get(ref pathRef) string {
	offset := int(ref.at & 0xffff)
	return a.all[ref.at>>16].String()[offset : offset+int(ref.length)]
}
