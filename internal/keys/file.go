package keys

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// create makes a file under a name that must be free: whole and durable on return, or not there.
func create(path string, content []byte, mode fs.FileMode) error {
	temporary, err := writeTemporary(path, content, mode, nil)
	if err != nil {
		return err
	}
	if err := renameToFree(temporary, path); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	return syncDir(filepath.Dir(path))
}

// replace gives a file new content: whole and durable on return, or the old one stands. Mode and owner stay as they were.
func replace(path string, content []byte, was fs.FileInfo) error {
	temporary, err := writeTemporary(path, content, was.Mode().Perm(), was)
	if err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	return syncDir(filepath.Dir(path))
}

// writeTemporary writes and syncs a file beside path. Until its owner is set nobody else may read it.
func writeTemporary(path string, content []byte, mode fs.FileMode, like fs.FileInfo) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.ecluse-tmp")
	if err != nil {
		return "", err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := sameOwner(f, like); err != nil {
		return "", err
	}
	if err := f.Chmod(mode); err != nil {
		return "", err
	}
	if _, err := f.Write(content); err != nil {
		return "", err
	}
	return f.Name(), f.Sync()
}

// sameOwner gives a new file the owner and the group of the one it replaces, where they differ.
func sameOwner(f *os.File, like fs.FileInfo) error {
	if like == nil {
		return nil
	}
	want, ok := like.Sys().(*syscall.Stat_t)
	info, err := f.Stat()
	if err != nil {
		return err
	}
	have, ok2 := info.Sys().(*syscall.Stat_t)
	if !ok || !ok2 || (want.Uid == have.Uid && want.Gid == have.Gid) {
		return nil
	}
	return f.Chown(int(want.Uid), int(want.Gid))
}

// renameToFree renames and overwrites nothing. Where the file system cannot say so in one step (NFS), a link does: it refuses a name that
// is taken as well.
func renameToFree(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		if err := os.Link(from, to); err != nil {
			return err
		}
		return os.Remove(from)
	}
	if err != nil {
		return &fs.PathError{Op: "create", Path: to, Err: err}
	}
	return nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// readFile reads a regular file of at most limit bytes. The info is that of the file that was read.
func readFile(path string, limit int64) ([]byte, fs.FileInfo, error) {
	// A pipe under that name must not hold the caller up: it is opened without waiting, and then refused.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is not a regular file", path)
	}
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, nil, err
	}
	if int64(len(content)) > limit {
		return nil, nil, fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return content, info, nil
}

// checkPrivate refuses a private file that others than its owner may read.
func checkPrivate(path string, info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%s is open to others than its owner (mode %04o): chmod 600 it, and ask whether the key is still secret", path, mode)
	}
	return nil
}
