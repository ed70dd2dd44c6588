package ticket

import (
	"ecluse/protocol/bundle"
)

// more is added to every symbol of a number but the last (T-6).
const more = 16

// appendNumber writes a number, four bits to a symbol.
func appendNumber(to []byte, n uint64) []byte {
	first := 0
	for n>>first >= 16 {
		first += 4
	}
	for ; first > 0; first -= 4 {
		to = append(to, byte(n>>first&15)|more)
	}
	return append(to, byte(n&15))
}

// numberLength is how many symbols appendNumber takes.
func numberLength(n uint64) (length int) {
	for length = 1; n >= 16; length++ {
		n >>= 4
	}
	return length
}

// reader reads a body. After the first fault everything reads as zero, and end tells.
type reader struct {
	rest  []byte
	fault *bundle.Rejection
}

func (r *reader) fail(rule, format string, args ...any) {
	if r.fault == nil {
		r.fault = bundle.Reject(bundle.ReasonTicketBody, rule, format, args...)
	}
	r.rest = nil
}

// number reads a number in its only form.
func (r *reader) number() (n uint64) {
	for i := 0; ; i++ {
		if len(r.rest) == 0 {
			r.fail("T-6", "the body is cut off")
			return 0
		}
		s := r.rest[0]
		r.rest = r.rest[1:]
		if i == 0 && s == more || n > bundle.MaxSequence>>4 {
			r.fail("T-6", "a number begins with a zero, or is above %d", uint64(bundle.MaxSequence))
			return 0
		}
		if n = n<<4 | uint64(s&15); s < more {
			return n
		}
	}
}

// take reads so many symbols as they are.
func (r *reader) take(n int) []byte {
	if n > len(r.rest) {
		r.fail("T-6", "the body is cut off")
		return make([]byte, n)
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// end holds that nothing but the zeroes of the last group is left.
func (r *reader) end() error {
	if r.fault == nil {
		filled := len(r.rest) < groupData
		for _, s := range r.rest {
			filled = filled && s == 0
		}
		if !filled {
			r.fail("T-6", "something stands behind the body")
		}
	}
	if r.fault != nil {
		return r.fault
	}
	return nil
}

// appendBits writes the first n*5 bits of bytes as n symbols; bits behind the last byte are zero.
func appendBits(to, bytes []byte, n int) []byte {
	for i := range n {
		at, s := i*5, byte(0)
		for b := at; b < at+5; b++ {
			s <<= 1
			if b/8 < len(bytes) {
				s |= bytes[b/8] >> (7 - b%8) & 1
			}
		}
		to = append(to, s)
	}
	return to
}

// bits is the other way: symbols to bytes, the bits left over behind the last whole byte.
func bits(symbols []byte) (bytes []byte, over byte) {
	have, acc := 0, uint16(0)
	for _, s := range symbols {
		acc = acc<<5 | uint16(s)
		if have += 5; have >= 8 {
			have -= 8
			bytes = append(bytes, byte(acc>>have))
			acc &= 1<<have - 1
		}
	}
	return bytes, byte(acc)
}
