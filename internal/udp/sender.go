package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	// BatchBytes is the most that one batch for the system may hold: the payload of the largest IPv4 datagram, which a batch is
	// until the system cuts it.
	BatchBytes = 1<<16 - 1 - ipv4Header - udpHeader

	// maxSegments is UDP_MAX_SEGMENTS of kernels before 6.9; later ones take 128, which is past BatchBytes at any MTU of a link.
	maxSegments = 64

	ipv4Header = 20
	ipv6Header = 40
	udpHeader  = 8

	defaultSendBuffer = 4 << 20
)

// BatchSegments is how many datagrams of a size, in bytes, one Send should get: at least one.
func BatchSegments(segment int) int {
	return max(1, min(maxSegments, BatchBytes/max(segment, 1)))
}

// SenderOptions say where datagrams go.
type SenderOptions struct {
	To     netip.AddrPort
	From   netip.Addr // local address to bind; the zero Addr: any
	Buffer int        // bytes that may wait in the system; 0: 4 MiB
}

// Sender sends batches of datagrams to one address. One goroutine sends; Mode, MTU and Close may be called from any.
type Sender struct {
	to      netip.AddrPort
	headers int // of IP and UDP, bytes a datagram
	mode    atomic.Int32
	closed  atomic.Bool

	mu    sync.Mutex // held for as long as the file descriptor is in use
	fd    int
	calls calls
}

// mode is how batches are handed to the system, best first.
type mode int32

const (
	modeGSO      mode = iota // one call for a batch, which the system or the interface cuts
	modeSendmmsg             // one call for a batch, already cut
	modeSingle               // one call for each datagram
)

func (m mode) String() string { return [...]string{"gso", "sendmmsg", "single"}[m] }

// Dial makes a Sender. It sends nothing.
func Dial(o SenderOptions) (*Sender, error) {
	o.To, o.From = unmap(o.To), o.From.Unmap()
	switch {
	case !o.To.Addr().IsValid() || o.To.Port() == 0:
		return nil, fmt.Errorf("open socket to %s: an address and a port are needed", o.To)
	case o.From.IsValid() && o.From.Is4() != o.To.Addr().Is4():
		return nil, fmt.Errorf("open socket to %s: %s is of the other address family", o.To, o.From)
	}
	fd, err := openSocket(o.To.Addr())
	if err != nil {
		return nil, fmt.Errorf("open socket to %s: %w", o.To, err)
	}
	s := &Sender{to: o.To, fd: fd, headers: ipv4Header + udpHeader}
	if o.To.Addr().Is6() {
		s.headers = ipv6Header + udpHeader
	}
	if err := s.prepare(o); err != nil {
		return nil, errors.Join(fmt.Errorf("open socket to %s: %w", o.To, err), unix.Close(fd))
	}
	s.mode.Store(int32(modeGSO))
	if _, err := unix.GetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT); err != nil {
		s.mode.Store(int32(modeSendmmsg))
	}
	return s, nil
}

func (s *Sender) prepare(o SenderOptions) error {
	discover := func() error { return unix.SetsockoptInt(s.fd, unix.SOL_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO) }
	if o.To.Addr().Is6() {
		discover = func() error {
			return unix.SetsockoptInt(s.fd, unix.SOL_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO)
		}
	}
	if err := discover(); err != nil {
		return fmt.Errorf("forbid fragments: %w", err)
	}
	if o.Buffer <= 0 {
		o.Buffer = defaultSendBuffer
	}
	if _, err := setBuffer(s.fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, o.Buffer); err != nil {
		return fmt.Errorf("set send buffer: %w", err)
	}
	if o.From.IsValid() {
		from, err := sockaddr(netip.AddrPortFrom(o.From, 0))
		if err != nil {
			return err
		}
		if err := unix.Bind(s.fd, from); err != nil {
			return fmt.Errorf("bind %s: %w", o.From, err)
		}
	}
	to, err := sockaddr(o.To)
	if err != nil {
		return err
	}
	return os.NewSyscallError("connect", unix.Connect(s.fd, to))
}

// Mode says how batches are handed to the system: "gso", "sendmmsg" or "single". It may become a lesser one while sending.
func (s *Sender) Mode() string { return mode(s.mode.Load()).String() }

// MTU is the MTU of the route, in bytes of a whole IP packet.
func (s *Sender) MTU() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		return 0, fmt.Errorf("read MTU to %s: %w", s.to, net.ErrClosed)
	}
	return s.mtu()
}

func (s *Sender) mtu() (int, error) {
	level, name := unix.SOL_IP, unix.IP_MTU
	if s.to.Addr().Is6() {
		level, name = unix.SOL_IPV6, unix.IPV6_MTU
	}
	n, err := unix.GetsockoptInt(s.fd, level, name)
	if err != nil {
		return 0, fmt.Errorf("read MTU to %s: %w", s.to, err)
	}
	return n, nil
}

// Close ends the Sender, after the Send that is under way.
func (s *Sender) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return os.NewSyscallError("close", unix.Close(s.fd))
}
