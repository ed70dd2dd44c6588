package bundle

import "io"

// spoolBytes is what a spool gathers before it writes.
const spoolBytes = 1 << 15

// spool gathers lines and writes them in pieces. Its memory grows with what it is given, so that the manifest of one small file costs
// little. The first error stays and is what flush returns.
type spool struct {
	w   io.Writer
	buf []byte
	err error
}

// put has more appended; what is more than spoolBytes goes out.
func (s *spool) put(more func(dst []byte) []byte) {
	if s.buf = more(s.buf); len(s.buf) >= spoolBytes {
		s.flush()
	}
}

// list puts what stands between the brackets of a list, each entry on a line of its own, and what closes it.
func (s *spool) list(closing string, n int, entry func(dst []byte, i int) []byte) {
	for i := range n {
		s.put(func(dst []byte) []byte {
			if i > 0 {
				dst = append(dst, ',')
			}
			return entry(append(dst, '\n'), i)
		})
	}
	s.put(func(dst []byte) []byte {
		if n > 0 {
			dst = append(dst, '\n')
		}
		return append(dst, closing...)
	})
}

func (s *spool) flush() error {
	if s.err == nil && len(s.buf) > 0 {
		_, s.err = s.w.Write(s.buf)
	}
	s.buf = s.buf[:0]
	return s.err
}

// counter counts what passes.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
