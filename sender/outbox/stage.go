package outbox

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
)

// stagePrefix begins the names under which items are copied into an outbox. Watch leaves hidden names alone.
const stagePrefix = ".ecluse-send-"

// Staged says whether a name is one that Stage gave.
func Staged(name string) bool { return strings.HasPrefix(name, stagePrefix) }

// Stage copies a file or a tree into an outbox directory under a hidden name, and returns its path. Links, devices and the like are copied by name only where that is
// what they are: here they are refused, as the room that reads them would refuse them. On error nothing is left behind.
func Stage(ctx context.Context, d *disk.Disk, path, dir string) (hidden string, err error) {
	var random [8]byte
	_, _ = rand.Read(random[:])
	hidden = filepath.Join(dir, stagePrefix+hex.EncodeToString(random[:]))
	s := stager{ctx, d}
	if err := s.copy(path, hidden); err != nil {
		return "", errors.Join(fmt.Errorf("copy into the outbox: %w", err), d.RemoveAll(hidden))
	}
	return hidden, nil
}

// Place gives a staged item its name in the outbox. A name that is taken is refused.
func Place(d *disk.Disk, hidden, path string) error {
	if err := rename(d, hidden, path); err != nil {
		return fmt.Errorf("put into the outbox: %w", err)
	}
	return nil
}

// PurgeStaged removes what send has left under a hidden name since before a time, by its ctime: it was killed, or its machine went down. Whoever still copies into it has changed it since.
func (b *Outbox) PurgeStaged(before time.Time) error {
	entries, err := b.o.Disk.List(b.o.Dir)
	if err != nil {
		return fmt.Errorf("look for what send has left: %w", err)
	}
	for _, e := range entries {
		var st unix.Stat_t
		path := b.path(e.Name())
		if !Staged(e.Name()) || b.o.Disk.Fstatat(unix.AT_FDCWD, path, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || !time.Unix(st.Ctim.Unix()).Before(before) {
			continue
		}
		b.o.Report(Notice{Kind: NoticeLeft, Name: e.Name()})
		b.remove(path)
	}
	return nil
}

type stager struct {
	ctx  context.Context
	disk *disk.Disk
}

func (s *stager) copy(from, to string) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	info, err := s.disk.Lstat(from)
	if err != nil {
		return err
	}
	switch {
	case info.IsDir():
		return s.copyDir(from, to, info)
	case info.Mode().IsRegular():
		return s.copyFile(from, to, info)
	}
	return fmt.Errorf("%q is neither a file nor a directory: nothing else crosses", from)
}

func (s *stager) copyDir(from, to string, info fs.FileInfo) error {
	if err := s.disk.Mkdir(to, 0o700); err != nil {
		return err
	}
	entries, err := s.disk.List(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := s.copy(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return s.finish(to, info)
}

// copyFile copies what the file held, by reflink where the file system can.
func (s *stager) copyFile(from, to string, info fs.FileInfo) error {
	in, err := s.disk.OpenFile(from, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := s.disk.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, readerOf(s.ctx, in))
	if closed := out.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return s.finish(to, info)
}

// readerOf lets io.Copy use copy_file_range, and still end with ctx: it is asked for in pieces.
func readerOf(ctx context.Context, f *disk.File) io.Reader {
	if ctx.Done() == nil {
		return f
	}
	return &stoppable{ctx, f}
}

type stoppable struct {
	ctx context.Context
	f   *disk.File
}

func (r *stoppable) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.f.Read(b)
}

// WriteTo copies in pieces of 64 MiB by copy_file_range.
func (r *stoppable) WriteTo(w io.Writer) (n int64, err error) {
	for {
		if err := r.ctx.Err(); err != nil {
			return n, err
		}
		m, err := io.CopyN(w, r.f, 64<<20)
		n += m
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// finish sets what travels of a mode, and the time.
func (s *stager) finish(to string, info fs.FileInfo) error {
	if err := s.disk.Chmod(to, info.Mode().Perm()); err != nil {
		return err
	}
	return s.disk.Chtimes(to, time.Time{}, info.ModTime())
}
