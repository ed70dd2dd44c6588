package transmit

import (
	"context"
	"sync"
	"testing"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/protocol/fec"
	"ecluse/protocol/packet"
	"ecluse/protocol/record"
	"ecluse/sender/schedule"
)

// nonces keeps the clear headers of the data packets that are sent: tag, number and salt.
type nonces struct {
	mu   sync.Mutex
	seen map[[15]byte]bool
}

func (n *nonces) Send(batch []byte, segment int) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for ; len(batch) > 0; batch = batch[min(segment, len(batch)):] {
		if kind, _, err := packet.Classify(batch[:min(segment, len(batch))]); err == nil && kind == packet.KindData {
			n.seen[[15]byte(batch[1:16])] = true
		}
	}
	return 1, nil
}

// A machine that is resumed twice from one snapshot goes on with the same key and the same packet numbers, and seals nothing under a nonce of its other life.
func TestASenderThatIsResumedTwiceRepeatsNoNonce(t *testing.T) {
	const chunks, size = 48, 1 << 20
	var lives [2]nonces
	for i := range lives {
		lives[i].seen = map[[15]byte]bool{}
		e := start(t, &lives[i], plan(t, fec.Facts{Rate: 10e9, MTU: 1500}), nil)
		feed := e.Open(schedule.Lane{Tenant: 0, Class: bundle.Normal})
		out := make(chan struct{})
		o := NewOut(func() { close(out) })
		for n := range uint32(chunks) {
			c := &record.Chunk{Bundle: bundle.ID{1}, Number: n, Raw: size, Runs: []bundle.Run{{File: 1, Offset: uint64(n) * size, Length: size}}, Frame: make([]byte, size)}
			if err := feed.Put(context.Background(), Piece{Chunk: c, Out: o, Content: size}); err != nil {
				t.Fatal(err)
			}
		}
		feed.Close()
		o.Finish()
		select {
		case <-out:
		case <-time.After(30 * time.Second):
			t.Fatal("never reported out")
		}
	}
	for i := range lives {
		lives[i].mu.Lock()
		defer lives[i].mu.Unlock()
	}
	same, numbers := 0, map[[9]byte]bool{} // tag and number
	for h := range lives[0].seen {
		numbers[[9]byte(h[:9])] = true
	}
	for h := range lives[1].seen {
		if lives[0].seen[h] {
			t.Fatalf("%x was sealed in both lives", h)
		}
		if numbers[[9]byte(h[:9])] {
			same++
		}
	}
	if least := chunks * size / 1408; same < least || len(numbers) < least {
		t.Fatalf("only %d of %d numbers are the same in both lives: the test shows nothing", same, len(numbers))
	}
}
