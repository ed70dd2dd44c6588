package dispatch

import (
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/sender/ledger"
	"ecluse/sender/outbox"
)

func TestLanesGoOnWhileOneManifestIsSignedSlowly(t *testing.T) {
	y := build(t, "default", "other")
	release := make(chan struct{})
	var slow atomic.Bool
	y.signer.before = func([]byte) error {
		if !slow.Swap(true) {
			<-release
		}
		return nil
	}
	l := y.start()
	first := l.send("first", content)
	eventually(t, "it is being signed", slow.Load)
	var items []outbox.Item
	for tenant := range 2 {
		for _, class := range []bundle.Class{bundle.Urgent, bundle.Normal, bundle.Bulk} {
			for n := range 2 {
				item := y.claim(tenant, class, class.String()+strconv.Itoa(n), content)
				must(t, l.Submit(item))
				items = append(items, item)
			}
		}
	}
	for _, item := range items {
		eventually(t, "the content of all is there", func() bool {
			return y.high.see(item.ID, func(a *arrived) bool { return len(a.offers) == 1 && len(a.chunks) == 15 && len(a.closes) == 0 })
		})
	}
	if r := l.book(first.ID); r.State.Final() {
		t.Errorf("the first is %s", r.State)
	}
	close(release)
	for _, item := range append(items, first) {
		l.reach(item.ID, ledger.Sent)
		y.whole(item, content, 1)
	}
}

func TestManySmallItemsShareTheirSyncs(t *testing.T) {
	const count = 2000
	y := build(t)
	var items []outbox.Item
	for i := range count {
		items = append(items, y.claim(0, bundle.Normal, strconv.Itoa(i), map[string][]byte{"": []byte(strconv.Itoa(i))}))
	}
	l := y.startWith(items)
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if n, _ := l.Waiting(); n == 0 {
			break
		}
		if time.Now().After(end) {
			n, _ := l.Waiting()
			t.Fatalf("%d still wait", n)
		}
	}
	seen := map[uint64]bool{}
	for i, item := range items {
		r := l.book(item.ID)
		if r.State != ledger.Sent || r.PassesDone != 1 || *r.Sequence < 1 || *r.Sequence > count || seen[*r.Sequence] {
			t.Fatalf("record %+v", r)
		}
		seen[*r.Sequence] = true
		if i%100 == 0 {
			y.whole(item, map[string][]byte{"": []byte(strconv.Itoa(i))}, 1)
		}
	}
	if n := y.disk.count(); n > count/4 {
		t.Errorf("%d items took %d syncs", count, n)
	}
	if n := l.names(0); n != count {
		t.Errorf("%d of %d are named", n, count)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.tasks) != 0 || len(l.beats.offers) != 0 || len(l.heads[0].list) != 0 || len(l.signing) != 0 {
		t.Errorf("left over: %d tasks, %d offers, %d heads, %d signatures", len(l.tasks), len(l.beats.offers), len(l.heads[0].list), len(l.signing))
	}
}

// startWith begins a life, and submits items to it.
func (y *yard) startWith(items []outbox.Item) *life {
	y.t.Helper()
	l := y.open()
	for _, item := range items {
		must(y.t, l.Submit(item))
	}
	return l
}
