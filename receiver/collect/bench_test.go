package collect

import (
	"slices"
	"testing"

	"ecluse/protocol/fec"
	"ecluse/protocol/packet"
)

// BenchmarkRefuse is what a forged packet costs. Each figure is one core's.
func BenchmarkRefuse(b *testing.B) {
	s := testSession("low", 1, 1)
	for name, shard := range map[string]int{"1408": 1408, "8896": 8896} {
		good := newTestSender(b, s, 0).packets(fec.Code{K: 16, M: 8, Shard: shard})
		forged, unknown, short := slices.Clone(good[5]), slices.Clone(good[5]), good[5][:len(good[5])-1]
		forged[len(forged)-1] ^= 1
		unknown[1] ^= 1
		for kind, p := range map[string][]byte{"seal": forged, "tag": unknown, "replay": good[0], "length": short} {
			b.Run(kind+"/"+name, func(b *testing.B) {
				t := newBench(b, testMemory, s)
				t.feed(good[0])
				accepted := t.tab.packets.Accepted
				for b.Loop() {
					t.take(p)
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mpackets/s")
				if t.tab.packets.Accepted != accepted {
					b.Fatal("a forged packet was accepted")
				}
			})
		}
	}
}

// BenchmarkAccept is what an honest packet costs, up to the completion of its block and without its decoding; blocks are
// interleaved as a sender does.
func BenchmarkAccept(b *testing.B) {
	const blocks = 32
	for name, code := range map[string]fec.Code{"1408": {K: 896, M: 128, Shard: 1408}, "8896": {K: 192, M: 64, Shard: 8896}} {
		b.Run(name, func(b *testing.B) {
			s := testSession("low", 1, 1)
			t, from := newBench(b, DefaultMemory, s), newTestSender(b, s, 0)
			shard := make([]byte, code.Shard)
			var stream [][]byte
			first := uint32(0)
			batch := func() {
				stream = stream[:0]
				for i := range code.K {
					for n := range uint32(blocks) {
						stream = append(stream, from.seal(packet.Inner{Block: first + n, Index: uint16(i), K: uint16(code.K), M: uint16(code.M)}, shard))
					}
				}
				first += blocks
			}
			batch()
			at := 0
			b.SetBytes(int64(code.Shard))
			b.ReportAllocs()
			for b.Loop() {
				if at == len(stream) {
					b.StopTimer()
					batch()
					at = 0
					b.StartTimer()
				}
				if done := t.take(stream[at]); done != nil {
					t.tab.release(t.now, done)
				}
				at++
			}
			if t.tab.outcome.Budget != 0 {
				b.Fatal("blocks were given up")
			}
		})
	}
}

// BenchmarkOpenBlock is what a worker does with a block before its records are read.
func BenchmarkOpenBlock(b *testing.B) {
	for name, code := range map[string]fec.Code{"1408": {K: 896, M: 128, Shard: 1408}, "8896": {K: 192, M: 64, Shard: 8896}} {
		for kind, lost := range map[string]int{"whole": 0, "repaired": 9} {
			b.Run(kind+"/"+name, func(b *testing.B) {
				s := testSession("low", 1, 1)
				t, from := newBench(b, DefaultMemory, s), newTestSender(b, s, 0)
				var done *block
				for _, p := range from.packets(code)[lost:] {
					if d := t.take(p); d != nil {
						done = d
					}
				}
				b.SetBytes(int64(code.K * code.Shard))
				b.ReportAllocs()
				for b.Loop() {
					if _, _, err := t.w.open(t.tab, done); err != nil {
						b.Fatal(err)
					}
					t.w.done()
				}
			})
		}
	}
}
