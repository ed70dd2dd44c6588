package clamd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ecluse/internal/scanners"
	"ecluse/protocol/bundle"
	"ecluse/receiver/inspect"
	"ecluse/receiver/inspect/inspecttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestARealClamd(t *testing.T) {
	const mib = 1 << 20
	virus := scanners.TestVirus()
	clean := map[string][]byte{"a.txt": []byte("words"), "empty": nil, "deep/b": bytes.Repeat([]byte("more words\n"), 300_000)}
	// Bounds of clamd, and what it makes of a virus, of what is beyond MaxFileSize, and beyond StreamMaxLength.
	c := scanners.StartClamd(t, "StreamMaxLength 8M", "MaxFileSize 4M")
	s := New(c.Socket)
	v, err := s.Ready(t.Context())
	if err != nil || !strings.HasPrefix(v.Text, "ClamAV ") {
		t.Fatalf("%+v, %v", v, err)
	}
	for _, row := range []struct {
		name  string
		files map[string][]byte
		want  string
	}{
		{"clean", clean, "3 files: "},
		{"a virus", map[string][]byte{"a": []byte("words"), "b/c": virus, "d": []byte("words")}, "3 files: " + string(bundle.ReasonMalware) + " item/b/c"},
		{"one that is larger than what it scans", map[string][]byte{"a": make([]byte, 5*mib)}, "1 files: " + string(bundle.ReasonInspectorLimit) + " item/a"},
		{"one that is larger than what it takes, and a virus", map[string][]byte{"a": make([]byte, 9*mib), "b": virus, "c": []byte("words")}, "3 files: inspector-limit item/a, malware item/b"},
	} {
		if got := inspecttest.Says(s.Look(t.Context(), inspecttest.Item(t, row.files))); got != row.want {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}

	// One that lets pass what is beyond its bounds is not trusted, also where it is started again so.
	lax := scanners.StartClamd(t, "AlertExceedsMax no", "MaxFileSize 4M")
	var no *inspect.UntrustedError
	if _, err := New(lax.Socket).Look(t.Context(), inspecttest.Item(t, clean)); !errors.As(err, &no) || !strings.Contains(err.Error(), "AlertExceedsMax yes") {
		t.Errorf("without AlertExceedsMax: %v", err)
	}
	blind := scanners.StartClamd(t, "ScanArchive no")
	if _, err := New(blind.Socket).Look(t.Context(), inspecttest.Item(t, clean)); !errors.As(err, &no) || !strings.Contains(err.Error(), "in a zip archive") {
		t.Errorf("without archives: %v", err)
	}
	c.Stop()
	if got := inspecttest.Says(s.Look(t.Context(), inspecttest.Item(t, clean))); !strings.Contains(got, "error: connect: ") {
		t.Errorf("gone: %s", got)
	}
}

// fake answers as a script says, in the form of a session, to what every scanner is tried with first.
type fake struct {
	version func(n int) string
	stream  func(n int, content []byte) string // the answer, without number; "" hangs up
	raw     func(c net.Conn) bool              // instead of the answer to the first stream that is no trial
}

// honest finds the test virus wherever it is, if only in the name of what packs it.
func honest(n int, content []byte) string {
	if bytes.Contains(content, []byte("eicar.com")) || bytes.Contains(content, scanners.TestVirus()) {
		return "stream: Eicar-Test-Signature FOUND"
	}
	return "stream: OK"
}

func (f *fake) listen(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fake-")
	inspecttest.Must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	inspecttest.Must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.serve(c)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return path
}

func (f *fake) serve(c net.Conn) {
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	word := func() string {
		var b []byte
		for {
			var one [1]byte
			if _, err := io.ReadFull(c, one[:]); err != nil || one[0] == 0 {
				return string(b)
			}
			b = append(b, one[0])
		}
	}
	streams, asked := 0, 0
	for {
		switch word() {
		case "zIDSESSION":
		case "zVERSION":
			asked++
			text := "ClamAV 1.4.3/27790/Thu Oct 16 09:52:18 2025"
			if f.version != nil {
				text = f.version(asked)
			}
			fmt.Fprintf(c, "%d: %s\x00", asked, text)
		case "zINSTREAM":
			asked++
			var content []byte
			for {
				var length [4]byte
				if _, err := io.ReadFull(c, length[:]); err != nil {
					return
				}
				n := int(length[0])<<24 | int(length[1])<<16 | int(length[2])<<8 | int(length[3])
				if n == 0 {
					break
				}
				piece := make([]byte, n)
				if _, err := io.ReadFull(c, piece); err != nil {
					return
				}
				content = append(content, piece...)
			}
			streams++
			if f.raw != nil && !bytes.Contains(content, []byte("eicar.com")) && !bytes.Contains(content, scanners.TestVirus()) {
				if !f.raw(c) {
					return
				}
				continue
			}
			answer := honest(streams, content)
			if f.stream != nil {
				answer = f.stream(streams, content)
			}
			if answer == "" {
				return
			}
			fmt.Fprintf(c, "%d: %s\x00", asked, answer)
		default:
			return
		}
	}
}

// Whatever a clamd does that a real one does not: nothing is clean by it.
func TestWhatAHostileClamdSaysIsNeverClean(t *testing.T) {
	write := func(text string) func(net.Conn) bool {
		return func(c net.Conn) bool {
			_, err := io.WriteString(c, text)
			return err == nil
		}
	}
	for name, f := range map[string]*fake{
		"hangs":                        {raw: func(net.Conn) bool { time.Sleep(700 * time.Millisecond); return false }},
		"hangs up":                     {raw: func(net.Conn) bool { return false }},
		"half an answer":               {raw: func(c net.Conn) bool { io.WriteString(c, "6: stream: O"); return false }},
		"garbage":                      {raw: write("\x01\x02\x03\x00")},
		"an answer without end":        {raw: write(strings.Repeat("stream: OK ", 1000))},
		"another number":               {raw: write("5: stream: OK\x00")},
		"no number":                    {raw: write("stream: OK\x00")},
		"another name":                 {raw: write("6: other: OK\x00")},
		"OK and more":                  {raw: write("6: stream: OK or not\x00")},
		"an error":                     {raw: write("6: stream: Can't allocate memory ERROR\x00")},
		"nothing is found":             {stream: func(int, []byte) string { return "stream: OK" }},
		"only the first trial":         {stream: func(n int, c []byte) string { return map[bool]string{true: honest(n, c), false: "stream: OK"}[n == 1] }},
		"no version":                   {version: func(int) string { return "" }},
		"another program":              {version: func(int) string { return "Postfix" }},
		"an error instead of a stream": {stream: func(int, []byte) string { return "UNKNOWN COMMAND" }},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			s := New(f.listen(t))
			began := time.Now()
			if a, err := s.Look(ctx, inspecttest.Item(t, map[string][]byte{"a": []byte("words")})); err == nil {
				t.Errorf("it says %+v", a)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
	s := New((&fake{}).listen(t))
	a, err := s.Look(t.Context(), inspecttest.Item(t, map[string][]byte{"a": []byte("words")}))
	if err != nil || len(a.Findings) > 0 || a.Files != 1 || a.Version.Signed == nil || a.Version.Signed.Year() != 2025 {
		t.Errorf("an honest one: %+v, %v", a, err)
	}
}

// What is larger than anything that the scanner was tried with is tried first.
func TestASizeIsTriedBeforeItIsBelieved(t *testing.T) {
	const bound = 3 << 20
	var mu sync.Mutex
	var sizes []int
	f := &fake{stream: func(n int, c []byte) string {
		mu.Lock()
		sizes = append(sizes, len(c))
		mu.Unlock()
		if len(c) > bound {
			return "stream: OK" // it passes over what is so large
		}
		return honest(n, c)
	}}
	s := New(f.listen(t))
	files := map[string][]byte{"a": make([]byte, 100), "b": make([]byte, bound-10), "c": make([]byte, bound-20), "d": make([]byte, bound+1)}
	if got := inspecttest.Says(s.Look(t.Context(), inspecttest.Item(t, files))); got != "4 files: inspector-limit item/d" {
		t.Error(got)
	}
	want := []int{1 << 20, 100, 4 << 20, bound - 10, bound - 10, bound - 20, 4 << 20, bound + 1}
	mu.Lock()
	defer mu.Unlock()
	if got := sizes[3:]; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("tried with %v, want %v", got, want)
	}
}
