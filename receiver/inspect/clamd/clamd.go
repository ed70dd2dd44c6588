package clamd

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"ecluse/receiver/inspect"
)

// New is the inspector behind a socket.
func New(socket string) *inspect.Streams {
	return &inspect.Streams{
		Open:  func(ctx context.Context) (inspect.Session, error) { return open(ctx, socket) },
		Limit: `put "AlertExceedsMax yes" into clamd.conf`,
	}
}

const (
	answerMost = 4 << 10   // bytes of an answer: it names one signature
	pieceMost  = 256 << 10 // of a stream, at once
)

// limits begins the names that clamd gives to what is beyond its bounds.
const limits = "Heuristics.Limits.Exceeded"

type session struct {
	c      net.Conn
	r      *bufio.Reader
	asked  int
	broken bool
	piece  []byte
}

func open(ctx context.Context, socket string) (*session, error) {
	c, err := inspect.Dial(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	s := &session{c: c, r: bufio.NewReaderSize(c, answerMost)}
	if _, err := c.Write([]byte("zIDSESSION\x00")); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return s, nil
}

// Usable implements inspect.Session.
func (s *session) Usable() bool { return !s.broken }

// Close implements inspect.Session.
func (s *session) Close() error {
	if !s.broken {
		_, _ = s.c.Write([]byte("zEND\x00")) // clamd sees the end of the connection as well
	}
	return s.c.Close()
}

// Version implements inspect.Session.
func (s *session) Version() (inspect.Version, error) {
	s.asked++
	if _, err := s.c.Write([]byte("zVERSION\x00")); err != nil {
		return inspect.Version{}, s.fail("ask for its version", err)
	}
	text, err := s.answer()
	if err != nil {
		return inspect.Version{}, err
	}
	if !strings.HasPrefix(text, "ClamAV ") {
		return inspect.Version{}, s.fail("ask for its version", fmt.Errorf("it says %q", text))
	}
	return inspect.Version{Text: text, Signed: signed(text)}, nil
}

// signed is when the signatures were made: what stands behind the second slash, in the machine's local time. Without those of the project there is none.
func signed(version string) *time.Time {
	parts := strings.SplitN(version, "/", 3)
	if len(parts) < 3 {
		return nil
	}
	t, err := time.ParseInLocation(time.ANSIC, strings.TrimSpace(parts[2]), time.Local)
	if err != nil {
		return nil
	}
	t = t.UTC()
	return &t
}

// Scan implements inspect.Session.
func (s *session) Scan(_ string, content io.Reader, size int64) (*inspect.Found, error) {
	s.asked++
	if err := s.send(content, size); err != nil {
		s.broken = true
		var ours *contentError
		if errors.As(err, &ours) {
			return nil, err
		}
		if text, e := s.answer(); e == nil { // clamd says why, and hangs up
			return s.judge(text, false)
		}
		return nil, fmt.Errorf("send it a stream: %w", err)
	}
	text, err := s.answer()
	if err != nil {
		return nil, err
	}
	return s.judge(text, true)
}

// contentError is a content that could not be read.
type contentError struct{ error }

func (e *contentError) Unwrap() error { return e.error }

func (s *session) send(content io.Reader, size int64) error {
	if _, err := s.c.Write([]byte("zINSTREAM\x00")); err != nil {
		return err
	}
	if s.piece == nil {
		s.piece = make([]byte, 4+pieceMost)
	}
	for left := size; left > 0; {
		n := min(left, pieceMost)
		if _, err := io.ReadFull(content, s.piece[4:4+n]); err != nil {
			return &contentError{fmt.Errorf("read the content: %w", err)}
		}
		binary.BigEndian.PutUint32(s.piece, uint32(n))
		if _, err := s.c.Write(s.piece[:4+n]); err != nil {
			return err
		}
		left -= n
	}
	_, err := s.c.Write(make([]byte, 4))
	return err
}

// judge reads what clamd says of a stream; whole says that it got all of it.
func (s *session) judge(text string, whole bool) (*inspect.Found, error) {
	name, found := strings.CutSuffix(text, " FOUND")
	name, stream := strings.CutPrefix(name, "stream: ")
	switch {
	case found && stream && name != "":
		return &inspect.Found{Text: name, Limit: strings.HasPrefix(name, limits)}, nil
	case text == "stream: OK" && whole:
		return nil, nil
	case strings.Contains(text, "size limit exceeded"):
		s.broken = true
		return &inspect.Found{Text: "it is larger than StreamMaxLength of clamd.conf", Limit: true}, nil
	}
	return nil, s.fail("send it a stream", fmt.Errorf("it says %q", text))
}

// answer reads what clamd says, without the number of the question, which it must have.
func (s *session) answer() (string, error) {
	line, err := s.r.ReadSlice(0)
	if err != nil {
		if errors.Is(err, bufio.ErrBufferFull) {
			err = fmt.Errorf("more than %d bytes", answerMost)
		}
		return "", s.fail("read its answer", err)
	}
	text := string(line[:len(line)-1])
	number, rest, ok := strings.Cut(text, ": ")
	switch n, err := strconv.Atoi(number); {
	case ok && err == nil && n == s.asked:
		return rest, nil
	case strings.HasPrefix(text, "INSTREAM size limit exceeded"):
		return text, nil
	}
	return "", s.fail("read its answer", fmt.Errorf("%q is not the answer to question %d", text, s.asked))
}

func (s *session) fail(act string, err error) error {
	s.broken = true
	return fmt.Errorf("%s: %w", act, err)
}
