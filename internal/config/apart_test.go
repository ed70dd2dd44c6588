package config

import (
	"os"
	"path/filepath"
	"testing"
)

func TestDirectoriesThatLieOneWithinTheOther(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "a"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		a, b string
		want int
	}{
		{"a", "a", 1}, {"a", "a/b", 1}, {"a/b", "a", 1}, {"a/", "a//b/../b", 1}, {"link", "a/b", 1}, {"a/b/not/there", "link", 1}, {"link/b", "a/b", 1},
		{"a", "ab", 0}, {"a/b", "a/c", 0}, {"a", "c", 0}, {"not", "there", 0},
	} {
		f := newFaults("test")
		Apart(f, Directory{"x", dir + "/" + row.a}, Directory{"y", dir + "/" + row.b})
		if got := len(f.all); got != row.want {
			t.Errorf("%s and %s: %d faults, want %d", row.a, row.b, got, row.want)
		}
	}
	f := newFaults("test")
	Outside(f, Directory{"key", dir + "/a/key"}, Directory{"outbox", dir + "/link"})
	Outside(f, Directory{"key", dir + "/key"}, Directory{"outbox", dir + "/a"})
	if got := len(f.all); got != 1 {
		t.Errorf("%d faults of two files, want 1", got)
	}
}
