package packet

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"pgregory.net/rapid"

	"ecluse/protocol/bundle"
)

// testAnnouncement gives an announcement with a signature of n bytes.
func testAnnouncement(n int) Announcement {
	a := Announcement{Number: 0x0102030405060708, Epoch: bundle.Epoch{0xee, 15: 0x10}, Links: 2,
		Sender: KeyID([]byte("sender")), Receiver: KeyID([]byte("receiver"))}
	a.Encapsulation = testShard(EncapsulationSize)
	a.Signature = bytes.Repeat([]byte{0x5a}, n)
	return a
}

// join puts datagrams through an Assembler, all in one buffer as a socket gives them, and gives what comes out last.
func join(t testing.TB, as *Assembler, packets [][]byte) []byte {
	t.Helper()
	var body []byte
	buf := make([]byte, HeaderSize+PartSize)
	for _, p := range packets {
		var err error
		if body, err = as.Add(buf[:copy(buf, p)]); err != nil {
			t.Fatal(err)
		}
	}
	return body
}

func TestAnnouncementHasTheExactBytesOfSection4(t *testing.T) {
	a := testAnnouncement(184)
	packets := a.AppendPackets()
	if len(packets) != 1 || len(packets[0]) != HeaderSize+PartSize {
		t.Fatalf("S-1: %d packets; an Ed25519 announcement fills one packet exactly", len(packets))
	}
	want := "11" + "000000" + "00" + "01" + "00000000000000000000" +
		"0102030405060708" + hex.EncodeToString(a.Epoch[:]) + hex.EncodeToString(a.Sender[:]) + hex.EncodeToString(a.Receiver[:]) +
		"02" + "01" + "0460" + "00b8" + "00000000000000000000" +
		hex.EncodeToString(a.Encapsulation) + hex.EncodeToString(a.Signature)
	if got := hex.EncodeToString(packets[0]); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
}

func TestTheSenderOfAWholeAnnouncementIsReadFromItsDatagram(t *testing.T) {
	a := testAnnouncement(184)
	whole := a.AppendPackets()[0]
	if id, ok := AnnouncedSender(whole); !ok || id != a.Sender {
		t.Fatalf("%x, %v", id, ok)
	}
	end := HeaderSize + 56 // of the key id
	for n := range end {
		if _, ok := AnnouncedSender(whole[:n]); ok {
			t.Fatalf("read from %d bytes", n)
		}
	}
	larger := testAnnouncement(185 + PartSize)
	for i, part := range larger.AppendPackets() {
		if _, ok := AnnouncedSender(part); ok {
			t.Errorf("read from part %d of several", i)
		}
	}
}

func TestAnnouncementsOfEverySizeComeBack(t *testing.T) {
	for _, n := range []int{64, 183, 184, 185, 184 + PartSize, 185 + PartSize, 8191, 8192} {
		a := testAnnouncement(n)
		packets := a.AppendPackets()
		if len(packets) > bundle.MaxParts {
			t.Fatalf("S-1: %d parts", len(packets))
		}
		var as Assembler
		got, err := ParseAnnouncement(join(t, &as, packets))
		if err != nil {
			t.Fatalf("S-1, signature of %d: %v", n, err)
		}
		if !bytes.Equal(got.AppendBody(nil), a.AppendBody(nil)) || len(got.AppendBody(nil)) != got.Length() {
			t.Fatalf("S-1, signature of %d: another announcement came back", n)
		}
		if as.count != 0 {
			t.Fatalf("S-1, signature of %d: a half stays behind", n)
		}
	}
}

func TestEveryOtherLengthOfAnAnnouncementIsRefused(t *testing.T) {
	for _, n := range []int{64, 184, 700} {
		a := testAnnouncement(n)
		body := a.AppendBody(nil)
		for cut := range body {
			if _, err := ParseAnnouncement(body[:cut]); err != errAnnounceLength {
				t.Fatalf("S-1: %d of %d bytes: %v", cut, len(body), err)
			}
		}
		for extra := 1; extra < 300; extra++ {
			if _, err := ParseAnnouncement(append(bytes.Clone(body), make([]byte, extra)...)); err != errAnnounceLength {
				t.Fatalf("S-1: %d bytes too many: %v", extra, err)
			}
		}
	}
}

func TestFieldsOfAnnouncementsOfS1S2(t *testing.T) {
	rows := []struct {
		name   string
		change func(body []byte) []byte
		want   error
	}{
		{"S-2 as it is", func(b []byte) []byte { return b }, nil},
		{"S-2 no links", set(88, 0), errAnnounceFields},
		{"S-2 sixteen links", set(88, 16), nil},
		{"S-2 seventeen links", set(88, 17), errAnnounceFields},
		{"S-2 kem 0", set(89, 0), errAnnounceFields},
		{"S-2 kem 2", set(89, 2), errAnnounceFields},
		{"S-2 e is 1,119 and s takes the byte", func(b []byte) []byte { b[91]--; b[93]++; return b }, errAnnounceFields},
		{"S-2 e is 1,121 and s gives the byte", func(b []byte) []byte { b[91]++; b[93]--; return b }, errAnnounceFields},
		{"S-1 e and s are more than is there", func(b []byte) []byte { b[90], b[91], b[92], b[93] = 255, 255, 255, 255; return b }, errAnnounceLength},
		{"S-1 s is one less", func(b []byte) []byte { b[93]--; return b }, errAnnounceLength},
		{"S-2 the first reserved byte", set(94, 1), errAnnounceFields},
		{"S-2 the last reserved byte", set(103, 1), errAnnounceFields},
		{"S-2 a signature of 63 bytes", func(b []byte) []byte { b[93] = 63; return b[:announceFixed+EncapsulationSize+63] }, errAnnounceFields},
		{"S-2 a signature of 64 bytes", func(b []byte) []byte { b[93] = 64; return b[:announceFixed+EncapsulationSize+64] }, nil},
		{"S-2 a signature of 8,193 bytes", func(b []byte) []byte {
			b[92], b[93] = 0x20, 0x01
			return append(b, make([]byte, 8193-184)...)
		}, errAnnounceFields},
		{"I-1 an epoch of zero", func(b []byte) []byte { clear(b[8:24]); return b }, errAnnounceFields},
		{"S-7 number 0 is for the receiver to judge", func(b []byte) []byte { clear(b[:8]); return b }, nil},
	}
	for _, row := range rows {
		a := testAnnouncement(184)
		if _, err := ParseAnnouncement(row.change(a.AppendBody(nil))); err != row.want {
			t.Errorf("%s: %v, want %v", row.name, err, row.want)
		}
	}
}

func set(at int, value byte) func([]byte) []byte {
	return func(b []byte) []byte { b[at] = value; return b }
}

func TestPartsOfAnnouncementsOfS1(t *testing.T) {
	part := func(part, parts byte, n int) []byte {
		p := make([]byte, HeaderSize+n)
		p[0], p[4], p[5] = 0x11, part, parts
		return p
	}
	rows := []struct {
		name     string
		datagram []byte
		want     error
	}{
		{"S-1 the only part", part(0, 1, 1), nil},
		{"S-1 the only part, full", part(0, 1, PartSize), nil},
		{"S-1 the first of eight", part(0, 8, PartSize), nil},
		{"S-1 the last of eight", part(7, 8, 1), nil},
		{"S-1 no parts", part(0, 0, PartSize), errAnnounceParts},
		{"S-1 nine parts", part(0, 9, PartSize), errAnnounceParts},
		{"S-1 part 1 of 1", part(1, 1, PartSize), errAnnounceParts},
		{"S-1 part 255", part(255, 8, PartSize), errAnnounceParts},
		{"S-1 a first part that is not full", part(0, 2, PartSize-1), errAnnounceParts},
		{"S-1 an empty last part", part(1, 2, 0), errAnnounceLength},
		{"S-1 an empty only part", part(0, 1, 0), errAnnounceLength},
		{"S-1 a part of 1,409 bytes", part(0, 1, PartSize+1), errAnnounceLength},
		{"S-1 a part as long as a datagram can be", part(0, 1, 65507-HeaderSize), errAnnounceLength},
		{"P-2 a data packet", set(0, 0x12)(part(0, 1, 1452-HeaderSize)), errKind},
		{"P-1 a cut header", part(0, 1, 1)[:HeaderSize-1], errLength},
		{"S-2 a tag", set(1, 1)(part(0, 1, 9)), errAnnounceFields},
		{"S-2 the first reserved byte", set(6, 1)(part(0, 1, 9)), errAnnounceFields},
		{"S-2 the last reserved byte", set(15, 1)(part(0, 1, 9)), errAnnounceFields},
	}
	for _, row := range rows {
		var as Assembler
		if _, err := as.Add(row.datagram); err != row.want {
			t.Errorf("%s: %v, want %v", row.name, err, row.want)
		}
		if row.want != nil && as.count != 0 {
			t.Errorf("%s: something of it was kept", row.name)
		}
	}
}

// Whatever lies half there, and in whatever order the parts come, an announcement that is repeated comes out; and never more
// than maxHalf wait.
func TestARepeatedAnnouncementComesOutOfAnyHalf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var as Assembler
		for range rapid.IntRange(0, 40).Draw(t, "forged parts") {
			parts := rapid.IntRange(2, bundle.MaxParts).Draw(t, "parts")
			p := make([]byte, HeaderSize+PartSize)
			p[0], p[4], p[5] = 0x11, byte(rapid.IntRange(0, parts-1).Draw(t, "part")), byte(parts)
			p[HeaderSize] = rapid.Byte().Draw(t, "content")
			if _, err := as.Add(p); err != nil {
				t.Fatal(err)
			}
			if as.count > maxHalf {
				t.Fatalf("%d halves", as.count)
			}
		}
		a := testAnnouncement(rapid.IntRange(185, bundle.MaxSignature).Draw(t, "signature"))
		packets, want := a.AppendPackets(), a.AppendBody(nil)
		order := rapid.Permutation(packets).Draw(t, "order")
		for range maxHalf + 1 {
			for _, p := range order {
				body, err := as.Add(p)
				if err != nil {
					t.Fatal(err)
				}
				if bytes.Equal(body, want) {
					return
				}
			}
		}
		t.Fatalf("S-10: %d parts did not come together in %d rounds", len(packets), maxHalf+1)
	})
}

// An announcement is in clear, so a flipped bit is refused either here or by the signature: nothing that can be changed is outside
// of what the signature, the key ids or the lengths hold.
func TestEveryFlippedBitOfAnAnnouncementIsRefused(t *testing.T) {
	senderWire, receiverKey := []byte("sender"), []byte("receiver")
	private := ed25519.NewKeyFromSeed(testKey[:])
	public := private.Public().(ed25519.PublicKey)
	verifies := func(a *Announcement) bool {
		message := SignedMessage(Info(senderWire, receiverKey, a.Number, a.Epoch, a.Links), a.Encapsulation)
		pad := a.Signature[ed25519.SignatureSize:]
		return a.Sender == KeyID(senderWire) && a.Receiver == KeyID(receiverKey) &&
			bytes.Count(pad, []byte{0x5a}) == len(pad) && ed25519.Verify(public, message, a.Signature[:ed25519.SignatureSize])
	}
	for _, n := range []int{184, 600} {
		a := testAnnouncement(n)
		copy(a.Signature, ed25519.Sign(private, SignedMessage(Info(senderWire, receiverKey, a.Number, a.Epoch, a.Links), a.Encapsulation)))
		packets := a.AppendPackets()
		opens := func() bool {
			var as Assembler
			var body []byte
			for _, p := range packets {
				var err error
				if body, err = as.Add(p); err != nil {
					return false
				}
			}
			got, err := ParseAnnouncement(body)
			return err == nil && verifies(got)
		}
		if !opens() {
			t.Fatal("the announcement itself is refused")
		}
		for i, p := range packets {
			for bit := range len(p) * 8 {
				p[bit/8] ^= 1 << (bit % 8)
				if opens() {
					t.Fatalf("S-5, signature of %d: part %d passes with bit %d flipped", n, i, bit)
				}
				p[bit/8] ^= 1 << (bit % 8)
			}
		}
	}
}

func TestWhatIsSignedAndDerivedOfS3S4S5S9(t *testing.T) {
	epoch := bundle.Epoch{1, 15: 2}
	info := Info([]byte("SSH"), []byte("KEM!"), 0x0102030405060708, epoch, 3)
	want := "ecluse session 1\n" + "\x00\x00\x00\x03SSH" + "\x00\x00\x00\x04KEM!" + "\x01\x02\x03\x04\x05\x06\x07\x08" +
		string(epoch[:]) + "\x03" + "\x01"
	if string(info) != want {
		t.Errorf("S-4: info %q, want %q", info, want)
	}
	if got := string(SignedMessage(info, []byte("ENC"))); got != want+"ENC" {
		t.Errorf("S-5: signed %q", got)
	}
	if string(info) != want {
		t.Error("S-5: SignedMessage changed the info")
	}
	if KeyID([]byte("k")) != sha256.Sum256([]byte("k")) {
		t.Error("S-3: a key id is not the SHA-256 of the key")
	}
	if got := KeyContext(12); got != "ecluse 1 packet key, link 12" {
		t.Errorf("S-9: %q", got)
	}
	if got := TagContext(0); got != "ecluse 1 session tag, link 0" {
		t.Errorf("S-9: %q", got)
	}
}
