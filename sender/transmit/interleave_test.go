package transmit

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ecluse/protocol/fec"
)

func coded(n uint32, k, m int) *Coded {
	return &Coded{Number: n, Code: fec.Code{K: k, M: m, Shard: 1408}}
}

func TestEveryShardLeavesOnceAndInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		il := NewInterleaver(rapid.IntRange(1, 8).Draw(t, "window"))
		next := map[uint32]int{}
		total, left := 0, 0
		now := int64(0)
		for n := range uint32(rapid.IntRange(1, 20).Draw(t, "blocks")) {
			e := Emission{Way: Way(rapid.IntRange(0, int(ways)-1).Draw(t, "way")), Span: int64(rapid.IntRange(0, 30).Draw(t, "span")) * int64(time.Millisecond)}
			for !il.Admits(e.Way) {
				now += int64(time.Millisecond)
				left += drain(t, il, now, next)
			}
			k, m := rapid.IntRange(1, 20).Draw(t, "k"), rapid.IntRange(1, 20).Draw(t, "m")
			total += k + m
			il.Add(now, coded(n, k, m), e)
		}
		for !il.Idle() {
			due, ok := il.Due()
			if !ok {
				t.Fatal("something is in flight and nothing is due")
			}
			if b, _, _, ok := il.Next(due - 1); ok {
				t.Fatalf("block %d leaves before it is due", b.Number)
			}
			now = max(now, due)
			left += drain(t, il, now, next)
		}
		if left != total {
			t.Fatalf("%d shards left of %d", left, total)
		}
	})
}

func drain(t *rapid.T, il *Interleaver, now int64, next map[uint32]int) (left int) {
	for {
		b, i, last, ok := il.Next(now)
		if !ok {
			return left
		}
		if i != next[b.Number] {
			t.Fatalf("shard %d of block %d after %d", i, b.Number, next[b.Number]-1)
		}
		next[b.Number]++
		left++
		if last != (next[b.Number] == b.Code.K+b.Code.M) {
			t.Fatalf("shard %d of block %d: last is %v", i, b.Number, last)
		}
	}
}

// On a full link, of any window's worth of packets in a row at most one belongs to a given block: that is what the planner counts on.
func TestAFullLinkTakesBlocksInTurn(t *testing.T) {
	const window, k, m = 8, 24, 8
	packet := int64(10 * time.Microsecond)
	span := packet * window * (k + m)
	il := NewInterleaver(window)
	number := uint32(0)
	var order []uint32
	for now := int64(0); now < 20*span; now += packet {
		if il.Admits(Bulk) {
			il.Add(now, coded(number, k, m), Emission{Way: Bulk, Span: span})
			number++
		}
		if b, _, _, ok := il.Next(now); ok {
			order = append(order, b.Number)
		}
	}
	for at := 3 * window * (k + m); at+window <= len(order); at++ { // once the window has filled
		seen := map[uint32]int{}
		for _, n := range order[at : at+window] {
			seen[n]++
			if seen[n] > 1 {
				t.Fatalf("block %d twice within %d packets at packet %d: %v", n, window, at, order[at:at+window])
			}
		}
	}
}

// However long a prompt block is, an express one goes between its shards; and those that wait do not keep it out.
func TestExpressBlocksGoBeforePromptOnes(t *testing.T) {
	il := NewInterleaver(4)
	for n := range uint32(ahead[Prompt]) {
		il.Add(0, coded(n, 100, 10), Emission{Way: Prompt, Span: 300})
	}
	if il.Admits(Prompt) || !il.Admits(Express) {
		t.Fatalf("with %d prompt blocks unsent: a further one is admitted: %v, an express one: %v", ahead[Prompt], il.Admits(Prompt), il.Admits(Express))
	}
	for i := range 50 {
		if b, index, _, _ := il.Next(1); b.Number != 0 || index != i {
			t.Fatalf("shard %d of block %d left, want shard %d of the first", index, b.Number, i)
		}
	}
	il.Add(2, coded(9, 3, 3), Emission{Way: Express, Span: 300})
	for i := range 3 {
		if b, index, _, _ := il.Next(2); b.Number != 9 || index != i {
			t.Fatalf("shard %d of block %d left, want shard %d of the express one", index, b.Number, i)
		}
	}
	if b, index, _, _ := il.Next(3); b.Number != 0 || index != 50 {
		t.Errorf("shard %d of block %d left, want the first to go on", index, b.Number)
	}
	if b, index, _, _ := il.Next(102); b.Number != 9 || index != 3 {
		t.Errorf("shard %d of block %d left when parity of the express block was due", index, b.Number)
	}
}

// Of express blocks that of a tenant that owes less goes first, whichever was there before; parity goes at its time.
func TestExpressBlocksGoByWhatIsOwed(t *testing.T) {
	il := NewInterleaver(4)
	il.Add(0, coded(1, 5, 1), Emission{Way: Express, Span: 50, Owes: 10})
	il.Add(0, coded(2, 5, 1), Emission{Way: Express, Span: 50, Owes: 20})
	il.Add(1, coded(3, 2, 1), Emission{Way: Express, Span: 9, Owes: 0})
	var order []uint32
	for now := int64(1); !il.Idle(); now++ {
		if b, _, _, ok := il.Next(now); ok {
			order = append(order, b.Number)
		}
	}
	if want := []uint32{3, 3, 1, 1, 1, 1, 1, 2, 2, 3, 2, 2, 2, 1, 2}; !slices.Equal(order, want) {
		t.Errorf("shards left of the blocks %v, want %v", order, want)
	}
}

func TestPromptBlocksOvertake(t *testing.T) {
	il := NewInterleaver(4)
	for n := range uint32(4) {
		il.Add(0, coded(n, 100, 10), Emission{Way: Bulk})
	}
	il.Add(1, coded(9, 3, 3), Emission{Way: Prompt, Span: 300})
	for i := range 3 {
		if b, index, _, _ := il.Next(1); b.Number != 9 || index != i {
			t.Fatalf("shard %d of block %d left, want shard %d of the prompt one", index, b.Number, i)
		}
	}
	if b, _, _, _ := il.Next(50); b.Number == 9 {
		t.Error("parity left before its time")
	}
	if b, index, _, _ := il.Next(101); b.Number != 9 || index != 3 {
		t.Error("parity did not leave at its time")
	}
}
