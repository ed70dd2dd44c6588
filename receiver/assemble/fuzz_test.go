package assemble

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"
)

// What is noted of a bundle's chunks is read again as it was written, or it is damage: no text makes chunks present that nobody has.
func FuzzProgress(f *testing.F) {
	for _, chunks := range [][]uint32{nil, {0}, {0, 3, 64, 1000}, {1 << 20}} {
		var b bitmap
		for _, i := range chunks {
			b.set(i)
		}
		f.Add(b.append(nil), false)
		text := b.append(nil)
		f.Add(text[:len(text)-4], true)
	}
	f.Fuzz(func(t *testing.T, text []byte, summed bool) {
		if summed { // as a disk that changed nothing but what it should
			text = binary.BigEndian.AppendUint32(bytes.Clone(text), crc32.Checksum(text, castagnoli))
		}
		b, err := parseBitmap(text)
		if err != nil {
			return
		}
		if !bytes.Equal(b.append(nil), text) {
			t.Fatalf("%x is read and written otherwise", text)
		}
		most, lacking := uint32(8*len(text)+100), 0
		b.missing(most, func(from, to uint32) bool { lacking += int(to - from); return true })
		if n := b.below(most); n > b.count || b.count > 8*len(text) || n+lacking != int(most) {
			t.Fatalf("%d chunks below the limit, %d lacking, %d in all, of %d bytes", n, lacking, b.count, len(text))
		}
	})
}
