package record

import (
	"bytes"
	"io"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"ecluse/protocol/bundle"
)

// allocated gives the bytes that f allocates. What the run of the tests allocates beside it comes and goes, so it is the least of three times.
func allocated(f func()) uint64 {
	least := ^uint64(0)
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		if least = min(least, after.TotalAlloc-before.TotalAlloc); least == 0 {
			break
		}
	}
	return least
}

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
		var whole *Reader
		var err error
		if n, most := allocated(func() {
			if whole, err = ReadBlock([][]byte{block}, testNumber); err == nil {
				for _, next := whole.Next(); next != io.EOF; _, next = whole.Next() {
				}
			}
		}), uint64(64<<10+16*len(block)); n > most {
			t.Fatalf("%d bytes of block: %d bytes were allocated, at most %d may be", len(block), n, most)
		}
		whole, err = ReadBlock([][]byte{block}, testNumber)
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
		var err error
		if n, most := allocated(func() { err = r.Parse(data) }), uint64(4096+4*len(data)); n > most {
			t.Fatalf("%d bytes of body: %d bytes were allocated, at most %d may be", len(data), n, most)
		}
		if err != nil {
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
