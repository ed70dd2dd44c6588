package packet

import (
	"bytes"
	"runtime"
	"testing"

	"ecluse/protocol/bundle"
)

// What opens is exactly what Seal makes: there is no second form of a packet.
func FuzzOpenPacket(f *testing.F) {
	s, o := pair(f)
	good := s.Seal(nil, testNumber, testSalt, Inner{Block: 9, Index: 1, K: 2, M: 1}, testShard(1408))
	a := testAnnouncement(184)
	f.Add(good, false)
	f.Add(good[:len(good)-64], false)
	f.Add(a.AppendPackets()[0], false)
	f.Add([]byte{0x12, 0, 0}, false)
	f.Add(append([]byte{0, 0, 0, 1, 0, 1, 0, 2, 0, 1, 0, 0}, testShard(1408)...), true)
	f.Add(make([]byte, InnerSize+9088), true)
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, data []byte, seal bool) {
		if len(data) > 1<<16 {
			return
		}
		datagram := data
		if seal { // as a sender with the key and a fault could
			header := [HeaderSize]byte{0: 0x12, 1: testTag[0], 2: testTag[1], 3: testTag[2]}
			datagram = sealAny(header, data)
		}
		room := make([]byte, len(datagram))
		in, number, shard, err := o.Open(room, datagram)
		if n := testing.AllocsPerRun(5, func() { in, number, shard, err = o.Open(room, datagram) }); n != 0 {
			t.Fatalf("%v allocations: %v", n, err)
		}
		if err != nil {
			if _, ok := bundle.ReasonOf(err); !ok {
				t.Fatalf("a refusal without a reason: %v", err)
			}
			return
		}
		if again := s.Seal(nil, number, [6]byte(datagram[saltOffset:]), in, shard); !bytes.Equal(again, datagram) {
			t.Fatal("a packet opened that Seal does not make")
		}
	})
}

func FuzzInner(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0, 1, 0, 2, 0, 1, 0, 0})
	f.Add([]byte{255, 255, 255, 255, 0x0f, 0xff, 8, 0, 8, 0, 0, 0})
	f.Add([]byte{0, 0, 0, 1, 0, 1, 0, 2, 0, 1, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) != InnerSize {
			return
		}
		in, err := parseInner(b)
		if err != nil {
			if reason, _ := bundle.ReasonOf(err); reason != bundle.ReasonPacketCode && reason != bundle.ReasonPacketReserved {
				t.Fatalf("%x: %v", b, err)
			}
			return
		}
		var again [InnerSize]byte
		in.put(again[:])
		if !bytes.Equal(again[:], b) {
			t.Fatalf("%x reads as %+v, which is written %x", b, in, again)
		}
		if int(in.Index) >= int(in.K)+int(in.M) || in.K == 0 || in.M == 0 {
			t.Fatalf("%+v is no code", in)
		}
	})
}

// What parses is exactly what AppendBody makes, and survives being cut into parts.
func FuzzParseAnnouncement(f *testing.F) {
	for _, n := range []int{64, 184, 185, 8192} {
		a := testAnnouncement(n)
		f.Add(a.AppendBody(nil))
		f.Add(a.AppendBody(nil)[:announceFixed])
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := ParseAnnouncement(body)
		if n := testing.AllocsPerRun(5, func() { a, err = ParseAnnouncement(body) }); n > 1 {
			t.Fatalf("%v allocations: %v", n, err)
		}
		if err != nil {
			if _, ok := bundle.ReasonOf(err); !ok {
				t.Fatalf("a refusal without a reason: %v", err)
			}
			return
		}
		if !bytes.Equal(a.AppendBody(nil), body) {
			t.Fatal("an announcement parsed that AppendBody does not make")
		}
		var as Assembler
		if !bytes.Equal(join(t, &as, a.AppendPackets()), body) {
			t.Fatal("the parts do not make the body")
		}
	})
}

// allocated gives the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// No sequence of datagrams makes the Assembler panic or keep more than it may.
func FuzzAssembler(f *testing.F) {
	a := testAnnouncement(3000)
	f.Add(bytes.Join(a.AppendPackets(), nil))
	f.Add(bytes.Repeat([]byte{0x11, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7}, 9))
	f.Fuzz(func(t *testing.T, data []byte) {
		var as Assembler
		for len(data) > 0 {
			n := min(len(data), HeaderSize+PartSize)
			var body []byte
			var err error
			if got := allocated(func() { body, err = as.Add(data[:n]) }); got > bundle.MaxParts*PartSize*2+16<<10 {
				t.Fatalf("%d bytes were allocated for %d", got, n)
			}
			if _, ok := bundle.ReasonOf(err); err != nil && !ok || as.count > maxHalf || len(body) > bundle.MaxParts*PartSize {
				t.Fatalf("%v, %d halves, %d bytes", err, as.count, len(body))
			}
			data = data[n:]
		}
	})
}
