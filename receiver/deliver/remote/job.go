package remote

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/receiver/quarantine"
)

// Job is one approved bundle on its way to one destination. Its papers were verified by the caller (quarantine.ReadSigned).
type Job struct {
	Signed *quarantine.Signed
	Dir    string // where it stands in quarantine
	Disk   *disk.Disk
	Again  bool // an earlier attempt may have left a part of it there, or all

	Begun string             // what the last attempt to note anything had begun; "": nothing
	Note  func(string) error // makes Begun durable for the next attempt, in this life or another; nil: nobody remembers
}

// Resumer is a Destination that can go on with what it has begun.
type Resumer interface {
	// Abandon takes back what was begun, of a bundle that will not be delivered.
	Abandon(ctx context.Context, begun string) error
}

// Destination is one that is no directory. An attempt after any other comes to the same result.
type Destination interface {
	// Name is what people and records call it.
	Name() string
	// Deliver brings a bundle there, whole, and gives the name under which it stands. A *Failure says why not.
	Deliver(ctx context.Context, job Job) (name string, err error)
	// Check says whether the destination can be used.
	Check(ctx context.Context) error
}

// Content reads what a bundle holds. Its methods may be called from several goroutines.
type Content struct {
	Job
	Table *bundle.Table

	root *disk.Root
	mu   sync.Mutex
	dirs *disk.Dirs
}

// Open opens the content, and refuses what is missing there or is too much.
func (j Job) Open() (*Content, error) {
	root, err := j.Disk.OpenRoot(j.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, mismatch("the bundle is not in quarantine")
	}
	if err != nil {
		return nil, fmt.Errorf("open the bundle: %w", err)
	}
	c := &Content{Job: j, Table: j.Signed.Manifest.Table, root: root}
	if err := quarantine.CheckTree(root, quarantine.FilesName, c.Table); err != nil {
		root.Close()
		return nil, err
	}
	c.dirs = root.Dirs()
	return c, nil
}

// Close closes it.
func (c *Content) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dirs.Close()
	c.root.Close()
}

// open opens a regular file. It never waits for a pipe's other end.
func (c *Content) open(name string) (*disk.File, error) {
	c.mu.Lock()
	f, err := c.dirs.Open(name)
	c.mu.Unlock()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, mismatch("%q is missing", name)
	case errors.Is(err, unix.ELOOP):
		return nil, mismatch("%q is not a regular file", name)
	case err != nil:
		return nil, fmt.Errorf("open %q in quarantine: %w", name, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = mismatch("%q is not a regular file", name)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// File opens a file by its number in the table, from 1.
func (c *Content) File(number int) (*Reader, error) {
	want := c.Table.File(number)
	f, err := c.open(filepath.Join(quarantine.FilesName, string(want.Path)))
	if err != nil {
		return nil, err
	}
	return newReader(f, f, want.Size, want.Digest, string(want.Path)), nil
}

// Section opens a part of a file: size bytes from offset on, which are to have a digest of their own.
func (c *Content) Section(number int, offset, size int64, digest bundle.Digest) (*Reader, error) {
	path := string(c.Table.File(number).Path)
	f, err := c.open(filepath.Join(quarantine.FilesName, path))
	if err != nil {
		return nil, err
	}
	return newReader(io.NewSectionReader(f, offset, size), f, size, digest, path), nil
}

// Verify reads all of it, for a reader that is not of this process.
func (c *Content) Verify(ctx context.Context) error {
	buffer := make([]byte, 1<<20)
	for n := 1; n <= c.Table.Files(); n++ {
		r, err := c.File(n)
		if err != nil {
			return err
		}
		for err == nil {
			if err = ctx.Err(); err == nil {
				_, err = r.Read(buffer)
			}
		}
		r.Close()
		if err != io.EOF {
			return err
		}
	}
	return nil
}

// Manifest opens the manifest.
func (c *Content) Manifest() (*Reader, error) {
	f, err := c.open(quarantine.ManifestName)
	if err != nil {
		return nil, err
	}
	return newReader(f, f, c.Signed.Manifest.Size, c.Signed.Digest, quarantine.ManifestName), nil
}

// Signature is the armored signature of the manifest.
func (c *Content) Signature() []byte { return bundle.Armor(c.Signed.Signature) }

// Reader gives a file that is to have a size and a digest. Its last bytes, and the end, come only where both hold: whoever has read all of it has what was signed. One goroutine uses it.
type Reader struct {
	Size   int64
	Digest bundle.Digest
	Path   string

	from io.Reader
	file io.Closer
	hash hash.Hash
	done int64
	held bool  // all of it holds
	err  error // sticks
}

func newReader(from io.Reader, file io.Closer, size int64, digest bundle.Digest, path string) *Reader {
	return &Reader{Size: size, Digest: digest, Path: path, from: from, file: file, hash: sha256.New()}
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	switch {
	case r.err != nil:
		return 0, r.err
	case r.held:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	n, err := r.from.Read(p[:min(int64(len(p)), r.Size-r.done)])
	if r.Size == 0 {
		n, err = 0, nil
	}
	r.hash.Write(p[:n])
	r.done += int64(n)
	switch {
	case r.done == r.Size:
		if r.err = r.end(); r.err != nil {
			return 0, r.err
		}
		r.held = true
		if n == 0 {
			return 0, io.EOF
		}
	case err == io.EOF:
		r.err = r.wrong()
		return 0, r.err
	case err != nil:
		r.err = fmt.Errorf("read %q in quarantine: %w", r.Path, err)
		return 0, r.err
	}
	return n, nil
}

// end holds what was read against the manifest. One byte more than was promised must not hide behind the size.
func (r *Reader) end() error {
	var more [1]byte
	if n, err := io.ReadFull(r.from, more[:]); n > 0 {
		return r.wrong()
	} else if err != io.EOF {
		return fmt.Errorf("read %q in quarantine: %w", r.Path, err)
	}
	if !r.Digest.Holds(bundle.Digest(r.hash.Sum(nil))) {
		return r.wrong()
	}
	return nil
}

func (r *Reader) wrong() error { return mismatch("%q is not what was signed", r.Path) }

// Err is why Read failed, if it did: what reads through other layers may have lost it.
func (r *Reader) Err() error { return r.err }

// Close closes the file.
func (r *Reader) Close() error { return r.file.Close() }

// All reads all of it into memory, at most so many bytes, and closes it.
func (r *Reader) All(most int64) ([]byte, error) {
	defer r.Close()
	if r.Size > most {
		return nil, Unfit("%q has %d bytes: at most %d are read there", r.Path, r.Size, most)
	}
	var b bytes.Buffer
	b.Grow(int(r.Size))
	_, err := io.Copy(&b, r)
	return b.Bytes(), err
}
