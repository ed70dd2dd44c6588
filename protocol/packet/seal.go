package packet

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"slices"
)

// Sealer makes the data packets of one link of one session. It holds nothing that changes: any number of workers may use
// one at once, as long as no two of them seal the same packet number.
type Sealer struct {
	aead cipher.AEAD
	tag  Tag
}

// NewSealer prepares the packet key of a link and its tag (S-9).
func NewSealer(key [32]byte, tag Tag) (*Sealer, error) {
	aead, err := newAEAD(key)
	if err != nil {
		return nil, fmt.Errorf("prepare the sealing of packets: %w", err)
	}
	return &Sealer{aead: aead, tag: tag}, nil
}

// Seal appends one data packet of Overhead + len(shard) bytes to dst and returns the longer slice. It allocates nothing when
// dst has the room. dst must not overlap the shard.
//
// number must never have been sealed under this key before, and salt is drawn anew for each batch (P-4): together they
// are the nonce. A number above 48 bits, a shard of a size that section 1 forbids, or an inner header that forms no code
// is a fault of the caller, and panics.
func (s *Sealer) Seal(dst []byte, number uint64, salt [6]byte, in Inner, shard []byte) []byte {
	dst, p := s.begin(dst, number, salt, in, len(shard))
	in.put(p[HeaderSize:])
	copy(p[HeaderSize+InnerSize:], shard)
	plain := p[HeaderSize : HeaderSize+InnerSize+len(shard)]
	s.aead.Seal(plain[:0], p[numberOffset:HeaderSize], plain, p[:HeaderSize])
	return dst
}

// begin makes room for a data packet, and writes its clear header.
func (s *Sealer) begin(dst []byte, number uint64, salt [6]byte, in Inner, shard int) (longer, p []byte) {
	if number > maxNumber || !shardAllowed(shard) || !in.formsCode() {
		panic("packet: seal of an impossible packet")
	}
	start, size := len(dst), Overhead+shard
	dst = slices.Grow(dst, size)[:start+size]
	p = dst[start:]
	s.header(p, KindData, number, salt)
	return dst, p
}

// SealWithin is Seal for a shard that lies at a place of a larger area, behind InnerSize bytes or more: it copies nothing. What stands before the shard gives way to the inner header
// for the time of the call, and is as it was afterwards; nobody else may look at the area meanwhile.
func (s *Sealer) SealWithin(dst []byte, number uint64, salt [6]byte, in Inner, area []byte, at, shard int) []byte {
	dst, p := s.begin(dst, number, salt, in, shard)
	plain := area[at-InnerSize : at+shard]
	before := [InnerSize]byte(plain)
	in.put(plain)
	s.aead.Seal(p[HeaderSize:HeaderSize], p[numberOffset:HeaderSize], plain, p[:HeaderSize])
	copy(plain, before[:])
	return dst
}

// header writes the clear header.
func (s *Sealer) header(p []byte, kind Kind, number uint64, salt [6]byte) {
	p[0] = Version<<4 | byte(kind)
	copy(p[tagOffset:], s.tag[:])
	putUint48(p[numberOffset:], number)
	copy(p[saltOffset:], salt[:])
}

// Opener opens the data packets of one link of one session. It holds nothing that changes: any number of workers may use
// one at once.
type Opener struct {
	aead cipher.AEAD
	tag  Tag
}

// NewOpener prepares the packet key of a link and its tag (S-9).
func NewOpener(key [32]byte, tag Tag) (*Opener, error) {
	aead, err := newAEAD(key)
	if err != nil {
		return nil, fmt.Errorf("prepare the opening of packets: %w", err)
	}
	return &Opener{aead: aead, tag: tag}, nil
}

// Open opens one data packet (P-1, P-2, P-3, P-5, P-8). What was sealed lands in the capacity of dst from dst[:0] on, so
// the shard it returns is dst[InnerSize:InnerSize+shard]; dst needs a capacity of len(datagram) - HeaderSize - TagSize, and a
// smaller one is a fault of the caller, and panics. On refusal that memory is undefined.
//
// dst is memory of its own, or datagram[HeaderSize:HeaderSize] to open in place. A datagram that does not open in place is
// destroyed: where two sessions share a tag (P-3), it must not be opened in place.
//
// It allocates nothing, whether it opens or refuses. It knows nothing of replay: ask a Window before and after.
func (o *Opener) Open(dst, datagram []byte) (in Inner, number uint64, shard []byte, err error) {
	plain, number, err := o.unseal(dst, datagram, KindData)
	if err != nil {
		return Inner{}, 0, nil, err
	}
	if in, err = parseInner(plain); err != nil {
		return Inner{}, 0, nil, err
	}
	return in, number, plain[InnerSize:], nil
}

// unseal gives what was sealed in a packet of a kind.
func (o *Opener) unseal(dst, datagram []byte, want Kind) (plain []byte, number uint64, err error) {
	kind, tag, err := Classify(datagram)
	switch {
	case err != nil:
		return nil, 0, err
	case kind != want:
		return nil, 0, errKind
	case tag != o.tag:
		return nil, 0, errTag
	case cap(dst) < len(datagram)-HeaderSize-TagSize:
		panic("packet: no room to open a packet")
	}
	plain, err = o.aead.Open(dst[:0], datagram[numberOffset:HeaderSize], datagram[HeaderSize:], datagram[:HeaderSize])
	if err != nil {
		return nil, 0, errSeal
	}
	return plain, uint48(datagram[numberOffset:]), nil
}

// Number gives the packet number that a data packet claims, so that a Window can refuse a replay before the work of
// opening. The datagram must have passed Classify. It is believed only when the packet has opened.
func Number(datagram []byte) uint64 {
	return uint48(datagram[numberOffset:])
}

// newAEAD is AES-256-GCM with the standard nonce and tag.
func newAEAD(key [32]byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// putUint48 writes the low 48 bits of v to b, big-endian.
func putUint48(b []byte, v uint64) {
	_ = b[5]
	b[0], b[1], b[2] = byte(v>>40), byte(v>>32), byte(v>>24)
	b[3], b[4], b[5] = byte(v>>16), byte(v>>8), byte(v)
}

// uint48 reads 48 bits, big-endian.
func uint48(b []byte) uint64 {
	_ = b[5]
	return uint64(b[0])<<40 | uint64(b[1])<<32 | uint64(b[2])<<24 | uint64(b[3])<<16 | uint64(b[4])<<8 | uint64(b[5])
}
