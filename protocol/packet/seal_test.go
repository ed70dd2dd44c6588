package packet

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"ecluse/protocol/bundle"
	"ecluse/protocol/fec"
)

var (
	testKey  = [32]byte{0: 1, 7: 0x80, 31: 0xff}
	testTag  = Tag{0xa1, 0xb2, 0xc3}
	testSalt = [6]byte{1, 2, 3, 4, 5, 6}
)

const testNumber = 0x0102030405_06

// pair gives both ends of a link under the test key.
func pair(t testing.TB) (*Sealer, *Opener) {
	t.Helper()
	s, err := NewSealer(testKey, testTag)
	if err != nil {
		t.Fatal(err)
	}
	o, err := NewOpener(testKey, testTag)
	if err != nil {
		t.Fatal(err)
	}
	return s, o
}

// testShard gives a shard whose every byte differs from its neighbour.
func testShard(n int) []byte {
	shard := make([]byte, n)
	for i := range shard {
		shard[i] = byte(i*7 + i>>8)
	}
	return shard
}

// sealAny seals any plain bytes under any clear header, as a sender with the key and a fault could.
func sealAny(header [HeaderSize]byte, plain []byte) []byte {
	block, err := aes.NewCipher(testKey[:])
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead.Seal(header[:], header[numberOffset:], plain, header[:])
}

// The layout is checked with nothing but the standard library and the tables of section 3.
func TestSealGivesTheExactBytesOfSection3(t *testing.T) {
	s, _ := pair(t)
	shard := testShard(bundle.MinShard)
	got := s.Seal([]byte("before"), testNumber, testSalt, Inner{Block: 0x11223344, Index: 0x0102, K: 0x0400, M: 0x0080}, shard)
	if !bytes.HasPrefix(got, []byte("before")) {
		t.Fatal("Seal touched what stood in dst before")
	}
	got = got[len("before"):]
	header, _ := hex.DecodeString("12" + "a1b2c3" + "010203040506" + "010203040506")
	if !bytes.Equal(got[:HeaderSize], header) {
		t.Fatalf("clear header %x, want %x", got[:HeaderSize], header)
	}
	inner, _ := hex.DecodeString("11223344" + "0102" + "0400" + "0080" + "0000")
	want := sealAny([HeaderSize]byte(header), append(inner, shard...))
	if !bytes.Equal(got, want) {
		t.Fatal("the sealed part is not AES-256-GCM of inner header and shard over the clear header")
	}
}

func TestWhatWasSealedOpens(t *testing.T) {
	s, o := pair(t)
	rapid.Check(t, func(t *rapid.T) {
		in := Inner{Block: rapid.Uint32().Draw(t, "block"), K: rapid.Uint16Range(1, bundle.MaxDataShards).Draw(t, "k"),
			M: rapid.Uint16Range(1, 128).Draw(t, "m")}
		in.Index = rapid.Uint16Range(0, in.K+in.M-1).Draw(t, "index")
		number := rapid.Uint64Range(0, maxNumber).Draw(t, "number")
		shard := testShard(64 * rapid.IntRange(bundle.MinShard/64, bundle.MaxShard/64).Draw(t, "shard/64"))
		var salt [6]byte
		copy(salt[:], rapid.SliceOfN(rapid.Byte(), 6, 6).Draw(t, "salt"))
		p := s.Seal(nil, number, salt, in, shard)
		if len(p) != Overhead+len(shard) {
			t.Fatalf("P-1: %d bytes for a shard of %d", len(p), len(shard))
		}
		kind, tag, err := Classify(p)
		if kind != KindData || tag != testTag || err != nil || Number(p) != number {
			t.Fatalf("P-2: Classify gives %d, %x, %v", kind, tag, err)
		}
		dst := make([]byte, len(p))
		for _, where := range [][]byte{dst, p[HeaderSize:HeaderSize]} {
			gotIn, gotNumber, got, err := o.Open(where, p)
			if err != nil || gotIn != in || gotNumber != number || !bytes.Equal(got, shard) {
				t.Fatalf("P-5: opened %+v, %d, %v", gotIn, gotNumber, err)
			}
		}
		if !bytes.Equal(dst[InnerSize:InnerSize+len(shard)], shard) {
			t.Fatal("the shard does not lie at dst[InnerSize:]")
		}
	})
}

func TestEveryFlippedBitOfADataPacketIsRefused(t *testing.T) {
	s, o := pair(t)
	for _, size := range []int{bundle.MinShard, 8896, bundle.MaxShard} {
		p := s.Seal(nil, testNumber, testSalt, Inner{Block: 3, Index: 1, K: 2, M: 1}, testShard(size))
		dst := make([]byte, len(p))
		for bit := range len(p) * 8 {
			p[bit/8] ^= 1 << (bit % 8)
			_, _, shard, err := o.Open(dst, p)
			want := errSeal
			switch {
			case bit < 4:
				want = errKind
			case bit < 8:
				want = errVersion
			case bit < numberOffset*8:
				want = errTag
			}
			if err != want || shard != nil {
				t.Fatalf("shard %d, bit %d: %v, want %v", size, bit, err, want)
			}
			p[bit/8] ^= 1 << (bit % 8)
		}
		if _, _, _, err := o.Open(dst, p); err != nil {
			t.Fatalf("shard %d: the packet itself is refused: %v", size, err)
		}
	}
}

func TestEveryOtherLengthOfADataPacketIsRefused(t *testing.T) {
	s, o := pair(t)
	p := s.Seal(nil, testNumber, testSalt, Inner{Index: 1, K: 2, M: 1}, testShard(8896))
	long := append(bytes.Clone(p), make([]byte, MaxPacket+200-len(p))...)
	dst := make([]byte, len(long))
	for n := range long {
		_, _, _, err := o.Open(dst, long[:n])
		want := errLength
		switch shard := n - Overhead; {
		case n == len(p):
			want = nil
		case shard >= 1408 && shard <= 9088 && shard%64 == 0:
			want = errSeal
		}
		if err != want {
			t.Fatalf("P-1: %d bytes of %d give %v, want %v", n, len(p), err, want)
		}
	}
}

func TestSealingWithinAnAreaIsTheSameAndLeavesItAsItWas(t *testing.T) {
	s, _ := pair(t)
	for _, at := range []int{InnerSize, 64, 64 + 1408} {
		area := testShard(64 + 3*1408)
		before := bytes.Clone(area)
		in := Inner{Block: 3, Index: 1, K: 2, M: 1}
		got := s.SealWithin([]byte("before"), testNumber, testSalt, in, area, at, 1408)
		want := s.Seal([]byte("before"), testNumber, testSalt, in, area[at:at+1408])
		if !bytes.Equal(got, want) {
			t.Errorf("at %d: another packet", at)
		}
		if !bytes.Equal(area, before) {
			t.Errorf("at %d: the area is another", at)
		}
	}
}

func TestClassifyOfP1P2(t *testing.T) {
	sized := func(first byte, n int) []byte {
		b := make([]byte, n)
		if n > 0 {
			b[0] = first
		}
		return b
	}
	rows := []struct {
		name     string
		datagram []byte
		kind     Kind
		want     error
	}{
		{"P-1 an empty datagram", nil, 0, errLength},
		{"P-1 three bytes", sized(0x12, 3), 0, errLength},
		{"P-1 less than a header", sized(0x11, HeaderSize-1), 0, errLength},
		{"P-2 version 0", sized(0x02, MinPacket), 0, errVersion},
		{"P-2 version 2", sized(0x22, MinPacket), 0, errVersion},
		{"P-2 version 15", sized(0xf2, MinPacket), 0, errVersion},
		{"P-2 kind 0", sized(0x10, MinPacket), 0, errKind},
		{"P-2 kind 4", sized(0x14, MinPacket), 0, errKind},
		{"P-2 kind 15", sized(0x1f, MinPacket), 0, errKind},
		{"P-2 an announcement", sized(0x11, HeaderSize+PartSize), KindAnnounce, nil},
		{"P-1 the smallest data packet", sized(0x12, 1452), KindData, nil},
		{"P-10 the smallest packet of a probe", sized(0x13, 1452), KindProbe, nil},
		{"P-1 one shard size below", sized(0x12, 1452-64), 0, errLength},
		{"P-1 one byte more", sized(0x12, 1453), 0, errLength},
		{"P-1 MTU 9000", sized(0x12, 8896+44), KindData, nil},
		{"P-1 the largest data packet", sized(0x12, 9132), KindData, nil},
		{"P-1 one shard size above", sized(0x12, 9132+64), 0, errLength},
	}
	for _, row := range rows {
		if kind, _, err := Classify(row.datagram); kind != row.kind || err != row.want {
			t.Errorf("%s: %d, %v; want %d, %v", row.name, kind, err, row.kind, row.want)
		}
	}
}

func TestInnerHeaderOfP8(t *testing.T) {
	_, o := pair(t)
	rows := []struct {
		name  string
		inner string
		want  error
	}{
		{"P-8 the smallest code", "00000000 0000 0001 0001 0000", nil},
		{"P-8 the largest code", "ffffffff 0fff 0800 0800 0000", nil},
		{"P-8 index k+m", "00000000 0002 0001 0001 0000", errCode},
		{"P-8 index above the largest code", "00000000 1000 0800 0800 0000", errCode},
		{"P-8 k is 0", "00000000 0000 0000 0001 0000", errCode},
		{"P-8 m is 0", "00000000 0000 0001 0000 0000", errCode},
		{"P-8 k is 2,049", "00000000 0000 0801 0001 0000", errCode},
		{"P-8 m is 2,049", "00000000 0000 0001 0801 0000", errCode},
		{"P-8 the most parity for one data shard", "00000000 0080 0001 0080 0000", nil},
		{"P-8 more parity than that", "00000000 0000 0001 0081 0000", errCode},
		{"P-8 the most parity for five", "00000000 0000 0005 00a0 0000", nil},
		{"P-8 more parity than that for five", "00000000 0000 0005 00a1 0000", errCode},
		{"P-8 k and m would overflow", "00000000 0000 ffff ffff 0000", errCode},
		{"P-8 the first reserved byte", "00000000 0000 0001 0001 0100", errReserved},
		{"P-8 the last reserved byte", "00000000 0000 0001 0001 0001", errReserved},
	}
	header := [HeaderSize]byte{0: 0x12, 1: testTag[0], 2: testTag[1], 3: testTag[2]}
	for _, row := range rows {
		inner, err := hex.DecodeString(string(bytes.ReplaceAll([]byte(row.inner), []byte(" "), nil)))
		if err != nil || len(inner) != InnerSize {
			t.Fatal(row.name, err)
		}
		p := sealAny(header, append(inner, testShard(1408)...))
		if _, _, _, err := o.Open(make([]byte, len(p)), p); err != row.want {
			t.Errorf("%s: %v, want %v", row.name, err, row.want)
		}
	}
}

// Two packages judge k and m: this one before anything is kept, and the code itself. They agree.
func TestTheCodesOfP8AreThoseOfF1(t *testing.T) {
	for k := 0; k <= bundle.MaxDataShards+1; k++ {
		for _, m := range []int{0, 1, k, 127, 128, 129, 32*k - 1, 32 * k, 32*k + 1, 2047, 2048, 2049, 1<<16 - 1} {
			if m < 0 || m >= 1<<16 {
				continue
			}
			code := fec.Code{K: k, M: m, Shard: bundle.MinShard}.Validate() == nil
			if inner := (Inner{K: uint16(k), M: uint16(m)}).formsCode(); inner != code {
				t.Fatalf("P-8: k %d and m %d form a code here: %v, in fec: %v", k, m, inner, code)
			}
		}
	}
	for shard := range bundle.MaxShard + 2*bundle.ShardMultiple {
		if code := (fec.Code{K: 1, M: 1, Shard: shard}).Validate() == nil; shardAllowed(shard) != code {
			t.Fatalf("P-1: a shard of %d bytes is allowed here: %v, in fec: %v", shard, !code, code)
		}
	}
}

func TestAnotherKeyOrTagIsRefused(t *testing.T) {
	s, _ := pair(t)
	p := s.Seal(nil, 1, testSalt, Inner{K: 1, M: 1}, testShard(1408))
	otherKey := testKey
	otherKey[31] ^= 1
	for _, row := range []struct {
		name string
		key  [32]byte
		tag  Tag
		want error
	}{
		{"P-5 another key", otherKey, testTag, errSeal},
		{"P-3 another tag", testKey, Tag{}, errTag},
	} {
		o, err := NewOpener(row.key, row.tag)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := o.Open(make([]byte, len(p)), p); err != row.want {
			t.Errorf("%s: %v, want %v", row.name, err, row.want)
		}
	}
}

func TestSealingAnImpossiblePacketPanics(t *testing.T) {
	s, o := pair(t)
	good := Inner{K: 1, M: 1}
	rows := map[string]func(){
		"P-4 a number of 49 bits":      func() { s.Seal(nil, 1<<48, testSalt, good, testShard(1408)) },
		"P-1 a shard of 1,344":         func() { s.Seal(nil, 0, testSalt, good, testShard(1344)) },
		"P-1 a shard of 9,152":         func() { s.Seal(nil, 0, testSalt, good, testShard(9152)) },
		"P-1 a shard of 1,409":         func() { s.Seal(nil, 0, testSalt, good, testShard(1409)) },
		"P-8 a code without parity":    func() { s.Seal(nil, 0, testSalt, Inner{K: 1}, testShard(1408)) },
		"no room for what is opened":   func() { o.Open(make([]byte, 1408), s.Seal(nil, 0, testSalt, good, testShard(1408))) },
		"S-2 an announcement of zero":  func() { (&Announcement{}).AppendPackets() },
		"S-2 a signature of 63 bytes":  func() { a := testAnnouncement(63); a.AppendBody(nil) },
		"S-2 a signature of 8,193":     func() { a := testAnnouncement(8193); a.AppendBody(nil) },
		"S-2 an encapsulation of 1119": func() { a := testAnnouncement(64); a.Encapsulation = a.Encapsulation[1:]; a.AppendBody(nil) },
	}
	for name, act := range rows {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			act()
		})
	}
}

// An attacker's packets cost no memory, and neither do honest ones (P-5).
func TestPacketsAllocateNothing(t *testing.T) {
	s, o := pair(t)
	var win Window
	in, shard := Inner{Index: 1, K: 2, M: 1}, testShard(8896)
	buf, dst := make([]byte, 0, MaxPacket), make([]byte, MaxPacket)
	area := append(make([]byte, 64), shard...)
	good := s.Seal(nil, 7, testSalt, in, shard)
	changed := func(at int) []byte { p := bytes.Clone(good); p[at] ^= 0x40; return p }
	header := [HeaderSize]byte(good)
	number := uint64(100)
	if err := win.Accept(number); err != nil {
		t.Fatal(err)
	}
	acts := map[string]func() error{
		"seal within":     func() error { s.SealWithin(buf, 7, testSalt, in, area, 64, 1408); return nil },
		"seal":            func() error { s.Seal(buf, 7, testSalt, in, shard); return nil },
		"open":            func() error { _, _, _, err := o.Open(dst, good); return err },
		"window accept":   func() error { number += 100; return win.Accept(number) },
		"refuse length":   refusal(o, dst, good[:len(good)-1], errLength),
		"refuse version":  refusal(o, dst, changed(0), errVersion),
		"refuse tag":      refusal(o, dst, changed(1), errTag),
		"refuse number":   refusal(o, dst, changed(9), errSeal),
		"refuse shard":    refusal(o, dst, changed(500), errSeal),
		"refuse code":     refusal(o, dst, sealAny(header, make([]byte, InnerSize+1408)), errCode),
		"refuse reserved": refusal(o, dst, sealAny(header, testShard(InnerSize+1408)), errReserved),
		"refuse replay":   func() error { return expect(win.Check(number), errReplay) },
	}
	for name, act := range acts {
		if err := act(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n := testing.AllocsPerRun(200, func() { _ = act() }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func refusal(o *Opener, dst, p []byte, want error) func() error {
	return func() error {
		_, _, _, err := o.Open(dst, p)
		return expect(err, want)
	}
}

func expect(err, want error) error {
	if err != want {
		return fmt.Errorf("%v, want %v", err, want)
	}
	return nil
}

func BenchmarkPacket(b *testing.B) {
	s, o := pair(b)
	for _, size := range []int{1408, 8896} {
		in, shard := Inner{Index: 1, K: 2, M: 1}, testShard(size)
		buf, dst := make([]byte, 0, MaxPacket), make([]byte, MaxPacket)
		p := s.Seal(nil, 7, testSalt, in, shard)
		b.Run(fmt.Sprintf("seal/%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for number := uint64(0); b.Loop(); number++ {
				s.Seal(buf, number, testSalt, in, shard)
			}
		})
		b.Run(fmt.Sprintf("open/%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, _, err := o.Open(dst, p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	bad := s.Seal(nil, 7, testSalt, Inner{K: 1, M: 1}, testShard(1408))
	bad[100] ^= 1
	b.Run("refuse/1408", func(b *testing.B) {
		b.ReportAllocs()
		dst := make([]byte, MaxPacket)
		for b.Loop() {
			if _, _, _, err := o.Open(dst, bad); err == nil {
				b.Fatal("opened")
			}
		}
	})
	b.Run("window", func(b *testing.B) {
		var win Window
		for number := uint64(0); b.Loop(); number++ {
			if err := win.Accept(number); err != nil {
				b.Fatal(err)
			}
		}
	})
}
