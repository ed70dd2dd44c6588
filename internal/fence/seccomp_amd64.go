package fence

import "golang.org/x/sys/unix"

// Older calls for the same, which other architectures do not have.
var (
	alsoDenied  = []uint32{unix.SYS_FORK, unix.SYS_VFORK}
	alsoChanges = []uint32{unix.SYS_CHOWN, unix.SYS_LCHOWN, unix.SYS_CHMOD, unix.SYS_UTIME, unix.SYS_UTIMES, unix.SYS_FUTIMESAT}
)
