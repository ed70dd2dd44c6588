package oci

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"go.uber.org/goleak"
	"golang.org/x/crypto/bcrypt"

	"ecluse/internal/disk"
	"ecluse/internal/peers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var must = peers.Must

// site is a real registry over TLS, and what looks into it.
type site struct {
	*peers.Server
	t         *testing.T
	authority *peers.Authority
	options   Options
	certs     string // a directory, for skopeo
	skopeo    string
}

func start(t *testing.T) *site {
	t.Helper()
	t.Parallel()
	s := &site{t: t, authority: peers.NewAuthority(t), certs: t.TempDir(), skopeo: peers.Program(t, "skopeo")}
	// importer:a secret of some length
	users := filepath.Join(t.TempDir(), "users")
	must(t, os.WriteFile(users, []byte(`importer:`+hashed(t, password)+"\n"), 0o600))
	s.Server, _ = peers.Registry(t, s.authority, users)
	text, err := os.ReadFile(s.authority.File)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(s.certs, "ca.crt"), text, 0o600))
	s.options = Options{
		Registry: s.Address, Repository: "cssf", Credentials: peers.Secret(t, user+":"+password), CA: s.authority.File, Stall: 5 * time.Second, Disk: disk.New(), backoff: 5 * time.Millisecond,
	}
	return s
}

const user, password = "importer", "a secret of some length"

func (s *site) registry(change func(o *Options)) *Registry {
	s.t.Helper()
	o := s.options
	if change != nil {
		change(&o)
	}
	r, err := New(o)
	must(s.t, err)
	return r
}

// digest is what skopeo finds under a name below the registry: the digest of a manifest or an index, or "".
func (s *site) digest(of string) string {
	s.t.Helper()
	out, err := s.run("inspect", "--raw", "docker://"+s.Address+"/"+of)
	if err != nil {
		return ""
	}
	return hashOf(out)
}

// copies has skopeo read an image with all of its layers, and gives the directory.
func (s *site) copies(of string) string {
	s.t.Helper()
	dir := s.t.TempDir()
	if out, err := s.run("copy", "--all", "docker://"+s.Address+"/"+of, "dir:"+dir); err != nil {
		s.t.Fatalf("skopeo reads %s: %v: %s", of, err, out)
	}
	return dir
}

// tags are those of a repository.
func (s *site) tags(of string) []string {
	s.t.Helper()
	out, err := s.run("list-tags", "docker://"+s.Address+"/"+of)
	if err != nil {
		return nil
	}
	var list struct{ Tags []string }
	must(s.t, json.Unmarshal(out, &list))
	slices.Sort(list.Tags)
	return list.Tags
}

func (s *site) run(verb string, args ...string) ([]byte, error) {
	all := []string{"--insecure-policy", verb}
	switch verb {
	case "copy":
		all = append(all, "--src-cert-dir", s.certs, "--src-creds", user+":"+password)
	default:
		all = append(all, "--cert-dir", s.certs, "--creds", user+":"+password)
	}
	c := exec.CommandContext(s.t.Context(), s.skopeo, append(all, args...)...)
	var talk bytes.Buffer
	c.Stderr = &talk
	out, err := c.Output()
	if err != nil {
		return talk.Bytes(), err
	}
	return out, nil
}

// image makes an image of some layers.
func randomImage(t *testing.T, size int64, layers int) v1.Image {
	t.Helper()
	i, err := random.Image(size, int64(layers))
	must(t, err)
	i = mutate.MediaType(i, types.OCIManifestSchema1)
	return mutate.ConfigMediaType(i, types.OCIConfigJSON)
}

func digestOf(t *testing.T, i interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	h, err := i.Digest()
	must(t, err)
	return h.String()
}

// entry is one thing in a layout, with its annotations.
type entry struct {
	what        mutate.Appendable
	annotations map[string]string
}

func tagged(what mutate.Appendable, name string) entry {
	if name == "" {
		return entry{what, nil}
	}
	return entry{what, map[string]string{refAnnotation: name}}
}

// makeLayout writes a layout, and gives its files below top.
func makeLayout(t *testing.T, top string, entries ...entry) map[string]string {
	t.Helper()
	dir := t.TempDir()
	p, err := layout.Write(dir, empty.Index)
	must(t, err)
	for _, e := range entries {
		o := layout.WithAnnotations(e.annotations)
		switch what := e.what.(type) {
		case v1.Image:
			must(t, p.AppendImage(what, o))
		case v1.ImageIndex:
			must(t, p.AppendIndex(what, o))
		}
	}
	return files(t, dir, top)
}

// files reads a directory.
func files(t *testing.T, dir, top string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	must(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(p)
		rel, _ := filepath.Rel(dir, p)
		all[strings.TrimPrefix(top+"/"+rel, "/")] = string(text)
		return err
	}))
	return all
}

// packed makes a tar of files.
func packed(t *testing.T, all map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	var names []string
	for n := range all {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		must(t, w.WriteHeader(&tar.Header{Name: "./" + n, Typeflag: tar.TypeReg, Size: int64(len(all[n])), Mode: 0o644}))
		_, err := io.WriteString(w, all[n])
		must(t, err)
	}
	must(t, w.Close())
	return b.String()
}

// saved makes what docker save writes.
func saved(t *testing.T, images map[string]v1.Image) string {
	t.Helper()
	refs := make(map[name.Reference]v1.Image)
	for n, i := range images {
		tag, err := name.NewTag(n)
		must(t, err)
		refs[tag] = i
	}
	var b bytes.Buffer
	must(t, tarball.MultiRefWrite(refs, &b))
	return b.String()
}

// hashed is a password as the registry wants it.
func hashed(t *testing.T, password string) string {
	t.Helper()
	text, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	must(t, err)
	return string(text)
}
