package deliver

import (
	"errors"
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
)

// stat is what os.FileInfo knows of a file's place on its disk.
func stat(info fs.FileInfo) *syscall.Stat_t { return info.Sys().(*syscall.Stat_t) }

func inode(info fs.FileInfo) uint64 { return stat(info).Ino }

// renameNew renames without replacing anything: EEXIST where the name is taken. Where the file system cannot promise that (NFS), it looks first.
func (b *batch) renameNew(from *disk.File, name string, to *disk.File, final string) error {
	err := b.disk.Renameat2(from.Fd(), name, to.Fd(), final, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	var st unix.Stat_t
	switch err := b.disk.Fstatat(to.Fd(), final, &st, unix.AT_SYMLINK_NOFOLLOW); {
	case err == nil:
		return unix.EEXIST
	case !errors.Is(err, unix.ENOENT):
		return err
	}
	return b.disk.Renameat2(from.Fd(), name, to.Fd(), final, 0)
}

// exchange swaps two names in one step.
func (b *batch) exchange(from *disk.File, name string, to *disk.File, final string) error {
	return b.disk.Renameat2(from.Fd(), name, to.Fd(), final, unix.RENAME_EXCHANGE)
}

// discard removes whatever stands under a name, also below directories that their modes have closed. It is no error when nothing does.
func discard(root *disk.Root, name string) error {
	err := root.RemoveAll(name)
	if err == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	unlock(root, name)
	return root.RemoveAll(name)
}

// unlock makes every directory below a name ours to change, as far as it can.
func unlock(root *disk.Root, name string) {
	info, err := root.Lstat(name)
	if err != nil || !info.IsDir() || root.Chmod(name, 0o700) != nil {
		return
	}
	entries, err := root.List(name)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.IsDir() {
			unlock(root, name+"/"+e.Name())
		}
	}
}
