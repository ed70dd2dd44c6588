package oci

import (
	"archive/tar"
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"path"
	"strings"

	"crypto/sha256"

	"ecluse/protocol/bundle"
	"ecluse/receiver/deliver/remote"
)

const (
	documentMost = 4 << 20 // bytes of an index, a manifest or a config: registries take no larger manifest
	entriesMost  = 1 << 20 // of one tar
)

// layoutName is the file by which a directory says that it is an OCI layout.
const layoutName = "oci-layout"

// file is one file of a layout: where it is, and what it is to be.
type file struct {
	size   int64
	digest bundle.Digest
	head   []byte // its first bytes, in a tar
	open   func() (*remote.Reader, error)
}

// read reads a small one.
func (f *file) read() ([]byte, error) {
	r, err := f.open()
	if err != nil {
		return nil, err
	}
	return r.All(documentMost)
}

// source is a layout, or what docker save wrote: files by their names within it.
type source struct {
	what  string // for people
	files map[string]*file
}

// blob is the file of a digest. In a layout its name has to say what it is.
func (s *source) blob(hash string) (*file, error) {
	algorithm, digits, _ := strings.Cut(hash, ":")
	if _, err := bundle.ParseDigest(digits); err != nil || algorithm != "sha256" {
		return nil, remote.Unfit("%s names the digest %q: only SHA-256 is known", s.what, cut(hash))
	}
	f := s.files["blobs/sha256/"+digits]
	if f == nil {
		return nil, remote.Unfit("%s names %s, which is not in the bundle", s.what, hash)
	}
	if f.digest.String() != digits {
		return nil, remote.Unfit("%s holds another content under the name of %s", s.what, hash)
	}
	return f, nil
}

// sources finds what is to be pushed. All of the item has to belong to it.
func sources(c *remote.Content) (list []*source, err error) {
	layouts := make(map[string]*source) // by directory
	for n := 1; n <= c.Table.Files(); n++ {
		if p := string(c.Table.File(n).Path); path.Base(p) == layoutName {
			dir := path.Dir(p)
			layouts[dir] = &source{what: "the layout " + dir, files: make(map[string]*file)}
		}
	}
	for n := 1; n <= c.Table.Files(); n++ {
		f := c.Table.File(n)
		dir, s := layoutOf(layouts, string(f.Path))
		if s == nil {
			s, err = tarSource(c, n)
			if err != nil {
				return nil, err
			}
			list = append(list, s)
			continue
		}
		if len(s.files) == 0 {
			list = append(list, s)
		}
		s.files[strings.TrimPrefix(string(f.Path), dir+"/")] = &file{size: f.Size, digest: f.Digest, open: func() (*remote.Reader, error) { return c.File(n) }}
	}
	if len(list) == 0 {
		return nil, remote.Unfit("it holds no image: an OCI layout, or what docker save wrote")
	}
	return list, nil
}

// layoutOf is the outermost layout that a path lies in.
func layoutOf(layouts map[string]*source, p string) (dir string, s *source) {
	for d := path.Dir(p); d != "." && d != "/"; d = path.Dir(d) {
		if layouts[d] != nil {
			dir, s = d, layouts[d]
		}
	}
	return dir, s
}

// place counts where a reader stands.
type place struct {
	r  io.Reader
	at int64
}

func (p *place) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.at += int64(n)
	return n, err
}

// tarSource reads a tar to its end, holds it against the manifest, and notes where each file of it lies and what it is: what is read of it later is held against that.
func tarSource(c *remote.Content, n int) (*source, error) {
	whole, err := c.File(n)
	if err != nil {
		return nil, err
	}
	defer whole.Close()
	s := &source{what: string(c.Table.File(n).Path), files: make(map[string]*file)}
	in := &place{r: whole}
	links, err := s.entries(c, n, in)
	if _, wrong := io.Copy(io.Discard, in); wrong != nil { // what was altered may be anything, and that is what is told
		return nil, wrong
	}
	var known *remote.Failure
	switch {
	case errors.As(err, &known):
		return nil, err
	case err != nil:
		return nil, remote.Unfit("%q is neither an OCI layout nor what docker save wrote: %v", s.what, err)
	}
	for name, to := range links { // docker save wrote a layer that two images share once
		if f := s.files[to]; f != nil && s.files[name] == nil {
			s.files[name] = f
		}
	}
	if s.files["index.json"] == nil && s.files[savedName] == nil {
		return nil, remote.Unfit("%q is a tar, and neither an OCI layout nor what docker save wrote", s.what)
	}
	return s, nil
}

func (s *source) entries(c *remote.Content, n int, in *place) (links map[string]string, err error) {
	links = make(map[string]string)
	hash := sha256.New()
	for t := tar.NewReader(in); ; {
		h, err := t.Next()
		if err == io.EOF {
			return links, nil
		}
		if err != nil {
			return nil, err
		}
		name := path.Clean("/" + h.Name)[1:]
		switch h.Typeflag {
		case tar.TypeReg:
		case tar.TypeSymlink:
			links[name] = path.Clean("/" + path.Join(path.Dir(name), h.Linkname))[1:]
			continue
		case tar.TypeLink:
			links[name] = path.Clean("/" + h.Linkname)[1:]
			continue
		default:
			continue
		}
		if len(s.files) == entriesMost {
			return nil, remote.Unfit("%q has more than %d entries", s.what, entriesMost)
		}
		start := in.at
		hash.Reset()
		head := &first{}
		if _, err := io.Copy(io.MultiWriter(hash, head), t); err != nil {
			return nil, err
		}
		if in.at-start != h.Size || s.files[name] != nil {
			return nil, remote.Unfit("%q holds %q twice, or with holes", s.what, cut(name))
		}
		digest := bundle.Digest(hash.Sum(nil))
		s.files[name] = &file{size: h.Size, digest: digest, head: head.b, open: func() (*remote.Reader, error) { return c.Section(n, start, h.Size, digest) }}
	}
}

// first keeps the first bytes of what is written.
type first struct{ b []byte }

func (f *first) Write(p []byte) (int, error) {
	f.b = append(f.b, p[:min(len(p), 4-len(f.b))]...)
	return len(p), nil
}

// packed says how a layer is compressed, as the end of its media type.
func (f *file) packed() string {
	switch {
	case bytes.HasPrefix(f.head, []byte{0x1f, 0x8b}):
		return "+gzip"
	case bytes.Equal(f.head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return "+zstd"
	}
	return ""
}

func hashOf(text []byte) string {
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// cut bounds what is said of a name that somebody else chose.
func cut(s string) string {
	if len(s) > 200 {
		return s[:200] + "..."
	}
	return s
}
