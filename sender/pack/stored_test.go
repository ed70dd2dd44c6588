package pack

import (
	"slices"
	"testing"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
)

// What compression would not make smaller is sent as it is, and what it would is compressed: also where text is one part of a chunk among others.
func TestOnlyWhatDoesNotCompressIsStored(t *testing.T) {
	const size = 4 << 20
	mixed := func(part int) []byte { return slices.Concat(noise(1, size/2), prose(part), noise(2, size/2-part)) }
	for name, c := range map[string]struct {
		content []byte
		stored  bool
	}{
		"random":               {noise(3, size), true},
		"text":                 {prose(size), false},
		"nothing but zeroes":   {make([]byte, size), false},
		"an eighth of it text": {mixed(size / 8), false},
		"a little of it text":  {mixed(2 << 10), true},
		"small and random":     {noise(4, sampledFrom-1), false},
		"random and repeated":  {slices.Concat(noise(5, size/4), noise(5, size/4), noise(5, size/4), noise(5, size/4)), true}, // no sample shows it
	} {
		t.Run(name, func(t *testing.T) {
			b := NewBuffers(MinMemory, 0, 1)
			for range 2 { // by the content alone, not by what was there before
				content, frame, err := b.of(0).take(t.Context(), 2, len(c.content))
				must(t, err)
				copy(content, c.content)
				out, err := b.compress(frame, content)
				must(t, err)
				if (out == nil) != c.stored {
					t.Errorf("stored is %v; the frame has %d bytes of %d", out == nil, len(out), len(content))
				}
				b.of(0).give(content)
				b.of(0).give(frame)
			}
		})
	}
}

// A stored chunk holds its content until it is released, and no frame; then nothing is lent any more.
func TestAStoredChunkHoldsOneBuffer(t *testing.T) {
	b := NewBuffers(MinMemory, 0, 1)
	w, err := Walk(disk.New(), tree(t, "item", map[string][]byte{"random": noise(6, 6<<20)}), bundle.Linux)
	must(t, err)
	p := First(w, Options{Buffers: b})
	var held []*Chunk
	for c, err := p.Next(t.Context()); err == nil; c, err = p.Next(t.Context()) {
		if c.Stored == nil || c.Frame != nil {
			t.Fatalf("chunk %d is not stored", c.Number)
		}
		held = append(held, c)
	}
	if want := int64(classSize(classOf(4<<20)) + classSize(classOf(2<<20))); b.Used() != want {
		t.Errorf("%d bytes are lent for chunks of 4 and 2 MiB, want %d", b.Used(), want)
	}
	for _, c := range held {
		c.Release()
		c.Release()
	}
	if b.Used() != 0 {
		t.Errorf("%d bytes are still lent", b.Used())
	}
}
