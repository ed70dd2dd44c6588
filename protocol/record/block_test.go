package record

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"reflect"
	"slices"
	"testing"

	"ecluse/protocol/bundle"
)

func TestABlockHasTheExactBytesOfSections6And7(t *testing.T) {
	buf := bytes.Repeat([]byte{0xff}, 2048) // old content must not shine through
	b := NewBlock(buf)
	if b.Room() != 2032 || b.Used() != 16 {
		t.Fatalf("an empty block has room for %d and uses %d", b.Room(), b.Used())
	}
	abandon := goodAbandon()
	if !abandon.AppendTo(b) || b.Used() != 16+8+abandon.Length() || b.Room() != 2048-b.Used() || b.Records() != 1 {
		t.Fatalf("after one record: used %d, room %d, records %d", b.Used(), b.Room(), b.Records())
	}
	block := b.Seal(testNumber, 1408)
	want := "01020304" + hex.EncodeToString([]byte{0, 0, 0, byte(8 + abandon.Length())}) + "00000000" +
		"04" + "00" + "0000" + hex.EncodeToString([]byte{0, 0, 0, byte(abandon.Length())}) + hex.EncodeToString(body(abandon))
	if got := hex.EncodeToString(block[4:b.Used()]); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	if len(block) != 1408 || bytes.Count(block[b.Used():], []byte{0}) != 1408-b.Used() {
		t.Fatal("B-2: the padding is not zero")
	}
	if !bytes.Equal(block, resum(bytes.Clone(block))) {
		t.Fatal("B-1: the sum is not CRC-32C of the bytes from 4 on")
	}
	if block[0] == 0 && block[1] == 0 {
		t.Fatal("B-1: no sum")
	}
	if &block[0] != &buf[0] || buf[1408] != 0xff {
		t.Fatal("the block is not in the caller's memory, or outgrew its size")
	}
}

// The check value of CRC-32C in every catalogue of sums.
func TestTheSumOfB1IsCastagnoli(t *testing.T) {
	s := newScatter([][]byte{[]byte("123"), []byte("456"), []byte("789")})
	if got := s.sum(0); got != 0xe3069283 {
		t.Fatalf("B-1: %08x", got)
	}
}

func TestBlocksOfB1B2(t *testing.T) {
	records := raw(TypeOffer, body(goodOffer()))
	full := raw(9, make([]byte, 256-BlockHeaderSize-HeaderSize))
	rows := []struct {
		name  string
		block []byte
		want  string
	}{
		{"B-2 as it is", frame(records, 256), ""},
		{"B-2 no records", frame(nil, 256), ""},
		{"B-2 only a header", frame(nil, 16), ""},
		{"B-2 filled to the last byte", frame(full, 256), ""},
		{"B-1 a wrong sum", change(frame(records, 256), 0), "block-crc B-1"},
		{"B-1 a changed record", change(frame(records, 256), 30), "block-crc B-1"},
		{"B-1 a changed number", change(frame(records, 256), 7), "block-crc B-1"},
		{"B-1 changed padding", change(frame(records, 256), 255), "block-crc B-1"},
		{"B-2 another number", resum(change(frame(records, 256), 7)), "block-header B-2"},
		{"B-2 one byte less is used", resum(change(frame(records, 256), 11)), "block-header B-2"},
		{"B-2 more is used than there is", resum(change(frame(full, 256), 10)), "block-header B-2"},
		{"B-2 used near 2^32", resum(change(frame(records, 256), 8)), "block-header B-2"},
		{"B-2 the first reserved byte", resum(change(frame(records, 256), 12)), "block-header B-2"},
		{"B-2 the last reserved byte", resum(change(frame(records, 256), 15)), "block-header B-2"},
		{"B-2 the first byte of the padding", resum(change(frame(records, 256), 16+len(records))), "block-header B-2"},
		{"B-2 the last byte of the padding", resum(change(frame(records, 256), 255)), "block-header B-2"},
		{"B-2 shorter than a header", make([]byte, 8), "block-header B-2"},
		{"B-2 nothing at all", nil, "block-header B-2"},
	}
	for _, row := range rows {
		for _, shard := range []int{1, 8, 64, 256} {
			if len(row.block)%shard != 0 && shard < len(row.block) {
				continue
			}
			r, err := ReadBlock(cut(row.block, shard), testNumber)
			if got := refusal(t, err); got != row.want || (err == nil) != (r != nil) {
				t.Errorf("%s, shards of %d: %q, want %q", row.name, shard, got, row.want)
			}
		}
	}
}

// The sum of a block is the same from the sums of its shards, whatever their size, and a shard of another block among them shows.
func TestABlockOfWhichTheSumsAreKnown(t *testing.T) {
	var r Reader
	for _, shard := range []int{64, 1408, 8896, 128, 1408} {
		for _, shards := range []int{1, 2, 3, 17, 200} {
			whole, other := frame(raw(TypeOffer, body(goodOffer())), shard*shards), frame(raw(TypeClose, body(goodClose())), shard*shards)
			if len(whole) != len(other) || shard*shards < 512 {
				continue
			}
			blocks := [2][][]byte{cut(whole, shard), cut(other, shard)}
			for spliced := 0; spliced <= shards; spliced++ {
				mixed := append(slices.Clone(blocks[0][:spliced]), blocks[1][spliced:]...)
				sums := make([]uint32, shards)
				for i, s := range mixed {
					sums[i] = ShardSum(i, s)
				}
				_, want := ReadBlock(mixed, testNumber)
				err := r.ResetSummed(mixed, sums, testNumber)
				if refusal(t, err) != refusal(t, want) || (walk(t, &r) != nil) != (err == nil) {
					t.Fatalf("%d shards of %d, %d of them of one block: %v, want %v", shards, shard, spliced, err, want)
				}
				if spliced == 0 && err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := r.ResetSummed(nil, nil, testNumber); refusal(t, err) != "block-header B-2" {
		t.Errorf("no shards: %v", err)
	}
}

// change flips one byte's lowest bits so that numbers grow or shrink by little: the highest bits where the byte is zero.
func change(block []byte, at int) []byte {
	if block[at] == 0 {
		block[at] = 0x80
	} else {
		block[at]--
	}
	return block
}

func TestEveryPaddingByteMustBeZero(t *testing.T) {
	records := raw(TypeOffer, body(goodOffer()))
	for at := BlockHeaderSize + len(records); at < 384; at++ {
		for _, shard := range []int{3, 64, 384} {
			_, err := ReadBlock(cut(resum(change(frame(records, 384), at)), shard), testNumber)
			if got := refusal(t, err); got != "block-header B-2" {
				t.Fatalf("B-2: byte %d, shards of %d: %q", at, shard, got)
			}
		}
	}
}

func TestEveryFlippedBitOfABlockIsRefused(t *testing.T) {
	block := frame(raw(TypeClose, body(goodClose())), 1408)
	for bit := range len(block) * 8 {
		block[bit/8] ^= 1 << (bit % 8)
		if _, err := ReadBlock([][]byte{block[:704], block[704:]}, testNumber); refusal(t, err) != "block-crc B-1" {
			t.Fatalf("B-1: bit %d: %v", bit, err)
		}
		block[bit/8] ^= 1 << (bit % 8)
	}
}

func TestEveryShorterBlockIsRefused(t *testing.T) {
	block := frame(raw(TypeClose, body(goodClose())), 704)
	for n := range block {
		_, err := ReadBlock([][]byte{block[:n]}, testNumber)
		want := "block-crc B-1"
		if n < BlockHeaderSize {
			want = "block-header B-2"
		}
		if got := refusal(t, err); got != want {
			t.Fatalf("%d of %d bytes: %q, want %q", n, len(block), got, want)
		}
	}
}

// Every row is a block between two good records: what a fault costs is seen by what comes out around it.
func TestFaultsOfR1R2R3CostAsLittleAsTheyCan(t *testing.T) {
	offer, closing := body(goodOffer()), body(goodClose())
	first, last := walked{t: TypeOffer, body: string(offer)}, walked{t: TypeClose, body: string(closing)}
	header := func(at int, value byte) []byte {
		b := raw(TypeAbandon, body(goodAbandon()))
		b[at] = value
		return b
	}
	rows := []struct {
		name   string
		middle []byte
		want   []walked
	}{
		{"R-1 no fault", nil, []walked{first, last}},
		{"R-1 reserved byte 1", header(1, 1), []walked{first, {refusal: "record-header R-1"}}},
		{"R-1 reserved byte 2", header(2, 1), []walked{first, {refusal: "record-header R-1"}}},
		{"R-1 reserved byte 3", header(3, 1), []walked{first, {refusal: "record-header R-1"}}},
		{"R-1 a length behind the block", header(4, 1), []walked{first, {refusal: "record-header R-1"}}},
		{"R-1 a length near 2^32", header(4, 255), []walked{first, {refusal: "record-header R-1"}}},
		{"R-2 type 0", raw(0, []byte("body")), []walked{first, {refusal: "record-type R-2"}, last}},
		{"R-2 type 6", raw(6, []byte("body")), []walked{first, {refusal: "record-type R-2"}, last}},
		{"R-2 type 255 and no body", raw(255, nil), []walked{first, {refusal: "record-type R-2"}, last}},
		{"R-3 an empty offer", raw(TypeOffer, nil), []walked{first, {refusal: "record-body R-3"}, last}},
		{"R-3 an empty slice", raw(TypeSlice, nil), []walked{first, {refusal: "record-body R-3"}, last}},
		{"R-3 an empty close", raw(TypeClose, nil), []walked{first, {refusal: "record-body R-3"}, last}},
		{"R-3 an empty abandon", raw(TypeAbandon, nil), []walked{first, {refusal: "record-body R-3"}, last}},
		{"R-3 an empty heartbeat", raw(TypeHeartbeat, nil), []walked{first, {refusal: "record-body R-3"}, last}},
		{"R-3 an offer longer than any", raw(TypeOffer, make([]byte, 4000)), []walked{first, {refusal: "record-body R-3"}, last}},
		{"R-3 a close as an offer", raw(TypeOffer, closing), []walked{first, {refusal: "record-body R-3"}, last}},
		{"R-3 two faults", append(raw(TypeOffer, closing), raw(77, nil)...), []walked{first, {refusal: "record-body R-3"}, {refusal: "record-type R-2"}, last}},
	}
	for _, row := range rows {
		records := slices.Concat(raw(TypeOffer, offer), row.middle, raw(TypeClose, closing))
		for _, shard := range []int{1, 7, 64, 1408, 7 * 1408} {
			if got := read(t, frame(records, 7*1408), shard); !reflect.DeepEqual(got, row.want) {
				t.Errorf("%s, shards of %d: %.120q, want %.120q", row.name, shard, got, row.want)
			}
		}
	}
}

// A record that used cuts anywhere is a fault of its header, and costs nothing before it.
func TestARecordMustEndWithinUsedOfR1(t *testing.T) {
	offer, abandon := raw(TypeOffer, body(goodOffer())), raw(TypeAbandon, body(goodAbandon()))
	for n := 1; n < len(abandon); n++ {
		records := slices.Concat(offer, abandon[:n])
		for _, size := range []int{BlockHeaderSize + len(records), 512} {
			got := read(t, frame(records, size), size)
			if len(got) != 2 || got[0].t != TypeOffer || got[1].refusal != "record-header R-1" {
				t.Fatalf("R-1: %d bytes of a record in a block of %d: %.100q", n, size, got)
			}
		}
	}
}

func TestABlockHoldsAtMost65536Records(t *testing.T) {
	b := NewBlock(make([]byte, 24<<20))
	abandon := goodAbandon()
	for i := range bundle.MaxRecords {
		if !abandon.AppendTo(b) {
			t.Fatalf("section 1: record %d does not fit", i)
		}
	}
	if b.Room() != 0 || abandon.AppendTo(b) || b.Records() != bundle.MaxRecords {
		t.Fatal("section 1: one record too many fits")
	}
	one := raw(200, nil)
	for _, n := range []int{bundle.MaxRecords, bundle.MaxRecords + 1, bundle.MaxRecords + 9} {
		got := read(t, frame(bytes.Repeat(one, n), 1<<20), 1024)
		want := "record-type R-2"
		if n > bundle.MaxRecords {
			want = "record-header R-1"
		}
		if len(got) != min(n, bundle.MaxRecords+1) || got[len(got)-1].refusal != want || got[bundle.MaxRecords-1].refusal != "record-type R-2" {
			t.Fatalf("section 1: %d records give %d, the last %q", n, len(got), got[len(got)-1])
		}
	}
}

func TestWhatDoesNotFitLeavesABlockAsItWas(t *testing.T) {
	for _, r := range goodRecords() {
		exact := BlockHeaderSize + HeaderSize + r.Length()
		b := NewBlock(make([]byte, exact-1))
		if r.AppendTo(b) || b.Used() != BlockHeaderSize || b.Records() != 0 {
			t.Errorf("type %d fits into one byte less than it has", r.Type())
		}
		b.Reset(make([]byte, exact))
		if !r.AppendTo(b) || b.Room() != 0 || r.AppendTo(b) {
			t.Errorf("type %d does not fit into exactly what it has", r.Type())
		}
		got := read(t, b.Seal(testNumber, exact), exact)
		if len(got) != 1 || got[0].body != string(body(r)) {
			t.Errorf("type %d: %.100q", r.Type(), got)
		}
	}
}

func TestMisuseOfBlocksPanics(t *testing.T) {
	full := NewBlock(make([]byte, 256))
	goodOffer().AppendTo(full)
	rows := map[string]func(){
		"no room for a header":       func() { NewBlock(make([]byte, BlockHeaderSize-1)) },
		"a size below used":          func() { full.Seal(1, full.Used()-1) },
		"a size above the memory":    func() { full.Seal(1, 257) },
		"shards of different sizes":  func() { _, _ = ReadBlock([][]byte{make([]byte, 64), make([]byte, 63)}, 1) },
		"a record that none may see": func() { (&Close{}).AppendTo(full) },
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

// A Reader that was used for one block reads the next as if it were new.
func TestAReaderForgetsTheBlockBefore(t *testing.T) {
	r, err := ReadBlock(cut(frame(raw(TypeSlice, body(goodSlice())), 512), 64), testNumber)
	if err != nil {
		t.Fatal(err)
	}
	walk(t, r)
	bad := frame(raw(TypeOffer, body(goodOffer())), 512)
	binary.BigEndian.PutUint32(bad, 0)
	if err := r.Reset(cut(bad, 64), testNumber); refusal(t, err) != "block-crc B-1" {
		t.Fatal(err)
	}
	if got := walk(t, r); got != nil {
		t.Fatalf("B-1: a refused block gives %q", got)
	}
	if err := r.Reset(cut(resum(bad), 32), testNumber); err != nil {
		t.Fatal(err)
	}
	if got := walk(t, r); len(got) != 1 || got[0].body != string(body(goodOffer())) {
		t.Fatalf("%q", got)
	}
}
