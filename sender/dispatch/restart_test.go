package dispatch

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
	"ecluse/sender/ledger"
)

var errPower = errors.New("the power is gone")

// stopping makes every signature of the next life wait, until that ends.
func (y *yard) stopping() (signs chan struct{}) {
	signs, off := make(chan struct{}, 1000), make(chan struct{})
	y.signer.before = func([]byte) error {
		signs <- struct{}{}
		<-off
		return errPower
	}
	y.cut = func() {
		y.signer.before, y.cut = nil, nil
		close(off)
	}
	return signs
}

var content = map[string][]byte{"a": noise(1, 60_000), "b/c": []byte("c")}

func TestARestartTakesUpWhatWasNeverSubmitted(t *testing.T) {
	y := build(t)
	item := y.claim(0, bundle.Normal, "item", content)
	l := y.start()
	l.reach(item.ID, ledger.Sent)
	y.whole(item, content, 1)
}

func TestARestartBeginsAnUnsignedBundleAgainUnderItsID(t *testing.T) {
	y := build(t)
	signs := y.stopping()
	l := y.start()
	item := y.claim(0, bundle.Urgent, "item", content)
	must(t, l.Submit(item))
	<-signs
	eventually(t, "its chunks are there", func() bool {
		return y.high.see(item.ID, func(a *arrived) bool { return len(a.chunks) == 15 })
	})
	_ = l.end()
	time.Sleep(1100 * time.Millisecond) // another second: the offer has to say the old one
	l = y.start()
	r := l.reach(item.ID, ledger.Sent)
	if *r.Sequence != 1 || r.PassesDone != 1 || r.Priority != bundle.Urgent {
		t.Errorf("record %+v", r)
	}
	y.high.see(item.ID, func(a *arrived) bool {
		if len(a.offers) != 2 || a.offers[0] != a.offers[1] || len(a.closes) != 1 || a.offers[0].Created != a.offers[1].Created {
			t.Errorf("offers %+v, closes %+v", a.offers, a.closes)
		}
		return true
	})
	y.stands(under("item", content), "sent", "1")
}

func TestAnUnsignedBundleThatChangedOverARestartIsAbandoned(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"another size":      func(p string) error { return os.WriteFile(filepath.Join(p, "a"), []byte("short"), 0o644) },
		"it cannot travel":  func(p string) error { return os.Symlink("nowhere", filepath.Join(p, "link")) },
		"it is gone":        os.RemoveAll,
		"all of it is gone": func(p string) error { return os.RemoveAll(filepath.Dir(p)) },
	} {
		t.Run(name, func(t *testing.T) {
			y := build(t)
			signs := y.stopping()
			l := y.start()
			item := l.send("item", content)
			<-signs
			eventually(t, "it is offered, durably", func() bool { return y.high.see(item.ID, func(a *arrived) bool { return len(a.offers) == 1 }) })
			_ = l.end()
			must(t, change(item.Path))
			l = y.start()
			r := l.reach(item.ID, ledger.Failed)
			if r.Reason == nil || r.Sequence != nil {
				t.Errorf("record %+v", r)
			}
			eventually(t, "the receiver is told", func() bool { return y.high.abandons(item.ID) == 1 })
		})
	}
}

func TestARestartSendsASignedBundleAsItWasSigned(t *testing.T) {
	y := build(t)
	l := y.start()
	l.socket.hold(true)
	item := l.send("item", content)
	eventually(t, "it is signed", func() bool { return l.book(item.ID).Sequence != nil })
	before, err := l.ledger.Signed(l.book(item.ID))
	must(t, err)
	_ = l.end()
	for range 2 { // and the life after is no luckier
		l = y.open()
		l.socket.hold(true) // before anything of it can leave
		l.resume()
		eventually(t, "it is under way", func() bool { _, ok := l.Progress(item.ID); return ok })
		_ = l.end()
	}
	l = y.start()
	r := l.reach(item.ID, ledger.Sent)
	y.whole(item, content, 1)
	y.high.see(item.ID, func(a *arrived) bool {
		c := a.closes[0]
		if c.Sequence != 1 || c.Manifest != before.Digest || !bytes.Equal(c.Signature, before.Signature) {
			t.Errorf("close %+v, signed %+v", c, before)
		}
		return true
	})
	if *r.Sequence != 1 || r.PassesDone != 1 {
		t.Errorf("record %+v", r)
	}
	y.stands(under("item", content), "sent", "1")
}

func TestASignedBundleWhoseContentIsNotWhatWasSignedFails(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(path string) error
		reason string
	}{
		{"changed", func(p string) error { return os.WriteFile(filepath.Join(p, "a"), noise(9, 60_000), 0o644) }, "15 of 15 chunks"},
		{"a file is gone", func(p string) error { return os.Remove(filepath.Join(p, "b/c")) }, "1 of 15 chunks"},
		{"gone", os.RemoveAll, "gone"},
		{"all of it is gone", func(p string) error { return os.RemoveAll(filepath.Dir(p)) }, "gone"},
	} {
		t.Run(row.name, func(t *testing.T) {
			y := build(t)
			l := y.start()
			l.socket.hold(true)
			item := l.send("item", content)
			eventually(t, "it is signed", func() bool { return l.book(item.ID).Sequence != nil })
			_ = l.end()
			must(t, row.change(item.Path))
			l = y.start()
			r := l.reach(item.ID, ledger.Failed)
			if r.Reason == nil || !strings.Contains(*r.Reason, row.reason) || *r.Sequence != 1 {
				t.Errorf("record %+v, reason %v", r, *r.Reason)
			}
			next := l.send("next", map[string][]byte{"": []byte("next")})
			l.reach(next.ID, ledger.Sent)
			if y.high.abandons(item.ID) != 0 {
				t.Error("it was abandoned, and the receiver may have it")
			}
			eventually(t, "the gap is named", func() bool { return l.names(0) == 2 })
		})
	}
}

// names is the sequence that a heartbeat names now.
func (l *life) names(tenant int) uint64 {
	return l.Beat()[0].(*record.Heartbeat).Tenants[tenant].Sequence
}

func TestARestartGoesOnWithThePassThatIsNext(t *testing.T) {
	y := build(t)
	y.passes, y.apart = 3, time.Hour
	l := y.start()
	item := l.send("item", content)
	eventually(t, "the first pass is out", func() bool { return l.book(item.ID).PassesDone == 1 })
	_ = l.end()
	l = y.start()
	eventually(t, "the second pass is out", func() bool { return l.book(item.ID).PassesDone == 2 })
	_ = l.end()
	l = y.start()
	r := l.reach(item.ID, ledger.Sent)
	if r.PassesDone != 3 || r.SentBytes != 3*60_001 {
		t.Errorf("record %+v", r)
	}
	y.whole(item, content, 3)
	y.stands(under("item", content), "sent", "1")
}

func TestALaterPassOfWhatIsGoneLeavesItSent(t *testing.T) {
	y := build(t)
	y.passes, y.apart = 2, time.Hour
	l := y.start()
	item := l.send("item", content)
	eventually(t, "the first pass is out", func() bool { return l.book(item.ID).PassesDone == 1 })
	_ = l.end()
	must(t, os.RemoveAll(item.Path))
	must(t, os.WriteFile(item.Path, nil, 0o644)) // something, or it would not be claimed any more
	l = y.start()
	r := l.reach(item.ID, ledger.Sent)
	if r.Reason == nil || r.PassesDone != 1 {
		t.Errorf("record %+v", r)
	}
	if y.high.see(item.ID, func(a *arrived) bool { return len(a.closes) != 1 || len(a.abandon) != 0 }) {
		t.Error("the second pass was closed, or the bundle abandoned")
	}
}

func TestARestartPutsAwayWhatHasEnded(t *testing.T) {
	y := build(t)
	l := y.start()
	good := l.send("good", content)
	l.reach(good.ID, ledger.Sent)
	gone := y.claim(0, bundle.Normal, "gone", map[string][]byte{"x": []byte("x")})
	must(t, os.Symlink("nowhere", filepath.Join(gone.Path, "link")))
	must(t, l.Submit(gone))
	l.reach(gone.ID, ledger.Failed)
	_ = l.end()
	// As if the life had ended a moment before it put them away.
	house := filepath.Join(y.boxes[0].Dir(), ".ecluse")
	must(t, os.Mkdir(filepath.Dir(good.Path), 0o700))
	must(t, os.Rename(filepath.Join(house, "sent/1/good"), good.Path))
	must(t, os.Mkdir(filepath.Dir(gone.Path), 0o700))
	must(t, os.Rename(filepath.Join(house, "failed", gone.ID.String(), "gone"), gone.Path))
	l = y.start()
	eventually(t, "they are put away", func() bool { return len(y.place(0, "sending")) == 0 })
	y.stands(under("good", content), "sent", "1")
	if got := y.place(0, "failed", gone.ID.String()); string(got["gone/x"]) != "x" || !bytes.Contains(got["REASON.txt"], []byte("cannot travel")) {
		t.Errorf("in failed stands %v", keys(got))
	}
	l.reach(good.ID, ledger.Sent)
	y.whole(good, content, 1) // and not sent again
}

func TestARepairThatWasInterruptedGoesOn(t *testing.T) {
	y := build(t)
	l := y.start()
	item := l.send("item", content)
	l.reach(item.ID, ledger.Sent)
	l.socket.hold(true)
	must(t, l.Resend(context.Background(), item.ID, nil))
	_ = l.end()
	l = y.start()
	r := l.reach(item.ID, ledger.Sent)
	if r.PassesDone != 2 {
		t.Errorf("record %+v", r)
	}
	y.whole(item, content, 2)
	y.stands(under("item", content), "sent", "1")

	l.socket.hold(true)
	must(t, l.Resend(context.Background(), item.ID, nil))
	_ = l.end()
	must(t, os.RemoveAll(filepath.Join(y.boxes[0].Dir(), ".ecluse/sent/1")))
	l = y.start()
	if r := l.reach(item.ID, ledger.Sent); r.Reason == nil || !strings.Contains(*r.Reason, "gone") {
		t.Errorf("record %+v", r)
	}
	y.stands(nil, "failed")
}
