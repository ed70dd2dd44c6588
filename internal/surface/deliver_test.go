package surface

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/google/go-containerregistry/pkg/name"

	"ecluse/internal/peers"
)

// yard is everywhere that a bundle is to go: a directory, a store, a registry and a program.
type yard struct {
	*testing.T
	low, high *side
	store     *peers.Server
	line      *peers.Line // to the store
	registry  *peers.Server
	authority *peers.Authority
	bucket    *minio.Client
	taken     string // by the program
}

func newYard(t *testing.T) *yard {
	low, high := paired(t)
	a := peers.NewAuthority(t)
	y := &yard{T: t, low: low, high: high, authority: a, store: peers.Store(t, a, "importer", "a secret of some length"), taken: t.TempDir()}
	y.line = peers.NewLine(t, y.store.Address)
	y.registry, _ = peers.Registry(t, a, "")
	program := write(t, filepath.Join(high.dir, "take"), "#!/bin/sh\ncp -r \"$1/$ECLUSE_NAME\" "+y.taken+"/ || { echo 'no room for it' >&2; exit 1; }\n")
	peers.Must(t, os.Chmod(program, 0o700))
	high.edit("    release: one", "    release: automatic\n    freshness: 1h")
	high.edit("      - directory: "+high.dir+"/import/default\n", "      - directory: "+high.dir+"/import/default\n"+
		"      - s3: {endpoint: \"https://"+y.line.Address+"\", bucket: import, prefix: d/, access_key_file: "+peers.Secret(t, "importer:a secret of some length")+", ca: "+a.File+"}\n"+
		"        as: store\n        timeout: 2s\n"+
		"      - oci: {registry: \""+y.registry.Address+"\", repository: cssf, ca: "+a.File+"}\n        as: registry\n"+
		"      - command: ["+program+", \"{dir}\"]\n        as: program\n")
	through, err := minio.DefaultTransport(true)
	peers.Must(t, err)
	through.TLSClientConfig.RootCAs = a.Pool(t)
	y.bucket, err = minio.New(y.store.Address, &minio.Options{Creds: credentials.NewStaticV4("importer", "a secret of some length", ""), Secure: true, Region: "us-east-1", Transport: through})
	peers.Must(t, err)
	return y
}

// image is what docker save writes of an image of so many bytes.
func (y *yard) image(tag string, size int64) string {
	i, err := random.Image(size, 1)
	peers.Must(y.T, err)
	ref, err := name.NewTag(tag)
	peers.Must(y.T, err)
	var b bytes.Buffer
	peers.Must(y.T, tarball.Write(ref, i, &b))
	return b.String()
}

// object reads one of the store's, or "".
func (y *yard) object(key string) string {
	o, err := y.bucket.GetObject(y.Context(), "import", key, minio.GetObjectOptions{})
	peers.Must(y.T, err)
	defer o.Close()
	text, err := io.ReadAll(o)
	if err != nil {
		return ""
	}
	return string(text)
}

// where gives what show says of each destination.
func (y *yard) where(bundle string) map[string]string {
	y.Helper()
	var r struct {
		Deliveries []struct{ Destination, Name, Error, Done string }
	}
	y.high.value(&r, 0, "show", bundle)
	all := map[string]string{}
	for _, d := range r.Deliveries {
		state := "waits"
		if d.Error != "" {
			state = d.Error
		}
		if d.Done != "" {
			state = "done"
		}
		all[strings.TrimPrefix(d.Destination, y.high.dir+"/")] = state
	}
	return all
}

// stands holds that a bundle is everywhere, byte for byte.
func (y *yard) stands(name, text, tag string) {
	y.Helper()
	for _, at := range []string{filepath.Join(y.high.dir, "import/default", name), filepath.Join(y.taken, name)} {
		if got, err := os.ReadFile(at); err != nil || string(got) != text {
			y.Errorf("%s holds %d bytes of %d, %v", at, len(got), len(text), err)
		}
	}
	if got := y.object("d/" + name); got != text {
		y.Errorf("the store holds %d bytes of %d", len(got), len(text))
	}
	id := y.high.find(name).text("bundle")
	var manifest struct{ Bundle string }
	if err := json.Unmarshal([]byte(y.object("d/.ecluse/"+id+".json")), &manifest); err != nil || manifest.Bundle != id {
		y.Errorf("the store's manifest is that of %q: %v", manifest.Bundle, err)
	}
	certs := y.TempDir()
	text2, err := os.ReadFile(y.authority.File)
	peers.Must(y.T, err)
	write(y.T, filepath.Join(certs, "ca.crt"), string(text2))
	if out, err := exec.CommandContext(y.Context(), peers.Program(y.T, "skopeo"), "--insecure-policy", "copy", "--src-cert-dir", certs, "docker://"+y.registry.Address+"/cssf/"+tag, "dir:"+y.TempDir()).CombinedOutput(); err != nil {
		y.Errorf("skopeo reads %s: %v: %s", tag, err, out)
	}
}

// waitsFor holds that a bundle that a destination does not take says so wherever it is shown, and that who tries it is told by its name.
func (y *yard) waitsFor(destination, id string) {
	y.Helper()
	type wait struct {
		Destination, Error string
		Since, Next        *time.Time
		Behind             *string
	}
	right := func(where string, all []wait) {
		y.Helper()
		if len(all) != 1 || all[0].Destination != destination || !strings.Contains(all[0].Error, "NoSuchBucket") || all[0].Since == nil || all[0].Next == nil || !all[0].Next.After(*all[0].Since) || all[0].Behind != nil {
			y.Errorf("%s: it waits for %+v", where, all)
		}
	}
	var tried struct {
		Bundle, State string
		Failed        []struct{ Destination, Error, Reason string }
	}
	y.high.value(&tried, 4, "deliver", id)
	if f := tried.Failed; tried.Bundle != id || tried.State != "approved" || len(f) != 1 || f[0].Destination != destination || f[0].Reason != "destination" || !strings.Contains(f[0].Error, "NoSuchBucket") {
		y.Errorf("deliver --json gives %+v", tried)
	}
	var shown struct{ Waits []wait }
	y.high.value(&shown, 0, "show", id)
	right("show", shown.Waits)
	var listed []struct {
		Bundle string
		Waits  []wait
	}
	y.high.value(&listed, 0, "list")
	if len(listed) != 1 || listed[0].Bundle != id {
		y.Fatalf("list gives %+v", listed)
	}
	right("list", listed[0].Waits)
	for _, verb := range [][]string{{"show", id}, {"list"}} {
		if out := y.high.try(verb[0], verb[1:]...).out; !strings.Contains(out, destination+" since ") || !strings.Contains(out, ", next attempt ") {
			y.Errorf("%v says:\n%s", verb, out)
		}
	}
}

// One bundle goes to a directory, a store, a registry and a program, all of them real. What is down is told and holds up nothing else; a daemon that is killed while it sends goes on where it was.
func TestABundleGoesToDestinationsOfEveryKind(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	if out := y.high.ends(1, "", "doctor").out; !strings.Contains(out, "NoSuchBucket") || !strings.Contains(out, "destination registry") || !strings.Contains(out, "destination program") {
		t.Errorf("doctor says:\n%s", out)
	}
	d := y.high.start()
	y.low.start()
	first := y.image("tool:1", 1000)
	y.low.ends(0, "", "send", write(t, filepath.Join(y.low.dir, "work/first.tar"), first))
	y.high.within(15*time.Second, "all but the store have it", func() bool {
		r := y.high.find("first.tar")
		if r == nil || r.text("state") != "approved" {
			return false
		}
		w := y.where(r.text("bundle"))
		return w["import/default"] == "done" && w["registry"] == "done" && w["program"] == "done" && strings.Contains(w["store"], "make the bucket")
	})
	id := y.high.find("first.tar").text("bundle")
	if r := y.high.find("first.tar"); r.text("reason") != "destination" {
		t.Errorf("%s", r)
	}
	if out := y.high.try("show", id).out; !strings.Contains(out, "to deliver  store: destination: ") || !strings.Contains(out, "registry/tool:1") {
		t.Errorf("show says:\n%s", out)
	}
	y.high.ends(1, "delivery", "status")
	y.high.ends(4, "\n"+id+": store: destination: ", "deliver", "3f7k2q3f7k2q", id)
	y.waitsFor("store", id)
	y.high.ends(4, "stands in", "reject", "--reason", "too late", id)
	peers.Must(t, y.bucket.MakeBucket(t.Context(), "import", minio.MakeBucketOptions{}))
	y.high.ends(0, "imported", "deliver", id)
	y.stands("first.tar", first, "tool:1")

	second := y.image("tool:2", 40<<20)
	before := y.line.Passed()
	y.line.Throttle(4 << 20)
	y.low.ends(0, "", "send", write(t, filepath.Join(y.low.dir, "work/second.tar"), second))
	y.high.within(15*time.Second, "its sending has begun", func() bool { return y.line.Passed()-before > 3<<20 })
	d.kill()
	if y.object("d/second.tar") != "" {
		t.Error("it was sent before the daemon could be killed")
	}
	y.line.Throttle(0)
	y.high.start()
	y.high.reach("second.tar", "imported")
	y.stands("second.tar", second, "tool:2")
	var s struct {
		Arrivals []struct {
			Tenant string
			Newest *time.Time
			Age    float64 `json:"age_seconds"`
			Limit  float64 `json:"freshness_seconds"`
		}
	}
	y.high.value(&s, 0, "status")
	if len(s.Arrivals) != 1 || s.Arrivals[0].Tenant != "default" || s.Arrivals[0].Newest == nil || s.Arrivals[0].Age > 60 || s.Arrivals[0].Limit != 3600 {
		t.Errorf("%+v", s.Arrivals)
	}
	if out := y.high.try("doctor").out; strings.Contains(out, "destination store: ") {
		t.Errorf("doctor says:\n%s", out)
	}
}
