package policy

import (
	"bytes"
	"testing"
	"time"
)

// FuzzExamination is content that nobody thought of: whatever it is, it is looked at within the bounds, without a crash, and no error is made of it.
func FuzzExamination(f *testing.F) {
	for _, x := range [][]byte{
		zipOf(m("a", "words"), m("b.zip", string(zipped(eicar)))), gz(tarOf(m("x", "y"))), zst(zipped(elf)), xzOf([]byte("words")), sparse(1 << 40), overlapping(3, "x"), docx(m("word/vbaProject.bin", "x")), ole(wide("_VBA_Project")),
		endless(), append([]byte(png), shifted(zipOf(m("x", "y")), len(png))...), append([]byte{0xff, 0xfe}, wide("TOP SECRET")...),
	} {
		f.Add(x)
	}
	rules := Rules{Text: []string{"top secret"}, Honest: true, Archives: Archives{Depth: 4, Entries: 50, Size: 1 << 20, Ratio: 50}}
	scratch := f.TempDir()
	f.Fuzz(func(t *testing.T, content []byte) {
		began := time.Now()
		x := rules.Begin(scratch, 1<<20)
		x.Name("a.zip", int64(len(content)))
		if err := x.File("a.zip", bytes.NewReader(content), int64(len(content))); err != nil {
			t.Fatal(err)
		}
		if x.expanded > rules.Archives.Size+window || x.entries > rules.Archives.Entries+1 {
			t.Errorf("%d bytes and %d entries came out of it", x.expanded, x.entries)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%d bytes took %v", len(content), took)
		}
	})
}
