package lab

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// entry is what must arrive of a file or directory: its kind, the owner's bits, the time to the second, the content.
type entry struct {
	dir   bool
	mode  fs.FileMode
	mtime int64
	size  int64
	sum   [sha256.Size]byte
}

// survey reads a tree.
func survey(t *testing.T, path string) map[string]entry {
	t.Helper()
	m := make(map[string]entry)
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(path, p)
		if err != nil {
			return err
		}
		e := entry{dir: d.IsDir(), mode: info.Mode().Perm() & 0o700, mtime: info.ModTime().Unix()}
		if !d.IsDir() {
			f, err := os.Open(p)
			if err != nil {
				return err
			}
			defer f.Close()
			h := sha256.New()
			if e.size, err = io.Copy(h, f); err != nil {
				return err
			}
			h.Sum(e.sum[:0])
		}
		m[rel] = e
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// same compares what was dropped with what was imported.
func same(t *testing.T, want, got map[string]entry) {
	t.Helper()
	bad := 0
	for name, w := range want {
		g, ok := got[name]
		if !ok {
			t.Errorf("%q is missing", name)
		} else if g != w {
			t.Errorf("%q is %+v, want %+v", name, g, w)
		} else {
			continue
		}
		if bad++; bad == 10 {
			t.Fatal("and so on")
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%q was not sent", name)
		}
	}
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// random writes size random bytes.
func random(t testing.TB, path string, seed byte, size int64) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(f, rand.NewChaCha8([32]byte{seed}), size); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// compressible writes text that compresses about threefold.
func compressible(t testing.TB, path string, size int64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	var line strings.Builder
	for n := int64(0); n < size; {
		line.Reset()
		fmt.Fprintf(&line, "%08x the quick brown fox jumps over the lazy dog %d times, signed %016x\n", rng.Uint32(), rng.IntN(1000), rng.Uint64())
		text := line.String()
		text = text[:min(int64(len(text)), size-n)]
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		n += int64(len(text))
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// names is a tree of names that are hard on programs and usual for people.
func names(t testing.TB, dir string) {
	t.Helper()
	for i, name := range []string{
		"Procès-verbal de l'assemblée générale.txt", "Übergrößenträger/Straße.txt", "Lëtzebuerg/Ëmwelt a Gesondheet.txt", "中文/数据登记册.txt",
		"👨‍👩‍👧‍👦/famille 🇱🇺.txt", `quotes/"double" and 'single'.txt`, "spaces/ leading and trailing /a  b.txt", "-rf", "$(reboot)", "`id`", "a;b|c&d", "back\\slash",
		"kernel/net/ipv4/netfilter/aux.c", "kernel/xt_CONNMARK.h", "kernel/xt_connmark.h", "nfc/é", "trailing.dot.", "con.txt", "%41%00", "~", ".hidden", ".ecluse", "x.part", "=cmd()",
		strings.Repeat("n", 255),
	} {
		write(t, filepath.Join(dir, name), fmt.Appendf(nil, "%d: %s\n", i, name))
	}
	for i, mode := range []fs.FileMode{0o400, 0o600, 0o700, 0o755, 0o500, 0o640} {
		p := filepath.Join(dir, "modes", fmt.Sprintf("%04o", mode))
		write(t, p, []byte("mode"))
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
		when := time.Unix(1_000_000_000+int64(i)*86_400, 0)
		if err := os.Chtimes(p, when, when); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"empty", "nested/empty/one", "nested/empty/two"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "empty file"), nil)
	deep := dir
	for i := range 40 {
		deep = filepath.Join(deep, fmt.Sprintf("level %d", i))
	}
	write(t, filepath.Join(deep, "bottom"), []byte("forty levels down"))
	old := time.Unix(-86_400, 0)
	if err := os.Chtimes(filepath.Join(dir, "empty"), old, old); err != nil {
		t.Fatal(err)
	}
}

// source copies the Go toolchain's own source, or part of it.
func source(t testing.TB, to string, parts ...string) {
	t.Helper()
	goroot := strings.TrimSpace(output(t, "go", "env", "GOROOT"))
	if len(parts) == 0 {
		output(t, "cp", "-r", filepath.Join(goroot, "src"), to)
		return
	}
	for _, p := range parts {
		if err := os.MkdirAll(filepath.Join(to, filepath.Dir(p)), 0o755); err != nil {
			t.Fatal(err)
		}
		output(t, "cp", "-r", filepath.Join(goroot, "src", p), filepath.Join(to, p))
	}
}
