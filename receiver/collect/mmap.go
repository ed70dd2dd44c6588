package collect

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// mapping is anonymous memory outside the Go heap: the collector neither scans it nor counts it when it decides to run, and
// what is not in use can be given back to the system at once.
type mapping []byte

// newMapping reserves size bytes, a multiple of the page size. No page is resident until it is touched.
func newMapping(size int) (mapping, error) {
	m, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("reserve %d bytes of memory: %w", size, err)
	}
	return m, nil
}

// discard gives the pages of a range back to the system; they read as zero afterwards. A refusal changes nothing but the
// resident size, so it is not an error.
func (m mapping) discard(from, to int) {
	_ = unix.Madvise(m[from:to], unix.MADV_DONTNEED)
}

// close unmaps. Nothing may hold a slice of the mapping any more: touching it would end the process.
func (m mapping) close() error {
	if err := unix.Munmap(m); err != nil {
		return fmt.Errorf("give memory back: %w", err)
	}
	return nil
}
