package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// File is an open file or directory.
type File struct {
	f      *os.File
	d      *Disk
	direct direct
	writes sync.Mutex               // held while much is written by way of the page cache
	stood  atomic.Pointer[standing] // for a probe
}

// standing is where an open file stood, and how much had been moved by then.
type standing struct {
	path  string
	moves uint64
}

// file takes what os opened.
func (d *Disk) file(f *os.File, err error) (*File, error) {
	if err != nil {
		return nil, err
	}
	return &File{f: f, d: d}, nil
}

// do does one act on what is open.
func (f *File) do(op Op, act func() error) error {
	if f.d.probe == nil {
		return act()
	}
	op.Fd = f.Fd()
	op.Path = f.path()
	return f.d.watched(op, act)
}

// path says where it stands now. The kernel is asked again when something was moved or removed.
func (f *File) path() string {
	moves := f.d.moves.Load()
	if s := f.stood.Load(); s != nil && s.moves == moves {
		return s.path
	}
	path := pathOf(f.Fd())
	f.stood.Store(&standing{path, moves})
	return path
}

// Name is the path under which it was opened.
func (f *File) Name() string { return f.f.Name() }

// Fd is the descriptor, for what is outside the seam: leases, advice.
func (f *File) Fd() int { return int(f.f.Fd()) }

// Close closes.
func (f *File) Close() error {
	err := f.f.Close()
	if f.direct.file != nil {
		err = errors.Join(err, f.direct.file.Close())
	}
	return err
}

// Seek sets the place of the next Read or Write.
func (f *File) Seek(offset int64, whence int) (int64, error) { return f.f.Seek(offset, whence) }

// Read implements io.Reader.
func (f *File) Read(b []byte) (int, error) {
	if f.d.probe == nil {
		return f.f.Read(b)
	}
	return f.read(b, f.place(), f.f.Read)
}

// ReadAt implements io.ReaderAt.
func (f *File) ReadAt(b []byte, at int64) (int, error) {
	if f.d.probe == nil {
		return f.f.ReadAt(b, at)
	}
	return f.read(b, at, func(b []byte) (int, error) { return f.f.ReadAt(b, at) })
}

func (f *File) read(b []byte, at int64, act func([]byte) (int, error)) (n int, err error) {
	err = f.do(Op{Kind: Read, At: at, Len: len(b)}, func() error {
		n, err = act(b)
		return err
	})
	return n, err
}

// place is where the next Read or Write goes.
func (f *File) place() int64 {
	at, err := f.f.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0
	}
	return at
}

// Write implements io.Writer.
func (f *File) Write(b []byte) (int, error) {
	if f.d.probe == nil {
		return f.f.Write(b)
	}
	return f.write(Op{Kind: Write, At: f.place(), Len: len(b), Data: b}, func(n int) (int, error) { return f.f.Write(b[:n]) })
}

// WriteAt implements io.WriterAt.
func (f *File) WriteAt(b []byte, at int64) (int, error) {
	if f.d.probe == nil {
		return f.f.WriteAt(b, at)
	}
	return f.write(Op{Kind: Write, At: at, Len: len(b), Data: b}, func(n int) (int, error) { return f.f.WriteAt(b[:n], at) })
}

// write writes what the probe allows of op.Len bytes.
func (f *File) write(op Op, act func(n int) (int, error)) (n int, err error) {
	op.Fd = f.Fd()
	op.Path = f.path()
	whole := op.Len
	refused := f.d.ask(&op)
	if refused == nil || op.Len > 0 && op.Len < whole {
		n, err = act(op.Len)
	}
	if refused != nil && err == nil {
		err = refused
	}
	f.d.probe.After(&op, err)
	return n, err
}

// Truncate sets the size.
func (f *File) Truncate(size int64) error {
	return f.do(Op{Kind: Truncate, At: size}, func() error { return f.f.Truncate(size) })
}

// Stat looks at it.
func (f *File) Stat() (info fs.FileInfo, err error) {
	err = f.do(Op{Kind: Stat}, func() error { info, err = f.f.Stat(); return err })
	return info, err
}

// Chmod sets the mode.
func (f *File) Chmod(mode fs.FileMode) error {
	return f.do(Op{Kind: Chmod}, func() error { return f.f.Chmod(mode) })
}

// Chown sets owner and group; -1 leaves one as it is.
func (f *File) Chown(uid, gid int) error {
	return f.do(Op{Kind: Chown}, func() error { return f.f.Chown(uid, gid) })
}

// SetMtime sets the time of change, in Unix seconds, and leaves the time of access. It is futimens(3): os.File.Chtimes does not exist, and what takes a name counts in
// nanoseconds from 1677 to 2262 only, which a manifest does not.
func (f *File) SetMtime(seconds int64) error {
	return f.do(Op{Kind: Times}, func() error {
		times := [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Sec: seconds}}
		_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, f.f.Fd(), 0, uintptr(unsafe.Pointer(&times)), 0, 0, 0)
		if errno != 0 {
			return &fs.PathError{Op: "utimensat", Path: f.f.Name(), Err: errno}
		}
		return nil
	})
}

// Sync makes a file's content and size durable, or a directory's names. A failed one is never tried again.
func (f *File) Sync() error {
	if err := f.d.lost(func() string { return pathOf(f.Fd()) }); err != nil {
		return err
	}
	if err := f.sync(); err != nil {
		return f.d.synced(pathOf(f.Fd()), err)
	}
	return nil
}

func (f *File) sync() error {
	if f.d.probe == nil {
		return f.f.Sync()
	}
	kind := Sync
	var st unix.Stat_t
	if unix.Fstat(f.Fd(), &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
		kind = SyncDir
	}
	return f.do(Op{Kind: kind}, f.f.Sync)
}

// ReadDir reads the next n entries of a directory, or all that are left.
func (f *File) ReadDir(n int) (entries []fs.DirEntry, err error) {
	err = f.do(Op{Kind: List}, func() error { entries, err = f.f.ReadDir(n); return err })
	return entries, err
}

// Readdirnames reads the next n names of a directory; io.EOF is the end.
func (f *File) Readdirnames(n int) (names []string, err error) {
	err = f.do(Op{Kind: List}, func() error { names, err = f.f.Readdirnames(n); return err })
	return names, err
}

// StartWriteback asks the system to begin writing a range out. Where the file system cannot, nothing is lost.
func (f *File) StartWriteback(at, n int64) error {
	err := unix.SyncFileRange(f.Fd(), at, n, unix.SYNC_FILE_RANGE_WRITE)
	if errors.Is(err, unix.ESPIPE) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return err
}

// Clone makes the content of from that of f, where the file system can share it.
func (f *File) Clone(from *File) error {
	size := 0
	if f.d.probe != nil {
		info, err := from.f.Stat()
		if err != nil {
			return err
		}
		size = int(info.Size())
	}
	return f.do(Op{Kind: Write, Len: size}, func() error { return unix.IoctlFileClone(f.Fd(), from.Fd()) })
}

// CopyRange has the kernel copy up to n bytes from the place of from to at, and moves both.
func (f *File) CopyRange(from *File, at *int64, n int) (copied int, err error) {
	act := func(n int) (int, error) { return unix.CopyFileRange(from.Fd(), nil, f.Fd(), at, n, 0) }
	if f.d.probe == nil {
		return act(n)
	}
	return f.write(Op{Kind: Write, At: *at, Len: n}, act)
}

// ReadFrom implements io.ReaderFrom: where the source is a file, the kernel copies.
func (f *File) ReadFrom(r io.Reader) (int64, error) {
	if f.d.probe != nil {
		return io.Copy(struct{ io.Writer }{f}, r)
	}
	if from, ok := r.(*File); ok {
		return f.f.ReadFrom(from.f)
	}
	if l, ok := r.(*io.LimitedReader); ok {
		if from, ok := l.R.(*File); ok {
			inner := io.LimitedReader{R: from.f, N: l.N}
			n, err := f.f.ReadFrom(&inner)
			l.N = inner.N
			return n, err
		}
	}
	return f.f.ReadFrom(r)
}
