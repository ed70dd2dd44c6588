package record

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"ecluse/protocol/bundle"
)

func bytesOf(t *rapid.T, n int, label string) []byte {
	return rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, label)
}

func drawOwner(t *rapid.T) (bundle.ID, bundle.Epoch, bundle.Name) {
	name := rapid.StringMatching(`[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9_-])?`).Draw(t, "tenant")
	return bundle.ID{rapid.Byte().Draw(t, "id"), 1}, bundle.Epoch{rapid.Byte().Draw(t, "epoch"), 1}, bundle.Name(name)
}

func drawDigest(t *rapid.T) bundle.Digest { return bundle.Digest{rapid.Byte().Draw(t, "digest"), 1} }

func drawSignature(t *rapid.T) []byte {
	n := rapid.OneOf(rapid.IntRange(bundle.MinSignature, 200), rapid.IntRange(bundle.MinSignature, bundle.MaxSignature)).Draw(t, "signature")
	return bytes.Repeat([]byte{byte(n)}, n)
}

func drawRecord(t *rapid.T) Record {
	id, epoch, tenant := drawOwner(t)
	switch Type(rapid.IntRange(1, 5).Draw(t, "type")) {
	case TypeOffer:
		return &Offer{Bundle: id, Epoch: epoch, Tenant: tenant, Class: bundle.Class(rapid.IntRange(1, 3).Draw(t, "class")),
			Files: rapid.Uint32Range(0, bundle.MaxFiles).Draw(t, "files"), Dirs: rapid.Uint32Range(0, bundle.MaxDirs).Draw(t, "dirs"),
			Bytes: rapid.Uint64Range(0, bundle.MaxBytes).Draw(t, "bytes"), Chunks: rapid.Uint32Range(0, bundle.MaxContentChunks).Draw(t, "chunks"),
			ChunkSize: 1 << rapid.IntRange(12, 22).Draw(t, "chunk size"), Created: rapid.Int64Range(0, bundle.MaxCreated).Draw(t, "created"),
			Name: rapid.StringMatching(`[a-zé~ ]{1,100}`).Draw(t, "name")}
	case TypeClose:
		return &Close{Bundle: id, Epoch: epoch, Tenant: tenant, Sequence: rapid.Uint64Range(2, bundle.MaxSequence).Draw(t, "sequence"), Previous: drawDigest(t),
			ManifestSize: rapid.Uint64Range(1, bundle.MaxManifest).Draw(t, "size"), Manifest: drawDigest(t),
			Chunks: rapid.Uint32Range(0, bundle.MaxContentChunks).Draw(t, "chunks"), ManifestChunks: 1, Signature: drawSignature(t)}
	case TypeAbandon:
		return &Abandon{Bundle: id, Epoch: epoch, Tenant: tenant, Reason: rapid.StringMatching(`[a-zà ]{1,99}`).Draw(t, "reason"), Signature: drawSignature(t)}
	case TypeHeartbeat:
		h := &Heartbeat{Clock: rapid.Int64().Draw(t, "clock"), Epoch: epoch, Waiting: rapid.Uint32().Draw(t, "waiting"), WaitingBytes: rapid.Uint64().Draw(t, "bytes")}
		for i := range rapid.IntRange(0, 40).Draw(t, "tenants") {
			h.Tenants = append(h.Tenants, TenantHead{Tenant: bundle.Name(fmt.Sprintf("t%04d", i)), Sequence: uint64(i) + 1, Manifest: drawDigest(t)})
		}
		return h
	default:
		return drawSlice(t, id)
	}
}

func drawSlice(t *rapid.T, id bundle.ID) Record {
	s := &Slice{Bundle: id, Chunk: rapid.Uint32Range(0, bundle.MaxChunks-1).Draw(t, "chunk"), Raw: rapid.Uint32Range(1, 5000).Draw(t, "raw")}
	data := bytesOf(t, rapid.IntRange(1, MaxFrame(int(s.Raw))).Draw(t, "length"), "data")
	s.Frame = rapid.Uint32Range(uint32(len(data)), uint32(MaxFrame(int(s.Raw)))).Draw(t, "frame")
	s.Offset = rapid.Uint32Range(0, s.Frame-uint32(len(data))).Draw(t, "offset")
	if s.Offset == 0 {
		s.Runs = drawRuns(t, s.Raw)
	}
	for len(data) > 0 { // written from as many segments as may be
		n := rapid.IntRange(1, len(data)).Draw(t, "segment")
		s.Data, data = append(s.Data, data[:n]), data[n:]
	}
	return s
}

// drawRuns gives runs that add up to raw.
func drawRuns(t *rapid.T, raw uint32) (runs []bundle.Run) {
	left := raw
	for file := uint32(1); left > 0; file++ {
		n := left
		if len(runs) < 200 {
			n = rapid.Uint32Range(1, left).Draw(t, "run")
		}
		run := bundle.Run{File: file, Length: n}
		if len(runs) == 0 {
			run.Offset = rapid.Uint64Range(0, 1<<40).Draw(t, "begin")
		}
		runs, left = append(runs, run), left-n
	}
	return runs
}

func TestRandomRecordsComeBackFromBlocksOfAnyGeometry(t *testing.T) {
	reader := &Reader{} // one for all, as in use
	rapid.Check(t, func(t *rapid.T) {
		shard := rapid.IntRange(1, 40).Draw(t, "shard")
		if rapid.Bool().Draw(t, "of 64") {
			shard = 64 * rapid.IntRange(1, bundle.MaxShard/64).Draw(t, "shard/64")
		}
		k := rapid.IntRange((60+shard-1)/shard, max(1, 40000/shard)+60).Draw(t, "k")
		b := NewBlock(make([]byte, k*shard))
		var want [][]byte
		for range rapid.IntRange(0, 12).Draw(t, "records") {
			r := drawRecord(t)
			fits := HeaderSize+r.Length() <= b.Room()
			if r.AppendTo(b) != fits {
				t.Fatalf("a record of %d bytes, room for %d", r.Length(), b.Room())
			}
			if fits {
				want = append(want, body(r))
			}
		}
		number := rapid.Uint32().Draw(t, "number")
		shards := cut(b.Seal(number, k*shard), shard)
		if len(shards) != k {
			t.Fatalf("%d shards", len(shards))
		}
		if err := reader.Reset(shards, number); err != nil {
			t.Fatal(err)
		}
		for i, body1 := range want {
			r, err := reader.Next()
			if err != nil {
				t.Fatalf("record %d: %v", i, err)
			}
			if !bytes.Equal(body(r), body1) {
				t.Fatalf("record %d of type %d is another", i, r.Type())
			}
		}
		if _, err := reader.Next(); err != io.EOF {
			t.Fatalf("behind the last record: %v", err)
		}
	})
}

// A chunk cut into blocks of random sizes is whole again, whatever other records stand between, and in any order of blocks.
func TestSlicesOfAChunkComeTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.Uint32Range(1, 60000).Draw(t, "raw")
		c := Chunk{Bundle: bundle.ID{7}, Number: 9, Raw: raw, Runs: drawRuns(t, raw)}
		want := make([]byte, rapid.IntRange(1, MaxFrame(int(raw))).Draw(t, "frame"))
		for i := range want {
			want[i] = byte(i*31 + i>>8)
		}
		if rapid.Bool().Draw(t, "stored") {
			c.Stored = want[:min(len(want), int(raw))]
			want = wholeFrame(&c)
		} else {
			c.Frame = want
		}
		slicer := NewSlicer(c)
		var blocks [][][]byte
		for number := uint32(0); !slicer.Done(); number++ {
			shard := 64 * rapid.IntRange(1, 80).Draw(t, "shard/64")
			k := rapid.IntRange(1, 6).Draw(t, "k")
			for k*shard < BlockHeaderSize+slicer.Need() {
				k++
			}
			b := NewBlock(make([]byte, k*shard))
			if rapid.Bool().Draw(t, "another record first") {
				goodOffer().AppendTo(b)
			}
			before, need, room := b.Used(), slicer.Need(), b.Room()
			done := slicer.AppendTo(b)
			if done != slicer.Done() || (b.Used() > before) != (room >= need) || !done && room >= need && b.Room() != 0 {
				t.Fatalf("room %d, need %d, used %d: done %v", room, need, b.Used()-before, done)
			}
			blocks = append(blocks, cut(b.Seal(0, k*shard), shard))
			if number > 300 {
				t.Fatal("the slicer has no end")
			}
		}
		blocks = rapid.Permutation(blocks).Draw(t, "order")
		frame, runs, got := make([]byte, len(want)), []bundle.Run(nil), 0
		for _, shards := range blocks {
			for _, s := range slicesOf(t, shards) {
				at := int(s.Offset)
				for _, segment := range s.Data {
					at += copy(frame[at:], segment)
				}
				got += s.DataLength()
				if s.Offset == 0 {
					runs = slices.Clone(s.Runs)
				}
				if s.Bundle != c.Bundle || s.Chunk != c.Number || s.Raw != c.Raw || int(s.Frame) != len(want) {
					t.Fatalf("R-6: a slice says otherwise: %+v", s)
				}
			}
		}
		if got != len(want) || !bytes.Equal(frame, want) || !slices.Equal(runs, c.Runs) {
			t.Fatalf("%d of %d bytes came, or others", got, len(want))
		}
	})
}

func slicesOf(t *rapid.T, shards [][]byte) (all []Slice) {
	r, err := ReadBlock(shards, 0)
	if err != nil {
		t.Fatal(err)
	}
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := rec.(*Slice); ok {
			kept := *s
			kept.Data, kept.Runs = slices.Clone(s.Data), slices.Clone(s.Runs)
			all = append(all, kept)
		}
	}
}

func TestASlicerLeavesABlockThatIsNearlyFull(t *testing.T) {
	c := Chunk{Bundle: bundle.ID{1}, Raw: 100000, Runs: []bundle.Run{{File: 1, Length: 100000}}, Frame: make([]byte, 100000)}
	first := HeaderSize + sliceFixed + runSize
	rows := []struct {
		name string
		room int
		want int // bytes of the frame that go out
	}{
		{"no room", 0, 0},
		{"room for the head alone", first, 0},
		{"room for one byte less than a slice is worth", first + minSlice - 1, 0},
		{"room for just a slice that is worth it", first + minSlice, minSlice},
		{"more room", first + minSlice + 5, minSlice + 5},
		{"room for all", first + 100000, 100000},
		{"room for more than all", first + 100009, 100000},
	}
	for _, row := range rows {
		s := NewSlicer(c)
		b := NewBlock(make([]byte, BlockHeaderSize+row.room))
		done := s.AppendTo(b)
		if s.at != row.want || done != (row.want == 100000) || (b.Records() == 0) != (row.want == 0) {
			t.Errorf("%s: %d bytes went out, done %v", row.name, s.at, done)
		}
		if done && (!s.AppendTo(b) || b.Records() != 1) {
			t.Errorf("%s: more came after the end", row.name)
		}
	}
	most := NewSlicer(Chunk{Raw: 1 << 22, Runs: make([]bundle.Run, bundle.MaxRuns), Frame: make([]byte, 1<<20)})
	if need := most.Need(); need != 33322 {
		t.Errorf("the largest need is %d bytes; the comment of Need says 33,322", need)
	}
}

// The content of a chunk is never copied by a Reader: it lies where the shards lie.
func TestSliceDataAliasesTheShards(t *testing.T) {
	c := Chunk{Bundle: bundle.ID{1}, Raw: 5000, Runs: []bundle.Run{{File: 1, Length: 5000}}, Frame: make([]byte, 5000)}
	s := NewSlicer(c)
	b := NewBlock(make([]byte, 8*1408))
	s.AppendTo(b)
	shards := cut(b.Seal(1, 8*1408), 1408)
	r, err := ReadBlock(shards, 1)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	data := rec.(*Slice).Data
	if len(data) != 4 {
		t.Fatalf("%d segments of 5,000 bytes over shards of 1,408", len(data))
	}
	for i, segment := range data {
		if &segment[len(segment)-1] != &shards[i][len(shards[i])-1] && i < 3 {
			t.Fatalf("segment %d is a copy", i)
		}
		if cap(segment) != len(segment) {
			t.Fatalf("segment %d lets its user write behind it", i)
		}
	}
}

// testBlock gives a block as a busy link has it, in k shards: slices, and one of every other record.
func testBlock(t testing.TB, k, shard int) [][]byte {
	b := NewBlock(make([]byte, k*shard))
	for _, r := range goodRecords() {
		if !r.AppendTo(b) {
			t.Fatal("no room")
		}
	}
	for number := uint32(0); b.Room() > 4096; number++ {
		raw := uint32(1) << (bits.Len32(number*2654435761) / 2)
		s := NewSlicer(Chunk{Bundle: bundle.ID{1}, Number: number, Raw: raw, Runs: []bundle.Run{{File: 1, Length: raw}}, Frame: make([]byte, raw)})
		s.AppendTo(b)
	}
	return cut(b.Seal(1, k*shard), shard)
}

func TestReadingAndWritingAllocateNothing(t *testing.T) {
	r := &Reader{}
	good, faulty := testBlock(t, 100, 1408), cut(frame(bytes.Repeat(raw(TypeOffer, body(goodClose())), 300), 100*1408), 1408)
	unknown, cutOff := cut(frame(bytes.Repeat(raw(99, nil), 300), 4096), 64), cut(frame(raw(TypeOffer, body(goodOffer()))[:20], 4096), 64)
	sums := testBlock(t, 100, 1408)
	sums[50][7] ^= 1
	for name, shards := range map[string][][]byte{"good": good, "bad bodies": faulty, "unknown types": unknown, "a cut record": cutOff, "a bad sum": sums} {
		read := func() {
			number := uint32(testNumber)
			if name == "good" {
				number = 1
			}
			if err := r.Reset(shards, number); err != nil {
				return
			}
			for {
				if _, err := r.Next(); err == io.EOF {
					return
				}
			}
		}
		read()
		if n := testing.AllocsPerRun(20, read); n != 0 {
			t.Errorf("reading %s: %v allocations", name, n)
		}
	}
	b, records := NewBlock(make([]byte, 1<<16)), goodRecords()
	c := Chunk{Bundle: bundle.ID{1}, Raw: 100000, Runs: []bundle.Run{{File: 1, Length: 100000}}, Frame: make([]byte, 100000)}
	if n := testing.AllocsPerRun(20, func() {
		b.Reset(b.buf)
		for _, r := range records {
			r.AppendTo(b)
		}
		s := NewSlicer(c)
		s.AppendTo(b)
		b.Seal(1, 1<<16)
	}); n != 0 {
		t.Errorf("writing: %v allocations", n)
	}
}

func BenchmarkBlock(b *testing.B) {
	for _, g := range []struct{ k, shard int }{{896, 1408}, {192, 8896}} {
		size := g.k * g.shard
		b.Run(fmt.Sprintf("read/%dx%d", g.k, g.shard), func(b *testing.B) {
			shards, r := testBlock(b, g.k, g.shard), &Reader{}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if err := r.Reset(shards, 1); err != nil {
					b.Fatal(err)
				}
				for {
					if _, err := r.Next(); err == io.EOF {
						break
					} else if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
		b.Run(fmt.Sprintf("write/%dx%d", g.k, g.shard), func(b *testing.B) {
			block := NewBlock(make([]byte, size))
			c := Chunk{Bundle: bundle.ID{1}, Raw: 1 << 22, Runs: []bundle.Run{{File: 1, Length: 1 << 22}}, Frame: make([]byte, 1<<22)}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				block.Reset(block.buf)
				s := NewSlicer(c)
				s.AppendTo(block)
				block.Seal(1, size)
			}
		})
	}
}
