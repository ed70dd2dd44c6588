package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestAWholeFileOrNothing(t *testing.T) {
	d, dir := New(), t.TempDir()
	path := filepath.Join(dir, "new", "deep", "file")
	prepared := func(path string, content []byte) error {
		return errors.Join(d.Prepare(path, content), d.Place(path), d.Discard(path))
	}
	for _, put := range []func(string, []byte) error{prepared, d.Replace} {
		for _, text := range []string{"first", "second, and longer", ""} {
			if err := put(path, []byte(text)); err != nil {
				t.Fatal(err)
			}
			if b, err := d.ReadFile(path, 100); err != nil || string(b) != text {
				t.Fatalf("%q, %v", b, err)
			}
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "taken"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := prepared(filepath.Join(dir, "taken"), []byte("x")); err == nil {
		t.Error("a directory was replaced by a file")
	}
	names, err := d.ReadDir(dir)
	if err != nil || strings.Join(names, " ") != "new taken" {
		t.Errorf("%v, %v", names, err)
	}
}

func TestReadsNoMoreThanTheLimitAndNoLinks(t *testing.T) {
	d, dir := New(), t.TempDir()
	path := filepath.Join(dir, "f")
	if err := d.Replace(path, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ReadFile(path, 99); err == nil {
		t.Error("read beyond the limit")
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ReadFile(link, 1000); err == nil {
		t.Error("followed a link")
	}
	if _, err := d.OpenStaged(link); err == nil {
		t.Error("opened a link")
	}
	if _, err := d.ReadFile(filepath.Join(dir, "none"), 10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestManySyncsShareOne(t *testing.T) {
	d, dir := New(), t.TempDir()
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			if err := d.SyncAll(dir); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, s := range d.systems {
		if s.running || len(s.waiting) > 0 {
			t.Error("somebody is left behind")
		}
	}
	if err := d.SyncAll(filepath.Join(dir, "none")); err == nil {
		t.Error("synced nothing")
	}
}

func TestSpace(t *testing.T) {
	free, err := New().Space(t.TempDir())
	if err != nil || free.Bytes <= 0 || free.Total < free.Bytes || free.Inodes == 0 {
		t.Errorf("%+v, %v", free, err)
	}
}
