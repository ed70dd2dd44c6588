package fec

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

var benchCodes = []Code{{896, 128, 1408}, {960, 50, 1408}, {192, 64, 8896}, {192, 44, 8896}, {1, 12, 1408}, {16, 42, 1408}}

func BenchmarkEncode(b *testing.B) {
	for _, code := range benchCodes {
		b.Run(fmt.Sprint(code), func(b *testing.B) {
			coder := NewCoder()
			shards := block(code, 1)
			b.SetBytes(int64(code.K * code.Shard))
			b.ReportAllocs()
			for b.Loop() {
				if err := coder.Encode(code, shards[:code.K], shards[code.K:]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDecode loses as many data shards as the parity can repair, half of it, or one.
func BenchmarkDecode(b *testing.B) {
	for _, code := range benchCodes {
		for _, lost := range []int{1, max(1, code.M/2), code.M} {
			b.Run(fmt.Sprintf("%v/lost=%d", code, lost), func(b *testing.B) {
				coder := NewCoder()
				shards := block(code, 1)
				if err := coder.Encode(code, shards[:code.K], shards[code.K:]); err != nil {
					b.Fatal(err)
				}
				dead := []int{0} // a data shard at least, or there is nothing to repair
				for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(code.K + code.M - 1)[:lost-1] {
					dead = append(dead, i+1)
				}
				b.SetBytes(int64(code.K * code.Shard))
				b.ReportAllocs()
				for b.Loop() {
					for _, i := range dead {
						shards[i] = shards[i][:0]
					}
					if err := coder.Reconstruct(code, shards); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
