package fec

import (
	"errors"
	"testing"

	"github.com/klauspost/reedsolomon"
)

func TestOnlyCodesOfTheBookAreAccepted(t *testing.T) {
	for _, row := range []struct {
		name string
		code Code
		ok   bool
	}{
		{"smallest", Code{1, 1, 1408}, true},
		{"largest", Code{2048, 2048, 9088}, true},
		{"plan of a 1500 link", Code{960, 53, 1408}, true},
		{"plan of a 9000 link", Code{192, 40, 8896}, true},
		{"no data", Code{0, 1, 1408}, false},
		{"no parity", Code{1, 0, 1408}, false},
		{"negative data", Code{-1, 1, 1408}, false},
		{"negative parity", Code{1, -1, 1408}, false},
		{"too much data", Code{2049, 1, 1408}, false},
		{"too much parity", Code{2048, 2049, 1408}, false},
		{"most parity for one data shard", Code{1, 128, 1408}, true},
		{"more parity than one packet may set off", Code{1, 129, 1408}, false},
		{"most parity for five data shards", Code{5, 160, 1408}, true},
		{"more parity than five packets may set off", Code{5, 161, 1408}, false},
		{"shard below the least", Code{10, 2, 1344}, false},
		{"shard above the most", Code{10, 2, 9152}, false},
		{"shard off the step", Code{10, 2, 1409}, false},
		{"shard of nothing", Code{10, 2, 0}, false},
		{"everything huge", Code{1 << 40, 1 << 40, 1 << 40}, false},
	} {
		if err := row.code.Validate(); (err == nil) != row.ok {
			t.Errorf("%s: %v: %v", row.name, row.code, err)
		} else if err != nil && !errors.Is(err, ErrCode) {
			t.Errorf("%s: %v does not wrap ErrCode", row.name, err)
		}
	}
}

// A repair works on the next power of two of k + m2 shards and takes k packets to set off. The worst is 256 shards for the one
// packet of 1 + 128 in GF(2^8): 0.4 ms, measured.
func TestNoAcceptedCodeBuysMuchWorkWithFewPackets(t *testing.T) {
	const most = 256
	for k := 1; k <= MaxData; k++ {
		for m := 1; m <= MaxParity; m++ {
			code := Code{k, m, MaxShard}
			if code.Validate() != nil {
				break
			}
			if work := nextPow2(k + code.Padded()); work > most*k {
				t.Fatalf("%d+%d: %d shards of work for %d packets", k, m, work, k)
			}
		}
	}
}

func TestFieldFollowsTheBook(t *testing.T) {
	for k := 1; k <= 256; k++ {
		for m := 1; m <= 256-k; m++ {
			_, err := reedsolomon.New(k, m, reedsolomon.WithLeopardGF(true))
			if wide := (Code{k, m, MinShard}).Wide(); wide != errors.Is(err, reedsolomon.ErrInvShardCombo) {
				t.Fatalf("F-1: %d+%d: wide %v, the library says %v", k, m, wide, err)
			}
		}
	}
	for _, row := range []struct {
		k, m int
		wide bool
	}{{192, 64, false}, {193, 64, true}, {200, 50, true}, {128, 128, false}, {129, 65, true}, {255, 1, false}, {256, 1, true}, {1, 128, false}, {5, 129, true}} {
		if wide := (Code{row.k, row.m, MinShard}).Wide(); wide != row.wide {
			t.Errorf("F-1: %d+%d: wide %v", row.k, row.m, wide)
		}
	}
}

func TestPaddedIsTheNextPowerOfTwo(t *testing.T) {
	for m, want := range map[int]int{1: 1, 2: 2, 3: 4, 4: 4, 5: 8, 50: 64, 64: 64, 65: 128, 1536: 2048, 2048: 2048} {
		if got := (Code{K: 1, M: m}).Padded(); got != want {
			t.Errorf("m = %d: m2 = %d, want %d", m, got, want)
		}
	}
}

func TestShardFillsThePacket(t *testing.T) {
	for mtu, want := range map[int]int{1500: 1408, 1563: 1408, 1564: 1472, 9000: 8896, 9216: 9088} {
		if got, err := ShardSize(mtu); got != want || err != nil {
			t.Errorf("mtu %d: %d, %v; want %d", mtu, got, err, want)
		}
	}
	for mtu := MinMTU; mtu <= MaxMTU; mtu++ {
		shard, err := ShardSize(mtu)
		if err != nil || (Code{1, 1, shard}).Validate() != nil {
			t.Fatalf("mtu %d: shard %d, %v", mtu, shard, err)
		}
		if wire := WireSize(shard, OverheadIPv6); wire > mtu || wire+ShardStep <= mtu {
			t.Fatalf("mtu %d: a packet of %d", mtu, wire)
		}
	}
	for _, mtu := range []int{0, -1, 1499, 9217} {
		if _, err := ShardSize(mtu); err == nil {
			t.Errorf("mtu %d was accepted", mtu)
		}
	}
}
