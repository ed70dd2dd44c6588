package collect

import (
	"context"
	"encoding/binary"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"ecluse/internal/udp"
	"ecluse/protocol/bundle"
	"ecluse/protocol/fec"
	"ecluse/protocol/packet"
)

// floodCode has 20 % parity.
var floodCode = fec.Code{K: 40, M: 10, Shard: 1408}

// flooded is a receiver with real keys, an honest sender with a session, and what a flood is made from.
type flooded struct {
	v       *KeyVerifier
	low     lowSide
	open    [][]byte // the announcement of the session
	honest  *testSender
	sent    [][]byte // packets that came before the flood
	batches []*floodBatch
}

// floodBatch is one reading's worth of one kind of datagram: what one call sends, and what the system may put together again.
type floodBatch struct {
	kind    string
	content []byte
	segment int
	counted bool // announcements whose numbers are counted up from batch to batch
	number  uint64
}

// next gives the content, with other numbers each time where they are counted up.
func (b *floodBatch) next() []byte {
	if b.counted {
		for at := packet.HeaderSize; at < len(b.content); at += b.segment {
			binary.BigEndian.PutUint64(b.content[at:], b.number)
			b.number++
		}
	}
	return b.content
}

func (b *floodBatch) datagrams() int { return len(b.content) / b.segment }

// newFlooded makes them. The flood has, out of eight datagrams, two replayed packets, and one each of: random bytes under the right header; an honest
// packet with one bit flipped; a truncated one; an unknown tag; a recorded announcement with its number counted up; one of an old session, replayed.
func newFlooded(t testing.TB, test *testing.T) *flooded {
	key := newReceiverKey(test)
	low := newLowSide(test, 1, key.PublicKey())
	f := &flooded{low: low, v: NewKeyVerifier(key, testEnrolment{low.keyID(): {name: "low", key: low.signer.PublicKey()}}, newTestNumbers(test))}
	old, _ := low.announce(test, 400, testEpoch, 1, bundle.NamespaceSession)
	a, context := low.announce(test, 500, testEpoch, 1, bundle.NamespaceSession)
	f.open = a.AppendPackets()
	s := &Session{Info: SessionInfo{Sender: "low", Number: 500}, Links: make([]LinkKey, 1)}
	k, err := context.Export(packet.KeyContext(0), packet.KeyExport)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := context.Export(packet.TagContext(0), packet.TagExport)
	if err != nil {
		t.Fatal(err)
	}
	s.Links[0] = LinkKey{Key: [32]byte(k), Tag: packet.Tag(tag)}
	f.honest = newTestSender(t, s, 0)
	f.sent = f.honest.packets(floodCode)
	far := newTestSender(t, s, 0) // honest packets that are never sent as they are
	far.number = 1 << 40
	fresh := far.packets(floodCode)
	rng := f.honest.rng
	forged, flipped, cut, unknown := clones(fresh), clones(fresh), clones(fresh), clones(fresh)
	for i := range fresh {
		for j := 4; j < len(forged[i]); j++ {
			forged[i][j] = byte(rng.Uint32())
		}
		flipped[i][rng.IntN(len(flipped[i]))] ^= 1 << rng.IntN(8)
		flipped[i][0] = fresh[i][0] // or it would be of another length, see below
		unknown[i][1+i%3] ^= byte(1 + rng.IntN(255))
		cut[i] = cut[i][:len(cut[i])-1-rng.IntN(63)]
	}
	for i, p := range flipped {
		if slices.Equal(p, fresh[i]) {
			p[len(p)-1] ^= 1
		}
	}
	count := a.AppendPackets()[0]
	f.add("replayed", f.sent, 2)
	f.add("forged", forged, 1)
	f.add("flipped", flipped, 1)
	f.add("truncated", sameLength(cut), 1)
	f.add("unknown tag", unknown, 1)
	f.add("counted up", slices.Repeat([][]byte{count}, 44), 1)
	f.batches[len(f.batches)-1].counted, f.batches[len(f.batches)-1].number = true, 501
	f.add("old session", slices.Repeat(old.AppendPackets(), 44), 1)
	return f
}

func clones(all [][]byte) (copies [][]byte) {
	for _, p := range all {
		copies = append(copies, slices.Clone(p))
	}
	return copies
}

// sameLength cuts all to the shortest one: datagrams of one batch have one length.
func sameLength(all [][]byte) [][]byte {
	shortest := len(slices.MinFunc(all, func(a, b []byte) int { return len(a) - len(b) }))
	for i := range all {
		all[i] = all[i][:shortest]
	}
	return all
}

// add adds a kind of datagram, times batches of it.
func (f *flooded) add(kind string, datagrams [][]byte, times int) {
	b := &floodBatch{kind: kind, segment: len(datagrams[0])}
	for _, d := range datagrams[:min(len(datagrams), udp.BatchSegments(b.segment))] {
		b.content = append(b.content, d...)
	}
	for range times {
		f.batches = append(f.batches, b)
	}
}

// calm opens the session and lets the first packets in.
func (f *flooded) calm(t *testing.T, l *link, g *gate) {
	for _, d := range append(clones(f.open), f.sent...) {
		l.take(&Buffer{Mem: d, N: len(d)})
		g.serve()
	}
	if len(g.sessions.all()) != 1 || l.table.packets.Accepted != uint64(len(f.sent)) {
		t.Fatalf("%d sessions, %d packets accepted", len(g.sessions.all()), l.table.packets.Accepted)
	}
}

// still makes a collector whose goroutines do not run: what is put into its link is collected by the caller.
func still(t testing.TB, v Verifier) (*Collector, *link) {
	t.Helper()
	c, err := New(Options{Links: []Link{{"a", newFeed()}}, Verifier: v, Sink: newDelivery(), Memory: testMemory})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.free(); err != nil {
			t.Error(err)
		}
	})
	return c, c.links[0]
}

// BenchmarkFlood is a buffer in, as the socket gives it, and every datagram of it refused. One core.
func BenchmarkFlood(b *testing.B) {
	test := &testing.T{}
	f := newFlooded(b, test)
	kinds := append([]*floodBatch{nil}, slices.Compact(slices.Clone(f.batches))...)
	for _, only := range kinds {
		name, batches := "mixed", f.batches
		if only != nil {
			name, batches = only.kind, []*floodBatch{only}
		}
		b.Run(name, func(b *testing.B) {
			f := newFlooded(b, test)
			if only != nil {
				i := slices.IndexFunc(f.batches, func(x *floodBatch) bool { return x.kind == only.kind })
				batches = f.batches[i : i+1]
			} else {
				batches = f.batches
			}
			c, l := still(b, f.v)
			f.calm(test, l, c.gate)
			accepted, n, i := l.table.packets.Accepted, 0, 0
			b.ReportAllocs()
			for b.Loop() {
				x := batches[i%len(batches)]
				content := x.next()
				l.take(&Buffer{Mem: content, N: len(content), Segment: x.segment})
				n += x.datagrams()
				i++
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds()/1e6, "Mpackets/s")
			if l.table.packets.Accepted != accepted {
				b.Fatal("a forged packet was accepted")
			}
		})
	}
}

func TestRefusingAFloodAllocatesNothing(t *testing.T) {
	f := newFlooded(t, t)
	c, l := still(t, f.v)
	f.calm(t, l, c.gate)
	var buffer Buffer
	for _, x := range f.batches {
		come := func() {
			content := x.next()
			buffer = Buffer{Mem: content, N: len(content), Segment: x.segment}
			l.take(&buffer)
		}
		come()
		if n := testing.AllocsPerRun(200, come); n != 0 {
			t.Errorf("%s: %v allocations for %d datagrams", x.kind, n, x.datagrams())
		}
	}
	if got := l.table.packets.Accepted; got != uint64(len(f.sent)) {
		t.Errorf("%d packets accepted, %d were honest", got, len(f.sent))
	}
}

// groSocket is the real socket, with buffers that the system fills with several datagrams.
type groSocket struct {
	*udp.Receiver
	views []udp.View
}

func (s *groSocket) Receive(buffers []Buffer) (int, error) {
	s.views = s.views[:0]
	for _, b := range buffers {
		s.views = append(s.views, udp.View{Mem: b.Mem})
	}
	n, err := s.ReceiveInto(s.views)
	for i := range n {
		buffers[i].N, buffers[i].Segment = s.views[i].N, s.views[i].Segment
	}
	return n, err
}

func dial(t *testing.T, to netip.AddrPort) *udp.Sender {
	t.Helper()
	s, err := udp.Dial(udp.SenderOptions{To: to})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// transfer sends honest blocks at 100 Mbit/s, its announcement five times a second, and after a while announces a new session, until ctx ends.
func (f *flooded) transfer(ctx context.Context, t *testing.T, out *udp.Sender, renewed [][]byte) (blocks uint64) {
	const each = 6 * time.Millisecond // a block of 50 packets
	next := time.Now()
	for ; ctx.Err() == nil; blocks++ {
		if blocks%32 == 0 {
			say(t, out, f.open[0])
			say(t, out, renewed[0])
		}
		var batch []byte
		for _, p := range f.honest.packets(floodCode) {
			batch = append(batch, p...)
		}
		size := len(batch) / (floodCode.K + floodCode.M)
		for half := range slices.Chunk(batch, 25*size) {
			if _, err := out.Send(half, size); err != nil {
				t.Error(err)
				return blocks
			}
		}
		next = next.Add(each)
		time.Sleep(time.Until(next))
	}
	return blocks
}

func say(t *testing.T, out *udp.Sender, datagram []byte) {
	if _, err := out.Send(datagram, len(datagram)); err != nil {
		t.Error(err)
	}
}

// renewedNumber is that of the session which the honest sender opens in the middle of the flood.
const renewedNumber = 1 << 50

// Forged, truncated, flipped and replayed packets and announcements at the full speed of the machine, through a real socket, beside an
// honest transfer with 20 % parity. None of them is accepted, memory stays, another session of the same sender opens, and each honest block is
// delivered or counted as lost.
func TestSoakFlood(t *testing.T) {
	n := soak(t, "ECLUSE_SOAK_FLOOD")
	f := newFlooded(t, t)
	in, err := udp.Listen(udp.ReceiverOptions{Listen: netip.MustParseAddrPort("127.0.0.1:0"), Buffer: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	sink := newDelivery()
	r := start(t, Options{Links: []Link{{"a", &groSocket{Receiver: in}}}, Verifier: f.v, Sink: sink, Memory: testMemory})
	valid, garbage := dial(t, in.Addr()), dial(t, in.Addr())
	say(t, valid, f.open[0])
	r.until("the session opens", func(s Snapshot) bool { return len(s.Sessions) == 1 })
	for _, p := range f.sent {
		say(t, valid, p)
	}
	r.until("the first block comes", func(s Snapshot) bool { return s.Links[0].Blocks.Delivered == 1 })
	renewed, _ := f.low.announce(t, renewedNumber, testEpoch, 1, bundle.NamespaceSession)

	ctx, cancel := context.WithCancel(t.Context())
	var transfer sync.WaitGroup
	var blocks uint64
	transfer.Go(func() { blocks = 1 + f.transfer(ctx, t, valid, renewed.AppendPackets()) })
	flood, began, before := 0, time.Now(), uint64(0)
	opened := time.Duration(0)
	for i := 0; flood < n || opened == 0 && time.Since(began) < 30*time.Second; i++ {
		if i%1000 == 0 && opened == 0 && slices.ContainsFunc(r.Snapshot().Sessions, func(s OpenSession) bool { return s.Number == renewedNumber }) {
			opened = time.Since(began)
		}
		x := f.batches[i%len(f.batches)]
		if _, err := garbage.Send(x.next(), x.segment); err != nil {
			t.Fatal(err)
		}
		if flood += x.datagrams(); before == 0 && flood > n/10 {
			before = heap()
		}
	}
	took := time.Since(began)
	after := heap()
	cancel()
	transfer.Wait()
	for _, p := range f.honest.packets(floodCode) { // behind the flood: so everything that is missing shows
		time.Sleep(time.Millisecond)
		say(t, valid, p)
	}
	blocks++
	sent := f.honest.number
	snap := r.until("the socket is read empty", func(s Snapshot) bool {
		l := s.Links[0]
		return l.Packets.Accepted+l.Loss.Lost == sent && l.Memory.Waiting == 0
	})
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	f.judge(t, snap, sink, blocks)
	l := snap.Links[0]
	t.Logf("%d datagrams in %v, %.2f million a second by %s; %d were looked at, %d buffers dropped by the kernel, %d datagrams by the queue", flood,
		took.Round(time.Millisecond), float64(flood)/took.Seconds()/1e6, garbage.Mode(), l.Packets.Received, l.Loss.KernelDrops, l.Loss.QueueDrops)
	t.Logf("of %d honest blocks %d were delivered, %d of them repaired; %d packets of %d lost: %d by the kernel, %d by the queue", blocks, l.Blocks.Delivered,
		l.Blocks.Repaired, l.Loss.Lost, sent, l.Loss.Kernel, l.Loss.Queue)
	t.Logf("refused: %v; the sender's new session opened after %v", l.Refused, opened.Round(time.Millisecond))
	for _, row := range snap.Refused {
		t.Logf("sessions refused: %s of %q: %d", row.Reason, row.Sender, row.Count)
	}
	if remembered := uint64(len(sink.infos)) * 400; after > before+growthMost+remembered {
		t.Errorf("the heap grew by %d bytes", after-before)
	}
	newFlooded(t, t).rate(t, n/10)
	t.Logf("soak flood: %d done", n)
}

// judge holds what came against what was sent.
func (f *flooded) judge(t *testing.T, snap Snapshot, sink *delivery, blocks uint64) {
	t.Helper()
	l, honest := snap.Links[0], map[[32]byte]bool{}
	for _, sum := range f.honest.sent {
		honest[sum] = true
	}
	for sum, times := range sink.blocks {
		if !honest[sum] || times != 1 {
			t.Errorf("a block came %d times that was sent: %v", times, honest[sum])
		}
	}
	// What has not been given up yet lies in the table: Run has ended, and nothing more can come for it.
	missing := blocks - l.Blocks.Delivered
	if uint64(len(sink.blocks)) != l.Blocks.Delivered || l.Blocks.CRC+l.Blocks.Header != 0 || l.Packets.Accepted > f.honest.number {
		t.Errorf("%d blocks came, %+v, %d packets accepted of %d", len(sink.blocks), l.Blocks, l.Packets.Accepted, f.honest.number)
	}
	if most := l.Loss.Lost / uint64(floodCode.M+1); missing > most {
		t.Errorf("%d blocks did not come, and %d lost packets account for %d", missing, l.Loss.Lost, most)
	}
	if l.Loss.Link != 0 {
		t.Errorf("loss has the wrong address: %+v", l.Loss)
	}
	refused := uint64(0)
	for _, n := range l.Refused {
		refused += n
	}
	if looked := refused + l.Packets.Accepted + l.Packets.Announced; looked != l.Packets.Received {
		t.Errorf("%d datagrams of %d are accounted for", looked, l.Packets.Received)
	}
	if refusals := len(snap.Refused); refusals > 4 {
		t.Errorf("%d rows of refused sessions", refusals)
	}
	if !slices.ContainsFunc(snap.Sessions, func(s OpenSession) bool { return s.Number == renewedNumber }) {
		t.Errorf("the sender's new session did not open")
	}
}

// rate tells how fast one core refuses the flood.
func (f *flooded) rate(t *testing.T, n int) {
	c, l := still(t, f.v)
	f.calm(t, l, c.gate)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	done, began := 0, time.Now()
	for i := 0; done < n; i++ {
		x := f.batches[i%len(f.batches)]
		content := x.next()
		l.take(&Buffer{Mem: content, N: len(content), Segment: x.segment})
		done += x.datagrams()
	}
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	t.Logf("one core refuses %.2f million datagrams a second, %d allocations in %d", float64(done)/took.Seconds()/1e6, after.Mallocs-before.Mallocs, done)
	if per := float64(after.Mallocs-before.Mallocs) / float64(done); per > 0.001 {
		t.Errorf("%v allocations a datagram", per)
	}
	if l.table.packets.Accepted != uint64(len(f.sent)) {
		t.Error("a forged packet was accepted")
	}
}
