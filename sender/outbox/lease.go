package outbox

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
)

// writerHolds says whether somebody has the file open for writing, or mapped so: the kernel grants a read lease only where nobody has. The lease is given back
// at once; a writer that comes in between waits for no more than that. An error says that leases do not work here: the file system has none (EINVAL on NFS
// and FUSE), or the file belongs to somebody else and CAP_LEASE is missing (EACCES).
//
// The kernel would signal a lease that a writer breaks by SIGIO, which the Go runtime ignores unless the process asks for it.
func writerHolds(fd int) (held bool, err error) {
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

// leasesWork tries on a file of our own whether the file system tells writers: some grant a lease whoever writes.
func leasesWork(d *disk.Disk, dir string) error {
	f, err := d.CreateTemp(dir, ".lease-*")
	if err != nil {
		return fmt.Errorf("try a lease: %w", err)
	}
	defer f.Close()
	defer d.Remove(f.Name())
	r, err := d.Open(f.Name())
	if err != nil {
		return fmt.Errorf("try a lease: %w", err)
	}
	defer r.Close()
	held, err := writerHolds(r.Fd())
	if err != nil {
		return fmt.Errorf("try a lease: %w", err)
	}
	if !held {
		return errors.New("try a lease: granted although a writer holds the file")
	}
	return nil
}
