package vectors_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hpke"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"ecluse/protocol/bundle"
	"ecluse/protocol/packet"
)

// What stands here is made from SPEC.md with the standard library alone: it shares nothing with package packet but the format.

// plainPacket is a data packet before it is sealed. Every field can be made wrong.
type plainPacket struct {
	first       byte // version and kind
	tag         [3]byte
	number      uint64
	salt        [6]byte
	block       uint32
	index, k, m uint16
	zero        uint16
	shard       []byte
}

// goodPacket gives a packet that is right.
func goodPacket() plainPacket {
	return plainPacket{first: 0x12, tag: [3]byte{7, 8, 9}, number: 0xA1B2C3D4E5F6, salt: [6]byte{1, 2, 3, 4, 5, 6}, block: 77, index: 5, k: 4, m: 2,
		shard: bytes.Repeat([]byte("diode..."), 1408/8)}
}

// gcm gives AES-256-GCM under a key.
func gcm(t *testing.T, key [32]byte) cipher.AEAD {
	t.Helper()
	b, err := aes.NewCipher(key[:])
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(b)
	if err != nil {
		t.Fatal(err)
	}
	return aead
}

// seal makes the datagram as section 3 draws it.
func (p plainPacket) seal(t *testing.T, key [32]byte) []byte {
	t.Helper()
	header := append([]byte{p.first}, p.tag[:]...)
	for shift := 40; shift >= 0; shift -= 8 {
		header = append(header, byte(p.number>>shift))
	}
	header = append(header, p.salt[:]...)
	var inner []byte
	inner = binary.BigEndian.AppendUint32(inner, p.block)
	for _, x := range []uint16{p.index, p.k, p.m, p.zero} {
		inner = binary.BigEndian.AppendUint16(inner, x)
	}
	return gcm(t, key).Seal(slices.Clone(header), header[4:16], append(inner, p.shard...), header)
}

// unseal reads a datagram as section 3 draws it.
func unseal(t *testing.T, key [32]byte, d []byte) (p plainPacket) {
	t.Helper()
	plain, err := gcm(t, key).Open(nil, d[4:16], d[16:], d[:16])
	if err != nil {
		t.Fatal(err)
	}
	u16 := func(at int) uint16 { return binary.BigEndian.Uint16(plain[at:]) }
	number := binary.BigEndian.Uint64(append([]byte{0, 0}, d[4:10]...))
	return plainPacket{d[0], [3]byte(d[1:4]), number, [6]byte(d[10:16]), binary.BigEndian.Uint32(plain), u16(4), u16(6), u16(8), u16(10), plain[12:]}
}

func TestPacketsAreSealedAsSection3Says(t *testing.T) {
	key := [32]byte{31: 1}
	for _, size := range []int{1408, 1472, 4096, 8896, 9088} {
		p := goodPacket()
		p.shard = bytes.Repeat([]byte{byte(size >> 6)}, size)
		datagram := p.seal(t, key)
		o, err := packet.NewOpener(key, p.tag)
		if err != nil {
			t.Fatal(err)
		}
		in, number, shard, err := open(o, bytes.Clone(datagram))
		if err != nil || number != p.number || in != (packet.Inner{Block: p.block, Index: p.index, K: p.k, M: p.m}) || !bytes.Equal(shard, p.shard) {
			t.Fatalf("a shard of %d bytes: packet %x with %+v: %v", size, number, in, err)
		}
		s, err := packet.NewSealer(key, p.tag)
		if err != nil {
			t.Fatal(err)
		}
		sealed := s.Seal(nil, p.number, p.salt, in, shard)
		same(t, "sealed", sealed, datagram)
		if got := unseal(t, key, sealed); fmt.Sprint(got) != fmt.Sprint(p) {
			t.Errorf("it sealed %+v, should be %+v", got, p)
		}
	}
}

func TestEverySingleFaultOfAPacketHasItsReason(t *testing.T) {
	key, other := [32]byte{31: 1}, [32]byte{31: 2}
	o, err := packet.NewOpener(key, goodPacket().tag)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[bundle.Reason][]func(*plainPacket){
		bundle.ReasonPacketVersion:  {func(p *plainPacket) { p.first = 0x22 }, func(p *plainPacket) { p.first = 0x02 }},
		bundle.ReasonPacketKind:     {func(p *plainPacket) { p.first = 0x10 }, func(p *plainPacket) { p.first = 0x13 }, func(p *plainPacket) { p.first = 0x1a }},
		bundle.ReasonPacketTag:      {func(p *plainPacket) { p.tag[0]++ }, func(p *plainPacket) { p.tag[2]-- }},
		bundle.ReasonPacketReserved: {func(p *plainPacket) { p.zero = 1 }, func(p *plainPacket) { p.zero = 0x8000 }},
		bundle.ReasonPacketLength: {func(p *plainPacket) { p.shard = p.shard[:1344] }, func(p *plainPacket) { p.shard = p.shard[:1407] },
			func(p *plainPacket) { p.shard = append(slices.Clone(p.shard), 0) }, func(p *plainPacket) { p.shard = make([]byte, 9152) }},
		bundle.ReasonPacketCode: {func(p *plainPacket) { p.k = 0 }, func(p *plainPacket) { p.m = 0 }, func(p *plainPacket) { p.k = 2049 },
			func(p *plainPacket) { p.k, p.m = 2048, 2049 }, func(p *plainPacket) { p.index = 6 }, func(p *plainPacket) { p.m = 129 }},
	}
	for _, reason := range []bundle.Reason{bundle.ReasonPacketVersion, bundle.ReasonPacketKind, bundle.ReasonPacketTag, bundle.ReasonPacketReserved,
		bundle.ReasonPacketLength, bundle.ReasonPacketCode} {
		for i, fault := range rows[reason] {
			p := goodPacket()
			fault(&p)
			if _, _, _, err := open(o, p.seal(t, key)); reasonOf(err) != reason {
				t.Errorf("fault %d: %v, should be %s", i, err, reason)
			}
		}
	}
	if _, _, _, err := open(o, goodPacket().seal(t, other)); reasonOf(err) != bundle.ReasonPacketSeal {
		t.Errorf("another key: %v", err)
	}
	right := goodPacket().seal(t, key)
	for at := 4; at < len(right); at++ { // bytes 0 to 3 have reasons of their own
		wrong := bytes.Clone(right)
		wrong[at] ^= 0x40
		if _, _, _, err := open(o, wrong); reasonOf(err) != bundle.ReasonPacketSeal {
			t.Errorf("byte %d changed: %v", at, err)
		}
	}
}

func reasonOf(err error) bundle.Reason {
	reason, _ := bundle.ReasonOf(err)
	return reason
}

// handInfo is the info of S-4, by hand.
func handInfo(sender, receiver []byte, number uint64, epoch [16]byte, links byte) []byte {
	b := []byte("ecluse session 1\n")
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(sender))), sender...)
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(receiver))), receiver...)
	b = append(binary.BigEndian.AppendUint64(b, number), epoch[:]...)
	return append(b, links, 1)
}

// handBody is the body of an announcement as section 4 draws it.
func handBody(a *packet.Announcement) []byte {
	b := append(binary.BigEndian.AppendUint64(nil, a.Number), a.Epoch[:]...)
	b = append(append(b, a.Sender[:]...), a.Receiver[:]...)
	b = append(b, a.Links, 1)
	b = binary.BigEndian.AppendUint16(b, uint16(len(a.Encapsulation)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(a.Signature)))
	return append(append(append(b, make([]byte, 10)...), a.Encapsulation...), a.Signature...)
}

// Both ends of a session, one by hand and one with package packet, derive the same keys: whichever of them announces.
func TestKeysAreDerivedAsSection4Says(t *testing.T) {
	private, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	receiver, sender := private.PublicKey().Bytes(), []byte("a sender's key in its wire form")
	a := &packet.Announcement{Number: 42, Epoch: bundle.Epoch{15: 3}, Sender: packet.KeyID(sender), Receiver: packet.KeyID(receiver), Links: 16,
		Signature: make([]byte, 184)}
	rand.Read(a.Signature)
	info := handInfo(sender, receiver, a.Number, a.Epoch, a.Links)
	same(t, "info", packet.Info(sender, receiver, a.Number, a.Epoch, a.Links), info)
	enc, low, err := hpke.NewSender(private.PublicKey(), hpke.HKDFSHA256(), hpke.ExportOnly(), info)
	if err != nil {
		t.Fatal(err)
	}
	a.Encapsulation = enc
	same(t, "message", packet.SignedMessage(info, enc), slices.Concat(info, enc))
	body := handBody(a)
	same(t, "body", a.AppendBody(nil), body)
	back, err := packet.ParseAnnouncement(body)
	if err != nil {
		t.Fatal(err)
	}
	again := packet.Info(sender, receiver, back.Number, back.Epoch, back.Links)
	high, err := hpke.NewRecipient(back.Encapsulation, private, hpke.HKDFSHA256(), hpke.ExportOnly(), again)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[[32]byte]bool{}
	for i := range int(back.Links) {
		key, tag := exported(t, high.Export, i)
		byHand, err := low.Export(fmt.Sprintf("ecluse 1 packet key, link %d", i), 32)
		if err != nil || [32]byte(byHand) != key || seen[key] {
			t.Errorf("link %d has another packet key, or another link's (%v)", i, err)
		}
		if hand, err := low.Export(fmt.Sprintf("ecluse 1 session tag, link %d", i), 3); err != nil || packet.Tag(hand) != tag {
			t.Errorf("link %d has another tag (%v)", i, err)
		}
		seen[key] = true
	}
	for what, change := range map[string][]byte{
		"another number": handInfo(sender, receiver, 43, a.Epoch, a.Links), "another epoch": handInfo(sender, receiver, 42, [16]byte{15: 4}, a.Links),
		"other links": handInfo(sender, receiver, 42, a.Epoch, 15), "another sender": handInfo(sender[1:], receiver, 42, a.Epoch, a.Links)} {
		r, err := hpke.NewRecipient(enc, private, hpke.HKDFSHA256(), hpke.ExportOnly(), change)
		if err != nil {
			t.Fatal(err)
		}
		if key, _ := exported(t, r.Export, 0); seen[key] {
			t.Errorf("%s gives the same key: info does not bind it", what)
		}
	}
}
