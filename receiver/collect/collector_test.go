package collect

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ecluse/protocol/bundle"
	"ecluse/protocol/fec"
	"ecluse/protocol/packet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func (d *delivery) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.blocks)
}

func TestAnAnnouncedSessionIsCollectedOnEveryLink(t *testing.T) {
	a, b, sink := newFeed(), newFeed(), newDelivery()
	v := newTestVerifier("low")
	r := start(t, Options{Links: []Link{{"a", a}, {"b", b}}, Verifier: v, Sink: sink, Memory: testMemory})
	s := testSession("low", 7, 2)
	one, two := newTestSender(t, s, 0), newTestSender(t, s, 1)
	a.send(announce("low", 7, 2)...)
	r.until("the session opens", func(s Snapshot) bool { return len(s.Sessions) == 1 })
	for range 50 {
		a.send(one.packets(testCode)[3:]...)
		b.send(two.packets(testCode)[5:]...)
	}
	snap := r.until("all blocks come", func(s Snapshot) bool {
		return s.Links[0].Blocks.Delivered == 50 && s.Links[1].Blocks.Delivered == 50
	})
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	for _, from := range []*testSender{one, two} {
		for number, sum := range from.sent {
			if sink.blocks[sum] != 1 {
				t.Errorf("block %d came %d times", number, sink.blocks[sum])
			}
		}
	}
	links := map[string]int{}
	for _, info := range sink.infos {
		links[info.Link]++
		if info.Sender != "low" || info.Number != 7 || info.Opened.IsZero() {
			t.Fatalf("session %+v", info)
		}
	}
	if links["a"] != 50 || links["b"] != 50 {
		t.Errorf("blocks by link: %v", links)
	}
	if l := snap.Links[0]; l.Blocks.Repaired != 50 || l.Blocks.RepairedShards != 150 || l.Loss.Lost != 49*3 || l.Loss.Link != 49*3 || l.LastPacket < 0 {
		t.Errorf("link a: %+v", l)
	}
	if got := snap.Sessions[0]; got.Accepted != 50*21+50*19 || got.Lost != 49*3+49*5 {
		t.Errorf("session: %+v", got)
	}
	if got := v.stored[7]; len(got) != 2 || got[0] != (Floor{one.number - 1, true}) || got[1] != (Floor{two.number - 1, true}) {
		t.Errorf("stored floors: %+v", got)
	}
}

func TestDatagramsThatTheKernelPutTogetherAreTakenApart(t *testing.T) {
	f, sink := newFeed(), newDelivery()
	r := start(t, Options{Links: []Link{{"a", f}}, Verifier: newTestVerifier("low"), Sink: sink, Memory: testMemory})
	f.send(announce("low", 7, 1)...)
	r.until("the session opens", func(s Snapshot) bool { return len(s.Sessions) == 1 })
	from := newTestSender(t, testSession("low", 7, 1), 0)
	f.seg = 1408 + packet.Overhead
	for range 20 {
		all := from.packets(testCode)
		whole := slices.Concat(all...)
		f.send(append(whole, 0x12, 0, 0)) // the last one is cut short
	}
	snap := r.until("all blocks come", func(s Snapshot) bool {
		return s.Links[0].Blocks.Delivered == 20 && s.Links[0].Packets.Received == 20*25+1
	})
	if got := snap.Links[0].Refused[bundle.ReasonPacketLength]; got != 20 {
		t.Errorf("%d refused for their length, want 20", got)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

func TestWideCodesAndHeartbeats(t *testing.T) {
	f, sink := newFeed(), newDelivery()
	r := start(t, Options{Links: []Link{{"a", f}}, Verifier: newTestVerifier("low"), Sink: sink, Memory: testMemory})
	if got := r.Snapshot().Links[0].LastHeartbeat; got != Never {
		t.Errorf("last heartbeat %s before there was one", got)
	}
	f.send(announce("low", 7, 1)...)
	r.until("the session opens", func(s Snapshot) bool { return len(s.Sessions) == 1 })
	from := newTestSender(t, testSession("low", 7, 1), 0)
	wide := fec.Code{K: 256, M: 16, Shard: 1408}
	f.send(from.packets(wide)[5:]...)
	r.until("the block comes", func(s Snapshot) bool { return s.Links[0].Blocks.Repaired == 1 })
	r.Heartbeat("a")
	snap := r.until("rates are taken", func(s Snapshot) bool { return s.Links[0].PacketRate > 0 && s.Links[0].ByteRate > 0 })
	if got := snap.Links[0].LastHeartbeat; got < 0 || got > 5*time.Second {
		t.Errorf("last heartbeat %s ago", got)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

func TestRatesAreThoseOfTheLastSeconds(t *testing.T) {
	var r rates
	second := int64(time.Second)
	for i := range int64(20) {
		r.note(1+i*second, uint64(i*100), uint64(i*1000))
	}
	if p, b := r.perSecond(1+20*second, 2000, 20000); p != 100 || b != 1000 {
		t.Errorf("%v packets, %v bytes a second", p, b)
	}
	if p, b := r.perSecond(1+30*second, 1900, 19000); p > 30 || b > 300 {
		t.Errorf("%v packets, %v bytes a second after silence", p, b)
	}
	if p, _ := new(rates).perSecond(second, 5, 5); p != 0 {
		t.Errorf("%v packets a second without a sample", p)
	}
}

func TestARepeatedAnnouncementIsNotVerifiedAgain(t *testing.T) {
	f, v := newFeed(), newTestVerifier("low")
	r := start(t, Options{Links: []Link{{"a", f}}, Verifier: v, Sink: newDelivery(), Memory: testMemory})
	f.send(announce("low", 7, 1)...)
	r.until("the session opens", func(s Snapshot) bool { return len(s.Sessions) == 1 })
	for range 1000 {
		f.send(announce("low", 7, 1)...)
	}
	snap := r.until("all are looked at", func(s Snapshot) bool { return s.Links[0].Packets.Announced == 1001 })
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if v.verified != 1 || len(snap.Refused) != 0 {
		t.Errorf("%d verified, refused: %+v", v.verified, snap.Refused)
	}
}

func TestRefusedSessionsAreCountedAndReportedOnce(t *testing.T) {
	f, v := newFeed(), newTestVerifier("low")
	var mu sync.Mutex
	var told []Refusal
	var faults []error
	r := start(t, Options{Links: []Link{{"a", f}}, Verifier: v, Sink: newDelivery(), Memory: testMemory,
		OnRefusal: func(r Refusal) { mu.Lock(); told = append(told, r); mu.Unlock() },
		OnFault:   func(err error) { mu.Lock(); faults = append(faults, err); mu.Unlock() },
	})
	f.send(announce("low", 9, 1)...)
	r.until("the session opens", func(s Snapshot) bool { return len(s.Sessions) == 1 })
	for i := range uint64(5) {
		f.send(announce("low", 4+i, 1)...)
		f.send(announce("stranger", 3+i, 1)...)
	}
	bad := announce("low", 10, 1)[0]
	bad[packet.HeaderSize+89] = 2 // another KEM
	f.send(bad)
	snap := r.until("all are refused", func(s Snapshot) bool {
		total := uint64(0)
		for _, r := range s.Refused {
			total += r.Count
		}
		return total == 11
	})
	slices.SortFunc(snap.Refused, func(a, b Refusal) int { return strings.Compare(b.Sender, a.Sender) })
	want := []Refusal{
		{Sender: "low", Session: 8, Reason: bundle.ReasonSessionNumberOld, Count: 5},
		{Sender: "SHA256:stranger", Session: 7, Reason: bundle.ReasonSessionSenderUnknown, Count: 5},
		{Reason: bundle.ReasonAnnounceFields, Count: 1},
	}
	if len(snap.Refused) != len(want) {
		t.Fatalf("refused %+v", snap.Refused)
	}
	for i, got := range snap.Refused {
		got.First, got.Last = time.Time{}, time.Time{}
		if got != want[i] {
			t.Errorf("refused %+v, want %+v", got, want[i])
		}
	}
	v.mu.Lock()
	v.fail = errors.New("the disk is on fire")
	v.mu.Unlock()
	f.send(announce("low", 11, 1)...)
	r.until("the fault is told", func(Snapshot) bool { mu.Lock(); defer mu.Unlock(); return len(faults) == 1 })
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if len(told) != 3 {
		t.Errorf("%d reports, want one for each reason: %+v", len(told), told)
	}
	if len(r.Snapshot().Sessions) != 1 {
		t.Error("a session opened although this side failed")
	}
}

// A flood of announcements costs no more than S-8 allows, and an honest one still opens its session.
func TestAFloodOfAnnouncementsIsRefusedByRate(t *testing.T) {
	f, v := newFeed(), newTestVerifier("low")
	r := start(t, Options{Links: []Link{{"a", f}}, Verifier: v, Sink: newDelivery(), Memory: testMemory})
	const flood = 20000
	for i := range uint64(flood) {
		f.send(announce("stranger", i, 1)...)
	}
	r.until("all are looked at", func(s Snapshot) bool { return s.Links[0].Packets.Announced+s.Links[0].Loss.QueueDrops == flood })
	deadline := time.Now().Add(5 * time.Second)
	for len(r.Snapshot().Sessions) == 0 && time.Now().Before(deadline) {
		f.send(announce("low", 1, 1)...)
		time.Sleep(20 * time.Millisecond)
	}
	r.until("the honest session opens", func(s Snapshot) bool { return len(s.Sessions) == 1 })
	r.until("the flood is counted as refused by rate", func(s Snapshot) bool {
		return slices.ContainsFunc(s.Refused, func(r Refusal) bool { return r.Reason == bundle.ReasonSessionRate && r.Count >= flood/4 })
	})
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if v.verified > 1 {
		t.Errorf("%d verified, want 1", v.verified)
	}
}

func TestANewSessionPushesOutAllButTheOneBefore(t *testing.T) {
	f, sink := newFeed(), newDelivery()
	r := start(t, Options{Links: []Link{{"a", f}}, Verifier: newTestVerifier("low"), Sink: sink, Memory: testMemory})
	var senders []*testSender
	for number := uint64(1); number <= 3; number++ {
		f.send(announce("low", number, 1)...)
		r.until("the session opens", func(s Snapshot) bool {
			return len(s.Sessions) > 0 && s.Sessions[len(s.Sessions)-1].Number == number
		})
		senders = append(senders, newTestSender(t, testSession("low", number, 1), 0))
	}
	for _, from := range senders {
		f.send(from.packets(testCode)...)
	}
	snap := r.until("two blocks come", func(s Snapshot) bool {
		return s.Links[0].Blocks.Delivered == 2 && s.Links[0].Packets.Received == 3+3*24
	})
	if snap.Links[0].Refused[bundle.ReasonPacketTag] != 24 || len(snap.Sessions) != 2 {
		t.Errorf("refused %v, %d sessions", snap.Links[0].Refused, len(snap.Sessions))
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

func TestARestartGoesOnBehindTheFloor(t *testing.T) {
	v := newTestVerifier("low")
	from := newTestSender(t, testSession("low", 7, 1), 0)
	var capture [][]byte
	sums := map[[32]byte]int{}
	for range 3 {
		f, sink := newFeed(), newDelivery()
		r := start(t, Options{Links: []Link{{"a", f}}, Verifier: v, Sink: sink, Memory: testMemory})
		f.send(announce("low", 7, 1)...)
		r.until("the session opens", func(s Snapshot) bool { return len(s.Sessions) == 1 })
		f.send(capture...)
		for range 4 {
			p := from.packets(testCode)
			capture = append(capture, p...)
			f.send(p...)
		}
		r.until("the new blocks come", func(s Snapshot) bool { return s.Links[0].Blocks.Delivered == 4 })
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		for sum, n := range sink.blocks {
			sums[sum] += n
		}
	}
	for number, sum := range from.sent {
		if sums[sum] != 1 {
			t.Errorf("block %d came %d times in three lives", number, sums[sum])
		}
	}
}

func TestASenderThatIsNotEnrolledAnyMoreLosesItsSession(t *testing.T) {
	f, sink, v := newFeed(), newDelivery(), newTestVerifier("low")
	r := start(t, Options{Links: []Link{{"a", f}}, Verifier: v, Sink: sink, Memory: testMemory})
	f.send(announce("low", 7, 1)...)
	r.until("the session opens", func(s Snapshot) bool { return len(s.Sessions) == 1 })
	r.Recheck()
	v.mu.Lock()
	clear(v.enrolled)
	v.mu.Unlock()
	r.Recheck()
	snap := r.until("the session ends", func(s Snapshot) bool { return len(s.Sessions) == 0 && len(s.Refused) == 1 })
	if got := snap.Refused[0]; got.Sender != "low" || got.Session != 7 || got.Reason != bundle.ReasonSessionSenderUnknown {
		t.Errorf("refused %+v", got)
	}
	f.send(newTestSender(t, testSession("low", 7, 1), 0).packets(testCode)...)
	r.until("its packets are refused", func(s Snapshot) bool { return s.Links[0].Refused[bundle.ReasonPacketTag] == 24 })
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

// A sink that stands still costs blocks, which are counted, and nothing upstream waits for it.
func TestAStalledSinkCostsBlocksAndStopsNothing(t *testing.T) {
	f, sink := newFeed(), newDelivery()
	sink.wait = make(chan struct{})
	r := start(t, Options{Links: []Link{{"a", f}}, Verifier: newTestVerifier("low"), Sink: sink, Memory: 1 << 20})
	f.send(announce("low", 7, 1)...)
	r.until("the session opens", func(s Snapshot) bool { return len(s.Sessions) == 1 })
	from := newTestSender(t, testSession("low", 7, 1), 0)
	const blocks = 200
	for range blocks {
		f.send(from.packets(testCode)...)
	}
	snap := r.until("every packet is taken from the socket", func(s Snapshot) bool {
		l := s.Links[0]
		return l.Packets.Received-1+l.Loss.QueueDrops == from.number
	})
	l := snap.Links[0]
	if l.Loss.Lost > l.Loss.QueueDrops || l.Packets.Accepted+l.Loss.QueueDrops != from.number {
		t.Errorf("accepted %d, loss %+v, of %d sent", l.Packets.Accepted, l.Loss, from.number)
	}
	if l.Blocks.Budget == 0 || l.Memory.Waiting == 0 || l.Memory.Used > l.Memory.Budget {
		t.Errorf("blocks %+v, memory %+v", l.Blocks, l.Memory)
	}
	if got := l.Blocks.Complete + l.Blocks.Budget + uint64(l.Memory.Blocks); got > blocks || (l.Loss.QueueDrops == 0 && got != blocks) {
		t.Errorf("%d complete, %d given up, %d in progress, of %d", l.Blocks.Complete, l.Blocks.Budget, l.Memory.Blocks, blocks)
	}
	close(sink.wait)
	r.until("the sink gets what waited", func(s Snapshot) bool { return s.Links[0].Blocks.Delivered == l.Blocks.Complete })
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if sink.count() != int(l.Blocks.Complete) {
		t.Errorf("%d blocks came, want %d", sink.count(), l.Blocks.Complete)
	}
}

func TestEveryBlockThatIsCompleteIsHandedOnBeforeRunEnds(t *testing.T) {
	f, sink := newFeed(), newDelivery()
	sink.wait = make(chan struct{})
	r := start(t, Options{Links: []Link{{"a", f}}, Verifier: newTestVerifier("low"), Sink: sink, Memory: testMemory})
	f.send(announce("low", 7, 1)...)
	r.until("the session opens", func(s Snapshot) bool { return len(s.Sessions) == 1 })
	from := newTestSender(t, testSession("low", 7, 1), 0)
	for range 30 {
		f.send(from.packets(testCode)...)
	}
	r.until("all are complete", func(s Snapshot) bool { return s.Links[0].Blocks.Complete == 30 })
	r.cancel()
	close(sink.wait)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if sink.count() != 30 {
		t.Errorf("%d of 30 blocks came", sink.count())
	}
}

func TestWhatWasReadIsCollectedBeforeTheEnd(t *testing.T) {
	c, err := New(Options{Links: []Link{{"a", newFeed()}}, Verifier: newTestVerifier(), Sink: newDelivery(), Memory: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.free(); err != nil {
			t.Error(err)
		}
	}()
	l := c.links[0]
	const lives = 500
	for range lives {
		drained, ended := make(chan struct{}), make(chan struct{})
		go func() { l.collect(drained); close(ended) }()
		runtime.Gosched() // mostly, the collector now waits
		l.ring.room()[0].N = 5
		l.ring.publish(1)
		close(drained)
		<-ended
	}
	if got := c.Snapshot().Links[0].Packets.Received; got != lives {
		t.Errorf("%d of %d datagrams collected", got, lives)
	}
}

// Nobody takes readings from the ring.
func TestAFullQueueIsCountedAndDoesNotStopTheDrain(t *testing.T) {
	f := newFeed()
	c, err := New(Options{Links: []Link{{"a", f}}, Verifier: newTestVerifier(), Sink: newDelivery(), Memory: 1 << 20, Queue: 4 * 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.free(); err != nil {
			t.Error(err)
		}
	}()
	l := c.links[0]
	ended := make(chan error, 1)
	go func() { ended <- l.drain(t.Context()) }()
	f.seg = 100
	const readings = 2000
	for range readings {
		f.send(make([]byte, 250)) // three datagrams
	}
	for deadline := time.Now().Add(5 * time.Second); l.buffers.Load() < readings && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if got, kept := l.overrun.Load(), l.ring.put.Load(); got == 0 || got != 3*(readings-kept) {
		t.Errorf("%d datagrams dropped, want those of %d readings", got, readings-kept)
	}
	if c.Alive() > 5*time.Second {
		t.Error("the drain is not alive")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the drain hid the error of its socket")
	}
}

func TestAFailingSocketEndsRun(t *testing.T) {
	f := newFeed()
	r := start(t, Options{Links: []Link{{"a", f}}, Verifier: newTestVerifier(), Sink: newDelivery(), Memory: 1 << 20})
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-r.ended:
		if err == nil {
			t.Error("Run hid the error")
		}
	case <-time.After(5 * time.Second):
		t.Error("Run did not end")
	}
}

func TestLossHasAnAddress(t *testing.T) {
	cases := map[string]struct {
		lost, kernel, queue, buffers, received uint64
		want                                   Loss
	}{
		"all on the link":              {100, 0, 0, 50, 50, Loss{100, 0, 0, 100, 0, 0}},
		"queue first":                  {100, 0, 30, 50, 50, Loss{100, 0, 30, 70, 0, 30}},
		"kernel drops whole buffers":   {100, 2, 0, 50, 2000, Loss{100, 80, 0, 20, 2, 0}},
		"local drops of foreign noise": {10, 50, 50, 50, 50, Loss{10, 0, 10, 0, 50, 50}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFeed()
			f.kernel.Store(c.kernel)
			l := &link{socket: f, table: &table{closed: closedCounts{c.lost}}}
			l.table.packets.Received = c.received
			l.overrun.Store(c.queue)
			l.buffers.Store(c.buffers)
			if got := l.loss(); got != c.want {
				t.Errorf("loss %+v, want %+v", got, c.want)
			}
		})
	}
}
