package dispatch

import (
	"testing"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
	"ecluse/sender/ledger"
	"ecluse/sender/transmit"
)

func TestAHeadIsNamedWhenItAndAllBeforeItAreOut(t *testing.T) {
	h := heads{shown: head{sequence: 4}}
	for _, row := range []struct {
		do   func(uint64)
		n    uint64
		want uint64
	}{
		{h.first, 6, 4}, {h.out, 6, 4}, // 5 is signed, and not noted yet
		{h.first, 5, 4}, {h.first, 7, 4},
		{h.out, 5, 6}, {h.out, 7, 7}, {h.out, 7, 7}, {h.out, 3, 7},
		{h.first, 9, 7}, {h.first, 8, 7}, {h.out, 8, 8}, {h.out, 9, 9},
	} {
		row.do(row.n)
		if h.shown.sequence != row.want || row.want > 4 && h.shown.digest != (bundle.Digest{byte(row.want)}) {
			t.Fatalf("at %d: %d is named, with %v, want %d", row.n, h.shown.sequence, h.shown.digest, row.want)
		}
	}
	if len(h.list) != 0 {
		t.Errorf("%d are left", len(h.list))
	}
}

func (h *heads) first(sequence uint64) { h.begin(sequence, bundle.Digest{byte(sequence)}) }

func TestAfterARestartNothingIsNamedThatIsNotOut(t *testing.T) {
	signed := func(n uint64) *ledger.Signed {
		return &ledger.Signed{Sequence: n, Previous: bundle.Digest{byte(n - 1)}, Digest: bundle.Digest{byte(n)}}
	}
	h := heads{shown: head{sequence: 9, digest: bundle.Digest{9}}}
	h.lower([]*ledger.Signed{signed(3), signed(4), signed(7)})
	for _, row := range []struct{ out, want uint64 }{{0, 2}, {4, 2}, {3, 6}, {7, 9}} {
		h.out(row.out)
		if h.shown.sequence != row.want || h.shown.digest != (bundle.Digest{byte(row.want)}) {
			t.Fatalf("when %d is out: %d is named, with %v, want %d", row.out, h.shown.sequence, h.shown.digest, row.want)
		}
	}
	h.first(10)
	h.out(10)
	if h.shown.sequence != 10 {
		t.Errorf("%d is named", h.shown.sequence)
	}
}

func TestAHeartbeatOfALifeNamesWhatIsOut(t *testing.T) {
	y := build(t, "zoo", "air")
	l := y.start()
	l.socket.hold(true)
	item := l.send("item", content)
	eventually(t, "it is signed", func() bool { return l.book(item.ID).Sequence != nil })
	for range 2 {
		if n := l.names(1); n != 0 { // zoo comes after air
			t.Errorf("sequence %d is named, and is not out", n)
		}
		b := l.Beat()[0].(*record.Heartbeat)
		if b.Epoch != thisEpoch || b.TicketKey != [32]byte{3} || b.Tenants[0].Tenant != "air" || b.Tenants[1].Tenant != "zoo" || b.Waiting != 1 {
			t.Errorf("heartbeat %+v", b)
		}
		_ = l.end()
		l = y.open()
		l.socket.hold(true)
		l.resume()
	}
	l.socket.hold(false)
	l.reach(item.ID, ledger.Sent)
	if n := l.names(1); n != 1 {
		t.Errorf("it is out, and sequence %d is named", n)
	}
	_ = l.end()
	l = y.start()
	if n := l.names(1); n != 1 {
		t.Errorf("in the next life sequence %d is named", n)
	}
}

func TestOffersUnderWayAndLateClosesAreRepeated(t *testing.T) {
	y := build(t)
	at := time.Now()
	y.now = func() time.Time { return at }
	l := y.start()
	l.socket.hold(true)
	item := l.send("item", content)
	kinds := func() (offers, closes int) {
		for _, r := range l.Beat()[1:] {
			switch r := r.(type) {
			case *record.Offer:
				offers += btoi(r.Bundle == item.ID)
			case *record.Close:
				closes += btoi(r.Bundle == item.ID)
			}
		}
		return offers, closes
	}
	eventually(t, "offer and close are repeated", func() bool { o, c := kinds(); return o == 1 && c == 1 })
	l.socket.hold(false)
	l.reach(item.ID, ledger.Sent)
	if o, c := kinds(); o != 0 || c != 1 {
		t.Errorf("its pass is out, and %d offers and %d closes are repeated", o, c)
	}
	_ = l.end()
	l.o.Now = func() time.Time { return at.Add(repeatFor + time.Second) }
	if _, c := kinds(); c != 0 {
		t.Error("a close is repeated for ever")
	}
}

func size(list []transmit.Appender) (bytes int) {
	for _, r := range list {
		bytes += record.HeaderSize + r.Length()
	}
	return bytes
}

func TestRepeatsStayWithinTheirBytesAndAllGetTheirTurn(t *testing.T) {
	b := newBeats()
	now := time.Unix(1_800_000_000, 0)
	const count = 50
	for i := range count {
		id := bundle.ID{byte(i + 1)}
		b.open(id, &record.Offer{Bundle: id, Tenant: "t", Name: "a name"})
		b.end(id, &record.Close{Bundle: id, Tenant: "t", Signature: make([]byte, 184)}, now)
	}
	o, c := size([]transmit.Appender{b.order[0].offer}), size([]transmit.Appender{b.ends[0].record})
	room := 10*c + 10*o
	offers, closes := map[bundle.ID]int{}, map[bundle.ID]int{}
	for range 5 {
		list := b.take(now, room)
		if size(list) > room || size(list) < room-o-c {
			t.Fatalf("%d bytes of %d", size(list), room)
		}
		for _, r := range list {
			switch r := r.(type) {
			case *record.Offer:
				offers[r.Bundle]++
			case *record.Close:
				closes[r.Bundle]++
			}
		}
	}
	least := func(m map[bundle.ID]int) int {
		n := 1 << 30
		for i := range count {
			n = min(n, m[bundle.ID{byte(i + 1)}])
		}
		return n
	}
	if least(offers) < 1 || len(closes) < 5*(room/2/c)*9/10 {
		t.Errorf("some never had a turn: offers %d, closes of %d bundles", least(offers), len(closes))
	}
	for i := range count {
		b.done(bundle.ID{byte(i + 1)})
	}
	for range 10 {
		for _, r := range b.take(now, room) {
			closes[r.(*record.Close).Bundle]++
		}
	}
	if least(closes) < 1 {
		t.Error("a close never had a turn")
	}
	if list := b.take(now.Add(repeatFor+1), room); len(list) != 0 || len(b.order) != 0 {
		t.Errorf("%d records for ever", len(list))
	}
}

func TestABundleIsRepeatedOnceInAHeartbeat(t *testing.T) {
	b := newBeats()
	now := time.Unix(1_800_000_000, 0)
	for range 3 { // passes in a row
		b.open(bundle.ID{1}, &record.Offer{Bundle: bundle.ID{1}})
		b.end(bundle.ID{1}, &record.Close{Bundle: bundle.ID{1}}, now)
		b.done(bundle.ID{1})
	}
	b.open(bundle.ID{1}, &record.Offer{Bundle: bundle.ID{1}})
	for range 2 {
		if list := b.take(now, 1<<20); len(list) != 2 {
			t.Errorf("%d records", len(list))
		}
	}
	for i := range 2 * repeatMost {
		b.end(bundle.ID{byte(i), byte(i >> 8), 2}, &record.Close{}, now.Add(time.Duration(i)))
	}
	if len(b.ends) != repeatMost || b.ends[0].id == (bundle.ID{1}) {
		t.Errorf("%d ends are kept", len(b.ends))
	}
}
