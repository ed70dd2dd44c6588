package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// spoolMemory is up to how many bytes of an archive within an archive are kept in memory. What is larger goes into a file without a name.
const spoolMemory = 4 << 20

// spool keeps a stream where its bytes can be read in any order. close gives them free.
func spool(r io.Reader, scratch string, room int64) (at io.ReaderAt, size int64, close func(), err error) {
	var small bytes.Buffer
	n, err := io.CopyN(&small, r, spoolMemory)
	if err == io.EOF {
		return bytes.NewReader(small.Bytes()), n, func() {}, nil
	}
	if err != nil {
		return nil, 0, nil, err
	}
	fd, err := unix.Open(scratch, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, 0, nil, &scratchError{fmt.Errorf("make a file in %s: %w", scratch, err)}
	}
	f := os.NewFile(uintptr(fd), scratch)
	size, err = io.Copy(&scratchWriter{f}, io.LimitReader(io.MultiReader(&small, r), room+1))
	if err == nil && size > room {
		err = errRoom
	}
	if err != nil {
		f.Close()
		return nil, 0, nil, err
	}
	return f, size, func() { f.Close() }, nil
}

// errRoom says that a stream is larger than what may be kept.
var errRoom = errors.New("policy: no room")

// scratchError is a fault of ours, and not of what is looked at.
type scratchError struct{ error }

func (e *scratchError) Unwrap() error { return e.error }

type scratchWriter struct{ f *os.File }

func (w *scratchWriter) Write(b []byte) (int, error) {
	n, err := w.f.Write(b)
	if err != nil {
		err = &scratchError{err}
	}
	return n, err
}
