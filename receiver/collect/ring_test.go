package collect

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// What the drain puts in comes out as it was, in order, and only a full ring keeps anything out.
func TestTheRingCarriesWhatItWasGiven(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, size := range []int{bufferSize, 2 * bufferSize, 7 * bufferSize} {
		r := newRing(make([]byte, size), 4)
		var want [][]byte
		for range 20000 {
			offered := r.room()
			if len(offered) == 0 && len(want) == 0 {
				t.Fatalf("size %d: no room in an empty ring", size)
			}
			n := rng.IntN(len(offered) + 1)
			for i := range n {
				length := 1 + rng.IntN(bufferSize)
				if rng.IntN(3) > 0 {
					length = 1 + rng.IntN(2000)
				}
				content := offered[i].Mem[:length]
				for j := 0; j < length; j += 100 {
					content[j] = byte(rng.Uint32())
				}
				offered[i].N, offered[i].Segment = length, length/2
				want = append(want, slices.Clone(content))
			}
			r.publish(n)
			for range rng.IntN(5) {
				b := r.front()
				if (b == nil) != (len(want) == 0) {
					t.Fatalf("size %d: front is %v with %d readings on their way", size, b, len(want))
				}
				if b == nil {
					break
				}
				if !bytes.Equal(b.Mem[:b.N], want[0]) || b.Segment != b.N/2 {
					t.Fatalf("size %d: a reading of %d bytes came out as another one", size, len(want[0]))
				}
				want = want[1:]
				r.pop()
			}
		}
	}
}

func TestSingleDatagramsLieCloseTogether(t *testing.T) {
	r := newRing(make([]byte, 16*bufferSize), 8)
	n := 0
	for {
		offered := r.room()
		if len(offered) == 0 {
			break
		}
		for i := range offered {
			offered[i].N = 1452
		}
		r.publish(len(offered))
		n += len(offered)
	}
	if want := 14 * bufferSize / 1472; n < want {
		t.Errorf("the ring holds %d datagrams, want at least %d", n, want)
	}
}
