package dispatch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/protocol/ticket"
	"ecluse/sender/ledger"
)

func TestResendSendsAllAgain(t *testing.T) {
	y := build(t)
	l := y.start()
	item := l.send("item", content)
	l.reach(item.ID, ledger.Sent)
	for n := 2; n <= 3; n++ {
		must(t, l.Resend(context.Background(), item.ID, nil))
		if r := l.reach(item.ID, ledger.Sent); r.PassesDone != n || r.Finished == nil {
			t.Errorf("record %+v", r)
		}
		y.whole(item, content, n)
	}
	y.stands(under("item", content), "sent", "1")
}

func TestResendSendsOnlyTheChunksThatAreWanted(t *testing.T) {
	y := build(t)
	l := y.start()
	item := l.send("item", content)
	l.reach(item.ID, ledger.Sent)
	must(t, l.Resend(context.Background(), item.ID, []ticket.Range{{From: 3, Count: 1}, {From: 14, Count: 1}}))
	l.reach(item.ID, ledger.Sent)
	y.high.see(item.ID, func(a *arrived) bool {
		if len(a.offers) != 2 || len(a.closes) != 2 {
			t.Errorf("%d offers, %d closes", len(a.offers), len(a.closes))
		}
		for n, f := range a.chunks {
			if want := 1 + btoi(n == 3 || n == 14); f.times() != want {
				t.Errorf("chunk %d came %d times, want %d", n, f.times(), want)
			}
		}
		return len(a.chunks) > 15
	})
	must(t, l.Resend(context.Background(), item.ID, []ticket.Range{{From: 15}})) // the manifest alone
	if r := l.reach(item.ID, ledger.Sent); r.Reason != nil || len(r.Asked) > 0 {
		t.Errorf("record %+v", r)
	}
	y.high.see(item.ID, func(a *arrived) bool {
		for n, f := range a.chunks {
			if want := 1 + btoi(n == 3 || n >= 14); f.times() != want {
				t.Errorf("chunk %d came %d times, want %d", n, f.times(), want)
			}
		}
		return len(a.closes) == 3
	})
}

// A repair that a restart cut short goes on with the chunks that were asked for.
func TestARestartSendsOnlyTheChunksThatWereAskedFor(t *testing.T) {
	y := build(t)
	l := y.start()
	item := l.send("item", content)
	l.reach(item.ID, ledger.Sent)
	must(t, Again(context.Background(), l.ledger, item.ID, []ticket.Range{{From: 3, Count: 2}}))
	_ = l.end()
	l = y.start()
	l.reach(item.ID, ledger.Sent)
	y.high.see(item.ID, func(a *arrived) bool {
		for n, f := range a.chunks {
			if want := 1 + btoi(n == 3 || n == 4); f.times() != want {
				t.Errorf("chunk %d came %d times, want %d", n, f.times(), want)
			}
		}
		return len(a.closes) == 2
	})
}

func TestAReceiptClearsWhatWasSentAndNothingElse(t *testing.T) {
	y := build(t)
	l := y.start()
	ctx := context.Background()
	one, two := l.send("one", content), l.send("two", content)
	l.reach(one.ID, ledger.Sent)
	l.reach(two.ID, ledger.Sent)
	must(t, l.Confirm(ctx, two.ID))
	must(t, l.Confirm(ctx, two.ID)) // a receipt that is typed twice does no harm
	if r := l.book(two.ID); r.State != ledger.Confirmed || r.Finished == nil {
		t.Errorf("record %+v", r)
	}
	if r := l.book(one.ID); r.State != ledger.Sent {
		t.Errorf("what was not named is %+v", r)
	}
	sent := filepath.Join(y.boxes[0].Dir(), ".ecluse/sent")
	if names, err := os.ReadDir(sent); err != nil || len(names) != 1 || names[0].Name() != fmt.Sprint(*l.book(one.ID).Sequence) {
		t.Errorf("sent/ holds %v, %v", names, err)
	}
	if err := l.Resend(ctx, two.ID, nil); !errors.Is(err, ErrNotHere) {
		t.Error("what was cleared is sent again:", err)
	}
	l.socket.hold(true)
	three := l.send("three", content)
	eventually(t, "it is sending", func() bool { return l.book(three.ID).State == ledger.Sending })
	if err := l.Confirm(ctx, three.ID); !errors.Is(err, ErrNotSent) {
		t.Error("what is being sent is confirmed:", err)
	}
	l.socket.hold(false)
	if r := l.reach(three.ID, ledger.Sent); r.State != ledger.Sent {
		t.Errorf("record %+v", r)
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestOnlyWhatWasSentAndIsHereIsSentAgain(t *testing.T) {
	y := build(t)
	l := y.start()
	ctx := context.Background()
	if err := l.Resend(ctx, bundle.ID{99}, nil); !errors.Is(err, ledger.ErrNotFound) {
		t.Error("unknown:", err)
	}
	l.socket.hold(true)
	item := l.send("item", content)
	eventually(t, "it is sending", func() bool { return l.book(item.ID).State == ledger.Sending })
	if err := l.Resend(ctx, item.ID, nil); err == nil || errors.Is(err, ErrNotHere) {
		t.Error("sending:", err)
	}
	l.socket.hold(false)
	l.reach(item.ID, ledger.Sent)
	must(t, os.RemoveAll(filepath.Join(y.boxes[0].Dir(), ".ecluse/sent/1")))
	if err := l.Resend(ctx, item.ID, nil); !errors.Is(err, ErrNotHere) {
		t.Error("gone:", err)
	}
	if r := l.book(item.ID); r.State != ledger.Sent {
		t.Errorf("record %+v", r)
	}
	bad := y.claim(0, bundle.Normal, "bad", map[string][]byte{"x": nil})
	must(t, os.Symlink("nowhere", filepath.Join(bad.Path, "link")))
	must(t, l.Submit(bad))
	l.reach(bad.ID, ledger.Failed)
	if err := l.Resend(ctx, bad.ID, nil); err == nil {
		t.Error("what failed is sent again")
	}
}

func TestManyWhoAskAtOnceGetOneRepair(t *testing.T) {
	y := build(t)
	l := y.start()
	item := l.send("item", content)
	eventually(t, "it is sent", func() bool { return l.book(item.ID).State == ledger.Sent }) // and perhaps not put away yet
	l.socket.hold(true)
	var group sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		group.Go(func() { errs[i] = l.Resend(context.Background(), item.ID, nil) })
	}
	group.Wait()
	l.socket.hold(false)
	good := 0
	for _, err := range errs {
		if errors.Is(err, ErrNotHere) {
			t.Error(err)
		}
		good += btoi(err == nil)
	}
	if good != 1 {
		t.Errorf("%d repairs were granted: %v", good, errs)
	}
	if r := l.reach(item.ID, ledger.Sent); r.PassesDone != 2 {
		t.Errorf("record %+v", r)
	}
	y.whole(item, content, 2)
}

func TestARepairIsDoneThoughItsCallerIsGone(t *testing.T) {
	y := build(t)
	l := y.start()
	item := l.send("item", content)
	l.reach(item.ID, ledger.Sent)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for range 20 {
		_ = l.Resend(ctx, item.ID, nil)
		must(t, l.ledger.Change(context.Background(), item.ID, func(*ledger.Record) error { return nil })) // behind what it asked for
		l.reach(item.ID, ledger.Sent)
	}
}

func TestARepairWaitsUntilTheItemIsPutAway(t *testing.T) {
	y := build(t)
	l := y.start()
	item := l.send("item", content)
	l.reach(item.ID, ledger.Sent)
	sent := filepath.Join(y.boxes[0].Dir(), ".ecluse/sent/1")
	must(t, os.Rename(sent, sent+"-away"))
	moving := &task{record: l.book(item.ID)} // as it is between the record and the move
	l.hold(moving)
	done := make(chan error, 1)
	go func() { done <- l.Resend(context.Background(), item.ID, nil) }()
	select {
	case err := <-done:
		t.Fatal("it did not wait:", err)
	case <-time.After(50 * time.Millisecond):
	}
	must(t, os.Rename(sent+"-away", sent))
	l.forget(moving)
	must(t, <-done)
	l.reach(item.ID, ledger.Sent)
	y.whole(item, content, 2)
}

func TestARepairOfWhatChangedSendsOnlyWhatIsAsItWas(t *testing.T) {
	y := build(t)
	l := y.start()
	item := l.send("item", content)
	l.reach(item.ID, ledger.Sent)
	spoilt := noise(1, 60_000)
	spoilt[20_000]++ // in chunk 4
	must(t, os.WriteFile(filepath.Join(y.boxes[0].Dir(), ".ecluse/sent/1/item/a"), spoilt, 0o600))
	must(t, l.Resend(context.Background(), item.ID, nil))
	l.reach(item.ID, ledger.Sent)
	y.high.see(item.ID, func(a *arrived) bool {
		for n, f := range a.chunks {
			if want := 2 - btoi(n == 4); f.times() != want {
				t.Errorf("chunk %d came %d times, want %d", n, f.times(), want)
			}
		}
		return len(a.closes) == 2
	})
}
