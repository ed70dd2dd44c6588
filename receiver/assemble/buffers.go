package assemble

// buffers counts the memory of frames and of decompressed chunks. It is part of the Assembler, under its lock.
//
// Large buffers are kept and used again: making one costs clearing 4 MiB. They come in classes, so that a small chunk does not hold a large buffer.
type buffers struct {
	limit int
	used  int // by frames and chunks
	kept  int // spare
	spare map[int][][]byte
}

// Buffer classes in bytes: the largest holds any frame (SPEC.md section 1: raw + raw/128 + 1,024).
var classes = [...]int{64 << 10, 256 << 10, 512 << 10, 1 << 20, 3 << 19, 2 << 20, 3 << 20, 4<<20 + 64<<10}

// leastMemory is what the Assembler must be given: frames for the two ends of the blocks that two decoders hold, while one of them stands still, and two more.
const leastMemory = rawMemory + 6*(4<<20+64<<10)

// class is the capacity that a buffer of n bytes gets. Those of the smallest class are made to measure and left to the collector.
func class(n int) int {
	if n <= classes[0] {
		return n
	}
	for _, c := range classes[1:] {
		if n <= c {
			return c
		}
	}
	panic("assemble: internal error: a buffer beyond the largest frame")
}

// take gives a buffer of n bytes, or nil when the limit does not hold it.
func (m *buffers) take(n int) []byte {
	c := class(n)
	if m.used+c > m.limit {
		return nil
	}
	m.used += c
	if list := m.spare[c]; len(list) > 0 {
		b := list[len(list)-1]
		m.spare[c] = list[:len(list)-1]
		m.kept -= c
		return b[:n]
	}
	return make([]byte, n, c)
}

// put gives a buffer back. Up to half the limit is kept for use again.
func (m *buffers) put(b []byte) {
	c := cap(b)
	m.used -= c
	if c > classes[0] && m.kept+c <= m.limit/2 {
		m.spare[c] = append(m.spare[c], b[:0])
		m.kept += c
	}
}

// rawMemory is the part that holds decompressed chunks: two under way, one being hashed, one spare.
const rawMemory = 4 * (4<<20 + 64<<10)
