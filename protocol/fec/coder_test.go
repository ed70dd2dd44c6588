package fec

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/reedsolomon"
	"pgregory.net/rapid"
)

// block returns K + M slices of Shard bytes: random data from the seed, parity still zero.
func block(code Code, seed uint64) [][]byte {
	rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})
	mem := make([]byte, (code.K+code.M)*code.Shard)
	rng.Read(mem[:code.K*code.Shard])
	shards := make([][]byte, code.K+code.M)
	for i := range shards {
		shards[i] = mem[i*code.Shard : (i+1)*code.Shard : (i+1)*code.Shard]
	}
	return shards
}

// encoded returns a block with its parity.
func encoded(t testing.TB, c *Coder, code Code, seed uint64) [][]byte {
	t.Helper()
	shards := block(code, seed)
	if err := c.Encode(code, shards[:code.K], shards[code.K:]); err != nil {
		t.Fatalf("%v: %v", code, err)
	}
	return shards
}

// received returns the shards with some lost: data as room full of old bytes, parity as nil.
func received(code Code, shards [][]byte, lost []int) [][]byte {
	got := make([][]byte, len(shards))
	copy(got, shards)
	for _, i := range lost {
		got[i] = nil
		if i < code.K {
			got[i] = bytes.Repeat([]byte{0xA5}, code.Shard)[:0]
		}
	}
	return got
}

// losses returns ways to lose n shards of a block: its beginning, its end, the middle, and at random.
func losses(code Code, n, random int, seed uint64) [][]int {
	total := code.K + code.M
	run := func(from int) []int {
		lost := make([]int, n)
		for i := range lost {
			lost[i] = (from + i) % total
		}
		return lost
	}
	ways := [][]int{run(0), run(total - n), run((total - n) / 2)}
	rng := rand.New(rand.NewPCG(seed, 1))
	for range random {
		ways = append(ways, rng.Perm(total)[:n])
	}
	return ways
}

var families = []struct {
	k, m   int
	trials int
}{
	{1, 1, 20}, {1, 2, 20}, {1, 10, 20}, {1, 128, 5}, {2, 1, 20}, {3, 1, 20}, {2, 3, 20}, {4, 4, 20}, {5, 12, 20}, {7, 5, 20},
	{16, 42, 20}, {5, 160, 5}, {63, 64, 10}, {64, 63, 10}, {65, 64, 10}, {100, 176, 5},
	{192, 44, 10}, {192, 64, 10}, {193, 64, 5}, {128, 128, 5}, {255, 1, 5}, {256, 1, 5},
	{960, 50, 3}, {959, 53, 3}, {896, 128, 3}, {1023, 1, 3}, {512, 512, 2}, {745, 700, 1}, {1024, 1536, 1}, {2048, 2048, 1},
}

func TestAnyMLossesAreRepairedAndOneMoreIsSaid(t *testing.T) {
	coder := NewCoder()
	for n, row := range families {
		for _, shard := range []int{MinShard, 8896} {
			code := Code{row.k, row.m, shard}
			trials := row.trials
			if shard > MinShard {
				trials = (trials + 3) / 4
			}
			t.Run(fmt.Sprint(code), func(t *testing.T) {
				seed := uint64(n)
				sent := encoded(t, coder, code, seed)
				for _, lost := range losses(code, code.M, trials, seed) {
					got := received(code, sent, lost)
					if err := coder.Reconstruct(code, got); err != nil {
						t.Fatalf("F-2: seed %d: lost %v: %v", seed, lost, err)
					}
					for i := range code.K {
						if !bytes.Equal(got[i], sent[i]) {
							t.Fatalf("F-2: seed %d: lost %v: shard %d is wrong", seed, lost, i)
						}
					}
				}
				for _, lost := range losses(code, code.M+1, trials, seed) {
					if err := coder.Reconstruct(code, received(code, sent, lost)); !errors.Is(err, ErrTooFew) {
						t.Fatalf("F-2: seed %d: lost %v: %v", seed, lost, err)
					}
				}
			})
		}
	}
}

func TestAnyCodeRepairsAnyLossUpToM(t *testing.T) {
	coder := NewCoder()
	rapid.Check(t, func(t *rapid.T) {
		code := Code{rapid.IntRange(1, 80).Draw(t, "k"), rapid.IntRange(1, 80).Draw(t, "m"), MinShard}
		sent := block(code, rapid.Uint64Range(0, 1<<20).Draw(t, "seed"))
		if err := coder.Encode(code, sent[:code.K], sent[code.K:]); err != nil {
			t.Fatal(err)
		}
		order := rapid.Permutation(indices(code.K+code.M)).Draw(t, "order")
		got := received(code, sent, order[:rapid.IntRange(0, code.M).Draw(t, "lost")])
		if err := coder.Reconstruct(code, got); err != nil {
			t.Fatal(err)
		}
		for i := range code.K {
			if !bytes.Equal(got[i], sent[i]) {
				t.Fatalf("shard %d is wrong", i)
			}
		}
	})
}

func indices(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// The code of k + m is the code of k + m2 whose last m2 - m parity shards were never sent.
func TestParityIsTheFirstOfThePaddedCode(t *testing.T) {
	coder := NewCoder()
	for _, row := range families {
		code := Code{row.k, row.m, MinShard}
		whole := Code{row.k, code.Padded(), MinShard}
		if whole.Validate() != nil || code.M == whole.M {
			continue
		}
		short, long := encoded(t, coder, code, 7), encoded(t, coder, whole, 7)
		for i := range code.M {
			if !bytes.Equal(short[code.K+i], long[code.K+i]) {
				t.Errorf("F-1: %v: parity shard %d differs from that of %v", code, i, whole)
				break
			}
		}
	}
}

// Both ends may run other processors and other releases of the library: the bytes of the parity are part of the protocol.
func TestParityBytesAreFixed(t *testing.T) {
	coder := NewCoder()
	for code, want := range pinned {
		sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
		for _, s := range encoded(t, coder, code, 42)[code.K:] {
			sum.Write(s)
		}
		if got := sum.Sum32(); got != want {
			t.Errorf("F-1: %v: the parity has CRC-32C %#08x, want %#08x", code, got, want)
		}
	}
}

func TestParityIsTheSameWithoutVectorInstructions(t *testing.T) {
	coder := NewCoder()
	for code := range pinned {
		field := reedsolomon.WithLeopardGF(true)
		if code.Wide() {
			field = reedsolomon.WithLeopardGF16(true)
		}
		plain, err := reedsolomon.New(code.K, code.M, field, reedsolomon.WithGFNI(false), reedsolomon.WithAVXGFNI(false), reedsolomon.WithAVX512(false),
			reedsolomon.WithAVX2(false), reedsolomon.WithSSSE3(false), reedsolomon.WithSSE2(false))
		if err != nil {
			t.Fatal(err)
		}
		fast, slow := encoded(t, coder, code, 42), block(code, 42)
		if err := plain.Encode(slow); err != nil {
			t.Fatal(err)
		}
		for i := range slow {
			if !bytes.Equal(fast[i], slow[i]) {
				t.Errorf("F-1: %v: shard %d differs", code, i)
				break
			}
		}
	}
}

func TestRepairUsesTheCallersMemoryAndTouchesNothingElse(t *testing.T) {
	coder := NewCoder()
	for _, code := range []Code{{5, 12, MinShard}, {300, 40, MinShard}} {
		sent := encoded(t, coder, code, 3)
		lost := []int{0, 2, code.K - 1, code.K, code.K + code.M - 1}
		got := received(code, sent, lost)
		room := &got[2][:1][0]
		got[code.K] = make([]byte, 0, code.Shard) // room for parity is no request for it
		if err := coder.Reconstruct(code, got); err != nil {
			t.Fatal(err)
		}
		if &got[2][0] != room || len(got[2]) != code.Shard {
			t.Errorf("%v: shard 2 came back elsewhere or with %d bytes", code, len(got[2]))
		}
		if len(got[code.K]) != 0 || got[code.K+code.M-1] != nil {
			t.Errorf("%v: parity was repaired", code)
		}
		before := received(code, sent, indices(code.K + code.M)[:code.M+1])
		after := append([][]byte(nil), before...)
		if err := coder.Reconstruct(code, after); !errors.Is(err, ErrTooFew) {
			t.Fatal(err)
		}
		for i := range before {
			if len(before[i]) != len(after[i]) {
				t.Fatalf("%v: shard %d changed though there were too few", code, i)
			}
		}
	}
}

func TestShardsThatDoNotFitAreAnError(t *testing.T) {
	code := Code{5, 3, MinShard}
	coder := NewCoder()
	sent := encoded(t, coder, code, 1)
	with := func(i int, s []byte) [][]byte {
		list := append([][]byte(nil), sent...)
		list[i] = s
		return list
	}
	for name, shards := range map[string][][]byte{
		"one too few":             sent[:7],
		"one too many":            append(with(0, sent[0]), nil),
		"short data":              with(1, sent[1][:64]),
		"short parity":            with(6, sent[6][:64]),
		"no room":                 with(1, nil),
		"room one byte too small": with(1, make([]byte, 0, code.Shard-1)),
		"long shard":              with(1, make([]byte, code.Shard+64)),
	} {
		if err := coder.Reconstruct(code, shards); !errors.Is(err, ErrShards) {
			t.Errorf("reconstruct: %s: %v", name, err)
		}
	}
	for name, shards := range map[string][][]byte{"short data": with(1, sent[1][:64]), "short parity": with(6, sent[6][:64]), "missing": with(0, nil)} {
		if err := coder.Encode(code, shards[:5], shards[5:]); !errors.Is(err, ErrShards) {
			t.Errorf("encode: %s: %v", name, err)
		}
	}
	if err := coder.Encode(code, sent[:4], sent[4:]); !errors.Is(err, ErrShards) {
		t.Errorf("encode: split elsewhere: %v", err)
	}
	for name, err := range map[string]error{
		"encode":      coder.Encode(Code{1, 200, MinShard}, nil, nil),
		"reconstruct": coder.Reconstruct(Code{5, 3, 100}, sent),
		"prepare":     coder.Prepare(Code{0, 0, 0}),
	} {
		if !errors.Is(err, ErrCode) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCoderKeepsLittle(t *testing.T) {
	coder := NewCoder()
	for k := 1; k <= 3*codecsKept; k++ {
		encoded(t, coder, Code{k, 3, MinShard}, 1)
	}
	if len(coder.codecs) != codecsKept {
		t.Errorf("%d codecs are kept", len(coder.codecs))
	}
	oldest := coder.codecs[codecsKept-1]
	encoded(t, coder, Code{oldest.k, oldest.m, MinShard}, 1)
	if coder.codecs[0] != oldest {
		t.Errorf("the codec used last is not in front")
	}
	kept := map[int]bool{}
	for _, c := range coder.codecs {
		kept[c.k] = true
	}
	if len(kept) != codecsKept {
		t.Errorf("only %d of the codecs are different", len(kept))
	}
	for _, n := range []int{workKept / 4096, workKept/4096 + 1} {
		bufs := coder.work.Get(n, 4096)
		coder.work.Put(bufs)
		if len(bufs) != n || len(coder.work.mem) > workKept {
			t.Errorf("%d bytes of scratch are kept after %d", len(coder.work.mem), n*4096)
		}
	}
}

// What the package comment warns of: a lie in one shard spreads over all that are repaired, and nothing here notices.
func TestOneWrongBitSpoilsTheRepairWithoutAnError(t *testing.T) {
	coder := NewCoder()
	code := Code{100, 20, MinShard}
	sent := encoded(t, coder, code, 1)
	lost := indices(20)
	got := received(code, sent, lost)
	got[50] = bytes.Clone(got[50])
	got[50][0] ^= 1
	if err := coder.Reconstruct(code, got); err != nil {
		t.Fatal(err)
	}
	for _, i := range lost {
		if bytes.Equal(got[i], sent[i]) {
			t.Errorf("shard %d is right", i)
		}
	}
}

// pinned holds the CRC-32C of the parity of block(code, 42), in order.
var pinned = map[Code]uint32{
	{1, 1, 1408}:       0x9c1eec60,
	{1, 10, 1408}:      0x4c17bd96,
	{5, 12, 1408}:      0xe301306d,
	{16, 42, 8896}:     0x96b098f7,
	{192, 40, 8896}:    0xd5c3394b,
	{255, 1, 1408}:     0xc5c11851,
	{100, 176, 1408}:   0x817382e6,
	{960, 53, 1408}:    0x298abaa1,
	{384, 106, 8896}:   0x6823eb93,
	{1024, 1536, 1408}: 0xb1fad7bd,
}
