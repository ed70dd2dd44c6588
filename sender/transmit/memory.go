package transmit

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// buffer is memory for one bulk block: k + m shards.
type buffer struct{ bytes []byte }

// pool holds the memory of the window. It is mapped outside the Go heap, or the collector would let the process grow to twice the window before
// it looks; pages that no block ever touched cost nothing.
type pool struct {
	free chan *buffer // all are in flight when the link is slower than what comes
	area []byte
}

// newPool maps count buffers of size bytes.
func newPool(count, size int) (*pool, error) {
	const page = 4096
	stride := (size + page - 1) / page * page
	area, err := unix.Mmap(-1, 0, count*stride, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("map %d MiB for the window: %w", count*stride>>20, err)
	}
	p := &pool{free: make(chan *buffer, count), area: area}
	for i := range count {
		p.free <- &buffer{bytes: area[i*stride : i*stride+size : i*stride+size]}
	}
	return p, nil
}

// put gives a buffer back; it never waits.
func (p *pool) put(b *buffer) { p.free <- b }

// close unmaps. Nothing may hold a buffer any more.
func (p *pool) close() error { return unix.Munmap(p.area) }
