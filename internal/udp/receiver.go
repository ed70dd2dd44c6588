package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	defaultReceiveBuffer = 64 << 20
	// atOnce is how many views one call of the system fills.
	atOnce = 64
	// waitMilliseconds is how long ReceiveInto waits.
	waitMilliseconds = 1000

	// gather is how long ReceiveInto lets datagrams gather while they come densely: behind a reading of denseBytes or more that took all there was. Being woken for each would take a tenth of a
	// processor, on the link's side of the host too. A link of 10 Gbit/s brings 0.5 MB meanwhile, so a buffer below gatherBuffer is read at once.
	gather       = 400 * time.Microsecond
	denseBytes   = 32 << 10
	gatherBuffer = 4 << 20
)

// ReceiverOptions say where datagrams come in.
type ReceiverOptions struct {
	Listen    netip.AddrPort
	Buffer    int    // bytes that may wait in the system; 0: 64 MiB
	Interface string // the only one that is listened on; empty: any
}

// View is memory for one reading: one datagram, or several of one size that the system put together. 64 KiB hold any reading; what
// is longer than Mem is cut off.
type View struct {
	Mem     []byte
	N       int // bytes read
	Segment int // size of each datagram but the last, which may be shorter; 0 for one datagram
}

// Receiver reads datagrams. One goroutine calls ReceiveInto; everything else may be called from any.
type Receiver struct {
	addr   netip.AddrPort
	buffer int
	gro    bool
	closed atomic.Bool

	// mu is held for reading while the file descriptors are in use, and for writing to close them.
	mu   sync.RWMutex
	fd   int
	wake int // an eventfd, readable once the Receiver is closed

	drops drops
	calls readings
	dense bool // the last reading: see gather
}

// readings holds what the system reads and writes during a call, so that a reading allocates nothing.
type readings struct {
	messages [atOnce]mmsghdr
	pieces   [atOnce]unix.Iovec
	controls [atOnce]groControl
	poll     [2]unix.PollFd
}

// groControl is the control message that tells the size of the datagrams in a reading.
type groControl struct {
	unix.Cmsghdr
	size int32
	_    [4]byte // up to CMSG_SPACE(4)
}

// Listen makes a Receiver. From here on the system keeps datagrams for it.
func Listen(o ReceiverOptions) (*Receiver, error) {
	o.Listen = unmap(o.Listen)
	if !o.Listen.Addr().IsValid() {
		return nil, errors.New("listen: no address")
	}
	r := &Receiver{fd: -1, wake: -1}
	if err := r.open(o); err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %s: %w", o.Listen, err), r.release())
	}
	return r, nil
}

func (r *Receiver) open(o ReceiverOptions) (err error) {
	at, err := sockaddr(o.Listen)
	if err != nil {
		return err
	}
	if r.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return os.NewSyscallError("eventfd", err)
	}
	if r.fd, err = openSocket(o.Listen.Addr()); err != nil {
		return err
	}
	if o.Buffer <= 0 {
		o.Buffer = defaultReceiveBuffer
	}
	if r.buffer, err = setBuffer(r.fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, o.Buffer); err != nil {
		return fmt.Errorf("set receive buffer: %w", err)
	}
	if o.Interface != "" {
		if err := unix.BindToDevice(r.fd, o.Interface); err != nil {
			return fmt.Errorf("bind to interface %s: %w", o.Interface, err)
		}
	}
	// Before bind, so that no reading comes that was put together without a word about it.
	r.gro = unix.SetsockoptInt(r.fd, unix.SOL_UDP, unix.UDP_GRO, 1) == nil
	if err := unix.Bind(r.fd, at); err != nil {
		return os.NewSyscallError("bind", err)
	}
	r.addr, err = localAddr(r.fd)
	return err
}

// Mode says how readings come: "gro" or "recvmmsg".
func (r *Receiver) Mode() string {
	if r.gro {
		return "gro"
	}
	return "recvmmsg"
}

// Addr is the address that is listened on, with the port that the system chose where none was given.
func (r *Receiver) Addr() netip.AddrPort { return r.addr }

// BufferSize is how many bytes the system lets wait, in the measure of ReceiverOptions.Buffer: where it is less than what was
// asked for, net.core.rmem_max is lower and the process has no CAP_NET_ADMIN.
func (r *Receiver) BufferSize() (int, error) { return r.buffer, nil }

// ReceiveInto waits for datagrams and fills views from the first on; it returns how many it filled. It waits for a second at most
// and then returns 0. After Close it returns an error, within gather.
func (r *Receiver) ReceiveInto(views []View) (int, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.closed.Load() {
		return 0, r.failed(net.ErrClosed)
	}
	if len(views) == 0 {
		return 0, r.failed(errors.New("into nothing"))
	}
	if r.dense {
		t := unix.NsecToTimespec(int64(gather))
		_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &t, nil) // where a signal ends it, so be it
	}
	n, errno := r.read(views)
	if errno == unix.EAGAIN {
		r.calls.poll = [...]unix.PollFd{{Fd: int32(r.fd), Events: unix.POLLIN}, {Fd: int32(r.wake), Events: unix.POLLIN}}
		if _, err := unix.Poll(r.calls.poll[:], waitMilliseconds); err != nil && !errors.Is(err, unix.EINTR) {
			return 0, r.failed(os.NewSyscallError("poll", err))
		}
		if r.closed.Load() {
			return 0, r.failed(net.ErrClosed)
		}
		n, errno = r.read(views)
	}
	switch errno {
	case 0, unix.EAGAIN, unix.EINTR:
		return n, nil
	}
	return 0, r.failed(os.NewSyscallError("recvmmsg", errno))
}

func (r *Receiver) failed(err error) error { return fmt.Errorf("receive on %s: %w", r.addr, err) }

// read fills views with what is there.
func (r *Receiver) read(views []View) (int, unix.Errno) {
	c := &r.calls
	count := min(len(views), atOnce)
	for i := range count {
		m := &c.messages[i]
		c.pieces[i].Base = unsafe.SliceData(views[i].Mem)
		c.pieces[i].SetLen(len(views[i].Mem))
		m.Iov = &c.pieces[i]
		m.SetIovlen(1)
		m.Control = (*byte)(unsafe.Pointer(&c.controls[i]))
		m.SetControllen(int(unsafe.Sizeof(c.controls[i])))
		m.Flags = 0
	}
	got, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(r.fd), uintptr(unsafe.Pointer(&c.messages[0])), uintptr(count),
		unix.MSG_DONTWAIT, 0, 0)
	for i := range c.pieces[:count] {
		c.pieces[i].Base = nil // the memory may be the caller's own mapping, which ends before this Receiver
	}
	r.dense = false
	if errno != 0 {
		return 0, errno
	}
	bytes := 0
	for i := range int(got) {
		views[i].N = int(c.messages[i].length)
		views[i].Segment = c.segment(i)
		bytes += views[i].N
	}
	r.dense = bytes >= denseBytes && int(got) < count && r.buffer >= gatherBuffer
	return int(got), 0
}

// segment is the size that the system told with message i; 0 for one datagram.
func (c *readings) segment(i int) int {
	m, control := &c.messages[i], &c.controls[i]
	if int(m.Controllen) < unix.CmsgLen(4) || control.Level != unix.SOL_UDP || control.Type != unix.UDP_GRO || control.size <= 0 {
		return 0
	}
	if int(control.size) >= int(m.length) {
		return 0
	}
	return int(control.size)
}

// Close ends the Receiver and wakes ReceiveInto. What waits in the system is lost.
func (r *Receiver) Close() error {
	if r.closed.Swap(true) {
		return nil
	}
	one := [8]byte{1}
	_, woken := unix.Write(r.wake, one[:])
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drops.update(r.fd)
	return errors.Join(os.NewSyscallError("wake", woken), r.release())
}

// release closes what is open.
func (r *Receiver) release() error {
	var errs []error
	for _, fd := range []int{r.fd, r.wake} {
		if fd >= 0 {
			errs = append(errs, os.NewSyscallError("close", unix.Close(fd)))
		}
	}
	return errors.Join(errs...)
}
