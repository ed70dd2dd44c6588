package remote_test

import (
	"crypto/sha256"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"ecluse/internal/disk"
	"ecluse/internal/peers"
	"ecluse/protocol/bundle"
	"ecluse/receiver/deliver/remote"
	"ecluse/receiver/deliver/remote/remotetest"
)

var must = peers.Must

// A reader gives all of what was signed, however it is read, and of anything else never the last byte.
func TestAReaderGivesTheEndOnlyOfWhatWasSigned(t *testing.T) {
	const right = "alpha and omega"
	for _, content := range []string{right, right + "x", right[:14], "alpha and omegA", "Alpha and omega", ""} {
		j := remotetest.Job(t, 1, map[string]string{"x": right})
		remotetest.Change(t, j, "x", content)
		for name, through := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "by bytes": iotest.OneByteReader, "by halves": iotest.HalfReader,
		} {
			c, err := j.Open()
			must(t, err)
			r, err := c.File(1)
			must(t, err)
			got, err := io.ReadAll(through(r))
			if reason, _ := bundle.ReasonOf(err); content == right && (err != nil || string(got) != right) || content != right && (reason != bundle.ReasonContentMismatch || len(got) >= len(right) || r.Err() == nil) {
				t.Errorf("of %q, %s, it gave %q, %v", content, name, got, err)
			}
			if _, again := r.Read(make([]byte, 1)); again != err && (err != nil || again != io.EOF) {
				t.Errorf("then it says %v", again)
			}
			must(t, r.Close())
			c.Close()
		}
	}
	j := remotetest.Job(t, 1, map[string]string{"none": ""})
	c, err := j.Open()
	must(t, err)
	defer c.Close()
	r, err := c.File(1)
	must(t, err)
	if text, err := r.All(0); err != nil || len(text) > 0 {
		t.Errorf("an empty file is %q, %v", text, err)
	}
}

func TestASectionHasADigestOfItsOwn(t *testing.T) {
	j := remotetest.Job(t, 1, map[string]string{"x": "alpha and omega"})
	c, err := j.Open()
	must(t, err)
	defer c.Close()
	for offset, want := range map[int64]bool{6: true, 5: false} {
		r, err := c.Section(1, offset, 3, bundle.Digest(sha256.Sum256([]byte("and"))))
		must(t, err)
		if text, err := r.All(3); (err == nil) != want || want && string(text) != "and" {
			t.Errorf("at %d: %q, %v", offset, text, err)
		}
	}
	r, err := c.File(1)
	must(t, err)
	if _, err := r.All(3); err == nil {
		t.Error("more was read than was allowed")
	}
}

// Pipes, links and devices that somebody has put into quarantine are no content, and nobody waits for them.
func TestWhatIsNoFileIsNoContent(t *testing.T) {
	j := remotetest.Job(t, 1, map[string]string{"x": "alpha"})
	at := filepath.Join(j.Dir, "files", "x")
	must(t, os.Remove(at))
	for name, put := range map[string]func() error{
		"a link":      func() error { return os.Symlink("/etc/passwd", at) },
		"a directory": func() error { return os.Mkdir(at, 0o700) },
		"nothing":     func() error { return nil },
	} {
		must(t, put())
		_, err := j.Open()
		if reason, _ := bundle.ReasonOf(err); reason != bundle.ReasonContentMismatch {
			t.Errorf("%s: %v", name, err)
		}
		must(t, os.RemoveAll(at))
	}
}

func TestSecretsAreOfFewAndOfOneLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	write := func(text string, mode os.FileMode) {
		must(t, os.RemoveAll(path))
		must(t, os.WriteFile(path, []byte(text), 0o600))
		must(t, os.Chmod(path, mode))
	}
	for _, mode := range []os.FileMode{0o600, 0o640, 0o400, 0o440} {
		write("name:se:cret\n", mode)
		if name, secret, err := remote.Secret(disk.New(), path); err != nil || name != "name" || secret != "se:cret" {
			t.Errorf("mode %04o: %q, %q, %v", mode, name, secret, err)
		}
	}
	for text, mode := range map[string]os.FileMode{"a:1\n": 0o644, "a:2": 0o660, "a:3": 0o604, "a": 0o600, ":b": 0o600, "a:": 0o600, "a:b\nc:d\n": 0o600, "": 0o600, strings.Repeat("a:b", 2000): 0o600} {
		write(text, mode)
		if _, _, err := remote.Secret(disk.New(), path); err == nil || strings.Contains(err.Error(), "se:cret") {
			t.Errorf("%.20q with mode %04o: %v", text, mode, err)
		}
	}
	for _, text := range []string{"", "no certificate"} {
		write(text, 0o644)
		if _, err := remote.Authorities(disk.New(), path); err == nil {
			t.Errorf("%q is taken for certificates", text)
		}
	}
}

// A connection on which nothing moves is given up, and one on which little moves is not, whatever its size.
func TestAStalledRequestIsGivenUpAndASlowOneIsNot(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hangs" {
			<-release
			return
		}
		for range 24 {
			_, _ = w.Write([]byte("x"))
			w.(http.Flusher).Flush()
			time.Sleep(50 * time.Millisecond)
		}
	}))
	defer server.Close()
	defer close(release)
	through, done := remote.Transport(nil, 700*time.Millisecond, true)
	defer done()
	client := &http.Client{Transport: through}
	began := time.Now()
	if _, err := client.Get(server.URL + "/hangs"); err == nil || remote.Unreached(err) == "" || time.Since(began) > 3*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	answer, err := client.Get(server.URL + "/slow")
	must(t, err)
	text, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || len(text) != 24 {
		t.Errorf("a slow answer: %q, %v", text, err)
	}
}

// Secrets go over TLS: neither a redirection nor a library leads around it.
func TestNothingIsAskedWithoutTLS(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was asked") }))
	defer plain.Close()
	through, done := remote.Transport(nil, time.Second, false)
	defer done()
	_, err := (&http.Client{Transport: through}).Get(plain.URL)
	peers.Says(t, err, "not asked without TLS")
}

func TestHintsSayWhatToLookAt(t *testing.T) {
	_, refused := net.Dial("tcp", peers.Port(t))
	for text, err := range map[string]error{"is it running": refused, "its name": &net.DNSError{Err: "no such host", Name: "store"}, "for too long": &remote.Stalled{For: time.Second}, "": io.ErrNoProgress} {
		if hint := remote.Unreached(err); !strings.Contains(hint, text) || (hint == "") != (text == "") {
			t.Errorf("%v: %q", err, hint)
		}
	}
}
