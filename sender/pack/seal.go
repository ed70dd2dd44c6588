package pack

import (
	"crypto/sha256"
	"encoding/binary"
)

// Seal is what two walks of an item have in common when nothing in it has changed in between: every path, size and stamp.
type Seal [sha256.Size]byte

// Seal is small, where a Walked of many files is not.
func (w *Walked) Seal() (s Seal) {
	h := sha256.New()
	var b []byte
	add := func(path string, size int64, st stamp) {
		b = binary.LittleEndian.AppendUint32(b[:0], uint32(len(path)))
		b = append(b, path...)
		for _, n := range []uint64{uint64(size), st.dev, st.ino, uint64(st.mtime), uint64(st.ctime)} {
			b = binary.LittleEndian.AppendUint64(b, n)
		}
		h.Write(b)
	}
	for i := range w.Table.Dirs() {
		add(string(w.Table.Dir(i).Path), -1, w.dirs.at(i))
	}
	for n := 1; n <= w.Table.Files(); n++ {
		f := w.Table.File(n)
		add(string(f.Path), f.Size, w.files.at(n-1))
	}
	h.Sum(s[:0])
	return s
}
