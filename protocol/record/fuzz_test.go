package record

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"ecluse/protocol/bundle"
)

// A block reads the same however its shards are cut; what reads well is exactly what is written; and no bytes do harm.
func FuzzReadBlock(f *testing.F) {
	all := []byte{}
	for _, r := range goodRecords() {
		one := raw(r.Type(), body(r))
		f.Add(one, uint8(3), true)
		f.Add(one[:len(one)-1], uint8(64), true)
		all = append(all, one...)
	}
	f.Add(all, uint8(1), true)
	f.Add(slices.Concat(raw(99, nil), all, []byte{0}), uint8(7), true)
	f.Add(frame(all, 2048), uint8(64), false)
	f.Add([]byte{}, uint8(0), false)
	f.Fuzz(func(t *testing.T, data []byte, shard uint8, framed bool) {
		if len(data) > 1<<20 {
			return
		}
		block := data
		if framed { // as a sender with the key and a fault could
			block = frame(data, BlockHeaderSize+len(data))
		}
		size := max(1, int(shard))
		block = append(bytes.Clone(block), make([]byte, (size-len(block)%size)%size)...)
		if framed {
			resum(block)
		}
		whole, err := ReadBlock([][]byte{block}, testNumber)
		scattered, err2 := ReadBlock(cut(block, size), testNumber)
		if refusal(t, err) != refusal(t, err2) {
			t.Fatalf("in one piece %v, in shards of %d %v", err, size, err2)
		}
		if err != nil {
			if framed {
				t.Fatalf("a block that is well framed: %v", err)
			}
			return
		}
		a, b := walk(t, whole), walk(t, scattered)
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("in one piece %.300q, in shards of %d %.300q", a, size, b)
		}
		checkForm(t, a, block)
	})
}

// checkForm sees that the records of a block without faults are, written again, the block.
func checkForm(t *testing.T, all []walked, block []byte) {
	var again []byte
	for _, w := range all {
		if w.refusal != "" {
			return
		}
		again = append(again, raw(w.t, []byte(w.body))...)
	}
	if !bytes.Equal(frame(again, len(block)), block) {
		t.Fatal("a block was read that is not written")
	}
}

// A body in one piece: what parses is written as the same bytes, and can be put into a block.
func FuzzParseBody(f *testing.F) {
	for _, r := range goodRecords() {
		f.Add(uint8(r.Type()), body(r))
	}
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		records := map[Type]parser{TypeOffer: &Offer{}, TypeSlice: &Slice{}, TypeClose: &Close{}, TypeAbandon: &Abandon{}, TypeHeartbeat: &Heartbeat{}}
		r := records[Type(kind)]
		if r == nil || len(data) > 1<<20 {
			return
		}
		if err := r.Parse(data); err != nil {
			if _, ok := bundle.ReasonOf(err); !ok {
				t.Fatalf("a refusal without a reason: %v", err)
			}
			return
		}
		if !bytes.Equal(body(r), data) || r.Length() != len(data) {
			t.Fatal("a body was read that is not written")
		}
		if !r.AppendTo(NewBlock(make([]byte, BlockHeaderSize+HeaderSize+len(data)))) {
			t.Fatal("it does not fit into what it takes")
		}
	})
}
