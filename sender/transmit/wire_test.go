package transmit

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ecluse/protocol/bundle"
	"ecluse/protocol/fec"
	"ecluse/protocol/packet"
	"ecluse/protocol/record"
	"ecluse/sender/schedule"
)

// meter is a socket that counts what data takes of the wire.
type meter struct {
	*far
	mu   sync.Mutex
	data int64
}

func (m *meter) Send(batch []byte, segment int) (int, error) {
	m.mu.Lock()
	for rest := batch; len(rest) > 0; {
		d := rest[:min(segment, len(rest))]
		rest = rest[len(d):]
		if kind, _, _ := packet.Classify(d); kind == packet.KindData {
			m.data += int64(len(d)) + fec.OverheadIPv4
		}
	}
	m.mu.Unlock()
	return m.far.Send(batch, segment)
}

// Passes are charged all that leaves for them, parity and headers too, and nothing else: on a link that only they use, the sum is what the socket took, to the byte.
func TestPassesAreChargedWhatLeavesForThem(t *testing.T) {
	s := &meter{far: newFar(t)}
	p := plan(t, fec.Facts{Rate: 10e9, MTU: 1500, Loss: 0.01, Burst: 100 * time.Microsecond})
	e := start(t, s, p, nil)
	done := make(chan struct{}, 3)
	var outs []*Out
	sizes := [][]int{{1 << 20, 3, 1 << 20, 70_000}, {500_000, 500_000}, {100}}
	var fed sync.WaitGroup
	for i, chunks := range sizes {
		o := NewOut(func() { done <- struct{}{} })
		outs = append(outs, o)
		feed := e.Open(schedule.Lane{Tenant: i % 2, Class: bundle.Normal, Later: i == 2})
		fed.Go(func() {
			for n, size := range chunks {
				frame := make([]byte, size)
				rand.NewChaCha8([32]byte{byte(n)}).Read(frame)
				c := &record.Chunk{Bundle: bundle.ID{byte(1 + i)}, Number: uint32(n), Raw: uint32(size), Runs: []bundle.Run{{File: 1, Length: uint32(size)}}, Frame: frame}
				if err := feed.Put(context.Background(), Piece{Chunk: c, Out: o, Content: int64(size)}); err != nil {
					t.Error(err)
				}
			}
			feed.Close()
			o.Finish()
		})
	}
	fed.Wait()
	for range outs {
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatal("never reported out")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := int64(0)
	for i, o := range outs {
		if o.Wire() <= o.Content() {
			t.Errorf("pass %d of %d bytes of content is charged %d", i, o.Content(), o.Wire())
		}
		sum += o.Wire()
	}
	if sum != s.data || sum == 0 {
		t.Errorf("passes are charged %d bytes, and %d left", sum, s.data)
	}
	if a, b := outs[0].Wire(), outs[1].Wire(); a < b || a > 3*b {
		t.Errorf("of content as 2.1 to 1 passes are charged %d and %d", a, b)
	}
}

func TestABlockIsChargedWithoutARest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l partList
		wire, passes := rapid.Int64Range(1, 1<<26).Draw(t, "wire"), 0
		for _, used := range rapid.SliceOfN(rapid.IntRange(1, 1<<22), 1, 20).Draw(t, "used") {
			l.used += used
			passes += used
			l.enter(NewOut(nil), used)
		}
		l.charge(wire)
		sum := int64(0)
		for _, p := range l.parts {
			if exact := float64(wire) * float64(p.used) / float64(passes); float64(p.wire) < exact-1 || float64(p.wire) > exact+1 {
				t.Fatalf("%d of %d bytes are charged %d of %d", p.used, passes, p.wire, wire)
			}
			sum += p.wire
		}
		if sum != wire {
			t.Fatalf("%d of %d are charged", sum, wire)
		}
		l.used += passes // as much again is of no pass: nobody is charged for it
		l.charge(wire)
		sum = 0
		for _, p := range l.parts {
			sum += p.wire
		}
		if sum != wire/2 {
			t.Fatalf("half of %d is %d", wire, sum)
		}
	})
}
