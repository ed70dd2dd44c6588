package sim

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ecluse/protocol/bundle"
)

// item is what was dropped, and what becomes of it.
type item struct {
	itemPlan
	tenant  bundle.Name
	entries []entry
	dropped bool
	id      bundle.ID // once it is claimed under our eyes; else the checker finds it
	again   *item     // the same content, dropped again by an operator after a refusal
}

// entry is one file or directory of an item, by its path from the item's top, whose own is "".
type entry struct {
	path    string
	dir     bool
	mode    fs.FileMode
	mtime   time.Time
	content []byte
}

// makeItem draws an item's content.
func makeItem(p itemPlan, tenant bundle.Name) *item {
	r := source(p.seed, ofContent)
	it := &item{itemPlan: p, tenant: tenant}
	mtime := func() time.Time { return time.Unix(1_700_000_000+r.Int64N(10_000_000), 0) }
	mode := func() fs.FileMode { return []fs.FileMode{0o600, 0o644, 0o755, 0o444}[r.IntN(4)] }
	if p.files == 0 {
		it.entries = []entry{{mode: mode(), mtime: mtime(), content: fill(r, p.size, p.random)}}
		return it
	}
	it.entries = []entry{{dir: true, mode: 0o755, mtime: mtime()}}
	dirs := []string{""}
	for i := range p.files {
		if r.IntN(3) == 0 {
			d := filepath.Join(dirs[r.IntN(len(dirs))], fmt.Sprintf("d%d", i))
			dirs = append(dirs, d)
			it.entries = append(it.entries, entry{path: d, dir: true, mode: 0o750, mtime: mtime()})
		}
		it.entries = append(it.entries, entry{
			path: filepath.Join(dirs[r.IntN(len(dirs))], fmt.Sprintf("f%d", i)), mode: mode(), mtime: mtime(), content: fill(r, r.IntN(2*p.size/p.files+1), p.random),
		})
	}
	return it
}

// fill makes content: random bytes, or few different ones.
func fill(r *rand.Rand, n int, random bool) []byte {
	b := make([]byte, n)
	for i := 0; i < n; i += 8 {
		v := r.Uint64()
		if !random {
			v &= 0x0101010101010101
		}
		for j := i; j < min(n, i+8); j++ {
			b[j] = byte(v)
			v >>= 8
		}
	}
	return b
}

// write makes the item under a path: files and directories first, directories' modes and times last.
func (it *item) write(path string) error {
	for _, e := range it.entries {
		at := filepath.Join(path, e.path)
		var err error
		if e.dir {
			err = os.Mkdir(at, 0o755)
		} else {
			err = os.WriteFile(at, e.content, 0o644)
		}
		if err != nil {
			return err
		}
	}
	for _, e := range slices.Backward(it.entries) {
		at := filepath.Join(path, e.path)
		if err := os.Chmod(at, e.mode); err != nil {
			return err
		}
		if err := os.Chtimes(at, e.mtime, e.mtime); err != nil {
			return err
		}
	}
	return nil
}

// differs says how what stands at a path is not the item, or nothing: every name, every byte, the owner's rights of files.
func (it *item) differs(path string) string {
	want := make(map[string]entry, len(it.entries))
	for _, e := range it.entries {
		want[e.path] = e
	}
	fault := ""
	err := filepath.WalkDir(path, func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(path, at)
		if err != nil {
			return err
		}
		if rel == "." {
			rel = ""
		}
		e, ok := want[rel]
		if !ok || e.dir != d.IsDir() {
			fault = fmt.Sprintf("%q does not belong there", rel)
			return fs.SkipAll
		}
		delete(want, rel)
		info, err := d.Info()
		if err != nil {
			return err
		}
		if e.dir {
			return nil
		}
		content, err := os.ReadFile(at)
		switch {
		case err != nil:
			return err
		case !bytes.Equal(content, e.content):
			fault = fmt.Sprintf("%q has %d bytes that are not the %d that were dropped", rel, len(content), len(e.content))
			return fs.SkipAll
		case info.Mode().Perm()&0o700 != e.mode&0o700 || !info.ModTime().Equal(e.mtime):
			fault = fmt.Sprintf("%q has mode %v and time %v, not %v and %v", rel, info.Mode(), info.ModTime(), e.mode, e.mtime)
			return fs.SkipAll
		}
		return nil
	})
	switch {
	case err != nil:
		return err.Error()
	case fault != "":
		return fault
	case len(want) > 0:
		return fmt.Sprintf("%d files or directories are missing", len(want))
	}
	return ""
}
