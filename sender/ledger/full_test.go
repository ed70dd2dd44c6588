package ledger

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
)

// A disk on which there is room for a record and none for the catalog, at every size of what is left. Changes wait or are made, and the book goes on.
func TestAFullDiskEndsNoBook(t *testing.T) {
	for _, what := range []string{"with spare room", "where others have eaten the spare room"} {
		t.Run(what, func(t *testing.T) { fullDisk(t, what == "with spare room") })
	}
}

// eaten is spare room that is gone when it is needed.
type eaten struct{}

func (eaten) Ready() bool { return true }
func (eaten) Give() bool  { return false }
func (eaten) Keep() error { return nil }

func fullDisk(t *testing.T, kept bool) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no small disk: %v", err)
		}
		t.Skipf("SKIPPED: a small disk takes root (%v)", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	var spare Spare = disk.NewSpare(disk.New(), dir)
	if !kept {
		spare = eaten{}
	}
	b := openWith(t, dir, spare)
	must(t, spare.Keep())
	must(t, b.claim(0))
	f, err := os.Create(filepath.Join(dir, "filler"))
	must(t, err)
	made, waited, lagged := 0, 0, 0
	for n := 1; n < 400; n++ {
		at, err := f.Seek(0, io.SeekEnd)
		for must(t, err); err == nil; at += 4096 {
			_, err = f.WriteAt(make([]byte, 4096), at)
		}
		must(t, f.Truncate(max(0, at-int64(n%13+2)<<12))) // some pages for the change: sooner or later the record has room and the catalog has none
		switch err := b.claim(n); {
		case err == nil:
			made++
		case errors.Is(err, syscall.ENOSPC) && !errors.Is(err, ErrFatal):
			waited++
		default:
			t.Fatalf("change %d: %v", n, err)
		}
		if b.Lagging() {
			lagged++
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "spare")); made == 0 || kept && waited == 0 || err == nil {
		t.Errorf("%d changes were made and %d had no room, and the spare room is %v: the test shows nothing", made, waited, err)
	}
	must(t, f.Truncate(0))
	must(t, b.claim(999))
	if b.Lagging() || !kept && lagged == 0 {
		t.Errorf("the catalog lagged %d times, and there is room again: %v", lagged, b.Lagging())
	}
	must(t, b.end(true))
	must(t, f.Close())
	must(t, os.Remove(filepath.Join(dir, "filler")))
	b = open(t, dir)
	must(t, b.claim(1000))
	list, err := b.List(context.Background(), Query{Limit: 1000})
	must(t, err)
	if len(list) != made+3 {
		t.Errorf("%d changes were made, and the list has %d", made+3, len(list))
	}
	must(t, b.end(true))
}
