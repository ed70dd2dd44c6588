package disk

import (
	"errors"

	"golang.org/x/sys/unix"
)

// WriterHolds says whether somebody has the file open for writing, or mapped so: the kernel grants a read lease only where nobody has. The lease is given back
// at once; a writer that comes in between waits for no more than that. An error says that leases do not work here: the file system has none (EINVAL on NFS
// and FUSE), or the file belongs to somebody else and CAP_LEASE is missing (EACCES).
//
// A single write of a gigabyte moves a file's ctime when it begins, and a mapping may be written without moving it at all; so what is to be read whole is read only when whoever writes it
// next has to open it first.
//
// The kernel would signal a lease that a writer breaks by SIGIO, which the Go runtime ignores unless the process asks for it.
func WriterHolds(fd int) (held bool, err error) {
	_, err = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_RDLCK)
	if errors.Is(err, unix.EAGAIN) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	_, err = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_UNLCK)
	return false, err
}
