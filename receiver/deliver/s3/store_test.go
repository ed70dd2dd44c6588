package s3

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"ecluse/internal/peers"
	"ecluse/protocol/bundle"
	"ecluse/receiver/deliver/remote"
	"ecluse/receiver/deliver/remote/remotetest"
)

// A bundle stands in the bucket whole, its manifest last, with tags and checksums; a second attempt changes nothing.
func TestABundleStandsInTheBucketWhole(t *testing.T) {
	g := start(t)
	s := g.store(nil)
	peers.Must(t, s.Check(t.Context()))
	files := tree()
	j := remotetest.Job(t, 1, files)
	name, err := s.Deliver(t.Context(), j)
	if err != nil || name != "db" {
		t.Fatalf("%q, %v", name, err)
	}
	want := g.want(j, files)
	g.holds(want)
	tags, err := g.watch.GetObjectTagging(t.Context(), "import", "cssf/db/a", minio.GetObjectTaggingOptions{})
	peers.Must(t, err)
	digest := bundle.Digest(sha256.Sum256([]byte("alpha"))).String()
	for k, v := range map[string]string{"tenant": "cssf", "bundle": j.Signed.Manifest.Bundle.String(), "digest": digest} {
		if tags.ToMap()[k] != v {
			t.Errorf("tag %s is %q, want %q", k, tags.ToMap()[k], v)
		}
	}
	info, err := g.watch.StatObject(t.Context(), "import", "cssf/db/a", minio.StatObjectOptions{Checksum: true})
	peers.Must(t, err)
	if info.ChecksumSHA256 == "" {
		t.Error("the store keeps no checksum of it")
	}
	before := g.versions("cssf/db/a")
	j.Again = true
	_, err = s.Deliver(t.Context(), j)
	peers.Must(t, err)
	g.holds(want)
	if after := g.versions("cssf/db/a"); after != before {
		t.Errorf("it was sent again: %d versions, and %d before", after, before)
	}
	next := map[string]string{"db/a": "omega"}
	j = remotetest.Job(t, 2, next)
	_, err = s.Deliver(t.Context(), j)
	peers.Must(t, err)
	for name, text := range g.want(j, next) {
		want[name] = text
	}
	g.holds(want)
}

// versions are when an object was written last.
func (g *gateway) versions(key string) int64 {
	info, err := g.watch.StatObject(g.t.Context(), "import", key, minio.StatObjectOptions{})
	peers.Must(g.t, err)
	return info.LastModified.UnixNano()
}

func TestAnObjectAboveThePartSizeIsSentInParts(t *testing.T) {
	g := start(t)
	files := map[string]string{"big": random(17<<20 + 7)}
	j := remotetest.Job(t, 1, files)
	_, err := g.store(nil).Deliver(t.Context(), j)
	peers.Must(t, err)
	g.holds(g.want(j, files))
	info, err := g.watch.StatObject(t.Context(), "import", "cssf/big", minio.StatObjectOptions{})
	peers.Must(t, err)
	if !strings.HasSuffix(info.ETag, "-4") {
		t.Errorf("its tag is %s: it was not sent in 4 parts", info.ETag)
	}
	j.Again = true
	l := peers.NewLine(t, g.Address)
	_, err = g.through(l, nil).Deliver(t.Context(), j)
	peers.Must(t, err)
	if l.Passed() > 1<<20 {
		t.Errorf("what stands there was sent again: %d bytes", l.Passed())
	}
	if n := g.begun(); n > 0 {
		t.Errorf("%d uploads were begun and not ended", n)
	}
}

// The connection breaks at any byte, any number of times: nothing is called whole before it is, and the last attempt comes to the same.
func TestACutConnectionCostsAnAttemptAndNothingElse(t *testing.T) {
	g := start(t)
	files := tree()
	files["db/big"] = random(12 << 20)
	j := remotetest.Job(t, 1, files)
	l := peers.NewLine(t, g.Address)
	marker := "cssf/.ecluse/" + j.Signed.Manifest.Bundle.String() + ".json"
	cuts := []int64{0, 1500, 20 << 10, 3 << 20, 11 << 20, 12<<20 + 15<<10, pick(12 << 20)}
	for _, at := range cuts {
		l.Cut(at)
		_, err := g.through(l, nil).Deliver(t.Context(), j)
		if err == nil {
			t.Fatalf("cut after %d bytes: it went well", at)
		}
		if !remote.IsAway(err) {
			t.Errorf("cut after %d bytes: %v", at, err)
		}
		if slices.Contains(g.names(), marker) {
			t.Fatalf("cut after %d bytes: its manifest says that it is whole", at)
		}
		j.Again = true
	}
	l.Mend()
	_, err := g.through(l, nil).Deliver(t.Context(), j)
	peers.Must(t, err)
	g.holds(g.want(j, files))
	if n := g.begun(); n > 0 {
		t.Errorf("%d uploads were begun and not ended", n)
	}
}

const (
	someParts = 41<<20 + 7 // bytes of an object that goes in parts
	onePart   = 5 << 20
)

// Of an object in parts only what does not stand there is sent again, by another process too: after a cut connection, and after the store itself was killed. A part that is not what is to stand there is.
func TestAnUploadIsGoneOnWith(t *testing.T) {
	cut := func(_ *gateway, l *peers.Line, _ func()) { l.Cut(0) }
	nothing := func(*gateway) {}
	stays := func(_ *gateway, _, _ string, stood int64) int64 { return stood }
	for _, row := range []struct {
		name      string
		ends      func(g *gateway, l *peers.Line, stop func()) // the first attempt
		away      bool                                         // what the attempt says of it
		mends     func(g *gateway)
		meanwhile func(g *gateway, key, id string, stood int64) (stands int64) // bytes that are right
	}{
		{"a cut connection", cut, true, nothing, stays},
		{"a store that is killed", func(g *gateway, _ *peers.Line, _ func()) { g.Kill() }, true, func(g *gateway) { g.Start() }, stays},
		{"the daemon's end", func(_ *gateway, _ *peers.Line, stop func()) { stop() }, false, nothing, stays},
		{"a part that is another", cut, true, nothing, func(g *gateway, key, id string, _ int64) int64 {
			g.putPart(key, id, 1, random(onePart))
			return g.stood(key, id) - onePart
		}},
		{"parts that are gone", cut, true, nothing, func(g *gateway, key, id string, _ int64) int64 {
			peers.Must(g.t, g.watch.AbortMultipartUpload(g.t.Context(), "import", key, id))
			return 0
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := start(t)
			files := map[string]string{"db/a": "alpha", "db/big": random(someParts), "db/next": random(onePart + 1)}
			j := remotetest.Job(t, 1, files)
			j.Note = func(text string) error { j.Begun = text; return nil }
			l := peers.NewLine(t, g.Address)
			if err := g.deliverUntil(l, j, row.ends); err == nil || row.away && !remote.IsAway(err) {
				t.Fatal(err)
			}
			row.mends(g)
			l.Mend()
			id, key := parseBegun(j.Begun)
			if key != "cssf/db/big" || g.begun() != 1 {
				t.Fatalf("%q is noted, and %d uploads stand there", j.Begun, g.begun())
			}
			stood := g.stood(key, id)
			if stood < onePart {
				t.Fatalf("only %d bytes stand there", stood)
			}
			stood = row.meanwhile(g, key, id, stood)
			before := l.Passed()
			j.Again = true
			_, err := g.through(l, nil).Deliver(t.Context(), j)
			peers.Must(t, err)
			sent := l.Passed() - before
			t.Logf("%d of %d bytes stood there, and %d were sent", stood, someParts, sent)
			if most := someParts + onePart + 1 - stood + 1<<20; sent > most {
				t.Errorf("%d bytes were sent, and %d of %d stood there", sent, stood, someParts)
			}
			g.holds(g.want(j, files))
			if n := g.begun(); n > 0 {
				t.Errorf("%d uploads were begun and not ended", n)
			}
			info, err := g.watch.StatObject(t.Context(), "import", key, minio.StatObjectOptions{})
			peers.Must(t, err)
			if info.UserMetadata[digestMeta] != bundle.Digest(sha256.Sum256([]byte(files["db/big"]))).String() {
				t.Errorf("its digest is said to be %q", info.UserMetadata[digestMeta])
			}
		})
	}
}

// deliverUntil is an attempt that is ended when more than half of an object of someParts has passed.
func (g *gateway) deliverUntil(l *peers.Line, j remote.Job, ends func(*gateway, *peers.Line, func())) error {
	ctx, stop := context.WithCancel(g.t.Context())
	defer stop()
	l.Throttle(64 << 20)
	defer l.Throttle(0)
	done := make(chan error, 1)
	go func() { _, err := g.through(l, nil).Deliver(ctx, j); done <- err }()
	for l.Passed() < someParts*6/10 {
		time.Sleep(time.Millisecond)
	}
	ends(g, l, stop)
	return <-done
}

// stood is how many bytes of an upload the store has.
func (g *gateway) stood(key, id string) (n int64) {
	parts, err := g.watch.ListObjectParts(g.t.Context(), "import", key, id, 0, 0)
	peers.Must(g.t, err)
	for _, p := range parts.ObjectParts {
		n += p.Size
	}
	return n
}

// putPart makes a part of an upload another one, which the store takes: its checksum is right.
func (g *gateway) putPart(key, id string, number int, content string) {
	sum := sha256.Sum256([]byte(content))
	_, err := g.watch.PutObjectPart(g.t.Context(), "import", key, id, number, strings.NewReader(content), int64(len(content)), minio.PutObjectPartOptions{
		Sha256Hex: hex.EncodeToString(sum[:]), CustomHeader: http.Header{"X-Amz-Checksum-Sha256": {base64.StdEncoding.EncodeToString(sum[:])}}, DisableContentSha256: true,
	})
	peers.Must(g.t, err)
}

// What was begun by a bundle is no part of another one: it is taken back, and so it is when it will not be delivered.
func TestWhatAnotherHasBegunIsNotGoneOnWith(t *testing.T) {
	g := start(t)
	text := random(12 << 20)
	begin := func(bundle string) string {
		id, err := g.watch.NewMultipartUpload(t.Context(), "import", "cssf/big", minio.PutObjectOptions{UserTags: map[string]string{"bundle": bundle}})
		peers.Must(t, err)
		_, err = g.watch.PutObjectPart(t.Context(), "import", "cssf/big", id, 1, strings.NewReader(text[:5<<20]), 5<<20, minio.PutObjectPartOptions{})
		peers.Must(t, err)
		return id
	}
	begin("another")
	j := remotetest.Job(t, 1, map[string]string{"big": text})
	j.Again, j.Note = true, func(string) error { return nil }
	_, err := g.store(nil).Deliver(t.Context(), j)
	peers.Must(t, err)
	tags, err := g.watch.GetObjectTagging(t.Context(), "import", "cssf/big", minio.GetObjectTaggingOptions{})
	peers.Must(t, err)
	if got := tags.ToMap()["bundle"]; got != j.Signed.Manifest.Bundle.String() || g.begun() != 0 {
		t.Errorf("it is tagged %q, and %d uploads were begun and not ended", got, g.begun())
	}
	id := begin("mine")
	for range 2 {
		peers.Must(t, g.store(nil).Abandon(t.Context(), id+" cssf/big"))
		if n := g.begun(); n != 0 {
			t.Errorf("%d uploads were begun and not ended", n)
		}
	}
	over := errors.New("it has ended meanwhile")
	j = remotetest.Job(t, 2, map[string]string{"big": text[1:]})
	j.Note = func(string) error { return over }
	if _, err := g.store(nil).Deliver(t.Context(), j); !errors.Is(err, over) || remote.IsAway(err) || g.begun() != 0 {
		t.Errorf("%v, and %d uploads were begun", err, g.begun())
	}
}

func TestAStoreThatHangsIsGivenUp(t *testing.T) {
	g := start(t)
	j := remotetest.Job(t, 1, map[string]string{"big": random(11 << 20)})
	l := peers.NewLine(t, g.Address)
	s := g.through(l, func(o *Options) { o.Stall = 700 * time.Millisecond })
	peers.Must(t, s.Check(t.Context()))
	l.Hang()
	began := time.Now()
	_, err := s.Deliver(t.Context(), j)
	peers.Says(t, err, "destination", "nothing moved for too long")
	if !remote.IsAway(err) || time.Since(began) > 15*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began = time.Now()
	if _, err := s.Deliver(ctx, j); err == nil || time.Since(began) > 3*time.Second {
		t.Errorf("the end of the daemon waited %v: %v", time.Since(began), err)
	}
	l.Mend()
	j.Again = true
	_, err = g.through(l, nil).Deliver(t.Context(), j)
	peers.Must(t, err)
}

// Whatever is wrong at the destination, the error says what it is and what to do, and when it is mended the same Store goes on.
func TestAStoreThatCannotBeUsedIsNamed(t *testing.T) {
	g := start(t)
	j := remotetest.Job(t, 1, map[string]string{"x": "y"})
	dead := peers.Port(t)
	wrong := peers.NewAuthority(t)
	open := peers.Secret(t, user+":"+password)
	peers.Must(t, os.Chmod(open, 0o644))
	wrongSecret, unknown := peers.Secret(t, user+":wrong"), peers.Secret(t, "nobody:wrong")
	var all sync.WaitGroup
	for name, row := range map[string]struct {
		change func(o *Options)
		says   []string
	}{
		"nobody listens":         {func(o *Options) { o.Endpoint = "https://" + dead }, []string{"is it running"}},
		"another authority":      {func(o *Options) { o.CA = wrong.File }, []string{"ca:"}},
		"no authority":           {func(o *Options) { o.CA = "" }, []string{"ca:"}},
		"no file of authorities": {func(o *Options) { o.CA = "/nowhere" }, []string{"read ca", "/nowhere"}},
		"not TLS":                {func(o *Options) { o.Endpoint = "http://" + g.Address }, []string{"destination"}},
		"a wrong secret":         {func(o *Options) { o.KeyFile = wrongSecret }, []string{"SignatureDoesNotMatch", refusedKey}},
		"an unknown key":         {func(o *Options) { o.KeyFile = unknown }, []string{refusedKey}},
		"no key":                 {func(o *Options) { o.KeyFile = "/nowhere" }, []string{"access_key_file", "/nowhere"}},
		"a key that others read": {func(o *Options) { o.KeyFile = open }, []string{"0644", "chmod"}},
		"no bucket":              {func(o *Options) { o.Bucket = "other" }, []string{"NoSuchBucket", "make the bucket"}},
	} {
		all.Go(func() {
			s := g.store(row.change)
			_, err := s.Deliver(t.Context(), j)
			peers.Says(t, err, row.says...)
			if r, _ := bundle.ReasonOf(err); r != bundle.ReasonDestination || !remote.IsAway(err) {
				t.Errorf("%s: %v", name, err)
			}
			if s.Check(t.Context()) == nil {
				t.Errorf("%s: doctor finds nothing", name)
			}
			s.o = g.options
			s.host, s.plain, _ = ParseEndpoint(s.o.Endpoint)
			if _, err = s.Deliver(t.Context(), j); err != nil {
				t.Errorf("%s, and mended: %v", name, err)
			}
		})
	}
	all.Wait()
	g.Kill()
	s := g.store(nil)
	_, err := s.Deliver(t.Context(), j)
	peers.Says(t, err, "is it running")
	g.Start()
	_, err = s.Deliver(t.Context(), j)
	peers.Must(t, err)
}

// refusedKey is what is said of a key that is refused.
const refusedKey = "is the key in"

func TestAnObjectThatIsLockedIsNotForgotten(t *testing.T) {
	g := start(t)
	peers.Must(t, g.watch.MakeBucket(t.Context(), "locked", minio.MakeBucketOptions{ObjectLocking: true}))
	mode, validity, unit := minio.Compliance, uint(1), minio.Days
	peers.Must(t, g.watch.SetObjectLockConfig(t.Context(), "locked", &mode, &validity, &unit))
	s := g.store(func(o *Options) { o.Bucket = "locked" })
	for id, text := range []string{"one", "two", "two"} {
		j := remotetest.Job(t, byte(id+1), map[string]string{"x": text})
		_, err := s.Deliver(t.Context(), j)
		peers.Must(t, err)
		j.Again = true
		_, err = s.Deliver(t.Context(), j)
		peers.Must(t, err)
	}
	n := 0
	for o := range g.watch.Client.ListObjects(t.Context(), "locked", minio.ListObjectsOptions{Prefix: "cssf/x", WithVersions: true}) {
		peers.Must(t, o.Err)
		n++
	}
	if n != 3 {
		t.Errorf("%d versions, not 3: the first ones are to stay", n)
	}
}

// What was altered in quarantine never is an object under its name: not of a small file, not of one in parts, not of one that was longer or shorter.
func TestContentThatIsNotWhatWasSignedIsNoObject(t *testing.T) {
	g := start(t)
	big := random(11 << 20)
	for name, row := range map[string]struct{ file, content string }{
		"a small one":         {"db/a", "omega"},
		"one byte more":       {"db/a", "alphaX"},
		"one byte less":       {"db/a", "alph"},
		"empty was empty":     {"db/none", "x"},
		"the last of a large": {"db/big", big[:len(big)-1] + "X"},
		"a large cut":         {"db/big", big[:6<<20]},
		"a large longer":      {"db/big", big + "X"},
	} {
		t.Run(name, func(t *testing.T) {
			j := remotetest.Job(t, 1, map[string]string{"db/a": "alpha", "db/none": "", "db/big": big})
			remotetest.Change(t, j, row.file, row.content)
			_, err := g.store(nil).Deliver(t.Context(), j)
			if r, _ := bundle.ReasonOf(err); r != bundle.ReasonContentMismatch || remote.IsAway(err) {
				t.Fatalf("got %v", err)
			}
			for _, n := range g.names() {
				if n == "cssf/"+row.file || strings.HasPrefix(n, "cssf/.ecluse/") {
					t.Errorf("%s stands there", n)
				}
			}
			if n := g.begun(); n > 0 {
				t.Errorf("%d uploads were begun and not ended", n)
			}
			for o := range g.watch.Client.ListObjects(t.Context(), "import", minio.ListObjectsOptions{Recursive: true}) {
				peers.Must(t, g.watch.RemoveObject(t.Context(), "import", o.Key, minio.RemoveObjectOptions{}))
			}
		})
	}
	j := remotetest.Job(t, 1, map[string]string{"db/a": "alpha"})
	peers.Must(t, os.WriteFile(filepath.Join(j.Dir, "manifest.json"), []byte("{}"), 0o600))
	_, err := g.store(nil).Deliver(t.Context(), j)
	if r, _ := bundle.ReasonOf(err); r != bundle.ReasonContentMismatch {
		t.Errorf("another manifest: %v", err)
	}
	if n := g.names(); slices.ContainsFunc(n, func(n string) bool { return strings.HasSuffix(n, ".json") }) {
		t.Errorf("another manifest stands there: %q", n)
	}
}

// Short names take at most 55 characters, follow from the path alone, and an object says which is which.
func TestShortNamesAreStableAndSayWhatTheyAre(t *testing.T) {
	g := start(t)
	s := g.store(func(o *Options) { o.Names, o.Prefix = Short, "twelve-long/" })
	long := "db/" + strings.Repeat(strings.Repeat("n", 200)+"/", 10) + "end"
	files := map[string]string{"db/a": "alpha", long: "omega", "db/.ecluse/x": "x"}
	j := remotetest.Job(t, 1, files)
	_, err := s.Deliver(t.Context(), j)
	peers.Must(t, err)
	got := g.objects()
	id := j.Signed.Manifest.Bundle.String()
	for name := range got {
		if len(name) > ShortMost {
			t.Errorf("%s has %d characters", name, len(name))
		}
	}
	for path, text := range files {
		name := "twelve-long/" + shortName(path)
		if got[name] != text {
			t.Errorf("%s holds %q, not %q", name, got[name], text)
		}
		if !strings.Contains(got["twelve-long/.ecluse/"+id+".names"], name+"  "+path+"\n") {
			t.Errorf("nothing says which object %s is", path)
		}
	}
	if len(got) != len(files)+3 {
		t.Errorf("there are %q", g.names())
	}
	if n := shortName("db/a"); n != "4hn43p7eabsz2w5cvunhwfnrz5dfx3iw" && len(n) != 32 {
		t.Errorf("db/a is %s", n)
	}
}

// What no store could hold, or what would pass for a manifest, is refused before anything is sent.
func TestNamesThatDoNotFitAreRefusedBeforeAnythingIsSent(t *testing.T) {
	s, err := New(Options{Endpoint: "https://127.0.0.1:1", Bucket: "b", Prefix: "cssf/", Stall: time.Second})
	peers.Must(t, err)
	forged := ".ecluse/" + bundle.ID{15: 9}.String() + ".json"
	for _, files := range []map[string]string{
		{forged: "{}"},
		{".ecluse": "x"},
		{"db/" + strings.Repeat(strings.Repeat("n", 200)+"/", 6) + "end": "x"},
	} {
		_, err := s.Deliver(t.Context(), remotetest.Job(t, 1, files))
		if r, _ := bundle.ReasonOf(err); r != bundle.ReasonUnfit || remote.IsAway(err) {
			t.Errorf("%v", err)
		}
	}
}

// An object of more parts than a store takes gets larger ones.
func TestPartsStayCountable(t *testing.T) {
	u := &upload{Store: &Store{o: Options{PartSize: DefaultPart}}}
	for _, size := range []int64{1, DefaultPart, 100 << 30, partsMost * DefaultPart, partsMost*DefaultPart + 1, 5 << 40} {
		part := u.partSize(size)
		if n := (size + part - 1) / part; n > partsMost || part < DefaultPart || part > 5<<30 {
			t.Errorf("%d bytes: %d parts of %d", size, n, part)
		}
	}
}

func TestEndpoints(t *testing.T) {
	for text, want := range map[string]string{
		"https://store:9000": "store:9000", "https://store": "store", "http://10.0.0.1:9000/": "10.0.0.1:9000",
		"HTTPS://Store:9000": "store:9000", "https://[fd00::1]:9000": "[fd00::1]:9000",
		"store:9000": "", "https://": "", "https://u:p@store": "", "https://store/bucket": "", "ftp://store": "", "": "", "https://:9000": "", "https://store:": "", "https://store:0": "", "https://store:99999": "",
		"https://store:x": "", "https://store?x": "", "https://store#x": "", "https://a b": "", "https:///store": "",
	} {
		host, plain, err := ParseEndpoint(text)
		if host != want || (err != nil) != (want == "") || plain != strings.HasPrefix(text, "http:") && err == nil {
			t.Errorf("%q is %q, %v, %v", text, host, plain, err)
		}
	}
	for text, says := range map[string]string{
		"store:9000": `write it as "https://store:9000"`, "https://store/bucket/p": `write it as "https://store", and what is behind that into bucket:`, "s3://store": `write it as "https://store"`, "https://": "https://HOST:PORT",
	} {
		_, _, err := ParseEndpoint(text)
		peers.Says(t, err, says)
	}
	if s, err := New(Options{Endpoint: "https://store:9000", Bucket: "b", Prefix: "p/q/"}); err != nil || s.Name() != "s3://store:9000/b/p/q" {
		t.Error(s.Name(), err)
	}
}

// An attempt that is ended from here while the manifest is being put may have come through: until the store is asked again nobody can say that the bundle does not stand there.
func TestAnAttemptThatIsEndedAtItsManifestMayHaveCome(t *testing.T) {
	g := start(t)
	j := remotetest.Job(t, 1, tree())
	last := ".ecluse/" + j.Signed.Manifest.Bundle.String() + ".json"
	for _, row := range []struct {
		at    string
		maybe bool
	}{{"db/a", false}, {last, true}} {
		ctx, end := context.WithCancel(t.Context())
		store, err := url.Parse("https://" + g.Address)
		peers.Must(t, err)
		proxy := &httputil.ReverseProxy{
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(store); r.Out.Host = r.In.Host },
			Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: g.authority.Pool(t)}, DisableKeepAlives: true}, ErrorLog: log.New(io.Discard, "", 0),
		}
		front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, row.at) {
				_, _ = io.Copy(io.Discard, r.Body) // it has all of it, and has not said so yet
				end()
				panic(http.ErrAbortHandler)
			}
			proxy.ServeHTTP(w, r)
		}))
		s := g.store(func(o *Options) { o.Endpoint, o.CA = front.URL, "" })
		_, err = s.Deliver(ctx, j)
		front.Close()
		if ctx.Err() == nil || err == nil || remote.IsMaybe(err) != row.maybe || !errors.Is(err, context.Canceled) {
			t.Errorf("ended at %s: %v, may be there: %v", row.at, err, remote.IsMaybe(err))
		}
	}
}
