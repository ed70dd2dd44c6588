package diskfault

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
)

// author makes random acts on one directory, and remembers what it looked like after each.
type author struct {
	b      *machine
	rng    *rand.Rand
	stamp  byte
	looks  []string // at the beginning of a life, and after each act; the content is left out
	synced int      // the last of them that is durable
}

// begin begins a life that is remembered.
func (a *author) begin(t *testing.T) {
	a.looks, a.synced = []string{shape(t, a.b.dir, false)}, 0
	a.b.Disk = disk.Watched(&recorder{a.b.life, func() { a.looks = append(a.looks, shape(t, a.b.dir, false)) }})
}

// recorder is a Life that is looked at after every act.
type recorder struct {
	*Life
	look func()
}

func (r *recorder) After(op *disk.Op, err error) {
	r.Life.After(op, err)
	r.look()
}

func (a *author) name() string {
	return a.b.at([]string{"a", "b", "d1/a", "d1/b", "d1/d3/a", "d2/a", "d2/b"}[a.rng.IntN(7)])
}
func (a *author) dir() string {
	return a.b.at([]string{"d1", "d2", "d1/d3", "d2/d3", "d4"}[a.rng.IntN(5)])
}

// act does one act; most of them can fail, for want of what they are about.
func (a *author) act() {
	switch a.rng.IntN(14) {
	case 0, 1, 2:
		a.write(os.O_WRONLY | os.O_CREATE)
	case 3:
		a.write(os.O_WRONLY | os.O_CREATE | os.O_TRUNC)
	case 4:
		_ = a.b.Mkdir(a.dir(), 0o700)
	case 5:
		_ = a.b.Rename(a.name(), a.name())
	case 6:
		_ = a.b.Rename(a.dir(), a.dir())
	case 7:
		from, to := a.dir(), a.dir()
		if a.rng.IntN(2) == 0 {
			from, to = a.name(), a.name()
		}
		_ = a.b.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, []uint{unix.RENAME_NOREPLACE, unix.RENAME_EXCHANGE}[a.rng.IntN(2)])
	case 8:
		_ = a.b.Remove(a.name())
	case 9:
		_ = a.b.Remove(a.dir())
	case 10:
		_ = a.b.Chmod([]string{a.name(), a.dir()}[a.rng.IntN(2)], []os.FileMode{0o700, 0o750, 0o711}[a.rng.IntN(3)])
	case 11:
		if a.rng.IntN(8) == 0 {
			_ = a.b.RemoveAll(a.dir())
		}
	case 12:
		_ = a.b.Chtimes(a.name(), time.Time{}, time.Unix(int64(a.rng.IntN(100)), 0))
	case 13:
		if f, err := a.b.OpenFile(a.name(), os.O_RDWR, 0); err == nil {
			_ = errors.Join(f.Truncate(int64(a.rng.IntN(9000))), f.Close())
		}
	}
}

// write writes pages that are full of one byte, which no other write uses soon.
func (a *author) write(how int) {
	f, err := a.b.OpenFile(a.name(), how, 0o600)
	if err != nil {
		return
	}
	a.stamp = a.stamp%250 + 1
	if a.rng.IntN(4) > 0 {
		_, _ = f.WriteAt(bytes.Repeat([]byte{a.stamp}, 1+a.rng.IntN(3)*pageSize), int64(a.rng.IntN(2)*pageSize))
	}
	_ = f.Close()
}

// sync syncs something now and then.
func (a *author) sync() {
	switch a.rng.IntN(30) {
	case 0:
		_ = a.b.SyncAll(a.b.dir)
		a.synced = len(a.looks) - 1
	case 1:
		_ = a.b.SyncDir(a.dir())
	case 2:
		if f, err := a.b.Open(a.name()); err == nil {
			_ = errors.Join(f.Sync(), f.Close())
		}
	}
}

// histories is how many are made up.
const histories = 150

// TestAnOrderedJournalGoesBackToAMomentThatWas: after a power cut names, kinds, modes and inodes are those of one moment since the last sync of everything.
func TestAnOrderedJournalGoesBackToAMomentThatWas(t *testing.T) {
	back := 0
	for seed := range uint64(histories) {
		b := boot(t)
		a := &author{b: b, rng: rand.New(rand.NewPCG(seed, 1))}
		for life := range uint64(3) {
			a.begin(t)
			for range 10 + a.rng.IntN(60) {
				a.act()
				a.sync()
			}
			b.crash(t, seed*3+life, Ordered)
			now := shape(t, b.dir, false)
			if !slices.Contains(a.looks[a.synced:], now) {
				t.Fatalf("seed %d, life %d: a moment that never was since act %d:\n%s\nit was\n%s", seed, life, a.synced, now, a.looks[len(a.looks)-1])
			}
			if now != a.looks[len(a.looks)-1] {
				back++
			}
			if acts, files := b.Pending(); acts+files > 0 {
				t.Fatalf("seed %d: %d acts and %d files are still open", seed, acts, files)
			}
		}
	}
	if back < histories {
		t.Errorf("only %d of %d cuts lost anything", back, 3*histories)
	}
	t.Logf("%d of %d cuts lost anything", back, 3*histories)
}

// TestNoOrderGoesBackToPartsThatWere: whatever is lost, what is there was there under that name, each page is one that was written there, and a sync of everything keeps it.
func TestNoOrderGoesBackToPartsThatWere(t *testing.T) {
	strange := 0 // shapes that no order of the journal gives
	for seed := range uint64(histories) {
		b := boot(t)
		a := &author{b: b, rng: rand.New(rand.NewPCG(seed, 2))}
		a.begin(t)
		for range 10 + a.rng.IntN(60) {
			a.act()
			a.sync()
		}
		b.crash(t, seed, Loose)
		now := shape(t, b.dir, false)
		were := make(map[string]bool)
		for _, look := range a.looks {
			for _, what := range named(look) {
				were[what] = true
			}
		}
		for _, what := range named(now) {
			if !were[what] {
				t.Fatalf("seed %d: never was %q", seed, what)
			}
		}
		if !slices.Contains(a.looks, now) {
			strange++
		}
		must(t, pagesAreWhole(b.dir))
		want := shape(t, b.dir, true)
		must(t, b.SyncAll(b.dir))
		b.crash(t, seed, Loose)
		if got := shape(t, b.dir, true); got != want {
			t.Fatalf("seed %d: it was synced, and is\n%s\nnot\n%s", seed, got, want)
		}
	}
	if strange < histories/20 {
		t.Errorf("only %d of %d cuts left what no order gives", strange, histories)
	}
	t.Logf("%d of %d cuts left what no order gives", strange, histories)
}

// named gives each name of a shape with its inode, without the directory that it is in.
func named(look string) (all []string) {
	for line := range strings.SplitSeq(look, "\n") {
		name, _, _ := strings.Cut(line, " ")
		_, inode, _ := strings.Cut(line, "#")
		all = append(all, filepath.Base(name)+" "+inode)
	}
	return all
}

// pagesAreWhole holds that no page is of two writes: each is full of one byte and zeros, but for its first, which is the last of another write.
func pagesAreWhole(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		for page := range slices.Chunk(text, pageSize) {
			rest := bytes.TrimRight(page[1:], "\x00")
			if len(rest) > 0 && len(bytes.Trim(rest, string(rest[:1]))) > 0 {
				err = errors.Join(err, fmt.Errorf("%s: %q ... %q", path, rest[:1], rest[len(rest)-1:]))
			}
		}
		return err
	})
}

// TestTheSameSeedGivesTheSameState makes the same acts twice, with the same cuts.
func TestTheSameSeedGivesTheSameState(t *testing.T) {
	for seed := range uint64(60) {
		for _, loss := range []Loss{Ordered, Loose} {
			var first string
			for again := range 2 {
				b := boot(t)
				a := &author{b: b, rng: rand.New(rand.NewPCG(seed, 3))}
				var story strings.Builder
				for life := range uint64(3) {
					for range 40 {
						a.act()
						a.sync()
					}
					b.crash(t, seed+life, loss)
					story.WriteString(shape(t, b.dir, true) + "\n\n")
				}
				if again == 0 {
					first = story.String()
				} else if story.String() != first {
					t.Fatalf("seed %d, %v:\n%s\nand then\n%s", seed, loss, first, story.String())
				}
			}
		}
	}
}

// TestWhatIsMadeAroundTheSeamStays: the model takes back what it has seen, and nothing else.
func TestWhatIsMadeAroundTheSeamStays(t *testing.T) {
	for seed := range uint64(100) {
		b := boot(t)
		must(t, b.Mkdir(b.at("sub"), 0o700))
		must(t, b.SyncAll(b.dir))
		must(t, os.WriteFile(b.at("catalog"), []byte("1"), 0o600))
		must(t, os.WriteFile(b.at("sub/catalog"), []byte("2"), 0o600))
		must(t, b.Rename(b.at("sub"), b.at("moved")))
		must(t, b.Prepare(b.at("file"), newText))
		must(t, b.Place(b.at("file")))
		must(t, os.Remove(b.at("file"))) // somebody takes it
		b.crash(t, seed, Ordered)
		one, err := os.ReadFile(b.at("catalog"))
		must(t, err)
		two, err := os.ReadFile(b.at("sub/catalog"))
		if errors.Is(err, fs.ErrNotExist) {
			two, err = os.ReadFile(b.at("moved/catalog"))
		}
		must(t, err)
		if string(one)+string(two) != "12" {
			t.Errorf("seed %d: %s, %s", seed, one, two)
		}
	}
}
