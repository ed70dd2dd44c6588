package collect

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/protocol/fec"
	"ecluse/protocol/packet"
)

const testMemory = 8 << 20

func TestBlocksComeThroughWithUpToMShardsLost(t *testing.T) {
	codes := map[string]fec.Code{
		"GF8":         testCode,
		"GF8 jumbo":   {K: 12, M: 4, Shard: 8896},
		"GF16":        {K: 300, M: 32, Shard: 1408},
		"one shard":   {K: 1, M: 3, Shard: 1408},
		"odd parity":  {K: 10, M: 5, Shard: 2048},
		"every shard": {K: 7, M: 7, Shard: 9088},
	}
	for name, code := range codes {
		t.Run(name, func(t *testing.T) {
			s := testSession("low", 1, 1)
			b, from := newBench(t, testMemory, s), newTestSender(t, s, 0)
			repaired := uint64(0)
			for lost := range code.M + 1 {
				all := from.packets(code)
				rest := make([][]byte, 0, len(all))
				dead := from.rng.Perm(len(all))[:lost]
				data := false
				for i, p := range all {
					if !slices.Contains(dead, i) {
						rest = append(rest, p)
					} else if i < code.K {
						data = true
					}
				}
				if data {
					repaired++
				}
				b.feed(rest...)
			}
			b.wantAll(from)
			b.wantEmpty()
			if got := b.tab.outcome; got.Repaired != repaired || got.Lost != 0 || got.Delivered != uint64(code.M+1) {
				t.Errorf("outcome %+v, want %d repaired and none lost", got, repaired)
			}
		})
	}
}

func TestOneShardLessThanKIsLostAfterItsTime(t *testing.T) {
	s := testSession("low", 1, 1)
	b, from := newBench(t, testMemory, s), newTestSender(t, s, 0)
	b.feed(from.packets(testCode)[testCode.M+1:]...) // one too few
	b.tab.tick(b.now + int64(patience) - 1)
	if b.tab.outcome.Lost != 0 {
		t.Fatal("given up before its time")
	}
	b.tab.tick(b.now + int64(patience))
	if got := b.tab.outcome; got.Lost != 1 || got.LostShards != 1 || got.Complete != 0 {
		t.Errorf("outcome %+v, want one lost for want of one shard", got)
	}
	b.wantEmpty()
}

func TestAGivenUpBlockTakesNoMorePackets(t *testing.T) {
	s := testSession("low", 1, 1)
	b, from := newBench(t, testMemory, s), newTestSender(t, s, 0)
	all := from.packets(testCode)
	b.feed(all[:testCode.K-1]...)
	b.tab.tick(b.now + int64(patience))
	b.feed(all[testCode.K-1:]...)
	if len(b.sink.blocks) != 0 || b.tab.packets.Surplus != uint64(testCode.M+1) {
		t.Errorf("%d blocks, %d surplus packets", len(b.sink.blocks), b.tab.packets.Surplus)
	}
	b.wantEmpty()
}

func TestABlockFarBehindIsLost(t *testing.T) {
	s := testSession("low", 1, 1)
	b, from := newBench(t, testMemory, s), newTestSender(t, s, 0)
	first := from.packets(testCode)
	b.feed(first[0])
	from.block = blockSpan
	b.feed(from.packets(testCode)...) // 65,536 below the highest: still within
	b.tab.tick(b.now)
	if b.tab.blocks != 1 {
		t.Fatal("the block at the edge of the span was given up")
	}
	b.feed(from.packets(testCode)...)
	b.tab.tick(b.now)
	if b.tab.blocks != 0 || b.tab.outcome.Lost != 1 {
		t.Errorf("%d blocks in progress, outcome %+v", b.tab.blocks, b.tab.outcome)
	}
	before := b.tab.packets.Surplus
	b.feed(first[1])
	if b.tab.packets.Surplus != before+1 {
		t.Error("a packet of a block behind the span was not surplus")
	}
}

func TestBlocksOfWhichNothingCameAreCounted(t *testing.T) {
	s := testSession("low", 1, 1)
	b, from := newBench(t, testMemory, s), newTestSender(t, s, 0)
	from.block = 100 // a receiver that was started late misses nothing of what was before
	b.feed(from.packets(testCode)...)
	for range 7 {
		from.packets(testCode) // all lost
	}
	clear(from.sent)
	from.block = 108
	b.feed(from.packets(testCode)...)
	for range 2 {
		b.now += int64(patience)
		b.tab.tick(b.now)
	}
	if got := b.tab.outcome; got.Lost != 7 || got.LostUnseen != 7 {
		t.Errorf("outcome %+v, want 7 lost unseen", got)
	}
	b.now += 3 * int64(patience)
	b.tab.tick(b.now)
	if got := b.tab.outcome.Lost; got != 7 {
		t.Errorf("counted again: %d", got)
	}
}

// Reordering within the window and 50 % duplicates change nothing.
func TestReorderedAndDoubledPacketsGiveEachBlockOnce(t *testing.T) {
	s := testSession("low", 1, 1)
	b, from := newBench(t, testMemory, s), newTestSender(t, s, 0)
	var all [][]byte
	for range 40 {
		for _, p := range from.packets(testCode) {
			all = append(all, p)
			if from.rng.IntN(2) == 0 {
				all = append(all, p)
			}
		}
	}
	from.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	b.feed(all...)
	b.wantAll(from)
	b.wantEmpty()
	if got := b.tab.lost(); got != 0 {
		t.Errorf("%d packets lost, want 0", got)
	}
	if got := b.refusedAs(bundle.ReasonPacketReplay); got != uint64(len(all))-from.number {
		t.Errorf("%d replays, want %d", got, uint64(len(all))-from.number)
	}
}

// A capture that is sent again, three times.
func TestAReplayedCaptureIsDeliveredOnce(t *testing.T) {
	s := testSession("low", 1, 1)
	b, from := newBench(t, testMemory, s), newTestSender(t, s, 0)
	var all [][]byte
	for range 20 {
		all = append(all, from.packets(testCode)...)
	}
	for range 4 {
		b.feed(all...)
	}
	b.wantAll(from)
	if got := b.tab.packets.Accepted; got != from.number {
		t.Errorf("%d packets accepted of %d sent", got, from.number)
	}
}

// Every bit of a packet.
func TestAFlippedBitIsNeverAccepted(t *testing.T) {
	s := testSession("low", 1, 1)
	b, from := newBench(t, testMemory, s), newTestSender(t, s, 0)
	p := from.packets(testCode)[0]
	for bit := range len(p) * 8 {
		bad := slices.Clone(p)
		bad[bit/8] ^= 1 << (bit % 8)
		kind, tag, err := packet.Classify(bad)
		if err != nil || kind == packet.KindAnnounce {
			continue
		}
		b.tab.packet(b.now, kind, tag, bad)
	}
	if b.tab.packets.Accepted != 0 || b.tab.blocks != 0 || b.tab.arena.used != 0 {
		t.Errorf("accepted %d", b.tab.packets.Accepted)
	}
	if n := b.refusedAs(bundle.ReasonPacketSeal); n < uint64(len(p)-4)*8 {
		t.Errorf("only %d refused by the seal", n)
	}
}

func TestUnknownTagsAreRefusedAsSuch(t *testing.T) {
	b, from := newBench(t, testMemory), newTestSender(t, testSession("low", 1, 1), 0)
	b.feed(from.packets(testCode)...)
	if got := b.refusedAs(bundle.ReasonPacketTag); got != from.number || b.tab.packets.Accepted != 0 {
		t.Errorf("%d of %d refused", got, from.number)
	}
}

func TestTwoSessionsMayShareATag(t *testing.T) {
	one, two := testSession("low", 1, 1), testSession("other", 2, 1)
	two.Links[0].Tag = one.Links[0].Tag
	b := newBench(t, testMemory, one, two)
	a, z := newTestSender(t, one, 0), newTestSender(t, two, 0)
	for range 5 {
		p, q := a.packets(testCode), z.packets(testCode)
		for i := range p {
			b.feed(p[i], q[i])
		}
	}
	b.wantAll(a, z)
	if b.refusedAs(bundle.ReasonPacketSeal) != 0 {
		t.Error("a packet that opened in the second session was counted as refused")
	}
	b.tab.close(b.now, one)
	b.feed(a.packets(testCode)...)
	b.feed(z.packets(testCode)...)
	if len(b.sink.blocks) != 11 {
		t.Errorf("%d blocks after one of the two sessions ended, want 11", len(b.sink.blocks))
	}
}

// An insider who holds the key.
func TestAnInsiderIsRefusedByReason(t *testing.T) {
	shard := make([]byte, 1408)
	in := packet.Inner{Block: 0, Index: 3, K: 16, M: 8}
	cases := map[string]struct {
		inner  packet.Inner
		shard  int
		reason bundle.Reason
	}{
		"another k":          {packet.Inner{Block: 0, Index: 4, K: 17, M: 8}, 1408, bundle.ReasonBlockConflict},
		"another m":          {packet.Inner{Block: 0, Index: 4, K: 16, M: 9}, 1408, bundle.ReasonBlockConflict},
		"another shard size": {packet.Inner{Block: 0, Index: 4, K: 16, M: 8}, 1472, bundle.ReasonBlockConflict},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := testSession("low", 1, 1)
			b, from := newBench(t, testMemory, s), newTestSender(t, s, 0)
			b.feed(from.seal(in, shard))
			b.feed(from.seal(c.inner, make([]byte, c.shard)))
			if got := b.refusedAs(c.reason); got != 1 {
				t.Errorf("%d refused as %s, want 1", got, c.reason)
			}
			if b.tab.blocks != 1 || b.tab.outcome.Complete != 0 {
				t.Errorf("%d blocks", b.tab.blocks)
			}
		})
	}
}

// Shards that open and are wrong spoil their block, which is not delivered, and no other.
func TestAWrongShardSpoilsItsBlockAlone(t *testing.T) {
	s := testSession("low", 1, 1)
	b, from := newBench(t, testMemory, s), newTestSender(t, s, 0)
	b.feed(from.packets(testCode)...)
	number, shards := from.shards(testCode)
	delete(from.sent, number)
	shards[testCode.K][17] ^= 1 // a parity shard, so that every shard recovered from it is wrong
	for i := 1; i <= testCode.K; i++ {
		b.feed(from.seal(packet.Inner{Block: number, Index: uint16(i), K: uint16(testCode.K), M: uint16(testCode.M)}, shards[i]))
	}
	b.feed(from.packets(testCode)...)
	b.wantAll(from)
	b.wantEmpty()
	if got := b.tab.outcome; got.CRC != 1 || got.Delivered != 2 {
		t.Errorf("outcome %+v", got)
	}
}

// A sender that was resumed from a snapshot seals shards of two blocks under one number. All data shards of it come, each with a seal that holds.
func TestShardsOfTwoBlocksAreNoBlock(t *testing.T) {
	s := testSession("low", 1, 1)
	b, from := newBench(t, testMemory, s), newTestSender(t, s, 0)
	number, shards := from.shards(testCode)
	_, others := from.shards(testCode)
	delete(from.sent, number)
	delete(from.sent, number+1)
	copy(shards[testCode.K/2:], others[testCode.K/2:])
	for i := range testCode.K {
		b.feed(from.seal(packet.Inner{Block: number, Index: uint16(i), K: uint16(testCode.K), M: uint16(testCode.M)}, shards[i]))
	}
	b.feed(from.packets(testCode)...)
	b.wantAll(from)
	b.wantEmpty()
	if got := b.tab.outcome; got.CRC != 1 || got.Delivered != 1 {
		t.Errorf("outcome %+v", got)
	}
}

func TestABlockWithAnotherNumberInsideIsRefused(t *testing.T) {
	s := testSession("low", 1, 1)
	b, from := newBench(t, testMemory, s), newTestSender(t, s, 0)
	_, shards := from.shards(testCode)
	for i, shard := range shards[:testCode.K] {
		b.feed(from.seal(packet.Inner{Block: 5, Index: uint16(i), K: uint16(testCode.K), M: uint16(testCode.M)}, shard))
	}
	if got := b.tab.outcome; got.Header != 1 || len(b.sink.blocks) != 0 {
		t.Errorf("outcome %+v", got)
	}
	b.wantEmpty()
}

func TestTheSameShardTwiceCountsOnce(t *testing.T) {
	s := testSession("low", 1, 1)
	b, from := newBench(t, testMemory, s), newTestSender(t, s, 0)
	number, shards := from.shards(testCode)
	for range testCode.K {
		b.feed(from.seal(packet.Inner{Block: number, Index: 3, K: uint16(testCode.K), M: uint16(testCode.M)}, shards[3]))
	}
	if b.tab.outcome.Complete != 0 || b.tab.packets.Surplus != uint64(testCode.K-1) {
		t.Errorf("outcome %+v, packets %+v", b.tab.outcome, b.tab.packets)
	}
}

// P-7: after a restart nothing at or below the stored number is accepted, and everything above.
func TestAFloorRefusesWhatWasAcceptedBeforeARestart(t *testing.T) {
	s := testSession("low", 1, 2)
	b, from := newBench(t, testMemory, s), newTestSender(t, s, 1)
	old := from.packets(testCode)
	b.feed(old...)
	floors := map[*Session][]Floor{}
	b.tab.floors(floors)
	if got := floors[s]; got[0].Known || got[1] != (Floor{uint64(len(old) - 1), true}) {
		t.Fatalf("floors %+v", got)
	}
	again := testSession("low", 1, 2)
	again.Links[0].Floor, again.Links[1].Floor = floors[s][0], floors[s][1]
	after := newBench(t, testMemory, again)
	after.feed(old...)
	if got := after.refusedAs(bundle.ReasonPacketFloor); got != uint64(len(old)) {
		t.Errorf("%d of %d refused", got, len(old))
	}
	clear(from.sent)
	after.feed(from.packets(testCode)...)
	after.wantAll(from)
	clear(floors)
	after.tab.floors(floors)
	if got := floors[again][1]; got != (Floor{from.number - 1, true}) {
		t.Errorf("the next floor is %+v", got)
	}
}

func TestAFloorStandsUntilANewPacketComes(t *testing.T) {
	s := testSession("low", 1, 1)
	s.Links[0].Floor = Floor{77, true}
	b := newBench(t, testMemory, s)
	floors := map[*Session][]Floor{}
	b.tab.floors(floors)
	if got := floors[s][0]; got != (Floor{77, true}) {
		t.Errorf("floor %+v", got)
	}
}

func TestLossFollowsFromPacketNumbers(t *testing.T) {
	s := testSession("low", 1, 1)
	b, from := newBench(t, testMemory, s), newTestSender(t, s, 0)
	from.number = 1000
	lost := uint64(0)
	for range 50 {
		for i, p := range from.packets(testCode) {
			if i%5 == 3 {
				lost++
				continue
			}
			b.feed(p)
		}
	}
	if got := b.tab.lost(); got != lost-1 && got != lost { // the very last one cannot be missed yet
		t.Errorf("%d lost, want %d", got, lost)
	}
	b.wantAll(from)
	b.tab.close(b.now, s)
	if got := b.tab.lost(); got != lost-1 && got != lost {
		t.Errorf("%d lost after the session ended, want %d", got, lost)
	}
}

func TestAClosedSessionLeavesNothing(t *testing.T) {
	s := testSession("low", 1, 3)
	b := newBench(t, testMemory, s)
	for i := range 3 {
		b.feed(newTestSender(t, s, i).packets(testCode)[:5]...)
	}
	b.tab.close(b.now, s)
	b.wantEmpty()
	if len(b.tab.tags) != 0 || len(b.tab.channels) != 0 || b.tab.outcome.Lost != 3 {
		t.Errorf("%d tags, %d channels, outcome %+v", len(b.tab.tags), len(b.tab.channels), b.tab.outcome)
	}
	for i := range b.tab.arena.sizes {
		if len(b.tab.arena.sizes[i].lanes) != 0 {
			t.Error("a lane is left")
		}
	}
	b.feed(newTestSender(t, s, 0).packets(testCode)[10])
	if b.refusedAs(bundle.ReasonPacketTag) != 1 {
		t.Error("a packet of the closed session was let in")
	}
}

// Whatever a sender does, the arena and the tables stay within their limits, and the block that goes on progressing
// is delivered.
func TestAFloodOfUnfinishedBlocksHitsItsSenderAlone(t *testing.T) {
	honest, flood := testSession("low", 1, 1), testSession("flood", 2, 1)
	b := newBench(t, 2<<20, honest, flood)
	from, evil := newTestSender(t, honest, 0), newTestSender(t, flood, 0)
	shard := make([]byte, 1408)
	code := fec.Code{K: 64, M: 32, Shard: 1408}
	for range 3 {
		for _, p := range from.packets(code) {
			b.feed(p)
			for range 50 {
				evil.block++
				b.feed(evil.seal(packet.Inner{Block: evil.block, K: 2048, M: 2048}, shard))
			}
		}
	}
	b.wantAll(from)
	if b.tab.outcome.Budget == 0 {
		t.Error("no block was given up: the test proves nothing")
	}
	if used := b.tab.arena.used; used > 2<<20 {
		t.Errorf("%d bytes used of %d", used, 2<<20)
	}
	if b.tab.blocks > b.tab.limit || len(b.tab.spare) > b.tab.limit {
		t.Errorf("%d blocks and %d spare ones, limit %d", b.tab.blocks, len(b.tab.spare), b.tab.limit)
	}
}

// The number of blocks has a limit of its own, and it hits the sender with the most blocks, not the one with the largest.
func TestAFloodOfSmallBlocksHitsItsSenderAlone(t *testing.T) {
	honest, flood := testSession("low", 1, 1), testSession("flood", 2, 1)
	b := newBench(t, testMemory, honest, flood)
	from, evil := newTestSender(t, honest, 0), newTestSender(t, flood, 0)
	shard := make([]byte, 1408)
	code := fec.Code{K: 512, M: 32, Shard: 1408}
	var all [4][][]byte
	for i := range all {
		all[i] = from.packets(code)
	}
	for i := range code.K {
		for _, packets := range all {
			b.feed(packets[i])
			for range 3 {
				evil.block++
				b.feed(evil.seal(packet.Inner{Block: evil.block, K: 2048, M: 2048}, shard))
			}
		}
	}
	b.wantAll(from)
	if b.tab.outcome.Budget == 0 || b.tab.blocks != b.tab.limit {
		t.Errorf("%d blocks, limit %d, outcome %+v", b.tab.blocks, b.tab.limit, b.tab.outcome)
	}
}

func TestABlockIsGivenUpWhereWorkersHoldAllTheOthers(t *testing.T) {
	s := testSession("low", 1, 1)
	b, from := newBench(t, 1<<20, s), newTestSender(t, s, 0)
	code := fec.Code{K: 1, M: 1, Shard: 1408}
	var held []*block
	for range b.tab.limit + 10 {
		for _, p := range from.packets(code) {
			if done := b.take(p); done != nil {
				held = append(held, done)
			}
		}
	}
	if len(held) != b.tab.limit || b.tab.outcome.Budget != 10 || b.tab.outcome.BudgetPackets != 10 {
		t.Errorf("%d held, limit %d, outcome %+v", len(held), b.tab.limit, b.tab.outcome)
	}
	for _, done := range held {
		b.deliver(done)
	}
	b.wantEmpty()
}

// 121 shard sizes at once.
func TestEveryShardSizeAtOnceStaysWithinTheBudget(t *testing.T) {
	honest, flood := testSession("low", 1, 1), testSession("flood", 2, 1)
	b := newBench(t, 64<<20, honest, flood)
	from, evil := newTestSender(t, honest, 0), newTestSender(t, flood, 0)
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20000 {
		evil.block++
		shard := make([]byte, bundle.MinShard+rng.IntN(shardSizes)*bundle.ShardMultiple)
		b.feed(evil.seal(packet.Inner{Block: evil.block, K: 2048, M: 2048}, shard))
	}
	slabs := 0
	for i := range b.tab.arena.sizes {
		slabs += b.tab.arena.sizes[i].slabs
	}
	if slabs+len(b.tab.arena.free) != len(b.tab.arena.slabs) {
		t.Errorf("%d slabs in use and %d free, of %d", slabs, len(b.tab.arena.free), len(b.tab.arena.slabs))
	}
	b.now += int64(patience)
	b.tab.tick(b.now)
	b.wantEmpty()
	b.feed(from.packets(testCode)...)
	b.wantAll(from)
}

// One sender's blocks fill what memory they may; another one's, of another size, still find some.
func TestAnotherShardSizeFindsMemoryWhereOneHasFilledIt(t *testing.T) {
	honest, flood := testSession("low", 1, 1), testSession("flood", 2, 1)
	b := newBench(t, 32<<20, honest, flood)
	from, evil := newTestSender(t, honest, 0), newTestSender(t, flood, 0)
	shard := make([]byte, bundle.MaxShard)
	for range 2 * (32 << 20) / bundle.MaxShard {
		if evil.number%64 == 0 {
			evil.block++
		}
		b.feed(evil.seal(packet.Inner{Block: evil.block, Index: uint16(evil.number % 64), K: 2048, M: 2048}, shard))
	}
	if b.tab.outcome.Budget == 0 {
		t.Fatal("memory is not full: the test proves nothing")
	}
	b.feed(from.packets(testCode)...)
	b.wantAll(from)
}

func TestCompleteBlocksInTheSinksHandsAreNotGivenUp(t *testing.T) {
	s := testSession("low", 1, 1)
	b, from := newBench(t, 1<<20, s), newTestSender(t, s, 0)
	var held []*block
	for range 100 { // 100 blocks of 16 slots: more than the 712 slots of the arena
		for _, p := range from.packets(testCode)[:testCode.K] {
			if done := b.take(p); done != nil {
				held = append(held, done)
			}
		}
	}
	if len(held) != 712/testCode.K || b.tab.outcome.Budget != uint64(100-len(held)) {
		t.Errorf("%d blocks complete, outcome %+v", len(held), b.tab.outcome)
	}
	for _, done := range held {
		b.deliver(done)
	}
	if len(b.sink.blocks) != len(held) || b.tab.outcome.CRC != 0 {
		t.Errorf("%d of %d blocks delivered intact", len(b.sink.blocks), len(held))
	}
	b.wantEmpty()
}

func TestFreeMemoryGoesBackToTheSystem(t *testing.T) {
	s := testSession("low", 1, 1)
	b, from := newBench(t, testMemory, s), newTestSender(t, s, 0)
	for range 100 {
		b.feed(from.packets(testCode)[:testCode.K-1]...) // never complete
	}
	if b.tab.arena.residentBytes() < 100*15*1408 {
		t.Fatal("the blocks lie nowhere")
	}
	b.now += int64(patience)
	b.tab.tick(b.now)
	b.tab.tick(b.now + int64(slabKept))
	if got := b.tab.arena.residentBytes(); got != 0 {
		t.Errorf("%d bytes resident", got)
	}
	b.now += int64(time.Minute)
	clear(from.sent)
	b.feed(from.packets(testCode)...)
	b.wantAll(from)
}

// The table's part of a datagram costs no allocation, whatever becomes of it.
func TestPacketsAllocateNothing(t *testing.T) {
	s := testSession("low", 1, 1)
	b, from := newBench(t, testMemory, s), newTestSender(t, s, 0)
	good := from.packets(testCode)
	bad := slices.Clone(good[0])
	bad[40] ^= 1
	stranger := newTestSender(t, testSession("stranger", 9, 1), 0).packets(testCode)[0]
	b.feed(good...)
	refused := map[string][]byte{"sealed by another": bad, "unknown tag": stranger, "replayed": good[1], "short": good[0][:100]}
	bad[9] = 200 // not seen before
	for name, p := range refused {
		if n := testing.AllocsPerRun(1000, func() { b.feed(p) }); n != 0 {
			t.Errorf("%s: %v allocations a packet", name, n)
		}
	}
	var stream [][]byte
	for range 400 {
		stream = append(stream, from.packets(testCode)...)
	}
	at := 0
	run := func() {
		for range 40 * (testCode.K + testCode.M) {
			if done := b.take(stream[at]); done != nil {
				if _, _, err := b.w.open(b.tab, done); err != nil {
					t.Fatal(err)
				}
				b.tab.finish(b.now, done, 0, nil)
			}
			at++
		}
	}
	run()
	if n := testing.AllocsPerRun(8, run); n != 0 {
		t.Errorf("%v allocations for 40 blocks", n)
	}
}

func TestSpanKeepsExactlyWhatItShould(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	s, model := newSpan(0, 0), map[uint32]bool{}
	for range 400000 {
		var number uint32
		switch n := rng.IntN(10000); {
		case n == 0:
			number = s.highest + uint32(rng.IntN(3*blockSpan))
		case n < 5000:
			number = s.highest + uint32(rng.IntN(5))
		case n < 7500:
			number = s.highest - min(s.highest, uint32(rng.IntN(100)))
		default:
			number = s.highest - min(s.highest, uint32(rng.IntN(blockSpan+100)))
		}
		want := model[number] || (number < s.highest && s.highest-number > blockSpan)
		if got := s.over(number); got != want {
			t.Fatalf("block %d, highest %d: over is %v, want %v", number, s.highest, got, want)
		}
		if !want {
			s.see(number)
			if rng.IntN(2) == 0 {
				s.finish(number)
				model[number] = true
			}
		}
	}
}

func TestLimiterAllowsSoManyInAnySecond(t *testing.T) {
	l := newLimiter(verifiedPerSecond)
	var happened []int64
	for now := int64(0); now < int64(5*time.Second); now += int64(time.Millisecond) {
		if l.may(now) {
			l.note(now)
			happened = append(happened, now)
		}
	}
	if len(happened) != 5*verifiedPerSecond {
		t.Errorf("%d in 5 s, want %d", len(happened), 5*verifiedPerSecond)
	}
	for i := verifiedPerSecond; i < len(happened); i++ {
		if happened[i]-happened[i-verifiedPerSecond] < int64(time.Second) {
			t.Fatalf("too many in the second before %d", happened[i])
		}
	}
}

func FuzzPacket(f *testing.F) {
	s := testSession("low", 1, 1)
	f.Add([]byte{0x12, 1, 2, 3}, uint32(0), uint16(0), uint16(1), uint16(1))
	f.Fuzz(func(t *testing.T, raw []byte, number uint32, index, k, m uint16) {
		b, from := newBench(t, 1<<20, s), newTestSender(t, s, 0)
		if kind, tag, err := packet.Classify(raw); err == nil && kind != packet.KindAnnounce {
			b.tab.packet(1, kind, tag, raw)
			if b.tab.packets.Accepted != 0 {
				t.Fatal("a packet that nobody sealed was accepted")
			}
			b.wantEmpty()
		}
		in := packet.Inner{Block: number, Index: index, K: k, M: m}
		if code := (fec.Code{K: int(k), M: int(m), Shard: 1408}); code.Validate() != nil || int(index) >= int(k)+int(m) {
			return
		}
		b.feed(from.seal(in, make([]byte, 1408)))
		b.tab.close(b.now, s)
		b.wantEmpty()
	})
}
