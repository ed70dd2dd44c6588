package deliver

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// stat is what os.FileInfo knows of a file's place on its disk.
func stat(info fs.FileInfo) *syscall.Stat_t { return info.Sys().(*syscall.Stat_t) }

func inode(info fs.FileInfo) uint64 { return stat(info).Ino }

// setMtime sets an open file's or directory's time of change, in Unix seconds, and leaves its time of access. It is futimens(3): os.File.Chtimes does not exist, and what takes
// a name counts in nanoseconds from 1677 to 2262 only, which a manifest does not.
func setMtime(f *os.File, seconds int64) error {
	times := [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Sec: seconds}}
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, f.Fd(), 0, uintptr(unsafe.Pointer(&times)), 0, 0, 0)
	if errno != 0 {
		return &os.PathError{Op: "utimensat", Path: f.Name(), Err: errno}
	}
	return nil
}

// renameNew renames without replacing anything: EEXIST where the name is taken. Where the file system cannot promise that (NFS), it looks first.
func renameNew(from *os.File, name string, to *os.File, final string) error {
	err := unix.Renameat2(int(from.Fd()), name, int(to.Fd()), final, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	var st unix.Stat_t
	switch err := unix.Fstatat(int(to.Fd()), final, &st, unix.AT_SYMLINK_NOFOLLOW); {
	case err == nil:
		return unix.EEXIST
	case !errors.Is(err, unix.ENOENT):
		return err
	}
	return unix.Renameat(int(from.Fd()), name, int(to.Fd()), final)
}

// exchange swaps two names in one step.
func exchange(from *os.File, name string, to *os.File, final string) error {
	return unix.Renameat2(int(from.Fd()), name, int(to.Fd()), final, unix.RENAME_EXCHANGE)
}

// discard removes whatever stands under a name, also below directories that their modes have closed. It is no error when nothing does.
func discard(root *os.Root, name string) error {
	err := root.RemoveAll(name)
	if err == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	unlock(root, name)
	return root.RemoveAll(name)
}

// unlock makes every directory below a name ours to change, as far as it can.
func unlock(root *os.Root, name string) {
	info, err := root.Lstat(name)
	if err != nil || !info.IsDir() || root.Chmod(name, 0o700) != nil {
		return
	}
	d, err := root.Open(name)
	if err != nil {
		return
	}
	entries, err := d.ReadDir(-1)
	d.Close()
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.IsDir() {
			unlock(root, name+"/"+e.Name())
		}
	}
}
