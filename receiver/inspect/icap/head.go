package icap

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	lineMost    = 8 << 10 // bytes of a line
	headersMost = 100     // of a head
	pageMost    = 1 << 20 // bytes that a server puts in a file's place
)

// head is the beginning of an answer, of ICAP or of HTTP within.
type head struct {
	status  int
	text    string
	headers map[string]string // by lower-case name; of several with one name the first
}

// readHead reads a status line of a protocol, and headers up to an empty line.
func readHead(r *bufio.Reader, protocol string) (*head, error) {
	line, err := readLine(r)
	if err != nil {
		return nil, err
	}
	version, rest, _ := strings.Cut(line, " ")
	code, text, _ := strings.Cut(rest, " ")
	status, err := strconv.Atoi(code)
	if !strings.HasPrefix(version, protocol+"/1.") || err != nil || len(code) != 3 {
		return nil, fmt.Errorf("%q is no status line of %s", line, protocol)
	}
	h := &head{status: status, text: text, headers: map[string]string{}}
	for n := 0; ; n++ {
		line, err := readLine(r)
		if err != nil {
			return nil, err
		}
		if line == "" {
			return h, nil
		}
		if n > 0 && n < headersMost && strings.ContainsAny(line[:1], " \t") {
			continue // more of the header before: X-Violations-Found has a list in it
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || n == headersMost {
			return nil, fmt.Errorf("%q is no header, or one too many", line)
		}
		name = strings.ToLower(strings.TrimSpace(name))
		if _, known := h.headers[name]; !known {
			h.headers[name] = strings.TrimSpace(value)
		}
	}
}

// readLine reads a line without its end.
func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", fmt.Errorf("a line has more than %d bytes", lineMost)
	case err == io.EOF:
		return "", io.ErrUnexpectedEOF
	case err != nil:
		return "", err
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

// skipChunks reads a body in chunks, and forgets it.
func skipChunks(r *bufio.Reader) error {
	for left := int64(pageMost); ; {
		line, err := readLine(r)
		if err != nil {
			return err
		}
		length, _, _ := strings.Cut(line, ";")
		n, err := strconv.ParseUint(strings.TrimSpace(length), 16, 32)
		if err != nil {
			return fmt.Errorf("%q is no length of a chunk", line)
		}
		if left -= int64(n); left < 0 {
			return fmt.Errorf("what stands in the file's place has more than %d bytes", pageMost)
		}
		if n == 0 {
			break
		}
		if _, err := io.CopyN(io.Discard, r, int64(n)); err != nil {
			return err
		}
		if line, err := readLine(r); err != nil || line != "" {
			return errors.Join(err, errors.New("a chunk does not end where it should"))
		}
	}
	for range headersMost { // trailers
		if line, err := readLine(r); err != nil || line == "" {
			return err
		}
	}
	return errors.New("too many trailers")
}
