package collect

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"ecluse/protocol/bundle"
	"ecluse/protocol/fec"
	"ecluse/protocol/packet"
	"ecluse/protocol/record"
)

// testCode is a small code whose repair is the real one: GF(2^8), 16 + 8 shards of 1,408 bytes.
var testCode = fec.Code{K: 16, M: 8, Shard: 1408}

// testSession makes a session of links links, as a Verifier would have.
func testSession(name string, number uint64, links int) *Session {
	s := &Session{
		Info: SessionInfo{Sender: bundle.Name(name), Epoch: bundle.Epoch{1}, Number: number},
		Rank: number,
	}
	for i := range links {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", name, number, i))
		s.Links = append(s.Links, LinkKey{Key: sum, Tag: packet.Tag(sum[:3])})
	}
	return s
}

// testSender is one link of a session, seen from the low side.
type testSender struct {
	sealer *packet.Sealer
	coder  *fec.Coder
	rng    *rand.Rand
	number uint64 // of the next packet
	block  uint32 // of the next block
	sent   map[uint32][32]byte
}

func newTestSender(t testing.TB, s *Session, link int) *testSender {
	t.Helper()
	sealer, err := packet.NewSealer(s.Links[link].Key, s.Links[link].Tag)
	if err != nil {
		t.Fatal(err)
	}
	return &testSender{sealer: sealer, coder: fec.NewCoder(), rng: rand.New(rand.NewPCG(s.Info.Number, uint64(link))), sent: map[uint32][32]byte{}}
}

// shards makes the data and parity shards of the next block: one slice of random bytes whose chunk is the block's number.
func (s *testSender) shards(code fec.Code) (number uint32, shards [][]byte) {
	number = s.block
	s.block++
	mem := make([]byte, (code.K+code.M)*code.Shard)
	for i := range code.K + code.M {
		shards = append(shards, mem[i*code.Shard:(i+1)*code.Shard])
	}
	b := record.NewBlock(mem[:code.K*code.Shard])
	data := make([]byte, b.Room()/2)
	for i := 0; i+8 <= len(data); i += 8 {
		binary.NativeEndian.PutUint64(data[i:], s.rng.Uint64())
	}
	for at := 0; at < len(data); at += bundle.ChunkSizeMax / 2 {
		piece := data[at:min(at+bundle.ChunkSizeMax/2, len(data))]
		slice := record.Slice{Bundle: bundle.ID{1}, Chunk: number, Raw: uint32(len(piece)), Frame: uint32(len(piece)),
			Runs: []bundle.Run{{File: 1, Length: uint32(len(piece))}}, Data: [][]byte{piece}}
		if !slice.AppendTo(b) {
			panic("the slice does not fit")
		}
	}
	b.Seal(number, code.K*code.Shard)
	s.sent[number] = sha256.Sum256(data)
	if err := s.coder.Encode(code, shards[:code.K], shards[code.K:]); err != nil {
		panic(err)
	}
	return number, shards
}

// packets seals the next block: code.K + code.M datagrams in order, with ascending packet numbers.
func (s *testSender) packets(code fec.Code) [][]byte {
	number, shards := s.shards(code)
	var all [][]byte
	for i, shard := range shards {
		all = append(all, s.seal(packet.Inner{Block: number, Index: uint16(i), K: uint16(code.K), M: uint16(code.M)}, shard))
	}
	return all
}

// seal gives one datagram.
func (s *testSender) seal(in packet.Inner, shard []byte) []byte {
	var salt [6]byte
	binary.BigEndian.PutUint32(salt[:], s.rng.Uint32())
	p := s.sealer.Seal(nil, s.number, salt, in, shard)
	s.number++
	return p
}

// delivery is what a sink got: how often each block came, by the sum of its content.
type delivery struct {
	mu     sync.Mutex
	blocks map[[32]byte]int
	infos  []SessionInfo
	wait   chan struct{} // where not nil, Block waits for it to be closed
}

func newDelivery() *delivery { return &delivery{blocks: map[[32]byte]int{}} }

func (d *delivery) Block(s SessionInfo, r *record.Reader) {
	if d.wait != nil {
		<-d.wait
	}
	sum := sha256.New()
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			panic(err)
		}
		for _, piece := range rec.(*record.Slice).Data {
			sum.Write(piece)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.blocks[[32]byte(sum.Sum(nil))]++
	d.infos = append(d.infos, s)
}

// bench is a table with a worker and a sink behind it, and no goroutine: what a link is made of.
type testBench struct {
	t    testing.TB
	tab  *table
	w    *worker
	sink *delivery
	now  int64
}

func newBench(t testing.TB, memory int, sessions ...*Session) *testBench {
	t.Helper()
	tab, err := newTable(memory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tab.arena.mem.close(); err != nil {
			t.Error(err)
		}
	})
	for _, s := range sessions {
		if err := tab.open(s); err != nil {
			t.Fatal(err)
		}
	}
	return &testBench{t: t, tab: tab, w: newWorker(), sink: newDelivery(), now: 1}
}

// feed takes datagrams as a collector does, and delivers what they complete at once.
func (b *testBench) feed(datagrams ...[]byte) {
	for _, d := range datagrams {
		if done := b.take(d); done != nil {
			b.deliver(done)
		}
	}
}

func (b *testBench) take(datagram []byte) *block {
	b.now += 1000
	kind, tag, err := packet.Classify(datagram)
	if err != nil {
		b.tab.refused.add(err)
		return nil
	}
	if kind == packet.KindAnnounce {
		b.t.Fatal("neither data nor a probe")
	}
	return b.tab.packet(b.now, kind, tag, datagram)
}

func (b *testBench) deliver(done *block) {
	info := done.lane.channel.session.Info
	r, recovered, err := b.w.open(b.tab, done)
	if err == nil {
		b.sink.Block(info, r)
	}
	b.w.done()
	b.tab.finish(b.now, done, recovered, err)
}

// refusedAs gives how many packets were refused for a reason.
func (b *testBench) refusedAs(reason bundle.Reason) uint64 {
	for i, r := range packetReasons {
		if r == reason {
			return b.tab.refused[i]
		}
	}
	b.t.Fatalf("no such reason: %s", reason)
	return 0
}

// wantAll checks that each block of senders came exactly once.
func (b *testBench) wantAll(senders ...*testSender) {
	b.t.Helper()
	want := 0
	for _, s := range senders {
		want += len(s.sent)
		for number, sum := range s.sent {
			if n := b.sink.blocks[sum]; n != 1 {
				b.t.Errorf("block %d came %d times, want 1", number, n)
			}
		}
	}
	if len(b.sink.blocks) != want {
		b.t.Errorf("%d blocks came, want %d", len(b.sink.blocks), want)
	}
}

// wantEmpty checks that nothing is held any more.
func (b *testBench) wantEmpty() {
	b.t.Helper()
	if b.tab.arena.used != 0 || b.tab.blocks != 0 || b.tab.held != 0 {
		b.t.Errorf("still held: %d bytes, %d blocks, %d with workers", b.tab.arena.used, b.tab.blocks, b.tab.held)
	}
}
