package collect

import (
	"os"
	"runtime"
	"strconv"
	"testing"

	"ecluse/protocol/fec"
)

// soak reads how many are asked for, and skips the test where none are: scripts/soak.sh sets the variable by scripts/counts.
func soak(t *testing.T, variable string) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv(variable))
	if err != nil || n < 1 {
		t.Skipf("not a soak: %s says how many", variable)
	}
	return n
}

// heap is what the heap holds, swept.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// growthMost is what the heap may differ by between two measurements of a test that keeps nothing.
const growthMost = 1 << 20

// Random packets under the right header, and honest ones with one bit flipped. None is accepted, and none costs memory.
func TestSoakGarbage(t *testing.T) {
	n := soak(t, "ECLUSE_SOAK_GARBAGE")
	s := testSession("low", 1, 1)
	b, from := newBench(t, testMemory, s), newTestSender(t, s, 0)
	honest := from.packets(testCode)
	b.feed(honest...)
	fresh := from.packets(testCode) // never fed as they are
	accepted, random := b.tab.packets.Accepted, make([]byte, len(honest[0]))
	before := heap()
	for i := range n {
		if i%2 == 0 {
			for j := 0; j < len(random); j += 8 {
				v := from.rng.Uint64()
				for k := range min(8, len(random)-j) {
					random[j+k] = byte(v >> (8 * k))
				}
			}
			copy(random, honest[0][:4]) // version, kind and tag: what the cheap looks ask for
			b.take(random)
			continue
		}
		p := fresh[i/2%len(fresh)]
		at, bit := from.rng.IntN(len(p)), byte(1)<<from.rng.IntN(8)
		p[at] ^= bit
		b.take(p)
		p[at] ^= bit
	}
	if b.tab.packets.Accepted != accepted {
		t.Fatalf("%d forged packets were accepted", b.tab.packets.Accepted-accepted)
	}
	if after := heap(); after > before+growthMost {
		t.Errorf("the heap grew by %d bytes", after-before)
	}
	b.feed(fresh...) // the honest ones still come through
	b.wantAll(from)
	t.Logf("soak garbage: %d done", n)
}

// Blocks with random losses, each decoded. Nothing remembers what was lost.
func TestSoakLossy(t *testing.T) {
	n := soak(t, "ECLUSE_SOAK_LOSSY")
	s := testSession("low", 1, 1)
	b, from := newBench(t, testMemory, s), newTestSender(t, s, 0)
	code := fec.Code{K: 40, M: 8, Shard: testCode.Shard}
	var before uint64
	for i := range n {
		all := from.packets(code)
		from.rng.Shuffle(len(all), func(x, y int) { all[x], all[y] = all[y], all[x] })
		b.feed(all[from.rng.IntN(code.M+1):]...)
		clear(from.sent) // what the test itself remembers
		clear(b.sink.blocks)
		if i == n/10 {
			before = heap()
		}
	}
	if got := b.tab.outcome; got.Delivered != uint64(n) || got.Lost != 0 {
		t.Fatalf("%d blocks were sent, outcome %+v", n, got)
	}
	if after := heap(); after > before+growthMost {
		t.Errorf("the heap grew by %d bytes over %d blocks", after-before, n-n/10)
	}
	t.Logf("soak lossy: %d done", n)
}
