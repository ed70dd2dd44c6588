package inspect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"
)

// Session is a connection to a scanner that takes one content after another.
type Session interface {
	// Version asks by what it judges now.
	Version() (Version, error)
	// Scan has a content of exactly size bytes looked at; nil is clean.
	Scan(name string, content io.Reader, size int64) (*Found, error)
	// Usable says whether another content can follow.
	Usable() bool
	Close() error
}

// Found is what a scanner does not let pass.
type Found struct {
	Text  string
	Limit bool // it is beyond what the scanner looks into
}

// Streams is an Inspector over sessions.
type Streams struct {
	Open  func(ctx context.Context) (Session, error)
	Limit string // what to change in a scanner's configuration that lets pass what is beyond its bounds

	mu     sync.Mutex
	proved proof
}

// proof is up to which size a scanner has shown that it finds what it should.
type proof struct {
	version string
	size    int64
	until   time.Time
}

// provedFor is how long a proof stands: a scanner that is started again with other bounds may have the same version.
const provedFor = 10 * time.Minute

// run is one look at one item.
type run struct {
	s       *Streams
	ctx     context.Context
	session Session
	version Version
	trying  bool // what it must find
	answer  *Answer
}

// Ready implements Inspector.
func (s *Streams) Ready(ctx context.Context) (Version, error) {
	r, err := s.begin(ctx)
	if err != nil {
		return Version{}, err
	}
	return r.version, r.session.Close()
}

// Look implements Inspector. What was found stands, also where the scanner fails afterwards.
func (s *Streams) Look(ctx context.Context, item Item) (*Answer, error) {
	r, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { r.session.Close() }()
	r.answer = &Answer{Version: r.version}
	err = fs.WalkDir(item.Files, item.Name, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir():
			return nil
		case !e.Type().IsRegular():
			return fmt.Errorf("%q is neither a file nor a directory", path)
		case len(r.answer.Findings) == FindingsMost:
			return fs.SkipAll
		}
		return r.file(item.Files, path)
	})
	if err != nil && len(r.answer.Findings) == 0 {
		return nil, err
	}
	return r.answer, nil
}

// begin opens a session and tries the scanner.
func (s *Streams) begin(ctx context.Context) (*run, error) {
	session, err := s.Open(ctx)
	if err != nil {
		return nil, err
	}
	r := &run{s: s, ctx: ctx, session: session}
	hangs := time.AfterFunc(tryMost, func() { session.Close() })
	if r.version, err = session.Version(); err == nil {
		err = r.try()
	}
	if !hangs.Stop() {
		err = errors.Join(fmt.Errorf("it does not answer to what is tried within %v", tryMost), err)
	}
	if err != nil {
		return nil, errors.Join(err, r.session.Close())
	}
	return r, nil
}

// tryMost is how long a scanner may take for what it is tried with: one that hangs is not waited for as long as a large bundle may take.
const tryMost = time.Minute

// UntrustedError is a scanner that lets pass what it has to find.
type UntrustedError struct{ Text string }

func (e *UntrustedError) Error() string { return "it is not trusted: " + e.Text }

// try has the scanner find what every scanner must.
func (r *run) try() error {
	r.trying = true
	defer func() { r.trying = false }()
	for _, sample := range []struct {
		name    string
		content []byte
		limit   bool // it may say that this is beyond what it looks into
		missed  string
	}{
		{"eicar.com", testVirus(), false, "it does not find the test virus (EICAR): has it signatures?"},
		{"eicar.zip", packed("eicar.com", testVirus()), false, "it does not find the test virus in a zip archive: let it scan archives"},
		{"nested.zip", nested(nestedDepth), true, "it lets pass an archive that is nested deeper than it looks: " + r.s.Limit},
	} {
		found, err := r.scan(sample.name, bytes.NewReader(sample.content), int64(len(sample.content)))
		if err != nil {
			return fmt.Errorf("try it with %s: %w", sample.name, err)
		}
		if found == nil || found.Limit && !sample.limit {
			return &UntrustedError{sample.missed}
		}
	}
	return nil
}

// scan has a content looked at. Where the former connection takes no more there is a new one, over which the scanner is tried again: it may be another by now.
func (r *run) scan(name string, content io.Reader, size int64) (*Found, error) {
	for first := true; !r.session.Usable(); first = false {
		if err := r.reopen(); err != nil {
			return nil, err
		}
		if r.trying || !first { // one that hangs up after each answer was tried just now
			break
		}
		if err := r.try(); err != nil {
			return nil, err
		}
	}
	return r.session.Scan(name, content, size)
}

// reopen takes a new connection. What is said of one item comes from one version.
func (r *run) reopen() error {
	fresh, err := r.s.Open(r.ctx)
	if err != nil {
		return err
	}
	err = r.session.Close()
	r.session = fresh
	version, failed := fresh.Version()
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	if version.Text != r.version.Text {
		return fmt.Errorf("its version has changed from %q to %q meanwhile", r.version.Text, version.Text)
	}
	return nil
}

func (r *run) file(files fs.FS, path string) error {
	f, err := files.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	r.answer.Files++
	size := info.Size()
	if size == 0 {
		return nil // nothing is in it
	}
	found, err := r.takes(size)
	if err == nil && found == nil {
		found, err = r.scan(path, f, size)
	}
	if found != nil {
		r.answer.Findings = append(r.answer.Findings, found.finding(path))
	}
	return err
}

// takes finds out whether the scanner looks into a content of a size, where that is not known: it has to find the test virus in an archive of that size. Found says that it does not.
func (r *run) takes(size int64) (*Found, error) {
	if r.s.isProved(r.version.Text, size) {
		return nil, nil
	}
	if size > paddedMost {
		return &Found{Text: fmt.Sprintf("it has %d bytes, and nobody can be tried with more than %d", size, paddedMost), Limit: true}, nil
	}
	for _, with := range []int64{roundUp(size), max(size, paddedLeast)} { // what is larger spares the next trial
		found, err := r.scan("padded.zip", padded(with), with)
		if err != nil {
			return nil, fmt.Errorf("try it with an archive of %d bytes: %w", with, err)
		}
		if found != nil && !found.Limit {
			r.s.prove(r.version.Text, with)
			return nil, nil
		}
	}
	return &Found{Text: fmt.Sprintf("it has %d bytes, and the inspector does not look into so many", size), Limit: true}, nil
}

// roundUp is the next power of two, and at least what most files are.
func roundUp(size int64) int64 {
	n := int64(1 << 20)
	for n < size {
		n *= 2
	}
	return min(n, paddedMost)
}

func (s *Streams) isProved(version string, size int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proved.version == version && size <= s.proved.size && time.Now().Before(s.proved.until)
}

func (s *Streams) prove(version string, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proved = proof{version, size, time.Now().Add(provedFor)}
}
