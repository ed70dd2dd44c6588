package meter

import (
	"crypto/sha512"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ecluse/internal/keys"
	"ecluse/internal/usage"
	"ecluse/protocol/bundle"
)

// A signature by a key that is not enrolled here is not ours, whatever it signs.
func TestAStatementSignedByAStrangerIsRefused(t *testing.T) {
	h := newHouse(t, time.Date(2026, 10, 5, 0, 0, 0, 0, time.UTC))
	h.happens(h.now, "cssf", 1)
	h.now = time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC)
	must(t, h.Tick(t.Context()))
	m := month(t, "2026-10")
	text, _, err := h.o.Book.Text(m)
	must(t, err)
	path := filepath.Join(t.TempDir(), "stranger")
	_, err = keys.GenerateIdentity(path, "cloud-high")
	must(t, err)
	stranger, err := keys.LoadIdentity(path)
	must(t, err)
	for name, sign := range map[string]func() ([]byte, error){
		"a stranger's":       func() ([]byte, error) { return stranger.Sign(usage.Namespace, text) },
		"for something else": func() ([]byte, error) { return stranger.Sign(bundle.NamespaceBundle, text) },
	} {
		blob, err := sign()
		must(t, err)
		if s, err := bundle.ParseSignature(blob, usage.Namespace); err == nil {
			must(t, s.Verify(sha512.Sum512(text)))
		}
		must(t, os.WriteFile(h.o.Book.Path(m)+signature, bundle.Armor(blob), 0o600))
		if _, err := (Side{Book: h.o.Book}).Paper(m); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// A stick, or a directory of the site, may hold files of these names: they are not written over.
func TestAStatementIsWrittenOverNothingOfSomebodyElse(t *testing.T) {
	h := newHouse(t, time.Date(2026, 12, 5, 0, 0, 0, 0, time.UTC))
	h.happens(time.Date(2026, 10, 5, 0, 0, 0, 0, time.UTC), "a", 5)
	must(t, h.Tick(t.Context()))
	side := Side{Book: h.o.Book, Rows: h.rows, Now: h.o.Now}
	paper := func(m string) *Paper {
		p, err := side.Paper(month(t, m))
		must(t, err)
		return p
	}
	stick := t.TempDir()
	for range 2 { // the same once more is the same
		must(t, h.o.Book.Export(paper("2026-10"), stick))
		must(t, h.o.Book.Export(paper("2026-11"), stick))
	}
	must(t, h.enrol("cloud-high namespaces=\"usage@ecluse\" ssh-ed25519 AAAAnext\n"))
	must(t, h.o.Book.Export(paper("2026-10"), stick)) // one more signs since
	for name, text := range map[string]string{"allowed_signers": "ctie-low namespaces=\"bundle@ecluse\" ssh-ed25519 AAAA\n", "2026-10.json": "the low side's\n", "2026-10.json.sig": "the low side's\n"} {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		err := h.o.Book.Export(paper("2026-10"), dir)
		left, _ := os.ReadDir(dir)
		if have, _ := os.ReadFile(filepath.Join(dir, name)); err == nil || string(have) != text || len(left) != 1 {
			t.Errorf("%s: %v; it holds %q, and there are %d files", name, err, have, len(left))
		}
	}
	if left, _ := os.ReadDir(stick); len(left) != 5 {
		t.Errorf("on the stick are %v", left)
	}
}
