package examine

import (
	"fmt"
	"runtime/debug"
	"syscall"
	"unsafe"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

const (
	memoryMost = 1 << 30   // bytes that a child may write to: decoders keep windows and directories of archives
	memoryAim  = 512 << 20 // that its collector of garbage aims to stay below
	filesMost  = 64        // open at once
)

// fence takes from the process, for good, all that it does not need: to look below root, and to work in scratch, in files of no more than room bytes. It is false where the kernel has no landlock.
func fence(root, scratch string, room int64) (fenced bool, err error) {
	debug.SetMemoryLimit(memoryAim)
	for _, l := range []struct {
		what int
		most uint64
	}{{unix.RLIMIT_DATA, memoryMost}, {unix.RLIMIT_NOFILE, filesMost}, {unix.RLIMIT_CORE, 0}, {unix.RLIMIT_MEMLOCK, 0}, {unix.RLIMIT_FSIZE, uint64(room)}} {
		if err := unix.Setrlimit(l.what, &unix.Rlimit{Cur: l.most, Max: l.most}); err != nil {
			return false, fmt.Errorf("set a limit: %w", err)
		}
	}
	if err := dropCapabilities(); err != nil {
		return false, err
	}
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	switch {
	case errno == unix.ENOSYS || errno == unix.EOPNOTSUPP: // the kernel has none
	case errno != 0:
		return false, fmt.Errorf("ask for landlock: %w (does the unit's SystemCallFilter let it through?)", errno)
	case version > 0:
		if err := landlock.V6.BestEffort().Restrict(landlock.RODirs(root), landlock.RWDirs(scratch)); err != nil {
			return false, err
		}
		fenced = true
	}
	return fenced, refuseCalls() // last: what went before signals every thread
}

// dropCapabilities keeps of root's rights the one to read what others own: the state may be another user's. On every thread: a capability is one's own.
func dropCapabilities() error {
	type header struct {
		version uint32
		pid     int32
	}
	type data struct{ effective, permitted, inheritable uint32 }
	h := header{version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]data
	if _, _, errno := syscall.RawSyscall(unix.SYS_CAPGET, uintptr(unsafe.Pointer(&h)), uintptr(unsafe.Pointer(&have[0])), 0); errno != 0 {
		return fmt.Errorf("read the capabilities: %w", errno)
	}
	const read = 1 << unix.CAP_DAC_READ_SEARCH
	keep := [2]data{{effective: have[0].permitted & read, permitted: have[0].permitted & read}}
	_, _, errno := psx.Syscall3(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&h)), uintptr(unsafe.Pointer(&keep[0])), 0)
	if errno != 0 {
		return fmt.Errorf("drop capabilities: %w", errno)
	}
	return nil
}
