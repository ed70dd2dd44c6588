package ledger

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"ecluse/internal/catalog"
	"ecluse/internal/disk"
)

// A disk on which there is room for a record and none for the catalog, at every size of what is left. Changes wait or are made, and the book goes on.
func TestAFullDiskEndsNoBook(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no small disk: %v", err)
		}
		t.Skipf("SKIPPED: a small disk takes root (%v)", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	spare := disk.NewSpare(disk.New(), dir)
	b := open(t, dir)
	b.SetSpare(spare)
	must(spare.Keep())
	b.goes(1, Receiving)
	f, err := os.Create(filepath.Join(dir, "filler"))
	must(err)
	made, waited := 0, 0
	for n := 2; n < 400; n++ {
		at, err := f.Seek(0, io.SeekEnd)
		for must(err); err == nil; at += 4096 {
			_, err = f.WriteAt(make([]byte, 4096), at)
		}
		must(f.Truncate(max(0, at-int64(n%13+2)<<12))) // some pages for the change: sooner or later the record has room and the catalog has none
		for _, state := range []State{Receiving, Quarantined} {
			err := b.Change(context.Background(), id(n), func(r *Record) error {
				if r.State == "" {
					describe(r)
				}
				r.State = state
				return nil
			})
			switch {
			case err == nil:
				made++
			case catalog.NoRoom(err) && !errors.Is(err, ErrFatal):
				waited++
			default:
				t.Fatalf("change %d: %v", n, err)
			}
			if err != nil {
				break // the next one would be a step that its state does not allow
			}
		}
	}
	if made == 0 || waited == 0 || spare.Give() {
		t.Errorf("%d changes were made and %d had no room, or the spare room was never used: the test shows nothing", made, waited)
	}
	must(f.Close())
	must(os.Remove(filepath.Join(dir, "filler")))
	b.goes(1000, Receiving)
	b.end(true)
}
