package bundle

import (
	"bytes"
	"runtime"
	"testing"
)

// allocated gives the bytes that f allocates. What the run of the tests allocates beside it comes and goes, so it is the least of three times.
func allocated(f func()) uint64 {
	least := ^uint64(0)
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		if least = min(least, after.TotalAlloc-before.TotalAlloc); least == 0 {
			break
		}
	}
	return least
}

// wellKnown fails for an error that is no refusal with a reason of the table.
func wellKnown(t *testing.T, err error) Reason {
	t.Helper()
	reason, ok := ReasonOf(err)
	if _, known := ParseReason(string(reason)); !ok || known != nil {
		t.Fatalf("a refusal without a reason: %v", err)
	}
	return reason
}

// A manifest that parses is exactly what WriteManifest makes; and however it is wrong, no more is held than the text could mean (M-1).
func FuzzParseManifest(f *testing.F) {
	limits := Limits{Manifest: 1 << 20, Files: 1000, Dirs: 1000, Bytes: 1 << 40}
	f.Add([]byte("{\"format\":\"ecluse-manifest-1\",\n\"bundle\":\""))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<20 {
			return
		}
		var m *Manifest
		var err error
		// 64 KiB of the text, the checkers of tree and names, and a table whose lists grow by doubling.
		if n, most := allocated(func() { m, err = ParseManifest(bytes.NewReader(text), limits) }), uint64(1<<20+64*len(text)); n > most {
			t.Fatalf("%d bytes of text: %d bytes were allocated, at most %d may be", len(text), n, most)
		}
		if err != nil {
			if m != nil {
				t.Fatal("a manifest beside a refusal")
			}
			wellKnown(t, err)
			return
		}
		if m.Table.Files() > limits.Files || m.Table.Dirs() > limits.Dirs || m.Table.Total() > limits.Bytes {
			t.Fatalf("%d files, %d directories, %d bytes: beyond the limits", m.Table.Files(), m.Table.Dirs(), m.Table.Total())
		}
		var again bytes.Buffer
		if err := WriteManifest(&again, m); err != nil || !bytes.Equal(again.Bytes(), text) || m.Length() != int64(len(text)) {
			t.Fatalf("%q is read and written otherwise: %v", text, err)
		}
	})
}

// The names and numbers of section 2 have one text each.
func FuzzParseText(f *testing.F) {
	for _, s := range []string{"", "cssf", "aaaaaaaaaaaaaaaaaaaaaaaaaa", "52nxbfmrfmao6vlt26rqnlpcn4", "a."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		check := func(kind string, text func() (string, error)) {
			var got string
			var err error
			if n := allocated(func() { got, err = text() }); n > uint64(4096+2*len(s)) {
				t.Fatalf("%s of %d bytes: %d bytes were allocated", kind, len(s), n)
			}
			switch {
			case err != nil:
				wellKnown(t, err)
			case got != s:
				t.Fatalf("%s %q is written %q", kind, s, got)
			}
		}
		check("id", func() (string, error) { v, err := ParseID(s); return v.String(), err })
		check("epoch", func() (string, error) { v, err := ParseEpoch(s); return v.String(), err })
		check("name", func() (string, error) { v, err := ParseName(s); return v.String(), err })
		check("digest", func() (string, error) { v, err := ParseDigest(s); return v.String(), err })
		check("mark", func() (string, error) { v, err := ParseMark(s); return v.String(), err })
	})
}
