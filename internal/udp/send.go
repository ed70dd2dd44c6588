package udp

import (
	"fmt"
	"net"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// calls holds what the system reads during a call, so that a batch allocates nothing.
type calls struct {
	messages [maxSegments]mmsghdr
	pieces   [maxSegments]unix.Iovec
	whole    unix.Msghdr
	piece    unix.Iovec
	segment  segmentControl
	poll     [1]unix.PollFd
}

// segmentControl is the control message that tells the system where to cut.
type segmentControl struct {
	unix.Cmsghdr
	size uint16
	_    [6]byte // up to CMSG_SPACE(2)
}

// Send hands a batch to the system: datagrams of segment bytes, the last of which may be shorter. It returns how many were taken.
//
// It waits for a while when the system's buffer is full. An error that says that an earlier datagram was not wanted is not one
// here: nothing answers on a one-way link, and where something does it does not matter.
func (s *Sender) Send(batch []byte, segment int) (int, error) {
	if segment <= 0 {
		return 0, fmt.Errorf("send %d bytes to %s: datagrams of %d bytes", len(batch), s.to, segment)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := 0
	var p patience
	for len(batch) > 0 {
		if s.closed.Load() {
			return taken, fmt.Errorf("send to %s: %w", s.to, net.ErrClosed)
		}
		m := s.modeFor(batch, segment)
		n, errno := s.offer(m, batch, segment)
		if errno == 0 {
			taken += n
			batch = batch[min(n*segment, len(batch)):]
			p = patience{}
			continue
		}
		if err := s.bear(errno, m, &p, min(segment, len(batch))); err != nil {
			return taken, err
		}
	}
	return taken, nil
}

// modeFor is how the batch goes: a single datagram by the plainest call.
func (s *Sender) modeFor(batch []byte, segment int) mode {
	if len(batch) <= segment {
		return modeSingle
	}
	return mode(s.mode.Load())
}

// offer makes one call, and returns how many datagrams it took: at least one where there is no error.
func (s *Sender) offer(m mode, batch []byte, segment int) (int, unix.Errno) {
	switch m {
	case modeGSO:
		return s.sendSegments(batch[:min(len(batch), BatchSegments(segment)*segment)], segment)
	case modeSendmmsg:
		return s.sendMessages(batch, segment)
	}
	return s.sendOne(batch[:min(segment, len(batch))])
}

func (s *Sender) sendOne(datagram []byte) (int, unix.Errno) {
	_, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(s.fd), uintptr(unsafe.Pointer(&datagram[0])), uintptr(len(datagram)), 0, 0, 0)
	return 1, errno
}

func (s *Sender) sendSegments(batch []byte, segment int) (int, unix.Errno) {
	if segment > BatchBytes {
		return 0, unix.EMSGSIZE // it would not fit the control message
	}
	c := &s.calls
	c.piece.Base = &batch[0]
	c.piece.SetLen(len(batch))
	c.segment.Level, c.segment.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	c.segment.SetLen(unix.CmsgLen(2))
	c.segment.size = uint16(segment)
	c.whole.Iov = &c.piece
	c.whole.SetIovlen(1)
	c.whole.Control = (*byte)(unsafe.Pointer(&c.segment))
	c.whole.SetControllen(unix.CmsgSpace(2))
	_, _, errno := unix.Syscall(unix.SYS_SENDMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&c.whole)), 0)
	c.piece.Base = nil
	return (len(batch) + segment - 1) / segment, errno
}

func (s *Sender) sendMessages(batch []byte, segment int) (int, unix.Errno) {
	c := &s.calls
	count := 0
	for ; count < len(c.messages) && len(batch) > 0; count++ {
		n := min(segment, len(batch))
		c.pieces[count].Base = &batch[0]
		c.pieces[count].SetLen(n)
		c.messages[count].Iov = &c.pieces[count]
		c.messages[count].SetIovlen(1)
		batch = batch[n:]
	}
	n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&c.messages[0])), uintptr(count), 0, 0, 0)
	for i := range c.pieces[:count] {
		c.pieces[i].Base = nil // the memory may be the caller's own mapping, which ends before this Sender
	}
	return int(n), errno
}

// bear does what an error asks for, and returns it where it cannot be borne. size is that of the datagram in question.
func (s *Sender) bear(errno unix.Errno, m mode, p *patience, size int) error {
	if m == modeGSO && errno == unix.EINVAL {
		// Kernels before 6.14 say so of a datagram above the MTU as well as of a socket or a route that cannot be cut for.
		if mtu, err := s.mtu(); err == nil && size+s.headers > mtu {
			errno = unix.EMSGSIZE
		}
	}
	switch p.judge(errno, m) {
	case again:
	case await:
		s.await(unix.POLLOUT, awaitAtMost)
	case pause:
		s.await(0, pauseAtMost)
	case descend:
		s.mode.Store(int32(m + 1))
	case fail:
		if errno != unix.EMSGSIZE {
			return fmt.Errorf("send to %s: %w", s.to, errno)
		}
		mtu, err := s.mtu()
		if err != nil {
			return fmt.Errorf("send to %s: %w", s.to, errno)
		}
		return fmt.Errorf("send to %s: %d bytes of payload and %d of headers, but the MTU is %d: %w", s.to, size, s.headers, mtu, errno)
	}
	return nil
}

// await returns when the socket has come to a state, or after a time. Errors show in the next call.
func (s *Sender) await(events int16, most time.Duration) {
	s.calls.poll[0] = unix.PollFd{Fd: int32(s.fd), Events: events}
	if events == 0 {
		s.calls.poll[0].Fd = -1 // a pending error of the socket would end the wait at once
	}
	for end := time.Now().Add(most); most > 0; most = time.Until(end) { // the runtime's signals interrupt it
		if _, err := unix.Poll(s.calls.poll[:], int((most + time.Millisecond - 1).Milliseconds())); err == nil {
			return
		}
	}
}
