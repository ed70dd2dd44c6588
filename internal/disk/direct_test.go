package disk

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// paged gives n random bytes that lie at a place modulo Page.
func paged(n, at int) []byte {
	room := make([]byte, n+2*Page)
	from := (at - int(addressOf(room))) & (Page - 1)
	b := room[from : from+n : from+n]
	r := rand.NewChaCha8([32]byte{byte(n), byte(at)})
	_, _ = r.Read(b)
	return b
}

// Whatever lies where, the file holds it; and where whole pages lie alike, they go past the page cache.
func TestWritesPastThePageCacheAreWhatTheyAre(t *testing.T) {
	var seen []Op
	d := Watched(&recorder{&seen})
	path := filepath.Join(t.TempDir(), "file")
	f, err := d.OpenStaged(path)
	if err != nil {
		t.Fatal(err)
	}
	offered := f.past() != nil
	if !offered {
		t.Log("this file system offers no direct writes: only the usual way is tested")
	}
	want := make([]byte, 0, 64<<20)
	for _, c := range []struct {
		name       string
		at, length int
		lies       int // of memory, beyond where it should
		direct     bool
	}{
		{"whole pages", 0, 2 << 20, 0, true},
		{"an end that is none", 2 << 20, 1<<20 + 17, 0, true},
		{"a beginning that is none", 3<<20 + 17, 1<<20 + 2*Page, 0, true},
		{"neither", 5<<20 + 100, 3<<20 + 1, 0, true},
		{"memory that lies otherwise", 9 << 20, 2 << 20, 8, false},
		{"little", 12 << 20, directLeast - 1, 0, false},
		{"just enough", 14 << 20, directLeast, 0, true},
		{"over what is there", 1 << 20, 4 << 20, 0, true},
		{"a few bytes", 100, 3, 0, false},
		{"nothing", 200, 0, 0, false},
		{"behind the end", 40<<20 + 5, 2 << 20, 0, true},
	} {
		b := paged(c.length, c.at+c.lies)
		seen = nil
		if n, err := f.WriteThrough(b, int64(c.at)); n != len(b) || err != nil {
			t.Fatalf("%s: %d of %d bytes, %v", c.name, n, len(b), err)
		}
		past := false
		for _, op := range seen {
			flags, err := unix.FcntlInt(uintptr(op.Fd), unix.F_GETFL, 0)
			past = past || err == nil && flags&unix.O_DIRECT != 0
		}
		if past != (c.direct && offered) {
			t.Errorf("%s: past the page cache: %v", c.name, past)
		}
		if c.at+c.length > len(want) {
			want = want[:c.at+c.length]
		}
		copy(want[c.at:], b)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the file is not what was written: %d bytes of %d, %v", len(got), len(want), err)
	}
}

// recorder keeps what acts there were.
type recorder struct{ seen *[]Op }

func (r *recorder) Before(op *Op) error { *r.seen = append(*r.seen, *op); return nil }
func (*recorder) After(*Op, error)      {}

// A disk that fails is heard of, and what a probe cuts short is an error.
func TestAWritePastThePageCacheThatFails(t *testing.T) {
	d := Watched(&refusing{})
	f, err := New().OpenStaged(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.d = d
	if _, err := f.WriteThrough(paged(2<<20, 0), 0); err == nil {
		t.Error("a full disk was not heard of")
	}
}

type refusing struct{}

func (refusing) Before(op *Op) error {
	if op.Kind == Write {
		op.Len /= 2
		return syscall.ENOSPC
	}
	return nil
}
func (refusing) After(*Op, error) {}

func TestWhereDirectWritesAreNotOffered(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "ecluse-direct-")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("a file system in memory is not here: ", err)
		}
		t.Skip("SKIPPED: a file system in memory is not here: ", err)
	}
	defer os.RemoveAll(dir)
	f, err := New().OpenStaged(filepath.Join(dir, "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := paged(3<<20+5, 7)
	if n, err := f.WriteThrough(b, 7); n != len(b) || err != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	got, err := os.ReadFile(f.Name())
	if err != nil || !bytes.Equal(got[7:], b) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
