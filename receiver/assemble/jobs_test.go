package assemble

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/klauspost/compress/zstd"

	"ecluse/protocol/bundle"
)

func TestFramesThatAreNotOneFrameOfTheStatedSize(t *testing.T) {
	raw := bytes.Repeat([]byte("some content "), 1000)
	good := compress(raw)
	noSize := func() []byte {
		var b bytes.Buffer
		w, _ := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
		w.Write(raw)
		w.Flush()
		w.Close()
		return b.Bytes()
	}()
	skippable := []byte{0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 'h', 'i', 'd', 'e'}
	d := newDecoder()
	defer d.Close()
	for _, row := range []struct {
		name  string
		frame []byte
		room  int
	}{
		{"R-7 no size stated", noSize, len(raw)},
		{"R-7 cut", good[:len(good)-1], len(raw)},
		{"R-7 a byte behind", append(bytes.Clone(good), 0), len(raw)},
		{"R-7 two frames", append(bytes.Clone(good), compress(nil)...), len(raw)},
		{"R-7 a skippable frame behind", append(bytes.Clone(good), skippable...), len(raw)},
		{"R-7 a skippable frame before", append(bytes.Clone(skippable), good...), len(raw)},
		{"R-7 larger than the chunk says", good, len(raw) - 1},
		{"R-7 not zstd", []byte("not zstd at all, by no means"), 100},
		{"R-7 empty", nil, 100},
		{"a bomb", compress(make([]byte, 8<<20)), 4 << 20},
	} {
		t.Run(row.name, func(t *testing.T) {
			if out, err := decode(d, row.frame, make([]byte, 0, row.room)); err == nil {
				t.Errorf("gave %d bytes", len(out))
			} else if reason, _ := bundle.ReasonOf(err); reason != bundle.ReasonChunkFrame {
				t.Errorf("refused with %v", err)
			}
		})
	}
	out, err := decode(d, good, make([]byte, 0, len(raw)))
	if err != nil || !bytes.Equal(out, raw) {
		t.Error("a good frame was refused:", err)
	}
}

func FuzzDecodeChunk(f *testing.F) {
	f.Add(compress([]byte("hello hello hello")))
	f.Add(compress(make([]byte, 1<<20)))
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd})
	d := newDecoder()
	f.Fuzz(func(t *testing.T, frame []byte) {
		room := make([]byte, 0, 1<<16)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		out, err := decode(d, frame, room)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 2<<20 {
			t.Fatalf("%d bytes were allocated for a frame of %d in a room of %d", n, len(frame), cap(room))
		}
		if err != nil {
			if reason, _ := bundle.ReasonOf(err); reason != bundle.ReasonChunkFrame {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		if len(out) > cap(room) {
			t.Fatalf("%d bytes in a room of %d", len(out), cap(room))
		}
		if n, err := frameContent(frame); err != nil || n != len(out) {
			t.Fatalf("the frame states %d, %v, and holds %d", n, err, len(out))
		}
	})
}

func TestSpans(t *testing.T) {
	var s spans
	for _, x := range [][2]int{{10, 20}, {30, 40}, {0, 5}, {20, 30}, {4, 11}} {
		s.add(x[0], x[1])
	}
	if !s.covers(40) {
		t.Errorf("%v does not cover 40", s)
	}
	s = nil
	s.add(0, 5)
	s.add(6, 9)
	if s.covers(9) {
		t.Error("a gap is covered")
	}
}

func TestProgressSurvivesAndDamageIsSeen(t *testing.T) {
	var b bitmap
	for _, i := range []uint32{0, 3, 64, 1000} {
		b.set(i)
	}
	text := b.append(nil)
	got, err := parseBitmap(text)
	if err != nil || got.count != 4 || !got.has(1000) || got.has(999) {
		t.Fatal(got.count, err)
	}
	for i := range text {
		bad := bytes.Clone(text)
		bad[i] ^= 1
		if _, err := parseBitmap(bad); err == nil {
			t.Errorf("byte %d changed, and it was taken", i)
		}
		if _, err := parseBitmap(text[:i]); err == nil {
			t.Errorf("cut to %d, and it was taken", i)
		}
	}
}
