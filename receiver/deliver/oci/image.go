package oci

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"ecluse/receiver/deliver/remote"
)

// descriptor is what an index or a manifest says of another thing.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
	URLs        []string          `json:"urls,omitempty"`
}

// document is an index or a manifest, as far as it names other things.
type document struct {
	MediaType string       `json:"mediaType"`
	Config    *descriptor  `json:"config"`
	Layers    []descriptor `json:"layers"`
	Blobs     []descriptor `json:"blobs"` // of artifact manifests
	Manifests []descriptor `json:"manifests"`
	Subject   *descriptor  `json:"subject"`
}

// image is one thing to push, with the names that it is to get.
type image struct {
	from *source
	top  descriptor
	made []byte   // its manifest, where it is not in the source: of what docker save wrote
	refs []ref    // empty: by its digest alone
	kind string   // of a signature or an attestation that cosign saved: the end of its tag
	of   string   // what cosign calls the image that such a one belongs to
	said []string // names, as they stand there

	nodes   []*node  // all of it, what is named before what names it
	subject string   // the digest of what it is about, or ""
	into    []string // repositories
}

// attached says that an image is about another one, and has no name of its own.
func (i *image) attached() bool {
	return i.kind != "" || i.subject != "" || len(i.said) == 1 && attachedForm.MatchString(i.said[0])
}

// What layouts say of an image.
const (
	refAnnotation        = "org.opencontainers.image.ref.name"
	containerdAnnotation = "io.containerd.image.name"
	kindAnnotation       = "kind"
	kindPrefix           = "dev.cosignproject.cosign/"
)

// endOf gives the end of the tag that cosign gives to what it saved as a kind.
var endOf = map[string]string{"sigs": "sig", "atts": "att", "sbom": "sbom"}

// images lists what a source holds.
func (s *source) images() ([]*image, error) {
	if s.files[layoutName] == nil && s.files[savedName] != nil {
		return s.saved()
	}
	f := s.files["index.json"]
	if f == nil {
		return nil, remote.Unfit("%s has no index.json", s.what)
	}
	text, err := f.read()
	if err != nil {
		return nil, err
	}
	var index document
	if err := json.Unmarshal(text, &index); err != nil {
		return nil, remote.Unfit("index.json of %s cannot be read: %v", s.what, err)
	}
	if len(index.Manifests) == 0 {
		return nil, remote.Unfit("%s holds no image", s.what)
	}
	var list []*image
	for _, d := range index.Manifests {
		i := &image{from: s, top: d}
		named := d.Annotations[refAnnotation]
		if full := d.Annotations[containerdAnnotation]; full != "" {
			named = full
		}
		kind, cosign := strings.CutPrefix(d.Annotations[kindAnnotation], kindPrefix)
		if end := endOf[kind]; cosign && end != "" {
			i.kind, i.of = end, named
		} else if named != "" {
			i.said = []string{named}
		}
		list = append(list, i)
	}
	return list, nil
}

// savedName is the file in which docker save lists images.
const savedName = "manifest.json"

// Media types of what is made here.
const (
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar"
)

// saved makes OCI images of what docker save wrote: the same config and layers, as they stand there.
func (s *source) saved() ([]*image, error) {
	var list []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	text, err := s.files[savedName].read()
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &list); err != nil || len(list) == 0 {
		return nil, remote.Unfit("%s in %q lists no image: %v", savedName, s.what, err)
	}
	var images []*image
	for _, one := range list {
		text, err := s.manifest(one.Config, one.Layers)
		if err != nil {
			return nil, err
		}
		images = append(images, &image{from: s, made: text, top: descriptor{MediaType: typeManifest, Digest: hashOf(text), Size: int64(len(text))}, said: one.RepoTags})
	}
	return images, nil
}

// manifest describes one image, and makes its files findable by their digests.
func (s *source) manifest(config string, layers []string) ([]byte, error) {
	describe := func(name, mediaType string) (descriptor, *file, error) {
		f := s.files[name]
		if f == nil {
			return descriptor{}, nil, remote.Unfit("%q lacks %q, which its %s names", s.what, cut(name), savedName)
		}
		s.files["blobs/sha256/"+f.digest.String()] = f
		return descriptor{MediaType: mediaType, Digest: "sha256:" + f.digest.String(), Size: f.size}, f, nil
	}
	d, f, err := describe(config, typeConfig)
	if err != nil {
		return nil, err
	}
	text, err := f.read()
	if err != nil {
		return nil, err
	}
	var of struct {
		Rootfs struct {
			Diffs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(text, &of); err != nil || len(of.Rootfs.Diffs) != len(layers) {
		return nil, remote.Unfit("the config %q in %q does not fit its %d layers", cut(config), s.what, len(layers))
	}
	m := struct {
		Version   int          `json:"schemaVersion"`
		MediaType string       `json:"mediaType"`
		Config    descriptor   `json:"config"`
		Layers    []descriptor `json:"layers"`
	}{2, typeManifest, d, []descriptor{}}
	for n, name := range layers {
		d, f, err := describe(name, typeLayer)
		if err != nil {
			return nil, err
		}
		d.MediaType += f.packed()
		if f.packed() == "" && of.Rootfs.Diffs[n] != d.Digest {
			return nil, remote.Unfit("the layer %q in %q is not the one that its config names", cut(name), s.what)
		}
		m.Layers = append(m.Layers, d)
	}
	return json.Marshal(m)
}

// ref is a name that an image is to get: a repository below the destination's, "" for that itself, and a tag.
type ref struct{ repository, tag string }

var (
	tagForm        = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
	repositoryForm = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)
	hostForm       = regexp.MustCompile(`^(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)(?::[0-9]+)?$|^[A-Za-z0-9-]+:[0-9]+$`) // what has no dot, no port and is not this machine is a part of the name
	attachedForm   = regexp.MustCompile(`^sha256-([0-9a-f]{64})(?:\.(?:sig|att|sbom))?$`)
)

// parseRef takes a tag, or a name with or without a registry, which is left out, and with or without a tag.
func parseRef(text string) (r ref, ok bool) {
	if tagForm.MatchString(text) {
		return ref{"", text}, true
	}
	name, _, _ := strings.Cut(text, "@")
	r.repository, r.tag = name, "latest"
	if at := strings.LastIndexByte(name, ':'); at > strings.LastIndexByte(name, '/') {
		r.repository, r.tag = name[:at], name[at+1:]
	}
	if host, rest, more := strings.Cut(r.repository, "/"); more && hostForm.MatchString(host) {
		r.repository = rest
	}
	return r, tagForm.MatchString(r.tag) && repositoryForm.MatchString(r.repository) && len(r.repository) <= 200
}

// christen gives each image the names under which it is to stand, and what is attached to an image the repositories of that.
func christen(images []*image) error {
	repositories := make(map[string][]string) // of what was walked, by its digest
	digests := make(map[string]string)        // of the image that cosign calls so
	taken := make(map[ref]string)
	take := func(i *image, r ref) error {
		if other := taken[r]; other != "" && other != i.top.Digest {
			return remote.Unfit("two images are to be called %s: %s and %s", strings.TrimPrefix(r.repository+":"+r.tag, ":"), other, i.top.Digest)
		}
		taken[r] = i.top.Digest
		i.refs = append(i.refs, r)
		return nil
	}
	for _, i := range images {
		if i.attached() {
			continue
		}
		for _, said := range i.said {
			r, ok := parseRef(said)
			if !ok {
				return remote.Unfit("%s calls an image %q, which is no name for one", i.from.what, cut(said))
			}
			digests[said] = i.top.Digest
			i.into = append(i.into, r.repository)
			if err := take(i, r); err != nil {
				return err
			}
		}
		i.into = distinct(i.into)
		for _, n := range i.nodes {
			repositories[n.Digest] = distinct(append(repositories[n.Digest], i.into...))
		}
	}
	for _, i := range images {
		if !i.attached() {
			continue
		}
		subject, tag := i.subject, ""
		switch {
		case i.kind != "":
			if subject = digests[i.of]; subject == "" {
				return remote.Unfit("%s holds signatures for %q, and no such image", i.from.what, cut(i.of))
			}
			tag = strings.Replace(subject, ":", "-", 1) + "." + i.kind
		case len(i.said) == 1 && attachedForm.MatchString(i.said[0]):
			tag, subject = i.said[0], "sha256:"+attachedForm.FindStringSubmatch(i.said[0])[1]
		}
		i.into = distinct(repositories[subject])
		if tag == "" && len(i.said) == 1 && tagForm.MatchString(i.said[0]) {
			tag = i.said[0]
		}
		for _, r := range i.into {
			if tag == "" {
				break
			}
			if err := take(i, ref{r, tag}); err != nil {
				return err
			}
		}
	}
	return nil
}

// distinct leaves each repository once; where there is none it is the destination's own.
func distinct(list []string) []string {
	if len(list) == 0 {
		return []string{""}
	}
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}
