package ledger

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
)

// On a disk without a free byte a state opens, after any end, and takes a decision.
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

// Refusals come without end on a full disk: what nobody waits for leaves room for decisions.
func TestWhatNobodyWaitsForLeavesRoomForDecisions(t *testing.T) {
	b := fresh(t)
	b.goes(1, Receiving, Quarantined)
	b.spare = scarce{}
	refused := make(chan error, 1)
	b.Post(id(2), func(r *Record) error {
		describe(r)
		r.State = Refused
		return nil
	}, func(err error) { refused <- err })
	if err := <-refused; !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a refusal took the last room: %v", err)
	}
	b.goes(1, Rejected)
	if b.state(1) != Rejected || b.state(2) != "" {
		t.Errorf("they are %q and %q", b.state(1), b.state(2))
	}
}

// scarce is spare room of which less than half is left.
type scarce struct{}

func (scarce) Ready() bool  { return true }
func (scarce) Plenty() bool { return false }
func (scarce) Give() bool   { return false }
func (scarce) Keep() error  { return nil }

type giver func() bool

func (giver) Ready() bool  { return true }
func (giver) Plenty() bool { return true }
func (g giver) Give() bool { return g() }
func (giver) Keep() error  { return nil }
