package bundle

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// maxLine bounds what the scanner holds of a manifest: the longest line of an honest one, its labels, has less than 21,000 bytes.
const maxLine = 1 << 16

// scanner walks the one form of a manifest line by line: no string can hold a line feed, so every line feed ends one. The first failure
// stays, and everything after it reads as empty, so that a parser checks once, at the end of a line.
type scanner struct {
	r     *bufio.Reader
	line  []byte // with its line feed, unless the text ends without
	at    int    // in line
	start int64  // offset of line in the text
	text  []byte // of the last string that held an escape
	err   error
}

// scan begins a text of up to limit bytes. It holds maxLine bytes of it, or limit where that is less.
func scan(r io.Reader, limit int64) *scanner {
	return &scanner{r: bufio.NewReaderSize(r, int(min(maxLine, limit+1)))}
}

// next goes to the next line; at the end of the text it is empty. After a failure nothing more is read.
func (s *scanner) next() {
	if s.err != nil {
		return
	}
	s.start += int64(len(s.line))
	s.at = 0
	var err error
	s.line, err = s.r.ReadSlice('\n')
	switch {
	case err == nil, err == io.EOF:
	case errors.Is(err, bufio.ErrBufferFull):
		s.fail("the line is longer than any may be")
	default:
		s.err = fmt.Errorf("read manifest: %w", err)
	}
}

// fail notes a departure from the form at the present byte (M-1).
func (s *scanner) fail(format string, args ...any) {
	if s.err == nil {
		s.err = Reject(ReasonManifestSyntax, "M-1", "byte %d: %s", s.start+int64(s.at), fmt.Sprintf(format, args...))
	}
}

// refuse notes a value that is in the form and not allowed.
func (s *scanner) refuse(what string, err error) {
	var r *Rejection
	switch {
	case err == nil || s.err != nil:
	case errors.As(err, &r):
		at := *r
		at.Detail = printable(fmt.Sprintf("%s before byte %d: %s", what, s.start+int64(s.at), r.Detail), maxDetail)
		s.err = &at
	default:
		s.err = err
	}
}

// literal goes over exactly these bytes.
func (s *scanner) literal(want string) {
	rest := s.line[s.at:]
	if len(rest) >= len(want) && string(rest[:len(want)]) == want {
		s.at += len(want)
		return
	}
	n := 0
	for n < len(rest) && rest[n] == want[n] {
		n++
	}
	s.at += n
	s.fail("%q is missing", want[n:])
}

// ahead tells whether a byte comes next.
func (s *scanner) ahead(c byte) bool {
	return s.err == nil && s.at < len(s.line) && s.line[s.at] == c
}

// quoted reads a string between quotes. What it returns is valid until the next call.
func (s *scanner) quoted() []byte {
	s.literal(`"`)
	if s.err != nil {
		return nil
	}
	start, ascii := s.at, true
	for ; s.at < len(s.line); s.at++ {
		switch c := s.line[s.at]; {
		case c == '"':
			v := s.line[start:s.at]
			s.at++
			return s.utf8(v, start, ascii)
		case c == '\\':
			return s.escaped(start)
		case c < 0x20:
			s.fail("a control character in a string")
			return nil
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	s.fail("the string does not end")
	return nil
}

// escaped goes on with a string that holds a backslash. Only the quote and the backslash are escaped.
func (s *scanner) escaped(start int) []byte {
	s.text = append(s.text[:0], s.line[start:s.at]...)
	for ; s.at < len(s.line); s.at++ {
		c := s.line[s.at]
		switch {
		case c == '"':
			s.at++
			return s.utf8(s.text, start, false)
		case c == '\\':
			if s.at++; s.at == len(s.line) || s.line[s.at] != '"' && s.line[s.at] != '\\' {
				s.fail("an escape that is not allowed")
				return nil
			}
			c = s.line[s.at]
		case c < 0x20:
			s.fail("a control character in a string")
			return nil
		}
		s.text = append(s.text, c)
	}
	s.fail("the string does not end")
	return nil
}

func (s *scanner) utf8(v []byte, start int, ascii bool) []byte {
	if !ascii && !utf8.Valid(v) {
		s.at = start
		s.fail("the string is not valid UTF-8")
		return nil
	}
	return v
}

// integer reads digits without a leading zero, up to limit, which is at least 9. Any number of digits are walked and none are kept.
func (s *scanner) integer(limit uint64) uint64 {
	start := s.at
	var v uint64
	over := false
	for ; s.at < len(s.line) && s.line[s.at]-'0' <= 9; s.at++ {
		d := uint64(s.line[s.at] - '0')
		if over = over || v > limit/10 || v*10 > limit-d; !over {
			v = v*10 + d
		}
	}
	switch {
	case s.at == start:
		s.fail("an integer is missing")
	case s.line[start] == '0' && s.at > start+1:
		s.at = start
		s.fail("an integer begins with zero")
	case over:
		s.refuse("integer", Reject(ReasonManifestField, "M-2", "above %d", limit))
	default:
		return v
	}
	return 0
}

// signed reads an integer that may have a minus; zero has none.
func (s *scanner) signed(limit uint64) int64 {
	if !s.ahead('-') {
		return int64(s.integer(limit))
	}
	s.at++
	if s.ahead('0') {
		s.fail("an integer begins with zero")
	}
	return -int64(s.integer(limit))
}

// list goes over an array: the opening bracket behind it, each entry on a line of its own, and what closes it. An empty one stands on one line.
func (s *scanner) list(closing string, entry func()) {
	if s.ahead(']') {
		s.literal(closing)
		return
	}
	s.literal("\n")
	for s.err == nil {
		s.next()
		entry()
		if !s.ahead(',') {
			break
		}
		s.literal(",\n")
	}
	s.literal("\n")
	s.next()
	s.literal(closing)
}

// end holds that nothing follows.
func (s *scanner) end() {
	s.next()
	if len(s.line) > 0 {
		s.fail("the manifest has ended")
	}
}
