package fence

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// Landlock says which form of it the kernel has; 0: none. From ScopedSignals on a process can be kept from signalling others.
func Landlock() (version int, err error) {
	n, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	switch {
	case errno == unix.ENOSYS || errno == unix.EOPNOTSUPP:
		return 0, nil
	case errno != 0:
		return 0, fmt.Errorf("ask for landlock: %w (does the unit's SystemCallFilter let it through?)", errno)
	}
	return int(n), nil
}

// ScopedSignals is the first form of landlock that knows signals.
const ScopedSignals = 6

type capabilityHeader struct {
	version uint32
	pid     int32
}

type capabilityData struct{ effective, permitted, inheritable uint32 }

// readOthers is the right to read what others own, which is all that is kept: the state may be another user's.
const readOthers = 1 << unix.CAP_DAC_READ_SEARCH

func capabilities() (have [2]capabilityData, err error) {
	h := capabilityHeader{version: unix.LINUX_CAPABILITY_VERSION_3}
	if _, _, errno := syscall.RawSyscall(unix.SYS_CAPGET, uintptr(unsafe.Pointer(&h)), uintptr(unsafe.Pointer(&have[0])), 0); errno != 0 {
		return have, fmt.Errorf("read the capabilities: %w", errno)
	}
	return have, nil
}

// DropCapabilities keeps of root's rights the one to read what others own. On every thread: a capability is one's own.
func DropCapabilities() error {
	have, err := capabilities()
	if err != nil {
		return err
	}
	keep := [2]capabilityData{{effective: have[0].permitted & readOthers, permitted: have[0].permitted & readOthers}}
	h := capabilityHeader{version: unix.LINUX_CAPABILITY_VERSION_3}
	if _, _, errno := psx.Syscall3(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&h)), uintptr(unsafe.Pointer(&keep[0])), 0); errno != 0 {
		return fmt.Errorf("drop capabilities: %w", errno)
	}
	return nil
}

// BecomeNobody makes the calling thread, and the program that it becomes, one of a user and a group that are given, with the right to read what others own where root had it, and nothing else. With 0 it
// keeps its user, as who is not root must, and loses every capability. The caller holds the thread, and calls exec.
func BecomeNobody(id int) error {
	have, err := capabilities()
	if err != nil {
		return err
	}
	keep := uint32(0)
	if id > 0 {
		keep = have[0].permitted & readOthers
		if err := become(id); err != nil {
			return err
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("drop ambient capabilities: %w", err)
	}
	h, to := capabilityHeader{version: unix.LINUX_CAPABILITY_VERSION_3}, [2]capabilityData{{keep, keep, keep}}
	if _, _, errno := syscall.RawSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&h)), uintptr(unsafe.Pointer(&to[0])), 0); errno != 0 {
		return fmt.Errorf("drop capabilities: %w", errno)
	}
	if keep == 0 {
		return nil
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_DAC_READ_SEARCH, 0, 0); err != nil { // or exec would take it
		return fmt.Errorf("keep the right to read: %w", err)
	}
	return nil
}

// become changes user and group of the calling thread, by bare calls: the libraries change all threads.
func become(id int) error {
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("keep rights: %w", err)
	}
	n := uintptr(id)
	if _, _, errno := syscall.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); errno != 0 {
		return fmt.Errorf("leave groups: %w", errno)
	}
	if _, _, errno := syscall.RawSyscall(unix.SYS_SETRESGID, n, n, n); errno != 0 {
		return fmt.Errorf("change the group: %w", errno)
	}
	if _, _, errno := syscall.RawSyscall(unix.SYS_SETRESUID, n, n, n); errno != 0 {
		return fmt.Errorf("change the user: %w", errno)
	}
	return nil
}
