package assemble

import (
	"testing"

	"ecluse/protocol/bundle"
)

// A digest must never stand for bytes that were written over after it had covered them.
func TestBytesThatAreWrittenTwiceHaveNoDigest(t *testing.T) {
	run := func(from, length uint32) bundle.Run {
		return bundle.Run{File: 1, Offset: uint64(from), Length: length}
	}
	for name, feed := range map[string]func(h *hashes){
		"a whole file again": func(h *hashes) {
			h.add(run(0, 3), []byte("abc"), false)
			h.add(run(0, 3), []byte("xyz"), false)
		},
		"behind the front": func(h *hashes) {
			h.add(run(0, 3), []byte("abc"), true)
			h.add(run(3, 3), []byte("def"), true)
			h.add(run(3, 3), []byte("xyz"), true)
		},
		"the start again, as whole": func(h *hashes) {
			h.add(run(0, 6), []byte("abcdef"), true)
			h.add(run(0, 6), []byte("uvwxyz"), false)
		},
	} {
		h := newHashes(1, func(uint32, int64, []byte) error { t.Fatal("read back"); return nil })
		feed(h)
		if h.sizes[1] >= 0 {
			t.Errorf("%s: a digest of %d bytes stands", name, h.sizes[1])
		}
	}
}
