package examine

import (
	"fmt"
	"runtime/debug"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"

	"ecluse/internal/fence"
)

const (
	memoryMost = 1 << 30   // bytes that a child may write to: decoders keep windows and directories of archives
	memoryAim  = 512 << 20 // that its collector of garbage aims to stay below
	filesMost  = 64        // open at once
)

// fenceIn takes from the process, for good, all that it does not need: to look below root, and to work in scratch, in files of no more than room bytes. It is false where the kernel has no landlock.
func fenceIn(root, scratch string, room int64) (fenced bool, err error) {
	debug.SetMemoryLimit(memoryAim)
	for _, l := range []struct {
		what int
		most uint64
	}{{unix.RLIMIT_DATA, memoryMost}, {unix.RLIMIT_NOFILE, filesMost}, {unix.RLIMIT_CORE, 0}, {unix.RLIMIT_MEMLOCK, 0}, {unix.RLIMIT_FSIZE, uint64(room)}} {
		if err := unix.Setrlimit(l.what, &unix.Rlimit{Cur: l.most, Max: l.most}); err != nil {
			return false, fmt.Errorf("set a limit: %w", err)
		}
	}
	if err := fence.DropCapabilities(); err != nil {
		return false, err
	}
	version, err := fence.Landlock()
	if err != nil {
		return false, err
	}
	if fenced = version > 0; fenced {
		if err := landlock.V6.BestEffort().Restrict(landlock.RODirs(root), landlock.RWDirs(scratch)); err != nil {
			return false, err
		}
	}
	return fenced, fence.Alone() // last: what went before signals every thread
}
