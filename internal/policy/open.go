package policy

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/bodgit/sevenzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"ecluse/protocol/bundle"
)

// source is an archive's bytes: as a stream, and in any order where at is not nil.
type source struct {
	r    io.Reader
	at   io.ReaderAt
	size int64
	name string
	most int64 // entries that may be looked at
}

// entry is one thing in an archive.
type entry struct {
	name      string
	link      string // where a link leads, from the top of the archive
	target    string // what it says
	special   bool   // neither a file, a directory nor a link
	unnamed   bool   // the name is made up: a compressed stream has none
	encrypted bool
	open      func() (io.ReadCloser, error) // nil: it has no content
}

// openFunc shows each entry of an archive. What each returns ends it.
type openFunc func(s source, each func(entry) error) error

// maxWindow bounds what a decompressor keeps in memory of its past.
const maxWindow = 128 << 20

// opener is how a kind is opened; nil for what is no archive.
func opener(k kind) openFunc {
	for _, c := range containers {
		if k.is(c.name) {
			return c.open
		}
	}
	return nil
}

// random says whether a kind's bytes are needed in any order.
func random(k kind) bool { return k.is("application/zip") || k.is("application/x-7z-compressed") }

var containers = []struct {
	name string
	open openFunc
}{
	{"application/zip", openZip},
	{"application/x-7z-compressed", openSevenZip},
	{"application/x-tar", openTar},
	{"application/gzip", openGzip},
	{"application/x-bzip2", stream(func(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(bzip2.NewReader(r)), nil })},
	{"application/x-xz", stream(openXZ)},
	{"application/zstd", stream(openZstd)},
}

// stream is a container of one content without a name of its own.
func stream(open func(io.Reader) (io.ReadCloser, error)) openFunc {
	return func(s source, each func(entry) error) error {
		return each(entry{name: bare(s.name), unnamed: true, open: func() (io.ReadCloser, error) { return open(s.r) }})
	}
}

// openGzip is a stream that may have a name.
func openGzip(s source, each func(entry) error) error {
	from := bufio.NewReader(s.r)
	z, err := gzip.NewReader(from)
	if err != nil {
		return each(entry{name: bare(s.name), unnamed: true, open: func() (io.ReadCloser, error) { return nil, err }})
	}
	name := bare(s.name)
	if z.Name != "" && path.Base(z.Name) != name {
		if err := each(entry{name: z.Name, unnamed: true}); err != nil { // some unpack it under that name
			return err
		}
	}
	return each(entry{name: name, unnamed: true, open: func() (io.ReadCloser, error) { return newMembers(z, from), nil }})
}

// members reads the members of a gzip stream, and passes over zeros behind the last: tapes and some programs fill up with them.
type members struct {
	z    *gzip.Reader
	from *bufio.Reader
}

func newMembers(z *gzip.Reader, from *bufio.Reader) *members {
	z.Multistream(false)
	return &members{z, from}
}

func (m *members) Read(b []byte) (int, error) {
	n, err := m.z.Read(b)
	if err != io.EOF {
		return n, err
	}
	next, err := m.from.Peek(1)
	switch {
	case err != nil: // io.EOF: that was the last
		return n, err
	case next[0] == 0:
		if err := zeros(m.from); err != nil {
			return n, err
		}
		return n, io.EOF
	}
	err = m.z.Reset(m.from)
	m.z.Multistream(false)
	return n, err
}

func (m *members) Close() error { return m.z.Close() }

// bare is a name without the extension of its compression.
func bare(name string) string {
	name = path.Base(name)
	if base, is := strings.CutSuffix(name, ".tgz"); is {
		return base + ".tar"
	}
	return strings.TrimSuffix(name, path.Ext(name))
}

func openXZ(r io.Reader) (io.ReadCloser, error) {
	x, err := xz.NewReader(r)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(x), nil
}

func openZstd(r io.Reader) (io.ReadCloser, error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

func openTar(s source, each func(entry) error) error {
	t := tar.NewReader(s.r)
	for {
		h, err := t.Next()
		if err == io.EOF {
			return zeros(s.r)
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return err
		}
		e := entry{name: strings.TrimSuffix(h.Name, "/")}
		switch h.Typeflag {
		case tar.TypeReg, tar.TypeGNUSparse:
			e.open = func() (io.ReadCloser, error) { return io.NopCloser(t), nil }
		case tar.TypeDir:
		case tar.TypeXGlobalHeader:
			for key := range h.PAXRecords {
				if key != "comment" {
					return fmt.Errorf("it says %q of all its entries, and not everybody believes that", key)
				}
			}
			continue
		case tar.TypeSymlink:
			e.link, e.target = path.Dir(h.Name)+"/"+h.Linkname, h.Linkname
		case tar.TypeLink:
			e.link, e.target = h.Linkname, h.Linkname
		default:
			e.special = true
		}
		if err := each(e); err != nil {
			return err
		}
	}
}

// methodZstd is how zip calls zstd.
const methodZstd = 93

func openZip(s source, each func(entry) error) error {
	if err := checkZip(s.at, s.size, s.most); err != nil {
		return err
	}
	z, err := zip.NewReader(s.at, s.size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return err
	}
	z.RegisterDecompressor(methodZstd, func(r io.Reader) io.ReadCloser {
		c, err := openZstd(r)
		if err != nil {
			return io.NopCloser(&failed{err})
		}
		return c
	})
	for _, f := range z.File {
		e := entry{name: strings.TrimSuffix(f.Name, "/"), encrypted: f.Flags&1 != 0, open: f.Open}
		if strings.HasSuffix(f.Name, "/") && f.UncompressedSize64 == 0 && f.CompressedSize64 <= 2 { // whatever its attributes say: what has content is a file to somebody
			e.open = nil
		}
		if f.Mode()&fs.ModeSymlink != 0 && !e.encrypted {
			if err := e.leads(f.Open); err != nil {
				return fmt.Errorf("read the link %q: %w", f.Name, err)
			}
		}
		if err := each(e); err != nil {
			return err
		}
	}
	return nil
}

// linkMost is how long a link's target may be. What is longer is no link.
const linkMost = 4095

// leads reads where a link leads that is kept as content. The content is looked at as well: some make a file of it.
func (e *entry) leads(open func() (io.ReadCloser, error)) error {
	r, err := open()
	if err != nil {
		return err
	}
	defer r.Close()
	to, err := io.ReadAll(io.LimitReader(r, linkMost+1))
	if err != nil || len(to) > linkMost {
		return err
	}
	e.link, e.target = path.Dir(e.name)+"/"+string(to), string(to)
	return nil
}

// zeros holds that nothing but zeros is left of a stream.
func zeros(r io.Reader) error {
	b := make([]byte, 32<<10)
	for {
		n, err := r.Read(b)
		for _, c := range b[:n] {
			if c != 0 {
				return errors.New("something stands behind its end")
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// failed gives an error to whoever reads.
type failed struct{ err error }

func (f *failed) Read([]byte) (int, error) { return 0, f.err }

func openSevenZip(s source, each func(entry) error) error {
	head := make([]byte, 32)
	if _, err := s.at.ReadAt(head, 0); err != nil {
		return err
	}
	if end := 32 + le64(head[12:]) + le64(head[20:]); end != uint64(s.size) {
		return fmt.Errorf("it ends at %d, and has %d bytes", end, s.size)
	}
	z, err := readSevenZip(s)
	if err != nil {
		if encrypted(err) {
			return each(entry{name: bare(s.name), unnamed: true, encrypted: true})
		}
		return err
	}
	if int64(len(z.File)) > s.most {
		return errEntries
	}
	for _, f := range z.File {
		e := entry{name: strings.TrimSuffix(f.Name, "/"), open: func() (io.ReadCloser, error) { return wholeOf(f) }}
		if f.UncompressedSize == 0 { // whatever its attributes say: what has content is a file to somebody
			e.open = nil
		}
		if f.FileInfo().Mode()&fs.ModeSymlink != 0 && e.open != nil {
			if err := e.leads(e.open); err != nil && !encrypted(err) {
				return fmt.Errorf("read the link %q: %w", f.Name, err)
			}
		}
		if err := each(e); err != nil {
			return err
		}
	}
	return nil
}

// readSevenZip reads the directory of a 7z archive. The library falls over some that say of themselves what is not there: they cannot be looked into, whoever tries, and nothing of ours was touched.
func readSevenZip(s source) (z *sevenzip.Reader, err error) {
	defer func() {
		if fell := recover(); fell != nil {
			z, err = nil, fmt.Errorf("its directory makes no sense: %v", fell)
		}
	}()
	return sevenzip.NewReader(s.at, s.size)
}

// whole reads a file of a 7z archive, and holds at its end that all of it came: the library does not.
type whole struct {
	io.ReadCloser
	f    *sevenzip.File
	sum  hash.Hash32
	size uint64
}

func wholeOf(f *sevenzip.File) (io.ReadCloser, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	return &whole{ReadCloser: r, f: f, sum: crc32.NewIEEE()}, nil
}

func (w *whole) Read(b []byte) (int, error) {
	n, err := w.ReadCloser.Read(b)
	w.sum.Write(b[:n])
	w.size += uint64(n)
	if err == io.EOF && (w.size != w.f.UncompressedSize || w.f.CRC32 != 0 && w.f.CRC32 != w.sum.Sum32()) {
		err = fmt.Errorf("%d of %d bytes came of it, or others than were packed", w.size, w.f.UncompressedSize)
	}
	return n, err
}

// encrypted says whether a 7z archive could not be read because it is: the file says so in its stream only.
func encrypted(err error) bool {
	var read *sevenzip.ReadError
	return errors.As(err, &read) && read.Encrypted
}

// escapes says what is wrong with where an entry would stand, or lead to, when somebody unpacks it. links are those of the archive so far.
func (e *entry) escapes(links map[string]bool) string {
	name := path.Clean(e.name)
	for at := path.Dir(name); at != "." && at != "/"; at = path.Dir(at) {
		if links[at] {
			return fmt.Sprintf("it stands below a link of the archive, %q", at)
		}
	}
	switch {
	case e.special:
		return "it is neither a file, a directory nor a link"
	case e.link != "":
		links[name] = true
		if why := leaves(e.link, e.target); why {
			return fmt.Sprintf("it is a link that leads out of the archive, or nobody knows where: %q", e.target)
		}
	}
	raw := strings.TrimPrefix(e.name, "./")
	if raw == "" || raw == "." {
		return ""
	}
	if _, err := bundle.ParsePath(raw); err != nil {
		return fmt.Sprintf("its name %q is none: %v", e.name, err)
	}
	if strings.ContainsAny(raw, `\`) {
		return fmt.Sprintf("its name %q holds a backslash: some would unpack it elsewhere", e.name)
	}
	return ""
}

// leaves says whether a link leads out of an archive, by the words of its target: .. behind a name goes back from wherever that name leads.
func leaves(link, target string) bool {
	if path.IsAbs(target) || strings.ContainsAny(target, `\`) || len(target) > 1 && target[1] == ':' {
		return true
	}
	named := false
	for _, word := range strings.Split(target, "/") {
		if word == ".." && named {
			return true
		}
		named = named || word != ".." && word != "." && word != ""
	}
	to := path.Clean(link)
	return to == ".." || strings.HasPrefix(to, "../")
}

// macros says whether an entry is where office documents keep their macros.
func (e *entry) macros() bool {
	name := strings.ToLower(e.name)
	return path.Base(name) == "vbaproject.bin" || strings.Contains(name, "macrosheets/") || strings.HasPrefix(name, "basic/") || strings.HasPrefix(name, "scripts/")
}
