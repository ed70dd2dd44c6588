package vectors_test

import (
	"bytes"
	"testing"

	"ecluse/protocol/packet"
)

type packetInput struct{ Key, Tag, Packet string }

// packetValues are what a data packet holds.
type packetValues struct {
	Number      uint64
	Salt, Shard string
	Block       uint32
	Index, K, M uint16
	Probe       *packet.Probe
	Size        int // of a probe in place of a shard
}

// open takes one datagram as a receiver does that knows one link.
func open(o *packet.Opener, datagram []byte) (packet.Inner, uint64, []byte, error) {
	if _, _, err := packet.Classify(datagram); err != nil {
		return packet.Inner{}, 0, nil, err
	}
	return o.Open(make([]byte, 0, len(datagram)), datagram)
}

func TestPacketsOfSection3(t *testing.T) {
	each(t, "packets", func(t *testing.T, v vector, in packetInput) {
		key, tag, datagram := [32]byte(unhex(t, in.Key)), packet.Tag(unhex(t, in.Tag)), unhex(t, in.Packet)
		o, err := packet.NewOpener(key, tag)
		if err != nil {
			t.Fatal(err)
		}
		if kind, _, err := packet.Classify(datagram); err == nil && kind == packet.KindProbe {
			probed(t, v, o, key, tag, datagram)
			return
		}
		inner, number, shard, err := open(o, bytes.Clone(datagram))
		if !judged(t, v, err) {
			return
		}
		want := values[packetValues](t, v)
		expected := packet.Inner{Block: want.Block, Index: want.Index, K: want.K, M: want.M}
		if inner != expected || number != want.Number || packet.Number(datagram) != want.Number {
			t.Errorf("number %d holds %+v, should be %d and %+v", number, inner, want.Number, expected)
		}
		same(t, "shard", shard, unhex(t, want.Shard))
		s, err := packet.NewSealer(key, tag)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "packet", s.Seal(nil, number, [6]byte(unhex(t, want.Salt)), inner, shard), datagram)
	})
}

// probed holds one packet of a probe.
func probed(t *testing.T, v vector, o *packet.Opener, key [32]byte, tag packet.Tag, datagram []byte) {
	t.Helper()
	p, number, err := o.OpenProbe(make([]byte, 0, len(datagram)), bytes.Clone(datagram))
	if !judged(t, v, err) {
		return
	}
	want := values[packetValues](t, v)
	if p != *want.Probe || number != want.Number {
		t.Errorf("number %d holds %+v, should be %d and %+v", number, p, want.Number, *want.Probe)
	}
	if _, _, _, err := o.Open(make([]byte, 0, len(datagram)), bytes.Clone(datagram)); err == nil {
		t.Error("it opens as data")
	}
	s, err := packet.NewSealer(key, tag)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "packet", s.SealProbe(nil, number, [6]byte(unhex(t, want.Salt)), p, want.Size), datagram)
}

type windowInput struct {
	Floor    *uint64
	Accepted [][2]uint64 // first and last of numbers that opened
	Tried    []uint64    // numbers of packets that did not
	Number   uint64
}

func TestWindowsOfSection3(t *testing.T) {
	each(t, "windows", func(t *testing.T, v vector, in windowInput) {
		w := &packet.Window{}
		if in.Floor != nil {
			w = packet.NewWindow(*in.Floor)
		}
		highest := uint64(0)
		for _, run := range in.Accepted {
			for n := run[0]; n <= run[1]; n++ {
				if err := w.Accept(n); err != nil {
					t.Fatalf("number %d of the history: %v", n, err)
				}
				highest = max(highest, n)
			}
		}
		for _, n := range in.Tried {
			if err := w.Check(n); err != nil {
				t.Fatalf("number %d that does not open: %v", n, err)
			}
		}
		if got, ok := w.Highest(); ok != (len(in.Accepted) > 0) || ok && got != highest {
			t.Errorf("the highest is %d (%v), should be %d", got, ok, highest)
		}
		judged(t, v, w.Check(in.Number))
		judged(t, v, w.Accept(in.Number))
	})
}
