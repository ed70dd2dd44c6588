package oci

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"ecluse/internal/peers"
	"ecluse/protocol/bundle"
	"ecluse/receiver/deliver/remote"
	"ecluse/receiver/deliver/remote/remotetest"
)

// everything is a layout with an image, an index, a signature by its tag, one that names its subject, and an image without a name.
func everything(t *testing.T) (entries []entry, tags map[string]string, digests []string) {
	image := randomImage(t, 3000, 3)
	index, err := random.Index(1000, 2, 2)
	must(t, err)
	signature, about, nameless := randomImage(t, 100, 1), randomImage(t, 200, 1), randomImage(t, 300, 1)
	d, err := partial.Descriptor(index)
	must(t, err)
	about = mutate.Subject(about, *d).(v1.Image)
	sig := strings.Replace(digestOf(t, image), ":", "-", 1) + ".sig"
	entries = []entry{tagged(about, ""), tagged(signature, sig), tagged(image, "nginx:1.25"), tagged(index, "docker.io/library/base:v2"), tagged(nameless, "")}
	tags = map[string]string{
		"cssf/nginx:1.25": digestOf(t, image), "cssf/nginx:" + sig: digestOf(t, signature), "cssf/library/base:v2": digestOf(t, index),
	}
	return entries, tags, []string{"cssf/library/base@" + digestOf(t, about), "cssf@" + digestOf(t, nameless)}
}

func (s *site) holds(tags map[string]string, digests []string) {
	s.t.Helper()
	for name, digest := range tags {
		if got := s.digest(name); got != digest {
			s.t.Errorf("%s is %q, not %s", name, got, digest)
		}
	}
	for _, name := range digests {
		_, digest, _ := strings.Cut(name, "@")
		if got := s.digest(name); got != digest {
			s.t.Errorf("%s is not there: %q", name, got)
		}
	}
}

// Images go by their digests, then by their names, with their signatures; from a directory and from a tar, once and again.
func TestImagesStandInTheRegistryWithTheirSignatures(t *testing.T) {
	for _, way := range []string{"a layout", "a tar of a layout"} {
		t.Run(way, func(t *testing.T) {
			s := start(t)
			r := s.registry(nil)
			must(t, r.Check(t.Context()))
			entries, tags, digests := everything(t)
			all := makeLayout(t, "images", entries...)
			if way != "a layout" {
				all = map[string]string{"images.tar": packed(t, makeLayout(t, "", entries...))}
			}
			j := remotetest.Job(t, 1, all)
			for range 2 {
				name, err := r.Deliver(t.Context(), j)
				if err != nil || !strings.HasSuffix(name, " and 4 more") {
					t.Fatalf("%q, %v", name, err)
				}
				s.holds(tags, digests)
				j.Again = true
			}
			subject := tags["cssf/library/base:v2"]
			if got := s.tags("cssf/library/base"); !slices.Equal(got, []string{strings.Replace(subject, ":", "-", 1), "v2"}) {
				t.Errorf("its registry knows no referrers, and the tags that stand for them are %q", got)
			}
			s.copies("cssf/nginx:1.25")
			s.copies("cssf/library/base:v2")
			must(t, r.Check(t.Context()))
		})
	}
}

// What docker save wrote arrives with the same config and layers, under digests that follow from it alone.
func TestWhatDockerSaveWroteArrives(t *testing.T) {
	s := start(t)
	one, two := randomImage(t, 3000, 2), randomImage(t, 500, 1)
	j := remotetest.Job(t, 1, map[string]string{"set/a.tar": saved(t, map[string]v1.Image{"registry.example:5000/team/tool:3": one, "registry.example:5000/team/tool:4": two}), "set/b/c": saved(t, map[string]v1.Image{"nginx:1.25": one})})
	for range 2 {
		name, err := s.registry(nil).Deliver(t.Context(), j)
		if err != nil {
			t.Fatalf("%q, %v", name, err)
		}
	}
	if a, b := s.digest("cssf/team/tool:3"), s.digest("cssf/nginx:1.25"); a == "" || a != b {
		t.Errorf("one image under two names is %s and %s", a, b)
	}
	dir := s.copies("cssf/team/tool:3")
	config, err := one.ConfigName()
	must(t, err)
	if _, err := os.Stat(filepath.Join(dir, config.Hex)); err != nil {
		t.Errorf("its config is another: %v", err)
	}
	layers, err := one.Layers()
	must(t, err)
	for _, l := range layers {
		h, err := l.Digest()
		must(t, err)
		if _, err := os.Stat(filepath.Join(dir, h.Hex)); err != nil {
			t.Errorf("a layer is another: %v", err)
		}
	}
	s.copies("cssf/team/tool:4")
}

// What cosign saves beside an image is no image of that name: it becomes what cosign looks for.
func TestWhatCosignSavedIsFound(t *testing.T) {
	s := start(t)
	image, signature, claim := randomImage(t, 1000, 1), randomImage(t, 100, 1), randomImage(t, 101, 1)
	ref := "index.docker.io/library/nginx:1.25"
	kind := func(of mutate.Appendable, kind string) entry {
		return entry{of, map[string]string{refAnnotation: ref, kindAnnotation: kindPrefix + kind}}
	}
	j := remotetest.Job(t, 1, makeLayout(t, "nginx", kind(signature, "sigs"), kind(image, "image"), kind(claim, "atts")))
	_, err := s.registry(nil).Deliver(t.Context(), j)
	must(t, err)
	at := strings.Replace(digestOf(t, image), ":", "-", 1)
	s.holds(map[string]string{"cssf/library/nginx:1.25": digestOf(t, image), "cssf/library/nginx:" + at + ".sig": digestOf(t, signature), "cssf/library/nginx:" + at + ".att": digestOf(t, claim)}, nil)
}

// What is no image, or not all of one, is refused with a reason, and nothing of it is pushed.
func TestWhatIsNoImageIsRefusedAndNothingIsPushed(t *testing.T) {
	image, other := randomImage(t, 1000, 2), randomImage(t, 999, 2)
	whole := func() map[string]string { return makeLayout(t, "i", tagged(image, "a:1")) }
	without := func(name string) map[string]string {
		all := whole()
		delete(all, name)
		return all
	}
	with := func(name, text string) map[string]string {
		all := whole()
		all[name] = text
		return all
	}
	layers, err := image.Layers()
	must(t, err)
	layer, err := layers[1].Digest()
	must(t, err)
	blob := "i/blobs/sha256/" + layer.Hex
	manifest := strings.TrimPrefix(digestOf(t, image), "sha256:")
	tarred := saved(t, map[string]v1.Image{"a:1": image})
	deep := `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"sha256:` + strings.Repeat("0", 64) + `","size":1}]}`
	rows := map[string]struct {
		files map[string]string
		says  string
	}{
		"a text":                    {map[string]string{"readme.txt": "hello, this is a text that is no tar, and it is long enough to fill a block" + strings.Repeat(".", 600)}, "neither an OCI layout"},
		"an empty file":             {map[string]string{"x": ""}, "neither an OCI layout"},
		"an empty directory":        {map[string]string{"x/": ""}, "holds no image"},
		"a tar of something":        {map[string]string{"x.tar": packed(t, map[string]string{"a": "b"})}, "neither an OCI layout"},
		"a tar that is cut":         {map[string]string{"x.tar": tarred[:len(tarred)/2]}, "neither an OCI layout"},
		"an image and a text":       {map[string]string{"i/a.tar": tarred, "i/b": "text"}, `"i/b"`},
		"no index":                  {without("i/index.json"), "no index.json"},
		"an index that is broken":   {with("i/index.json", "{"), "cannot be read"},
		"an index that is empty":    {with("i/index.json", "{}"), "holds no image"},
		"an index too large":        {with("i/index.json", strings.Repeat(" ", documentMost+1)), "at most"},
		"a layer is missing":        {without(blob), layer.Hex},
		"a manifest is missing":     {without("i/blobs/sha256/" + manifest), manifest},
		"a layer of another name":   {with(blob, "other"), "another content"},
		"another manifest":          {with("i/blobs/sha256/"+manifest, "{}"), "another content"},
		"a digest that leads out":   {with("i/index.json", strings.Replace(deep, "sha256:"+strings.Repeat("0", 64), "sha256:../../../../etc/passwd", 1)), "only SHA-256"},
		"a digest of another kind":  {with("i/index.json", strings.Replace(deep, "sha256:", "sha512:", 1)), "only SHA-256"},
		"one name for two":          {makeLayout(t, "i", tagged(image, "a:1"), tagged(other, "docker.io/a:1")), "two images"},
		"a name that is none":       {makeLayout(t, "i", tagged(image, "../../etc:1")), "no name"},
		"a name in capitals":        {makeLayout(t, "i", tagged(image, "Team/Tool:1")), "no name"},
		"a name with a query":       {makeLayout(t, "i", tagged(image, "a/b?x=1:1")), "no name"},
		"signatures for nobody":     {makeLayout(t, "i", entry{image, map[string]string{refAnnotation: "a:1", kindAnnotation: kindPrefix + "sigs"}}), "no such image"},
		"a config that is not fit":  {map[string]string{"x.tar": packed(t, map[string]string{"manifest.json": `[{"Config":"c","Layers":["l"]}]`, "c": "{}", "l": "l"})}, "does not fit"},
		"a layer that is not fit":   {map[string]string{"x.tar": packed(t, map[string]string{"manifest.json": `[{"Config":"c","Layers":["l"]}]`, "c": `{"rootfs":{"diff_ids":["sha256:00"]}}`, "l": "l"})}, "not the one"},
		"a layer that is not there": {map[string]string{"x.tar": packed(t, map[string]string{"manifest.json": `[{"Config":"c","Layers":["l"]}]`, "c": `{"rootfs":{"diff_ids":["sha256:00"]}}`})}, "lacks"},
		"a list of none":            {map[string]string{"x.tar": packed(t, map[string]string{"manifest.json": `[]`})}, "lists no image"},
		"one name twice in a tar":   {map[string]string{"x.tar": packed(t, map[string]string{"a": "1"})[:1024] + packed(t, map[string]string{"a": "2", "manifest.json": "[]"})}, "twice"},
	}
	r, err := New(Options{Registry: "127.0.0.1:1", Repository: "cssf", Stall: time.Second}) // nobody is asked
	must(t, err)
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			_, err := r.Deliver(t.Context(), remotetest.Job(t, 1, row.files))
			peers.Says(t, err, row.says)
			if reason, _ := bundle.ReasonOf(err); reason != bundle.ReasonUnfit || remote.IsAway(err) {
				t.Errorf("%v", err)
			}
		})
	}
	// An index that names itself ends as well.
	nested := `{"schemaVersion":2,"manifests":[]}`
	files := map[string]string{"i/oci-layout": "{}"}
	for range 20 {
		h := hashOf([]byte(nested))
		files["i/blobs/sha256/"+strings.TrimPrefix(h, "sha256:")] = nested
		nested = fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":%q,"size":%d}]}`, h, len(nested))
	}
	files["i/index.json"] = nested
	_, err = r.Deliver(t.Context(), remotetest.Job(t, 1, files))
	peers.Says(t, err, "unfit", "indexes within indexes")
}

// What was altered in quarantine is not pushed, and no tag leads to what is not whole.
func TestContentThatIsNotWhatWasSignedIsNotPushed(t *testing.T) {
	s := start(t)
	image := randomImage(t, 100_000, 2)
	all := makeLayout(t, "i", tagged(image, "a:1"))
	layers, err := image.Layers()
	must(t, err)
	layer, err := layers[1].Digest()
	must(t, err)
	tarred := saved(t, map[string]v1.Image{"a:1": image})
	for name, row := range map[string]struct {
		files       map[string]string
		at, content string
	}{
		"a layer":         {all, "i/blobs/sha256/" + layer.Hex, strings.Repeat("x", len(all["i/blobs/sha256/"+layer.Hex]))},
		"a layer, longer": {all, "i/blobs/sha256/" + layer.Hex, all["i/blobs/sha256/"+layer.Hex] + "x"},
		"the index":       {all, "i/index.json", strings.Replace(all["i/index.json"], "a:1", "b:1", 1)},
		"a tar":           {map[string]string{"a.tar": tarred}, "a.tar", tarred[:len(tarred)/2] + "x" + tarred[len(tarred)/2+1:]},
	} {
		t.Run(name, func(t *testing.T) {
			j := remotetest.Job(t, 1, row.files)
			remotetest.Change(t, j, row.at, row.content)
			_, err := s.registry(nil).Deliver(t.Context(), j)
			if reason, _ := bundle.ReasonOf(err); reason != bundle.ReasonContentMismatch || remote.IsAway(err) {
				t.Errorf("got %v", err)
			}
			if tags := s.tags("cssf/a"); len(tags) > 0 {
				t.Errorf("there are tags %q", tags)
			}
		})
	}
	_, err = s.registry(nil).Deliver(t.Context(), remotetest.Job(t, 1, all))
	must(t, err)
}

func TestACutConnectionCostsAnAttemptAndNothingElse(t *testing.T) {
	s := start(t)
	entries, tags, digests := everything(t)
	big := randomImage(t, 2<<20, 2)
	tags["cssf/big:1"] = digestOf(t, big)
	j := remotetest.Job(t, 1, makeLayout(t, "images", append(entries, tagged(big, "big:1"))...))
	l := peers.NewLine(t, s.Address)
	r := s.registry(func(o *Options) { o.Registry = l.Address })
	failed := 0
	for at := int64(0); at < 8<<20; at = at*3 + 1000 {
		l.Cut(at)
		_, err := r.Deliver(t.Context(), j)
		if err == nil {
			break // what stands there already is not sent again: the rest fitted
		}
		failed++
		if !remote.IsAway(err) {
			t.Errorf("cut after %d bytes: %v", at, err)
		}
		for _, name := range slices.Sorted(maps.Keys(tags)) {
			if got := s.digest(name); got != "" {
				if got != tags[name] {
					t.Errorf("cut after %d bytes: %s is %s", at, name, got)
				}
				s.copies(name)
			}
		}
		if sig := "cssf/nginx:" + strings.Replace(tags["cssf/nginx:1.25"], ":", "-", 1) + ".sig"; s.digest("cssf/nginx:1.25") != "" && s.digest(sig) == "" {
			t.Errorf("cut after %d bytes: an image has its name, and not its signature", at)
		}
		j.Again = true
	}
	if failed < 3 {
		t.Errorf("%d attempts were cut", failed)
	}
	l.Mend()
	_, err := r.Deliver(t.Context(), j)
	must(t, err)
	s.holds(tags, digests)
}

func TestARegistryThatHangsIsGivenUp(t *testing.T) {
	s := start(t)
	j := remotetest.Job(t, 1, makeLayout(t, "i", tagged(randomImage(t, 1000, 1), "a:1")))
	l := peers.NewLine(t, s.Address)
	r := s.registry(func(o *Options) { o.Registry, o.Stall = l.Address, 700*time.Millisecond })
	l.Hang()
	began := time.Now()
	_, err := r.Deliver(t.Context(), j)
	if !remote.IsAway(err) || time.Since(began) > 10*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began = time.Now()
	if _, err := r.Deliver(ctx, j); err == nil || time.Since(began) > 3*time.Second {
		t.Errorf("the end of the daemon waited %v: %v", time.Since(began), err)
	}
	l.Mend()
	_, err = s.registry(func(o *Options) { o.Registry = l.Address }).Deliver(t.Context(), j)
	must(t, err)
}

func TestARegistryThatCannotBeUsedIsNamed(t *testing.T) {
	s := start(t)
	j := remotetest.Job(t, 1, makeLayout(t, "i", tagged(randomImage(t, 1000, 1), "a:1")))
	dead, wrong := peers.Port(t), peers.NewAuthority(t)
	for name, row := range map[string]struct {
		change func(o *Options)
		says   string
	}{
		"nobody listens":    {func(o *Options) { o.Registry = dead }, "is it running"},
		"another authority": {func(o *Options) { o.CA = wrong.File }, "ca:"},
		"no authority":      {func(o *Options) { o.CA = "" }, "ca:"},
		"a wrong password":  {func(o *Options) { o.Credentials = peers.Secret(t, user+":wrong") }, "credentials_file"},
		"nobody":            {func(o *Options) { o.Credentials = "" }, "credentials_file"},
		"no credentials":    {func(o *Options) { o.Credentials = "/nowhere" }, "credentials_file"},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.registry(row.change)
			_, err := r.Deliver(t.Context(), j)
			peers.Says(t, err, "destination", row.says)
			if !remote.IsAway(err) {
				t.Error("it is not away")
			}
			if r.Check(t.Context()) == nil {
				t.Error("doctor finds nothing")
			}
		})
	}
	s.Kill()
	r := s.registry(nil)
	_, err := r.Deliver(t.Context(), j)
	peers.Says(t, err, "is it running")
	s.Start()
	_, err = r.Deliver(t.Context(), j)
	must(t, err)
}

func TestNamesOfImages(t *testing.T) {
	for text, want := range map[string]ref{
		"1.25": {"", "1.25"}, "latest": {"", "latest"}, "nginx:1.25": {"nginx", "1.25"}, "team/nginx": {"team/nginx", "latest"}, "docker.io/library/nginx:1": {"library/nginx", "1"},
		"localhost/a:1": {"a", "1"}, "host:5000/a/b:1": {"a/b", "1"}, "host:5000/a": {"a", "latest"}, "a:1@sha256:" + strings.Repeat("0", 64): {"a", "1"}, "a__b/c--d:x": {"a__b/c--d", "x"},
	} {
		if got, ok := parseRef(text); !ok || got != want {
			t.Errorf("%s is %+v, %v, want %+v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "/a:1", "a//b:1", "../a:1", "a/../b:1", "a:", "a:-x", "A/b:1", "a b:1", "a/b?c:1", "a:1:2/x y", strings.Repeat("a/", 200) + "b:1", "host:5000/:1"} {
		if got, ok := parseRef(text); ok {
			t.Errorf("%q is %+v", text, got)
		}
	}
	if r, err := New(Options{Registry: "Registry:5000", Repository: "cssf"}); err != nil || r.Name() != "oci://registry:5000/cssf" {
		t.Error(err)
	}
	for text, says := range map[string]string{
		"http://registry:5000": `write registry: "registry:5000". A registry is asked with TLS`, "https://registry:5000": `write registry: "registry:5000"`, "https://registry/": `write registry: "registry"`,
		"HTTP://Registry:5000/": `write registry: "registry:5000". A registry is asked with TLS`, "registry:5000/": `write registry: "registry:5000"`, "https://registry:5000/team/app": `write registry: "registry:5000", and what`,
		"registry/team": `write registry: "registry", and what`, "ftp://registry": "HOST:PORT", "https://": "HOST:PORT", "registry:": "HOST:PORT", "registry:0": "HOST:PORT", "registry:70000": "HOST:PORT", ":5000": "HOST:PORT",
		"u:p@registry": "HOST:PORT", "a b": "HOST:PORT", "registry:5000?x": "HOST:PORT", "": "HOST:PORT",
	} {
		if host, err := ParseRegistry(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q is %q, %v, which does not say %q", text, host, err, says)
		}
	}
	for _, text := range []string{"registry", "registry.example.org:443", "10.0.0.1:5000", "[fd00::1]:5000", "localhost:5000"} {
		if host, err := ParseRegistry(text); err != nil || host != text {
			t.Errorf("%q is %q, %v", text, host, err)
		}
		if _, err := New(Options{Registry: text, Repository: "cssf"}); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, o := range []Options{{Registry: "", Repository: "a"}, {Registry: "a/b", Repository: "a"}, {Registry: "u@h", Repository: "a"}, {Registry: "a", Repository: "A"}, {Registry: "a", Repository: ""}, {Registry: "a", Repository: "../a"}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

// What is told after a tag was asked for: whether it, or another of the bundle, may be set.
func TestATagMayBeSetAllTheSame(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	away, taken := remote.Away(errors.New("reset"), "tag it"), remote.Failed(errors.New("the tag cannot be changed"), "tag it")
	for _, row := range []struct {
		what   string
		ctx    context.Context
		err    error
		others bool
		want   bool
	}{
		{"the answer was lost", t.Context(), away, false, true},
		{"it was refused", t.Context(), taken, false, false},
		{"it was refused, and others are set", t.Context(), taken, true, true},
		{"it was ended from here", ended, context.Canceled, false, true},
	} {
		if err := maybe(row.ctx, row.err, row.others); remote.IsMaybe(err) != row.want || !errors.Is(err, row.err) && err != row.err {
			t.Errorf("%s: %v, may be set: %v", row.what, err, remote.IsMaybe(err))
		}
	}
}
