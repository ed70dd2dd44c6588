package packet

import (
	"encoding/binary"
	"slices"

	"ecluse/protocol/bundle"
)

// Probe says which packet of which step of a probe this is (P-10). A probe measures a link: it is sealed and numbered like data, and carries nothing.
//
//	0      4      6       8      12          20         24      28             Overhead's end + shard
//	+------+------+-------+------+-----------+----------+-------+---------------+
//	| run  | step | steps | zero | rate      | packets  | index | zero          |
//	+------+------+-------+------+-----------+----------+-------+---------------+
//	 in place of the inner header | in place of the shard
type Probe struct {
	Run         uint32 // drawn for each probe, never 0
	Step, Steps uint16 // of the probe: Step counts from 0
	Rate        uint64 // of this step, in bits a second of the wire, headers included
	Packets     uint32 // of this step
	Index       uint32 // of this packet among them, from 0
}

const probeSize = InnerSize + 16

var errProbe error = bundle.Reject(bundle.ReasonPacketProbe, "P-10", "a field of the probe is outside its range, or something stands in its padding")

// valid tells whether the fields are within what P-10 and section 1 allow.
func (p Probe) valid() bool {
	return p.Run != 0 && p.Steps >= 1 && p.Steps <= bundle.MaxProbeSteps && p.Step < p.Steps && p.Rate >= 1 && p.Packets >= 1 && p.Packets <= bundle.MaxProbePackets && p.Index < p.Packets
}

func (p Probe) put(b []byte) {
	_ = b[probeSize-1]
	clear(b)
	binary.BigEndian.PutUint32(b[0:], p.Run)
	binary.BigEndian.PutUint16(b[4:], p.Step)
	binary.BigEndian.PutUint16(b[6:], p.Steps)
	binary.BigEndian.PutUint64(b[12:], p.Rate)
	binary.BigEndian.PutUint32(b[20:], p.Packets)
	binary.BigEndian.PutUint32(b[24:], p.Index)
}

func parseProbe(b []byte) (Probe, error) {
	p := Probe{
		Run: binary.BigEndian.Uint32(b[0:]), Step: binary.BigEndian.Uint16(b[4:]), Steps: binary.BigEndian.Uint16(b[6:]),
		Rate: binary.BigEndian.Uint64(b[12:]), Packets: binary.BigEndian.Uint32(b[20:]), Index: binary.BigEndian.Uint32(b[24:]),
	}
	if !p.valid() || binary.BigEndian.Uint32(b[8:]) != 0 || !zero(b[probeSize:]) {
		return Probe{}, errProbe
	}
	return p, nil
}

// zero tells whether all bytes are.
func zero(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		if binary.NativeEndian.Uint64(b) != 0 {
			return false
		}
	}
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

// SealProbe appends one packet of a probe, as long as a data packet whose shard has so many bytes. What Seal says of number, salt and dst holds here too.
func (s *Sealer) SealProbe(dst []byte, number uint64, salt [6]byte, p Probe, shard int) []byte {
	if number > maxNumber || !shardAllowed(shard) || !p.valid() {
		panic("packet: seal of an impossible probe")
	}
	start, size := len(dst), Overhead+shard
	dst = slices.Grow(dst, size)[:start+size]
	b := dst[start:]
	s.header(b, KindProbe, number, salt)
	plain := b[HeaderSize : HeaderSize+InnerSize+shard]
	p.put(plain)
	s.aead.Seal(plain[:0], b[numberOffset:HeaderSize], plain, b[:HeaderSize])
	return dst
}

// OpenProbe opens one packet of a probe. What Open says of dst and of windows holds here too.
func (o *Opener) OpenProbe(dst, datagram []byte) (p Probe, number uint64, err error) {
	plain, number, err := o.unseal(dst, datagram, KindProbe)
	if err != nil {
		return Probe{}, 0, err
	}
	if p, err = parseProbe(plain); err != nil {
		return Probe{}, 0, err
	}
	return p, number, nil
}
