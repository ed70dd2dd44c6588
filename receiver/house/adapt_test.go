package house

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"ecluse/internal/disk"
)

// The room that was given free for records is not for content, however much of that is still coming.
func TestContentTakesNothingOfTheSpareRoom(t *testing.T) {
	d := disk.New()
	dir := t.TempDir()
	spare := disk.NewSpare(d, dir)
	f, err := stagedDisk{d, spare}.OpenStaged(filepath.Join(dir, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	write := func() error {
		_, err := f.WriteAt([]byte("x"), 0)
		_, through := f.WriteThrough([]byte("x"), 0)
		if errors.Is(err, syscall.ENOSPC) != errors.Is(through, syscall.ENOSPC) {
			t.Errorf("one way to write says %v, the other %v", err, through)
		}
		return err
	}
	for range 2 {
		if err := spare.Keep(); err != nil {
			t.Fatal(err)
		}
		if err := write(); err != nil {
			t.Fatal(err)
		}
		if !spare.Give() {
			t.Fatal("there was nothing to give")
		}
		if err := write(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("content was written where the disk is full: %v", err)
		}
	}
}
