package control

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Peer is the process at the other end, as the kernel names it (SO_PEERCRED, SO_PEERGROUPS).
type Peer struct {
	UID    uint32
	PID    int32
	Groups []uint32 // its own and all others
}

// Name is the peer's user for people: a name, or uid:N where it has none.
func (p Peer) Name() string {
	if u, err := user.LookupId(strconv.FormatUint(uint64(p.UID), 10)); err == nil {
		return u.Username
	}
	return fmt.Sprintf("uid:%d", p.UID)
}

// In says whether the peer is in a group.
func (p Peer) In(gid uint32) bool { return slices.Contains(p.Groups, gid) }

// Owner allows root and the daemon's own user, who may do everything.
func Owner(p Peer) bool { return p.UID == 0 || p.UID == uint32(os.Geteuid()) }

// peerOf asks the kernel who is at the other end. The answer is of the time of connect(2).
func peerOf(c net.Conn) (Peer, error) {
	unixConn, ok := c.(*net.UnixConn)
	if !ok {
		return Peer{}, errors.New("control: not a unix socket")
	}
	raw, err := unixConn.SyscallConn()
	if err != nil {
		return Peer{}, err
	}
	var p Peer
	var failed error
	err = raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); failed != nil {
			return
		}
		p.UID, p.PID = cred.Uid, cred.Pid
		p.Groups, failed = peerGroups(fd)
		p.Groups = append(p.Groups, cred.Gid)
	})
	if err := errors.Join(err, failed); err != nil {
		return Peer{}, fmt.Errorf("look at the peer: %w", err)
	}
	return p, nil
}

// maxGroups is what Linux lets a process be in (NGROUPS_MAX).
const maxGroups = 65536

// peerGroups is SO_PEERGROUPS, for which x/sys has no call.
func peerGroups(fd uintptr) ([]uint32, error) {
	for size := 64; ; size = maxGroups {
		b := make([]byte, 4*size)
		length := uint32(len(b))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&length)), 0)
		switch {
		case errno == unix.ERANGE && size < maxGroups:
			continue
		case errno != 0:
			return nil, errno
		}
		groups := make([]uint32, length/4)
		for i := range groups {
			groups[i] = binary.NativeEndian.Uint32(b[4*i:])
		}
		return groups, nil
	}
}

// GroupID looks a group up; ok is false where there is none.
func GroupID(name string) (gid uint32, ok bool) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(g.Gid, 10, 32)
	return uint32(n), err == nil
}
