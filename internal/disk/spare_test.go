package disk

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// smallDisk mounts a tmpfs, which takes root.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no small disk: %v", err)
		}
		t.Skipf("SKIPPED: a small disk takes root (%v)", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes all room there is.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for b := make([]byte, 1<<16); err == nil; {
		_, err = f.Write(b)
	}
	for b := make([]byte, 1); errors.Is(err, unix.ENOSPC); {
		if _, err = f.Write(b); errors.Is(err, unix.ENOSPC) {
			return
		}
	}
	t.Fatal(err)
}

// A full disk still takes what its owner has to write.
func TestSpareRoomIsGivenWhenTheDiskIsFullAndMadeAgain(t *testing.T) {
	dir := smallDisk(t, "32m")
	s := NewSpare(New(), dir)
	if s.GiveWhenFull() || s.Give() {
		t.Error("room was given that nobody has kept")
	}
	for range 2 {
		if err := s.Keep(); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(filepath.Join(dir, "spare", "0")); err != nil || info.Size() != spareLeast {
			t.Fatalf("%+v, %v", info, err)
		}
		if s.GiveWhenFull() {
			t.Error("it was given on a disk that is empty")
		}
		fill(t, filepath.Join(dir, "filler"))
		if err := os.WriteFile(filepath.Join(dir, "x"), make([]byte, 1<<16), 0o600); !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("the disk is not full: %v", err)
		}
		if s.Given() || !s.GiveWhenFull() || !s.Given() {
			t.Fatal("nothing was given")
		}
		if err := os.WriteFile(filepath.Join(dir, "x"), make([]byte, spareLeast-1<<16), 0o600); err != nil {
			t.Error(err)
		}
		if err := s.Keep(); err != nil {
			t.Errorf("that it cannot be made again on a full disk is no error: %v", err)
		}
		if s.Give() || !s.Given() {
			t.Error("it was made on a full disk")
		}
		for _, name := range []string{"filler", "x"} {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Inodes run out too.
func TestSpareInodesAreGivenWhenThereAreNone(t *testing.T) {
	dir := smallDisk(t, "32m,nr_inodes=200")
	s := NewSpare(New(), dir)
	if err := s.Keep(); err != nil {
		t.Fatal(err)
	}
	if s.GiveWhenFull() || !s.Ready() {
		t.Error("it was given on a disk that is empty, or is not ready")
	}
	made := 0
	for ; ; made++ {
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(made)), nil, 0o600); errors.Is(err, unix.ENOSPC) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if !s.Ready() || !s.GiveWhenFull() {
		t.Fatal("nothing was given")
	}
	if !s.Ready() {
		t.Error("what was given is not room enough")
	}
	for i := range spareInodes {
		if s.Plenty() != (i <= spareInodes/2+1) || !s.Ready() {
			t.Errorf("%d of %d inodes are taken: plenty %v, ready %v", i, spareInodes, s.Plenty(), s.Ready())
		}
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(made+i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Keep(); err != nil || s.Give() {
		t.Errorf("%v: it was made again without inodes", err)
	}
}
