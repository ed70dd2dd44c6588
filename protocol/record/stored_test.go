package record

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// wholeFrame puts the frame of a stored chunk together.
func wholeFrame(c *Chunk) []byte {
	s := newStored(c.Stored)
	return bytes.Join(s.append(nil, 0, c.FrameLength()), nil)
}

// what is stored is one frame that any decoder reads, of the length that was said, within the bound, and the same bytes wherever it is cut.
func TestAStoredChunkIsAFrame(t *testing.T) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	random := rand.New(rand.NewPCG(1, 2))
	content := make([]byte, 4<<20)
	for i := range content {
		content[i] = byte(random.Uint32())
	}
	edges := []int{1, 2, 255, 256, 257, 1<<16 - 1, 1 << 16, 1<<16 + 255, 1<<16 + 256, 1<<16 + 257, storedBlock - 1, storedBlock, storedBlock + 1, 2*storedBlock - 1, 2 * storedBlock, 4<<20 - 1, 4 << 20}
	for _, n := range edges {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			c := Chunk{Stored: content[:n]}
			frame := wholeFrame(&c)
			if len(frame) != c.FrameLength() || len(frame) > MaxFrame(n) {
				t.Fatalf("%d bytes, %d were said, %d may be", len(frame), c.FrameLength(), MaxFrame(n))
			}
			var h zstd.Header
			if err := h.Decode(frame); err != nil || !h.HasFCS || h.FrameContentSize != uint64(n) || h.DictionaryID != 0 || h.HasCheckSum {
				t.Fatalf("header %+v, %v", h, err)
			}
			if raw, err := d.DecodeAll(frame, nil); err != nil || !bytes.Equal(raw, content[:n]) {
				t.Fatalf("%d bytes came of it, %v", len(raw), err)
			}
			takenApart(t, random, frame, content[:n])
			s := newStored(c.Stored)
			for range 50 {
				at := random.IntN(len(frame))
				length := 1 + random.IntN(len(frame)-at)
				if got := bytes.Join(s.append(nil, at, length), nil); !bytes.Equal(got, frame[at:at+length]) {
					t.Fatalf("%d bytes from %d on are others", length, at)
				}
			}
		})
	}
}

// takenApart lays a frame out as it comes, in pieces of any size and order: the content is there, and so is the frame. One whose headers are others is no stored one, and is there too.
func takenApart(t *testing.T, random *rand.Rand, frame, content []byte) {
	t.Helper()
	lay := func(frame []byte) *Laid {
		l := NewLaid(make([]byte, len(frame)), len(content))
		cuts := []int{0, len(frame)}
		for range random.IntN(40) {
			cuts = append(cuts, random.IntN(len(frame)))
		}
		slices.Sort(cuts)
		for _, i := range random.Perm(len(cuts) - 1) {
			l.Put(cuts[i], frame[cuts[i]:cuts[i+1]])
		}
		return l
	}
	l := lay(frame)
	if got, ok := l.Content(); !ok || !bytes.Equal(got, content) {
		t.Fatalf("the content is another one, %v", ok)
	}
	if got := l.Frame(); !bytes.Equal(got, frame) {
		t.Fatal("the frame is another one")
	}
	other := bytes.Clone(frame)
	for at := 0; at < len(frame); {
		header, _, n := layoutOf(len(content)).at(at)
		for i := at; header && i < at+n; i++ {
			other[i] ^= 1 << random.IntN(8)
			l := lay(other)
			if _, ok := l.Content(); ok {
				t.Fatalf("byte %d of a header is another one", i)
			}
			if got := l.Frame(); !bytes.Equal(got, other) {
				t.Fatalf("byte %d of a header is another one, and the frame too", i)
			}
			other[i] = frame[i]
			if len(frame) > 1<<20 {
				break // one byte of each header
			}
		}
		at += n
	}
}
