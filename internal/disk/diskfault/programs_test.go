package diskfault

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"
)

var (
	oldText = bytes.Repeat([]byte("old "), 2000) // two pages, the second in part
	newText = bytes.Repeat([]byte("new text "), 2000)
)

// program puts newText under "file", where oldText may stand, and returns when it promises that it is there.
type program struct {
	name    string
	run     func(b *machine) error
	ordered bool // the promise holds after a power cut, where the journal is in order
	loose   bool // and where it is not
	named   bool // and there also, if the name was durable before
}

func write1(b *machine, name string, sync bool) error {
	f, err := b.OpenFile(b.at(name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(newText)
	if err == nil && sync {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func steps(all ...func() error) error {
	for _, step := range all {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func fourSteps(fsync, rename, syncDir bool) func(b *machine) error {
	return func(b *machine) error {
		name := "file"
		if rename {
			name = "temporary"
		}
		err := write1(b, name, fsync)
		if err == nil && rename {
			err = b.Rename(b.at(name), b.at("file"))
		}
		if err == nil && syncDir {
			err = b.SyncDir(b.dir)
		}
		return err
	}
}

func batch(before, after bool) func(b *machine) error {
	return func(b *machine) error {
		sync := func(do bool) func() error {
			return func() error {
				if do {
					return b.SyncAll(b.dir)
				}
				return nil
			}
		}
		return steps(
			func() error { return b.Prepare(b.at("file"), newText) },
			func() error { return b.Prepare(b.at("other"), newText) },
			sync(before),
			func() error { return b.Place(b.at("file")) },
			func() error { return b.Place(b.at("other")) },
			sync(after),
		)
	}
}

var programs = []program{
	{name: "write, fsync, rename, fsync of the directory", run: fourSteps(true, true, true), ordered: true, loose: true},
	{name: "the same without the fsync", run: fourSteps(false, true, true)},
	{name: "the same without the directory's", run: fourSteps(true, true, false)},
	{name: "the same without both", run: fourSteps(false, true, false)},
	{name: "a write in place with both", run: fourSteps(true, false, true), ordered: true, loose: true},
	{name: "a write in place, with an fsync", run: fourSteps(true, false, false), ordered: true, named: true}, // its name is in the journal before it
	{name: "a write in place, with the directory's", run: fourSteps(false, false, true)},
	{name: "Replace", run: func(b *machine) error { return b.Replace(b.at("file"), newText) }, ordered: true, loose: true},
	{name: "Prepare, SyncAll, Place, SyncAll", run: batch(true, true), ordered: true, loose: true},
	{name: "the same without the first", run: batch(false, true), ordered: true, loose: true}, // but not at every moment in between
	{name: "the same without the last", run: batch(true, false)},
}

// outcome says in a word what stands under "file".
func outcome(t *testing.T, b *machine) string {
	t.Helper()
	text, err := os.ReadFile(b.at("file"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "nothing"
	case err != nil:
		t.Fatal(err)
	case bytes.Equal(text, newText):
		return "new"
	case bytes.Equal(text, oldText):
		return "old"
	case len(text) == 0:
		return "empty"
	case len(bytes.Trim(text, "\x00")) == 0:
		return "zeros"
	}
	return "torn"
}

const seeds = 300

// TestAPromiseHoldsOrIsBroken cuts the power after each program, many times: those that sync what they have to never lose what they promised, and the others do.
func TestAPromiseHoldsOrIsBroken(t *testing.T) {
	for _, p := range programs {
		for _, loss := range []Loss{Ordered, Loose} {
			for _, replaces := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/replaces=%v", p.name, loss, replaces), func(t *testing.T) {
					holds := p.ordered && loss == Ordered || p.loose && loss == Loose || p.named && replaces
					seen := make(map[string]int)
					for seed := range uint64(seeds) {
						b := boot(t)
						if replaces {
							must(t, b.Replace(b.at("file"), oldText))
							must(t, b.SyncAll(b.dir))
						}
						must(t, p.run(b))
						b.crash(t, seed, loss)
						seen[outcome(t, b)]++
					}
					if lost := seeds - seen["new"]; holds != (lost == 0) {
						t.Errorf("%d of %d were lost: %v", lost, seeds, seen)
					}
				})
			}
		}
	}
}

// TestAKillLosesNothing ends each program's process, and nothing else.
func TestAKillLosesNothing(t *testing.T) {
	for _, p := range programs {
		b := boot(t)
		must(t, p.run(b))
		b.crash(t, 1, Killed)
		if o := outcome(t, b); o != "new" {
			t.Errorf("%s: %s", p.name, o)
		}
	}
}

// TestAtEveryActTheOldOrTheNewStands kills programs before each of their acts, in the middle of each write, with and without a power cut: those that are made for it show
// what was there before or what is new, and nothing else; one that leaves a sync out does not.
func TestAtEveryActTheOldOrTheNewStands(t *testing.T) {
	for _, row := range []struct {
		program
		whole bool
	}{
		{programs[0], true}, {programs[1], false}, {programs[4], false}, {programs[7], true}, {programs[8], true}, {programs[9], false},
	} {
		t.Run(row.name, func(t *testing.T) {
			seen := make(map[string]int)
			for _, what := range []What{Kill, Torn} {
				for at := 1; kills(t, row.program, what, at, seen); at++ {
				}
			}
			delete(seen, "old")
			delete(seen, "new")
			if row.whole != (len(seen) == 0) {
				t.Errorf("it was %v as well", seen)
			}
		})
	}
}

// kills runs a program into a death at an act, and says whether it came to that.
func kills(t *testing.T, p program, what What, at int, seen map[string]int) bool {
	for _, loss := range []Loss{Killed, Ordered, Loose} {
		for seed := range uint64(20) {
			b := boot(t)
			must(t, b.Replace(b.at("file"), oldText))
			must(t, b.SyncAll(b.dir))
			done, _ := b.life.Acts()
			b.life.Arm(Fault{What: what, At: done + at})
			err := p.run(b)
			if b.Fired()[what] == 0 {
				must(t, err)
				return false
			}
			if err == nil {
				t.Fatalf("%v at act %d: it promised although it was dead", what, at)
			}
			b.crash(t, seed, loss)
			seen[outcome(t, b)]++
		}
	}
	return true
}

func TestWhatIsLostHasManyFaces(t *testing.T) {
	seen := make(map[string]int)
	for seed := range uint64(seeds) {
		b := boot(t)
		must(t, fourSteps(false, true, true)(b))
		b.crash(t, seed, Ordered)
		seen[outcome(t, b)]++
		b = boot(t)
		must(t, b.Replace(b.at("file"), oldText))
		must(t, write1(b, "file", false))
		b.crash(t, seed, Ordered)
		seen[outcome(t, b)]++
	}
	for _, face := range []string{"empty", "zeros", "torn", "new", "old"} {
		if seen[face] < 5 {
			t.Errorf("%s: %d times", face, seen[face])
		}
	}
}

// TestADirectoryIsDurableInItsParent: a file that is synced in a new directory is lost with it, where the journal is not in order.
func TestADirectoryIsDurableInItsParent(t *testing.T) {
	for loss, holds := range map[Loss]bool{Ordered: true, Loose: false} {
		lost := 0
		for seed := range uint64(seeds) {
			b := boot(t)
			must(t, b.Mkdir(b.at("new"), 0o700))
			must(t, b.Replace(b.at("new/file"), newText))
			b.crash(t, seed, loss)
			if _, err := os.Lstat(b.at("new/file")); err != nil {
				lost++
			}
		}
		if holds != (lost == 0) {
			t.Errorf("%v: %d of %d were lost", loss, lost, seeds)
		}
	}
}

// TestAFailedSyncCoversNothingForEver: the sync after it succeeds and says nothing about what the first was to cover.
func TestAFailedSyncCoversNothingForEver(t *testing.T) {
	for _, again := range []bool{false, true} { // what was written is written again
		lost := 0
		for seed := range uint64(seeds) {
			b := boot(t)
			f, err := b.OpenStaged(b.at("file"))
			must(t, err)
			_, err = f.Write(newText)
			must(t, err)
			must(t, b.SyncDir(b.dir))
			done, _ := b.life.Acts()
			b.life.Arm(Fault{What: ErrorOnce, At: done + 1})
			if err := f.Sync(); err == nil {
				t.Fatal("the sync did not fail")
			}
			if again {
				_, err = f.WriteAt(newText, 0)
				must(t, err)
			}
			must(t, f.Sync())
			must(t, b.SyncAll(b.dir))
			must(t, f.Close())
			b.crash(t, seed, Ordered)
			if outcome(t, b) != "new" {
				lost++
			}
		}
		if again != (lost == 0) {
			t.Errorf("again %v: %d of %d were lost", again, lost, seeds)
		}
	}
}
