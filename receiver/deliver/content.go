package deliver

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
)

const (
	bufferSize = 1 << 20

	// cloneLeast is the size from which a file is worth asking the kernel to copy it: below, one read and one write cost less than being refused.
	cloneLeast = 128 << 10

	// stride is how much of a large file is copied before its writeback begins, so that the disk is not handed everything at the final sync.
	stride = 8 << 20
)

// content reads, copies and hashes files. One goroutine owns it.
type content struct {
	ctx    context.Context
	hash   hash.Hash
	buffer []byte

	noClone, noRange bool // what this pair of file systems has refused
}

// newContent takes the size of the largest bundle, in bytes: small ones need no large buffer.
func newContent(ctx context.Context, largest int64) *content {
	return &content{ctx: ctx, hash: sha256.New(), buffer: make([]byte, min(bufferSize, largest+1))}
}

// openFile opens a regular file of the quarantine. It never waits for a pipe's other end.
func openFile(dirs *disk.Dirs, name string, path bundle.Path) (*disk.File, fs.FileInfo, error) {
	f, err := dirs.Open(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, mismatch("%q is missing", path)
	case errors.Is(err, unix.ELOOP):
		return nil, nil, mismatch("%q is not a regular file", path)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("open %q in quarantine: %w", path, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = mismatch("%q is not a regular file", path)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// check reads a file to its end and holds it against the manifest.
func (c *content) check(f io.Reader, want bundle.File) error { return c.pour(f, nil, want) }

// pour reads r to its end, one byte past the file's size at most, hashes what it reads and writes it to w, unless w is nil.
func (c *content) pour(r io.Reader, w *disk.File, want bundle.File) error {
	c.hash.Reset()
	var done, flushed int64
	for done <= want.Size {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		n, err := r.Read(c.buffer[:min(int64(len(c.buffer)), want.Size+1-done)])
		done += int64(n)
		c.hash.Write(c.buffer[:n])
		if w != nil {
			if _, err := w.Write(c.buffer[:n]); err != nil {
				return fault(err, "write")
			}
			if done-flushed >= stride {
				startWriteback(w, flushed, done-flushed)
				flushed = done
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("read %q: %w", want.Path, err)
		}
	}
	if done != want.Size || !want.Digest.Holds(bundle.Digest(c.hash.Sum(nil))) {
		return mismatch("%q is not what was signed", want.Path)
	}
	return nil
}

// startWriteback has the kernel begin to write; it promises nothing, so its error says nothing.
func startWriteback(f *disk.File, offset, length int64) {
	_ = f.StartWriteback(offset, length)
}

// copy makes the content of from that of to, by the cheapest way that both file systems know, and holds what to has then against the manifest. room is asked before
// bytes are written.
func (c *content) copy(from, to *disk.File, want bundle.File, room func() error) error {
	if want.Size >= cloneLeast && !c.noClone {
		if to.Clone(from) == nil {
			return c.check(to, want)
		}
		c.noClone = true
	}
	if err := room(); err != nil {
		return err
	}
	if want.Size >= cloneLeast && !c.noRange {
		switch err := c.copyRange(from, to, want.Size); {
		case err == nil:
			return c.check(to, want)
		case disk.NoRoom(err):
			return fault(err, "write")
		case c.ctx.Err() != nil:
			return c.ctx.Err()
		}
		c.noRange = true // whatever it was, reading and writing will tell whose fault it is
		if err := to.Truncate(0); err != nil {
			return fault(err, "write")
		}
		if _, err := from.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("read %q: %w", want.Path, err)
		}
	}
	return c.pour(from, to, want)
}

// copyRange has the kernel copy. It leaves the place of to at its beginning; a file that ends early is found by its hash.
func (c *content) copyRange(from, to *disk.File, size int64) error {
	var out int64
	for out < size {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		start := out
		n, err := to.CopyRange(from, &out, int(min(stride, size-out)))
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		startWriteback(to, start, int64(n))
	}
	// One byte more than was promised must not hide behind the size: the source is asked for it.
	if n, err := from.Read(c.buffer[:1]); n > 0 || err != nil && err != io.EOF {
		return unix.EFBIG
	}
	return nil
}
