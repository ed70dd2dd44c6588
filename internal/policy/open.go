package policy

import (
	"archive/tar"
	"archive/zip"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
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
}

// entry is one thing in an archive.
type entry struct {
	name      string
	link      string // where a link leads
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

// plain says whether a kind is an archive of files, and not a document that is made like one.
func plain(k kind) bool {
	for _, c := range containers {
		if k.String() == c.name {
			return true
		}
	}
	return false
}

var containers = []struct {
	name string
	open openFunc
}{
	{"application/zip", openZip},
	{"application/x-7z-compressed", openSevenZip},
	{"application/x-tar", openTar},
	{"application/gzip", stream(func(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) })},
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
			return nil
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return err
		}
		e := entry{name: strings.TrimSuffix(h.Name, "/")}
		switch h.Typeflag {
		case tar.TypeReg, tar.TypeGNUSparse:
			e.open = func() (io.ReadCloser, error) { return io.NopCloser(t), nil }
		case tar.TypeDir, tar.TypeXGlobalHeader:
		case tar.TypeSymlink:
			e.link = path.Join(path.Dir(h.Name), h.Linkname)
			if path.IsAbs(h.Linkname) {
				e.link = h.Linkname
			}
		case tar.TypeLink:
			e.link = h.Linkname
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
		if f.Mode().IsDir() {
			e.open = nil
		}
		if f.Mode()&fs.ModeSymlink != 0 && !e.encrypted {
			if e.link, err = linkOf(f); err != nil {
				return err
			}
			e.open = nil
		}
		if err := each(e); err != nil {
			return err
		}
	}
	return nil
}

// linkOf reads where a link in a zip archive leads.
func linkOf(f *zip.File) (string, error) {
	r, err := f.Open()
	if err != nil {
		return "", err
	}
	defer r.Close()
	to, err := io.ReadAll(io.LimitReader(r, 4096))
	if err != nil {
		return "", fmt.Errorf("read the link %q: %w", f.Name, err)
	}
	if path.IsAbs(string(to)) {
		return string(to), nil
	}
	return path.Join(path.Dir(f.Name), string(to)), nil
}

// failed gives an error to whoever reads.
type failed struct{ err error }

func (f *failed) Read([]byte) (int, error) { return 0, f.err }

func openSevenZip(s source, each func(entry) error) error {
	z, err := sevenzip.NewReader(s.at, s.size)
	if err != nil {
		if encrypted(err) {
			return each(entry{name: bare(s.name), unnamed: true, encrypted: true})
		}
		return err
	}
	for _, f := range z.File {
		e := entry{name: strings.TrimSuffix(f.Name, "/"), open: f.Open}
		if f.FileInfo().IsDir() {
			e.open = nil
		}
		err := each(e)
		if err != nil {
			return err
		}
	}
	return nil
}

// encrypted says whether a 7z archive could not be read because it is: the file says so in its stream only.
func encrypted(err error) bool {
	var read *sevenzip.ReadError
	return errors.As(err, &read) && read.Encrypted
}

// escapes says what is wrong with where an entry would stand, or lead to, when somebody unpacks it.
func (e *entry) escapes() string {
	switch {
	case e.special:
		return "it is neither a file, a directory nor a link"
	case e.link != "" && (path.IsAbs(e.link) || e.link == ".." || strings.HasPrefix(e.link, "../")):
		return fmt.Sprintf("it is a link that leads out of the archive: %q", e.link)
	}
	name := strings.TrimPrefix(e.name, "./")
	if name == "" || name == "." {
		return ""
	}
	if _, err := bundle.ParsePath(name); err != nil {
		return fmt.Sprintf("its name %q is none: %v", e.name, err)
	}
	if strings.ContainsAny(name, `\`) {
		return fmt.Sprintf("its name %q holds a backslash: some would unpack it elsewhere", e.name)
	}
	return ""
}

// macros says whether an entry is where office documents keep their macros.
func (e *entry) macros() bool { return strings.EqualFold(path.Base(e.name), "vbaProject.bin") }
