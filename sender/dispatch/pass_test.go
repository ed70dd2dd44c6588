package dispatch

import (
	"bytes"
	"strconv"
	"testing"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/sender/ledger"
)

// trees are items of every kind: what is small, large, empty, deep.
func trees() map[string]map[string][]byte {
	many := map[string][]byte{"empty dir/": nil, "empty": nil}
	for i := range 60 {
		many["a/b/"+strconv.Itoa(i)] = noise(byte(i), 150*i)
	}
	return map[string]map[string][]byte{
		"one file":   {"": []byte("one line\n")},
		"empty file": {"": nil},
		"empty tree": {"d/": nil},
		"large":      {"x": noise(1, 700_000), "y": bytes.Repeat([]byte("prose "), 50_000)},
		"many":       many,
	}
}

func TestAnItemArrivesWholeAndStandsInSent(t *testing.T) {
	for name, files := range trees() {
		t.Run(name, func(t *testing.T) {
			y := build(t)
			l := y.start()
			item := l.send(name, files)
			r := l.reach(item.ID, ledger.Sent)
			w := y.whole(item, files, 1)
			if w.manifest.Sequence != 1 || *r.Sequence != 1 || w.manifest.Tenant != "default" || w.manifest.Sender != "low" {
				t.Errorf("manifest %+v, record %+v", w.manifest.Header, r)
			}
			if r.PassesDone != 1 || r.SentBytes != *r.Bytes || *r.Bytes != w.manifest.Table.Total() || r.Finished == nil || r.Reason != nil {
				t.Errorf("record %+v", r)
			}
			y.stands(under(name, files), "sent", "1")
			y.stands(nil, "sending")
			if n, _ := l.Waiting(); n != 0 {
				t.Errorf("%d bundles wait", n)
			}
		})
	}
}

func TestAnItemIsWaitingThenSendingThenSent(t *testing.T) {
	y := build(t)
	signs := make(chan struct{})
	y.signer.before = func([]byte) error { <-signs; return nil }
	l := y.start()
	l.socket.hold(true)
	item := l.send("item", map[string][]byte{"": noise(1, 100_000)})
	eventually(t, "its record is there", func() bool { s := l.book(item.ID).State; return s == ledger.Waiting || s == ledger.Sending })
	eventually(t, "it is sending", func() bool { return l.book(item.ID).State == ledger.Sending })
	close(signs)
	eventually(t, "it is signed", func() bool { return l.book(item.ID).Sequence != nil })
	if n, bytes := l.Waiting(); n != 1 || bytes != 100_000 {
		t.Errorf("%d bundles of %d bytes wait", n, bytes)
	}
	if _, ok := l.Progress(item.ID); !ok {
		t.Error("no pass of it is under way")
	}
	if id, ok := l.Current(); !ok || id != item.ID {
		t.Error("it is not the current one")
	}
	if r := l.book(item.ID); r.State != ledger.Sending || r.PassesDone != 0 {
		t.Errorf("nothing has left, and its record is %+v", r)
	}
	y.stands(under("item", map[string][]byte{"": noise(1, 100_000)}), "sending", item.ID.String())
	l.socket.hold(false)
	l.reach(item.ID, ledger.Sent)
}

func TestPassesSendTheSameChunksApart(t *testing.T) {
	y := build(t)
	y.passes, y.apart = 3, 100*time.Millisecond
	files := map[string][]byte{"a": noise(1, 300_000), "b": []byte("b")}
	l := y.start()
	began := time.Now()
	item := l.send("item", files)
	done := 0
	eventually(t, "all passes are out", func() bool {
		r := l.book(item.ID)
		if r.PassesDone < done || r.SentBytes != int64(r.PassesDone)*300_001 {
			t.Fatalf("after %d passes the record is %+v", done, r)
		}
		done = r.PassesDone
		return r.State == ledger.Sent
	})
	if took := time.Since(began); took < 2*y.apart {
		t.Errorf("three passes took %s", took)
	}
	r := l.reach(item.ID, ledger.Sent)
	if r.PassesDone != 3 {
		t.Errorf("%d passes", r.PassesDone)
	}
	y.whole(item, files, 3)
	y.stands(under("item", files), "sent", "1")
}

func TestSequencesOfATenantAreAChain(t *testing.T) {
	y := build(t, "zoo", "air")
	l := y.start()
	var last [2]bundle.Digest
	for i := range 6 {
		tenant := i % 2
		item := y.claim(tenant, bundle.Urgent, "item", map[string][]byte{"": noise(byte(i), 5000)})
		must(t, l.Submit(item))
		l.reach(item.ID, ledger.Sent)
		y.high.whole(item.ID, 1)
		y.high.see(item.ID, func(a *arrived) bool {
			c := a.closes[0]
			if c.Sequence != uint64(i/2+1) || c.Previous != last[tenant] || c.Tenant != y.tenants[tenant] {
				t.Errorf("item %d has the close %+v", i, c)
			}
			last[tenant] = c.Manifest
			return true
		})
	}
}
