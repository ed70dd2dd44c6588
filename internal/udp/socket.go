package udp

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr of sendmmsg(2) and recvmmsg(2).
type mmsghdr struct {
	unix.Msghdr
	length uint32
}

// openSocket makes a UDP socket for the family of an address. It never blocks: who waits uses poll.
func openSocket(a netip.Addr) (fd int, err error) {
	family := unix.AF_INET
	if a.Is6() {
		family = unix.AF_INET6
	}
	fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	return fd, nil
}

// sockaddr is an address in the system's form. A zone may be a name or a number.
func sockaddr(a netip.AddrPort) (unix.Sockaddr, error) {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}, nil
	}
	to := &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	zone := a.Addr().Zone()
	if zone == "" {
		return to, nil
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		to.ZoneId = uint32(n)
		return to, nil
	}
	i, err := net.InterfaceByName(zone)
	if err != nil {
		return nil, fmt.Errorf("find zone %q: %w", zone, err)
	}
	to.ZoneId = uint32(i.Index)
	return to, nil
}

// localAddr is the address that a socket is bound to.
func localAddr(fd int) (netip.AddrPort, error) {
	bound, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, os.NewSyscallError("getsockname", err)
	}
	switch a := bound.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)), nil
	case *unix.SockaddrInet6:
		addr := netip.AddrFrom16(a.Addr)
		if a.ZoneId != 0 {
			addr = addr.WithZone(strconv.FormatUint(uint64(a.ZoneId), 10))
		}
		return netip.AddrPortFrom(addr, uint16(a.Port)), nil
	}
	panic("udp: internal error: a UDP socket with another family's address")
}

// setBuffer asks for a socket buffer, first past the system's limit, which takes CAP_NET_ADMIN. The system doubles what it is
// asked for, to make room for its own records; the result is half of what it gave, and so compares with bytes.
func setBuffer(fd, force, polite, bytes int) (int, error) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, bytes) != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, polite, bytes); err != nil {
			return 0, os.NewSyscallError("setsockopt", err)
		}
	}
	given, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, polite)
	return given / 2, os.NewSyscallError("getsockopt", err)
}

// unmap turns an IPv4 address in IPv6 clothes into what it is.
func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
