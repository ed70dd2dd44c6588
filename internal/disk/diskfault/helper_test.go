package diskfault

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"ecluse/internal/disk"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// machine is a Model over one new directory, with a life.
type machine struct {
	*Model
	*disk.Disk
	dir  string
	life *Life
}

func boot(t testing.TB) *machine {
	t.Helper()
	dir := filepath.Join(memory(t), "disk")
	must(t, os.Mkdir(dir, 0o700))
	m, err := New(dir)
	must(t, err)
	t.Cleanup(func() { must(t, m.Close()) })
	b := &machine{Model: m, dir: dir}
	b.begin()
	return b
}

// memory is a temporary directory in memory where there is one: these tests do hundreds of thousands of acts.
func memory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "diskfault-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}

func (b *machine) begin() {
	b.life = b.Begin()
	b.Disk = disk.Watched(b.life)
}

func (b *machine) at(name string) string { return filepath.Join(b.dir, name) }

func (b *machine) crash(t testing.TB, seed uint64, l Loss) {
	t.Helper()
	must(t, b.Crash(rand.New(rand.NewPCG(seed, 7)), l))
	b.begin()
}

// shape says what stands below a directory: names, kinds, modes and inodes, or content instead of inodes.
func shape(t testing.TB, dir string, content bool) string {
	t.Helper()
	var lines []string
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := look(path, -1)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		line := fmt.Sprintf("%s %06o", rel, st.Mode)
		switch {
		case !content:
			line += fmt.Sprintf(" #%d", st.Ino)
		case isFile(&st):
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %q", text)
		}
		lines = append(lines, line)
		return nil
	}))
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}
