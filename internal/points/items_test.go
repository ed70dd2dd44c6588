package points

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"ecluse/protocol/bundle"
)

// fate is what is to become of an item.
type fate int

const (
	arrives  fate = iota // imported
	fails                // on the low side: it cannot travel
	rejected             // by the officer
	forgone              // damaged on the high side, and nobody asks for it again
	changes              // while it is read: it fails, or what was there before arrives
)

// item is what was dropped.
type item struct {
	tenant  bundle.Name
	name    string
	fate    fate
	entries []entry
	before  []entry // of one that changes: what it was
	link    string  // a symbolic link in it, which cannot travel
	dropped bool
}

// entry is one file or directory of an item, by its path from the item's top, whose own is "".
type entry struct {
	path    string
	dir     bool
	mode    fs.FileMode
	mtime   time.Time
	content []byte
}

var someTime = time.Unix(1_700_000_000, 0)

// file is one file of an item, with content of its own.
func file(path string, size int, seed uint64) entry {
	r := rand.New(rand.NewPCG(seed, 7))
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return entry{path: path, mode: 0o644, mtime: someTime.Add(time.Duration(seed) * time.Second), content: b}
}

func folder(path string) entry { return entry{path: path, dir: true, mode: 0o755, mtime: someTime} }

// write makes the item under a path: directories' modes and times last.
func (it *item) write(path string) error {
	for _, e := range it.entries {
		at := filepath.Join(path, e.path)
		var err error
		if e.dir {
			err = os.Mkdir(at, 0o755)
		} else {
			err = os.WriteFile(at, e.content, e.mode)
		}
		if err != nil {
			return err
		}
	}
	if it.link != "" {
		if err := os.Symlink("/etc/shadow", filepath.Join(path, it.link)); err != nil {
			return err
		}
	}
	for i := range it.entries {
		e := it.entries[len(it.entries)-1-i]
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

// differs says how what stands at a path is not the item, or nothing: every name, every byte, the owner's rights and the times of files.
func (it *item) differs(path string) string {
	fault := it.differsFrom(it.entries, path)
	if fault != "" && it.before != nil && it.differsFrom(it.before, path) == "" {
		return ""
	}
	return fault
}

func (it *item) differsFrom(entries []entry, path string) string {
	want := make(map[string]entry, len(entries))
	for _, e := range entries {
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
		if it.link != "" && rel == it.link {
			return nil
		}
		e, ok := want[rel]
		if !ok || e.dir != d.IsDir() {
			fault = fmt.Sprintf("%q does not belong there", rel)
			return fs.SkipAll
		}
		delete(want, rel)
		if e.dir {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		content, err := os.ReadFile(at)
		switch {
		case err != nil:
			return err
		case !bytes.Equal(content, e.content):
			fault = fmt.Sprintf("%q has %d bytes that are not the %d that were dropped", rel, len(content), len(e.content))
			return fs.SkipAll
		case info.Mode().Perm()&0o700 != e.mode&0o700 || it.fate != changes && !info.ModTime().Equal(e.mtime):
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
