package dispatch

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/sender/ledger"
	"ecluse/sender/outbox"
)

func TestWhatCannotTravelFailsWithItsReasonAndNoSequence(t *testing.T) {
	for _, row := range []struct {
		name   string
		spoil  func(t *testing.T, path string) // between claim and reading
		reason string
		stays  bool // the item can still be put away
	}{
		{"a link", func(t *testing.T, p string) { must(t, os.Symlink("/etc/passwd", filepath.Join(p, "link"))) }, "cannot travel", true},
		{"a pipe", func(t *testing.T, p string) { must(t, syscall.Mkfifo(filepath.Join(p, "pipe"), 0o600)) }, "cannot travel", true},
		{"a file with two names", func(t *testing.T, p string) { must(t, os.Link(filepath.Join(p, "x"), filepath.Join(p, "y"))) }, "cannot travel", true},
		{"nothing: it vanished", func(t *testing.T, p string) { must(t, os.RemoveAll(p)) }, "", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			y := build(t)
			l := y.start()
			item := y.claim(0, bundle.Normal, "item", map[string][]byte{"x": []byte("x")})
			row.spoil(t, item.Path)
			must(t, l.Submit(item))
			next := l.send("next", map[string][]byte{"": []byte("next")})
			r := l.reach(item.ID, ledger.Failed)
			if r.Reason == nil || !strings.Contains(*r.Reason, row.reason) || r.Sequence != nil || r.Finished == nil {
				t.Errorf("record %+v, reason %v", r, r.Reason)
			}
			if y.high.see(item.ID, func(a *arrived) bool { return len(a.offers) > 0 }) || y.high.abandons(item.ID) > 0 {
				t.Error("something of it was sent")
			}
			if row.stays {
				got := y.place(0, "failed", item.ID.String())
				if !strings.Contains(string(got["REASON.txt"]), row.reason) || string(got["item/x"]) != "x" {
					t.Errorf("in failed stands %v", keys(got))
				}
				y.stands(nil, "sending", item.ID.String())
			}
			l.reach(next.ID, ledger.Sent)
			if w := y.high.whole(next.ID, 1); w.manifest.Sequence != 1 {
				t.Errorf("the next item has sequence %d", w.manifest.Sequence)
			}
		})
	}
}

// aLot is more than the link holds of what has not left: reading comes to no end while the link is held.
const aLot = 32 << 20

// changing claims an item, holds the link until its offer and first chunks wait, changes it, and lets go.
func (l *life) changing(change func(path string)) outbox.Item {
	l.socket.hold(true)
	item := l.send("item", map[string][]byte{"a": noise(1, aLot), "b": noise(2, 5000)})
	eventually(l.y.t, "it is offered", func() bool { return l.book(item.ID).State == ledger.Sending })
	change(filepath.Join(item.Path, "b"))
	l.socket.hold(false)
	return item
}

func TestAnItemThatChangesWhileItIsReadIsAbandoned(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, path string){
		"grown":    func(t *testing.T, p string) { must(t, os.WriteFile(p, noise(3, 6000), 0o644)) },
		"replaced": func(t *testing.T, p string) { must(t, os.Remove(p)); must(t, os.WriteFile(p, noise(2, 5000), 0o644)) },
		"gone":     func(t *testing.T, p string) { must(t, os.Remove(p)) },
	} {
		t.Run(name, func(t *testing.T) {
			y := build(t, "default", "other")
			y.chunk = bundle.ChunkSizeMax
			l := y.start()
			item := l.changing(func(p string) { change(t, p) })
			mine, theirs := l.send("next", map[string][]byte{"": []byte("next")}), y.claim(1, bundle.Bulk, "theirs", map[string][]byte{"": []byte("theirs")})
			must(t, l.Submit(theirs))
			r := l.reach(item.ID, ledger.Failed)
			if r.Reason == nil || !strings.Contains(*r.Reason, "changed while it was read") || r.Sequence != nil || r.PassesDone != 0 {
				t.Errorf("record %+v", r)
			}
			if got := y.place(0, "failed", item.ID.String()); !strings.Contains(string(got["REASON.txt"]), *r.Reason) || len(got["item/a"]) != aLot {
				t.Errorf("in failed stands %v", keys(got))
			}
			eventually(t, "the receiver is told", func() bool { return y.high.abandons(item.ID) == 1 })
			y.high.see(item.ID, func(a *arrived) bool {
				if len(a.offers) != 1 || len(a.closes) != 0 || a.abandon[0].Tenant != "default" || !strings.Contains(a.abandon[0].Reason, "changed while it was read") {
					t.Errorf("it has %d offers, %d closes and the abandon %+v", len(a.offers), len(a.closes), a.abandon)
				}
				return true
			})
			l.reach(mine.ID, ledger.Sent)
			l.reach(theirs.ID, ledger.Sent)
			if w := y.high.whole(mine.ID, 1); w.manifest.Sequence != 1 {
				t.Errorf("what failed took a sequence: the next has %d", w.manifest.Sequence)
			}
		})
	}
}

// full is a disk that has room for nothing that f names.
func full(f func(act, path string) bool) func(act, path string) error {
	return func(act, path string) error {
		if f(act, path) {
			return &os.PathError{Op: act, Path: path, Err: syscall.ENOSPC}
		}
		return nil
	}
}

func TestAFullDiskOnlyPostpones(t *testing.T) {
	files := map[string][]byte{"a": noise(1, 50_000)}
	for _, row := range []struct {
		name string
		when func(l *life, item outbox.Item) bool // the disk is full where this is true
	}{
		{"before anything is noted", func(*life, outbox.Item) bool { return true }},
		{"when it is to be signed", func(l *life, item outbox.Item) bool { return l.book(item.ID).State == ledger.Sending }},
		{"when its pass is out", func(l *life, item outbox.Item) bool { return l.book(item.ID).Sequence != nil }},
	} {
		t.Run(row.name, func(t *testing.T) {
			y := build(t)
			l := y.start()
			item := y.claim(0, bundle.Normal, "item", files)
			var refused atomic.Int64
			y.disk.set(full(func(act, path string) bool {
				if act == "put" && row.when(l, item) {
					refused.Add(1)
					return true
				}
				return false
			}))
			must(t, l.Submit(item))
			eventually(t, "the disk is full a few times", func() bool { return refused.Load() > 5 })
			if r := l.book(item.ID); r.State.Final() {
				t.Fatalf("with a full disk it is %s", r.State)
			}
			y.stands(under("item", files), "sending", item.ID.String())
			if y.high.abandons(item.ID) != 0 {
				t.Error("it was abandoned")
			}
			y.disk.set(nil)
			r := l.reach(item.ID, ledger.Sent)
			if r.PassesDone != 1 || r.SentBytes != 50_000 || r.Reason != nil {
				t.Errorf("record %+v", r)
			}
			y.stands(under("item", files), "sent", "1")
			if w := y.high.see(item.ID, func(a *arrived) bool { return len(a.closes) > 0 && a.closes[0].Sequence == 1 }); !w {
				t.Error("it did not come, or not as sequence 1")
			}
			if err := l.fatal(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAFailureIsNotedWhenTheDiskHasRoomAgain(t *testing.T) {
	y := build(t)
	l := y.start()
	y.disk.set(full(func(act, _ string) bool { return act == "put" }))
	item := y.claim(0, bundle.Normal, "item", map[string][]byte{"x": []byte("x")})
	must(t, os.Symlink("nowhere", filepath.Join(item.Path, "link")))
	must(t, l.Submit(item))
	time.Sleep(100 * time.Millisecond)
	if n, _ := l.Waiting(); n != 1 {
		t.Errorf("%d wait", n)
	}
	y.disk.set(nil)
	l.reach(item.ID, ledger.Failed)
	if got := y.place(0, "failed", item.ID.String()); got["REASON.txt"] == nil {
		t.Errorf("in failed stands %v", keys(got))
	}
}

func TestAFailedSyncIsFatalAndNothingIsReportedSent(t *testing.T) {
	for name, cause := range map[string]error{"EIO": syscall.EIO, "ENOSPC": syscall.ENOSPC} {
		t.Run(name, func(t *testing.T) {
			y := build(t)
			l := y.start()
			first := l.send("first", map[string][]byte{"": []byte("first")})
			l.reach(first.ID, ledger.Sent)
			y.disk.set(func(act, _ string) error {
				if act == "sync" {
					return cause
				}
				return nil
			})
			item := l.send("item", map[string][]byte{"": []byte("item")})
			eventually(t, "it is fatal", func() bool { return l.fatal() != nil })
			if !errors.Is(l.fatal(), ledger.ErrFatal) {
				t.Errorf("it ended with %v", l.fatal())
			}
			if err := l.end(); !errors.Is(err, ledger.ErrFatal) {
				t.Errorf("the ledger ended with %v", err)
			}
			if y.high.see(item.ID, func(a *arrived) bool { return len(a.closes)+a.again.closes > 0 }) {
				t.Error("its close left, and its signature is not durable")
			}
			y.stands(map[string][]byte{"item": []byte("item")}, "sending", item.ID.String())
			y.stands(map[string][]byte{"first": []byte("first")}, "sent", "1")
			y.disk.set(nil)
			l = y.start()
			l.reach(item.ID, ledger.Sent)
		})
	}
}

// unreadable is a disk that once cannot read a manifest: the so manieth time that one is read.
type unreadable struct{ until atomic.Int64 }

func (u *unreadable) Before(op *disk.Op) error {
	if op.Kind == disk.Read && strings.HasSuffix(op.Path, "/manifest.json") && u.until.Add(-1) == 0 {
		return syscall.EIO
	}
	return nil
}

func (u *unreadable) After(*disk.Op, error) {}

// An error of the state's disk says nothing about an item. A bundle that has its sequence waits and goes out under it: given up, it would be missing on the high side for good.
func TestAManifestThatCannotBeReadOnlyPostpones(t *testing.T) {
	for at := int64(1); ; at++ {
		y := build(t)
		u := &unreadable{}
		u.until.Store(at)
		y.disk.Disk = disk.Watched(u)
		l := y.start()
		item := l.send("item", map[string][]byte{"": []byte("content")})
		eventually(t, "it ends", func() bool { return l.book(item.ID).State.Final() })
		if r := l.book(item.ID); r.State != ledger.Sent || *r.Sequence != 1 || y.high.abandons(item.ID) != 0 {
			t.Errorf("read %d: %s, %+v", at, reasonOf(r), r)
		}
		if err := l.fatal(); err != nil {
			t.Errorf("read %d: %v", at, err)
		}
		must(t, l.end())
		if u.until.Load() > 0 {
			if at < 3 {
				t.Errorf("manifests were read %d times only", at-1)
			}
			return
		}
	}
}
