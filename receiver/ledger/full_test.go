package ledger

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
)

// R3 of the threats: on a disk without a free byte a state opens, after any end, and takes a decision.
func TestAFullDiskIsOpenedAndTakesADecision(t *testing.T) {
	for _, end := range []string{"closed in order", "killed", "without its catalog"} {
		t.Run(end, func(t *testing.T) {
			dir := t.TempDir()
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64m"); err != nil {
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
			spare := disk.NewSpare(disk.New(), dir)
			if err := spare.Keep(); err != nil {
				t.Fatal(err)
			}
			b := chained(t, dir)
			b.end(end == "closed in order")
			if end == "without its catalog" {
				loseCatalog(t, dir)
			}
			f, err := os.Create(filepath.Join(dir, "filler"))
			for err == nil {
				_, err = f.Write(make([]byte, 4096))
			}
			f.Close()
			if b, err := closed(t, dir); err == nil {
				_ = b.Close(false)
				t.Log("it opens even without spare room")
			}
			spare.GiveWhenFull()
			b = open(t, dir)
			b.SetSpare(spare)
			b.goes(1, Approved)
			b.end(true)
			b = open(t, dir)
			if b.state(1) != Approved {
				t.Errorf("it is %s", b.state(1))
			}
			b.end(true)
		})
	}
}

// A disk that is full while the book runs takes the spare room, and the process goes on.
func TestSpareRoomIsUsedOnce(t *testing.T) {
	b := fresh(t)
	given := 0
	b.spare = giver(func() bool { given++; return given == 1 })
	b.goes(1, Receiving)
	b.disk.set(func(d *watched) {
		d.fail = func(string) error {
			if given == 0 {
				return unix.ENOSPC
			}
			return nil
		}
	})
	b.goes(1, Quarantined)
	if given != 1 || b.state(1) != Quarantined {
		t.Errorf("given %d times, and it is %s", given, b.state(1))
	}
}

type giver func() bool

func (giver) Ready() bool  { return true }
func (g giver) Give() bool { return g() }
func (giver) Keep() error  { return nil }
