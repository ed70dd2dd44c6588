package icap

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"ecluse/receiver/inspect"
)

// defaultPort is that of ICAP.
const defaultPort = "1344"

// Parse takes an address of the form icap://HOST[:PORT]/SERVICE.
func Parse(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "icap" || u.Hostname() == "" || strings.Trim(u.Path, "/") == "" || u.User != nil || u.Fragment != "" {
		return nil, fmt.Errorf("%q is no icap://HOST[:PORT]/SERVICE", text)
	}
	return u, nil
}

// New is the inspector behind an address.
func New(u *url.URL) *inspect.Streams {
	return &inspect.Streams{
		Open:  func(ctx context.Context) (inspect.Session, error) { return open(ctx, u) },
		Limit: `let it refuse what is beyond its bounds (with ClamAV behind it, "AlertExceedsMax yes" in clamd.conf)`,
	}
}

const (
	previewMost = 4 << 10   // bytes of a file's beginning
	pieceMost   = 256 << 10 // of a file, at once

	grace = time.Second // for what was sent to be known as sent
)

type session struct {
	c       net.Conn
	r       *bufio.Reader
	host    string
	service string // its whole address
	tag     string // ISTag, and what the server calls itself
	preview int64  // -1: it asks for none
	broken  bool
	piece   []byte
}

func open(ctx context.Context, u *url.URL) (*session, error) {
	port := u.Port()
	if port == "" {
		port = defaultPort
	}
	c, err := inspect.Dial(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, err
	}
	s := &session{c: c, r: bufio.NewReaderSize(c, lineMost), host: u.Host, service: u.String(), piece: make([]byte, pieceMost)}
	if err := s.options(); err != nil {
		return nil, errors.Join(fmt.Errorf("ask for its options: %w", err), c.Close())
	}
	return s, nil
}

func (s *session) options() error {
	if _, err := fmt.Fprintf(s.c, "OPTIONS %s ICAP/1.0\r\nHost: %s\r\nEncapsulated: null-body=0\r\n\r\n", s.service, s.host); err != nil {
		return err
	}
	h, err := readHead(s.r, "ICAP")
	if err != nil {
		return err
	}
	switch {
	case h.status != 200:
		return fmt.Errorf("it says %d %s", h.status, h.text)
	case !lists(h.headers["methods"], "RESPMOD"):
		return fmt.Errorf("it offers %q, and not RESPMOD", h.headers["methods"])
	case !lists(h.headers["allow"], "204"):
		return errors.New("it may not answer with 204, and would send each file back")
	case !strings.HasPrefix(h.headers["encapsulated"], "null-body") && h.headers["encapsulated"] != "" || h.headers["opt-body-type"] != "":
		return errors.New("it says more than it was asked")
	}
	s.preview = -1
	if text, ok := h.headers["preview"]; ok {
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return fmt.Errorf("%q is no length of a preview", text)
		}
		s.preview = min(int64(n), previewMost)
	}
	s.tag = strings.Trim(h.headers["istag"], `"`)
	if name := h.headers["service"]; name != "" {
		s.tag = name + ", " + s.tag
	}
	s.broken = strings.EqualFold(h.headers["connection"], "close")
	return nil
}

// lists says whether a word stands in a header's list.
func lists(header, word string) bool {
	return slices.ContainsFunc(strings.Split(header, ","), func(w string) bool { return strings.EqualFold(strings.TrimSpace(w), word) })
}

// Usable implements inspect.Session.
func (s *session) Usable() bool { return !s.broken }

// Close implements inspect.Session.
func (s *session) Close() error { return s.c.Close() }

// Version implements inspect.Session.
func (s *session) Version() (inspect.Version, error) { return inspect.Version{Text: s.tag}, nil }

// Scan implements inspect.Session.
func (s *session) Scan(name string, content io.Reader, size int64) (*inspect.Found, error) {
	found, err := s.respmod(name, content, size)
	if err != nil {
		s.broken = true
		return nil, fmt.Errorf("have it look at a file: %w", err)
	}
	return found, nil
}

func (s *session) respmod(name string, content io.Reader, size int64) (*inspect.Found, error) {
	preview := int64(-1)
	if s.preview >= 0 {
		preview = min(s.preview, size-1) // something always remains: who judges by the beginning says so
	}
	if err := s.ask(name, content, size, preview); err != nil {
		return nil, err
	}
	if preview < 0 {
		return s.rest(content, size)
	}
	h, err := readHead(s.r, "ICAP")
	switch {
	case err != nil:
		return nil, err
	case h.status == 100:
		return s.rest(content, size-preview)
	case h.status == 204:
		s.note(h)
		return &inspect.Found{Text: fmt.Sprintf("the inspector looked at %d bytes of it and no more: is its kind among those that are scanned?", preview), Limit: true}, nil
	}
	return s.judge(h)
}

// ask sends the heads, and the beginning of the file.
func (s *session) ask(name string, content io.Reader, size, preview int64) error {
	request := fmt.Sprintf("GET http://ecluse.invalid/%s HTTP/1.1\r\nHost: ecluse.invalid\r\n\r\n", url.PathEscape(path.Base(name)))
	response := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", size)
	var b bytes.Buffer
	fmt.Fprintf(&b, "RESPMOD %s ICAP/1.0\r\nHost: %s\r\nAllow: 204\r\n", s.service, s.host)
	if preview >= 0 {
		fmt.Fprintf(&b, "Preview: %d\r\n", preview)
	}
	fmt.Fprintf(&b, "Encapsulated: req-hdr=0, res-hdr=%d, res-body=%d\r\n\r\n%s%s", len(request), len(request)+len(response), request, response)
	if preview > 0 {
		if err := s.chunk(&b, content, preview); err != nil {
			return err
		}
	}
	if preview >= 0 {
		b.WriteString("0\r\n\r\n")
	}
	_, err := s.c.Write(b.Bytes())
	return err
}

// chunk adds the next bytes of a file, as one chunk.
func (s *session) chunk(b *bytes.Buffer, content io.Reader, n int64) error {
	fmt.Fprintf(b, "%x\r\n", n)
	if _, err := io.CopyN(b, content, n); err != nil {
		return fmt.Errorf("read the content: %w", err)
	}
	b.WriteString("\r\n")
	return nil
}

// rest sends what is left of a file, and reads the answer beside: a server that has seen enough stops reading.
func (s *session) rest(content io.Reader, left int64) (*inspect.Found, error) {
	sent := make(chan error, 1)
	go func() { sent <- s.send(content, left) }()
	h, err := readHead(s.r, "ICAP")
	all := false
	select {
	case e := <-sent:
		all = e == nil
	case <-time.After(grace):
		s.broken = true // it is in the middle of a file
		_ = s.c.SetWriteDeadline(time.Unix(1, 0))
		all = <-sent == nil
	}
	switch {
	case err != nil:
		return nil, err
	case h.status == 204 && !all:
		return nil, errors.New("it says 204 before it has all of it")
	case h.status == 204:
		s.note(h)
		if named := named(h); named != "" && named != "0" { // one that is set up to report and to let pass
			return &inspect.Found{Text: named, Limit: beyond(named)}, nil
		}
		return nil, nil
	}
	return s.judge(h)
}

func (s *session) send(content io.Reader, left int64) error {
	var b bytes.Buffer
	for left > 0 {
		n := min(left, pieceMost)
		b.Reset()
		if err := s.chunk(&b, content, n); err != nil {
			return err
		}
		if _, err := s.c.Write(b.Bytes()); err != nil {
			return err
		}
		left -= n
	}
	_, err := io.WriteString(s.c, "0\r\n\r\n")
	return err
}

// note remembers that the server hangs up after an answer.
func (s *session) note(h *head) {
	s.broken = s.broken || strings.EqualFold(h.headers["connection"], "close")
}

// judge reads an answer that is not 204.
func (s *session) judge(h *head) (*inspect.Found, error) {
	if h.status != 200 {
		return nil, fmt.Errorf("it says %d %s", h.status, h.text)
	}
	s.note(h)
	page, err := s.page(h.headers["encapsulated"])
	if err != nil {
		return nil, fmt.Errorf("read what it puts in the file's place: %w", err)
	}
	switch named := named(h); {
	case named != "":
		return &inspect.Found{Text: named, Limit: beyond(named)}, nil
	case page != nil && page.status == 403:
		return &inspect.Found{Text: "the inspector refuses it, and says no more"}, nil
	}
	return nil, errors.New("it changes the file, and does not say why")
}

// named is what an answer says was found, or "".
func named(h *head) string {
	for _, name := range []string{"x-infection-found", "x-virus-id", "x-violations-found"} {
		if text := h.headers[name]; text != "" {
			return threat(text)
		}
	}
	return ""
}

// beyond says that what was found is that something is beyond the server's bounds.
func beyond(named string) bool { return strings.Contains(named, "Limits.Exceeded") }

// page reads the answer of a web server that an ICAP server puts in the place of ours, and passes over its text.
func (s *session) page(encapsulated string) (page *head, err error) {
	for part := range strings.SplitSeq(encapsulated, ",") {
		name, _, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "res-hdr":
			if page, err = readHead(s.r, "HTTP"); err != nil {
				return nil, err
			}
		case "res-body":
			return page, skipChunks(s.r)
		case "null-body":
			return page, nil
		default:
			return nil, fmt.Errorf("it has a part %q", name)
		}
	}
	return nil, errors.New("it does not say what it holds")
}

// threat is the name in "Type=0; Resolution=2; Threat=NAME;".
func threat(text string) string {
	if _, name, ok := strings.Cut(text, "Threat="); ok {
		name, _, _ = strings.Cut(name, ";")
		return strings.TrimSpace(name)
	}
	return text
}
