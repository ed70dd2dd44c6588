package ledger

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Of the names of a batch, a power cut may keep the end of a chain and lose records below it. Their sequences are neither left out nor used again.
func TestWhatTheChainCountsIsCompleted(t *testing.T) {
	cuts := map[string][]int{"its end": {2}, "one below its end": {1}, "all of a batch": {0, 1, 2}, "two apart": {0, 2}}
	for name, lost := range maps.Clone(cuts) { // such a record may also have had no name before
		cuts[name+", and never there"] = lost
	}
	for name, lost := range cuts {
		dir := t.TempDir()
		b := open(t, dir)
		for n := range 4 {
			must(t, b.claim(n))
		}
		claim := func(n int) string { return filepath.Join(dir, "bundles", id(n).String(), claimName) }
		before := make(map[int][]byte)
		for _, n := range lost {
			text, err := os.ReadFile(claim(n))
			must(t, err)
			before[n] = text
		}
		all := sent{}
		for n := range 3 {
			s, err := b.sign(n)
			must(t, err)
			all.take(t, s)
		}
		must(t, b.end(false))
		for n, text := range before {
			if strings.Contains(name, "never") {
				must(t, os.Rename(claim(n), claim(n)+".ecluse-tmp"))
				continue
			}
			must(t, os.WriteFile(claim(n), text, 0o600))
		}
		b = open(t, dir)
		b.resume(all) // signs bundle 3, and takes for the others what is signed
		if len(all) != 4 {
			t.Errorf("%s: %d sequences were given to four bundles", name, len(all))
		}
		all.unbroken(t)
		for n := range 3 {
			if r, err := b.Get(id(n)); err != nil || r.Sequence == nil || *r.Sequence != uint64(n+1) {
				t.Errorf("%s: bundle %d has another sequence: %+v, %v", name, n, r, err)
			}
		}
		must(t, b.end(true))
	}
}

// What a purge was taking when the process was killed does not come back: its record goes first, and its manifest may still be there, and counted.
func TestWhatWasBeingPurgedDoesNotComeBack(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	for n := range 2 {
		must(t, b.claim(n))
		_, err := b.sign(n)
		must(t, err)
	}
	must(t, b.end(false))
	for n := range 2 {
		must(t, os.Remove(filepath.Join(dir, "bundles", id(n).String(), claimName)))
	}
	b = open(t, dir)
	for n := range 2 {
		if r, err := b.Get(id(n)); err == nil {
			t.Errorf("bundle %d is here again: %+v", n, r)
		}
	}
	if head := b.Head("default"); head.Sequence != 2 {
		t.Errorf("the chain ends at %d", head.Sequence)
	}
	must(t, b.end(true))
}

// A manifest that no chain counts, of an attempt that came to nothing, is taken back as before.
func TestWhatNoChainCountsIsTakenBack(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	must(t, b.claim(0))
	must(t, b.claim(1))
	text, err := os.ReadFile(filepath.Join(dir, "bundles", id(1).String(), claimName))
	must(t, err)
	chain, err := b.sign(0)
	must(t, err)
	kept, err := os.ReadFile(filepath.Join(dir, "chain", "default.json"))
	must(t, err)
	_, err = b.sign(1)
	must(t, err)
	must(t, b.end(false))
	must(t, os.WriteFile(filepath.Join(dir, "bundles", id(1).String(), claimName), text, 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "chain", "default.json"), kept, 0o600))
	b = open(t, dir)
	if r, err := b.Get(id(1)); err != nil || r.Sequence != nil {
		t.Errorf("%+v, %v", r, err)
	}
	if head := b.Head("default"); head.Sequence != chain.Sequence {
		t.Errorf("the chain ends at %d", head.Sequence)
	}
	s, err := b.sign(1)
	must(t, err)
	if s.Sequence != 2 || s.Previous != chain.Digest {
		t.Errorf("%+v", s)
	}
	must(t, b.end(true))
}
