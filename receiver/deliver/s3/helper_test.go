package s3

import (
	"crypto/rand"
	"io"
	"maps"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"go.uber.org/goleak"

	"ecluse/internal/disk"
	"ecluse/internal/peers"
	"ecluse/receiver/deliver/remote"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const user, password = "importer", "a secret of some length"

// gateway is a real store, versitygw on files, over TLS.
type gateway struct {
	*peers.Server
	t         *testing.T
	authority *peers.Authority
	options   Options
	watch     *minio.Core // looks at what is there
}

// start starts one with a bucket.
func start(t *testing.T) *gateway {
	t.Helper()
	t.Parallel() // most of the time is that of waiting for an answer that does not come
	a := peers.NewAuthority(t)
	g := &gateway{t: t, authority: a, Server: peers.Store(t, a, user, password)}
	g.options = Options{
		Endpoint: "https://" + g.Address, Bucket: "import", Prefix: "cssf/", Region: "us-east-1", KeyFile: peers.Secret(t, user+":"+password), CA: a.File, Stall: 5 * time.Second,
		PartSize: 5 << 20, Disk: disk.New(), tries: 2,
	}
	s := g.store(nil)
	var err error
	g.watch, err = s.client()
	peers.Must(t, err)
	peers.Must(t, g.watch.MakeBucket(t.Context(), "import", minio.MakeBucketOptions{}))
	return g
}

// store makes the destination, with some options changed.
func (g *gateway) store(change func(o *Options)) *Store {
	g.t.Helper()
	o := g.options
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	peers.Must(g.t, err)
	g.t.Cleanup(s.forget)
	return s
}

// through is the store at the end of a line.
func (g *gateway) through(l *peers.Line, change func(o *Options)) *Store {
	return g.store(func(o *Options) {
		o.Endpoint = "https://" + l.Address
		if change != nil {
			change(o)
		}
	})
}

// objects are what the bucket holds.
func (g *gateway) objects() map[string]string {
	g.t.Helper()
	all := make(map[string]string)
	for o := range g.watch.Client.ListObjects(g.t.Context(), "import", minio.ListObjectsOptions{Recursive: true}) {
		peers.Must(g.t, o.Err)
		if strings.HasSuffix(o.Key, "/") {
			continue
		}
		r, _, _, err := g.watch.GetObject(g.t.Context(), "import", o.Key, minio.GetObjectOptions{})
		peers.Must(g.t, err)
		text, err := io.ReadAll(r)
		r.Close()
		peers.Must(g.t, err)
		all[o.Key] = string(text)
	}
	return all
}

// names are those of the objects.
func (g *gateway) names() []string { return slices.Sorted(maps.Keys(g.objects())) }

// begun counts uploads that were begun and not ended.
func (g *gateway) begun() int {
	g.t.Helper()
	n := 0
	for u := range g.watch.Client.ListIncompleteUploads(g.t.Context(), "import", "", true) {
		peers.Must(g.t, u.Err)
		n++
	}
	return n
}

// want is what a bundle is to be in the bucket.
func (g *gateway) want(j remote.Job, files map[string]string) map[string]string {
	id := j.Signed.Manifest.Bundle.String()
	manifest, err := os.ReadFile(j.Dir + "/manifest.json")
	peers.Must(g.t, err)
	signature, err := os.ReadFile(j.Dir + "/manifest.json.sig")
	peers.Must(g.t, err)
	all := map[string]string{"cssf/.ecluse/" + id + ".json": string(manifest), "cssf/.ecluse/" + id + ".json.sig": string(signature)}
	for name, text := range files {
		if !strings.HasSuffix(name, "/") {
			all["cssf/"+name] = text
		}
	}
	return all
}

func (g *gateway) holds(want map[string]string) {
	g.t.Helper()
	got := g.objects()
	if maps.Equal(got, want) {
		return
	}
	for name := range got {
		if got[name] != want[name] {
			g.t.Errorf("%s holds %d bytes, not %d", name, len(got[name]), len(want[name]))
		}
	}
	g.t.Fatalf("there are %q, want %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
}

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return string(b)
}

func tree() map[string]string {
	return map[string]string{
		"db/a": "alpha", "db/none": "", "db/empty/": "", "db/deep/er/β ?&%+ name": "beta", "db/deep/er/.hidden": "h", "db/.ecluse/x": "not at the top",
		"db/" + strings.Repeat("n", 255): "long",
	}
}

func pick(n int64) int64 {
	x, _ := rand.Int(rand.Reader, big.NewInt(n))
	return x.Int64()
}
