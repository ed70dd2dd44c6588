package udp

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// drops follows a socket's count of drops, which the system keeps in 32 bits.
type drops struct {
	mu    sync.Mutex
	last  uint32
	total uint64
}

// note takes the system's count in, which never goes back: where it is lower than the last one it has wrapped.
func (d *drops) note(count uint32) {
	d.total += uint64(count - d.last)
	d.last = count
}

// value is the count as it was noted last.
func (d *drops) value() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.total
}

// update asks the system first.
//
// SO_MEMINFO reads the count that SO_RXQ_OVFL sends along with datagrams. That one comes only with the next datagram that finds
// room, and so after the last drop of a transfer not at all; and it costs every reading a control message.
func (d *drops) update(fd int) uint64 {
	var info [unix.SK_MEMINFO_DROPS + 1]uint32
	size := uint32(unsafe.Sizeof(info))
	d.mu.Lock()
	defer d.mu.Unlock()
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno == 0 && size == uint32(unsafe.Sizeof(info)) {
		d.note(info[unix.SK_MEMINFO_DROPS])
	}
	return d.total
}

// Dropped is how many times the system threw something away since Listen, because the socket's buffer was full or, rarely, because
// a checksum was wrong. Datagrams that were put together count as one. It answers after Close as well. It has to be called
// once every 2^32 drops.
func (r *Receiver) Dropped() uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.closed.Load() {
		return r.drops.value()
	}
	return r.drops.update(r.fd)
}
