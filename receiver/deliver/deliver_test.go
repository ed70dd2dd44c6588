package deliver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
)

func inodeOf(t testing.TB, name string) uint64 {
	t.Helper()
	info, err := os.Lstat(name)
	must(t, err)
	if n := stat(info).Nlink; !info.IsDir() && n != 1 {
		t.Errorf("%s has %d links", name, n)
	}
	return inode(info)
}

// TestDelivers holds every way against the manifest: content, modes, times, nothing more.
func TestDelivers(t *testing.T) {
	for _, row := range []struct {
		name  string
		items []entry
		apart bool
		keep  bool
	}{
		{name: "a file, moved", items: file()},
		{name: "a file, kept", items: file(), keep: true},
		{name: "a file, to another file system", items: file(), apart: true},
		{name: "an empty file", items: []entry{{"item", 0o400, 0, ""}}},
		{name: "a tree, moved", items: tree()},
		{name: "a tree, kept", items: tree(), keep: true},
		{name: "a tree, to another file system", items: tree(), apart: true},
		{name: "an empty directory", items: []entry{{"item/", 0o700, 1_000_000_000, ""}}},
		{name: "closed modes, moved", items: closed()},
		{name: "closed modes, kept", items: closed(), keep: true},
		{name: "a thousand files, kept", items: many(1000), keep: true},
		{name: "a thousand files, moved", items: many(1000)},
	} {
		for _, umask := range []int{0, 0o777} {
			t.Run(fmt.Sprintf("%s, umask %03o", row.name, umask), func(t *testing.T) {
				p := here(t, row.items)
				if row.apart {
					p = apart(t, row.items)
				}
				o := p.options()
				o.Keep = row.keep
				before := inodeOf(t, filepath.Join(p.job.Dir, "files", "item"))
				if umask == 0o777 && os.Geteuid() != 0 {
					umask = 0o077 // what we make is not ours to open otherwise
				}
				old := unix.Umask(umask)
				out, err := p.deliver(o)
				unix.Umask(old)
				must(t, err)
				copied := row.keep || row.apart
				if want := (Outcome{Final: "item", Copied: copied}); out != want {
					t.Errorf("got %+v, want %+v", out, want)
				}
				same(t, look(t, p.to), p.want("item", o))
				if after := inodeOf(t, filepath.Join(p.to, "item")); !row.apart && (after == before) == copied {
					t.Errorf("copied %v, and the inode was %d and is %d", copied, before, after)
				}
				if intent := p.book.read(t); intent == nil || intent.Name != "item" || intent.Inode != inodeOf(t, filepath.Join(p.to, "item")) {
					t.Errorf("the intent on record is %+v", intent)
				}
				if left := top(t, filepath.Join(p.job.Dir, "files")); (len(left) == 1) != copied {
					t.Errorf("quarantine holds %v", left)
				}
				must(t, Purge(disk.New(), p.job.Dir))
				must(t, Purge(disk.New(), p.job.Dir))
				same(t, look(t, p.to), p.want("item", o))
			})
		}
	}
}

func many(n int) []entry {
	all := []entry{{"item/", 0o700, 1_000_000_000, ""}}
	for i := range n {
		all = append(all, entry{fmt.Sprintf("item/%04d", i), 0o600, int64(i), fmt.Sprint(i)})
	}
	return all
}

func TestModes(t *testing.T) {
	for _, row := range []struct{ manifest, option, file, dir os.FileMode }{
		{0o600, 0o640, 0o640, 0o640},
		{0o700, 0o640, 0o750, 0o740},
		{0o700, 0o644, 0o755, 0o744},
		{0o700, 0o600, 0o700, 0o700},
		{0o600, 0o750, 0o640, 0o650},
		{0o400, 0o640, 0o440, 0o440},
		{0o500, 0o640, 0o550, 0o540},
		{0o100, 0o640, 0o150, 0o140},
		{0o000, 0o640, 0o040, 0o040},
		{0o700, 0o620, 0o720, 0o720},
		{0o600, 0o660, 0o660, 0o660},
		{0o700, 0o7777, 0o777, 0o777},
	} {
		o := Options{FileMode: row.option, DirMode: row.option}
		if got := o.fileMode(bundle.File{Mode: uint32(row.manifest)}); got != row.file {
			t.Errorf("a file of %04o at %04o is %04o, want %04o", row.manifest, row.option, got, row.file)
		}
		if got := o.dirMode(bundle.Dir{Mode: uint32(row.manifest)}); got != row.dir {
			t.Errorf("a directory of %04o at %04o is %04o, want %04o", row.manifest, row.option, got, row.dir)
		}
	}
}

// TestHostileNamesArriveAsTheyAre has names that a shell, a terminal or a careless join would trip over.
func TestHostileNamesArriveAsTheyAre(t *testing.T) {
	for _, name := range []string{
		`"quoted" 'twice'`, "`rm -rf $HOME`", "-rf", "~", "...", "a\\b", "👩‍👩‍👧", " ", "*", ".hidden", "%s%n", "e\u0301", ".ecluse", "files",
		strings.Repeat("n", 255), strings.Repeat("é", 127) + "x", strings.Repeat("👩", 63) + "abc", temporary("item", bundle.ID{9})[1:],
	} {
		for _, keep := range []bool{false, true} {
			for _, dir := range []bool{false, true} {
				items := []entry{{name, 0o600, 1, "x"}}
				if dir {
					items = []entry{{name + "/", 0o700, 1, ""}, {name + "/" + name, 0o600, 1, "x"}}
				}
				p := here(t, items)
				o := p.options()
				o.Keep = keep
				out, err := p.deliver(o)
				if err != nil || out.Final != name {
					t.Errorf("%q arrives as %q: %v", name, out.Final, err)
				}
				same(t, look(t, p.to), p.want(name, o))
			}
		}
	}
}

func TestNamesFitAndStayWhole(t *testing.T) {
	long, wide := strings.Repeat("n", 255), strings.Repeat("👩", 63)+"abc"
	for _, row := range []struct {
		name string
		i    int
		want string
	}{
		{"item", 0, "item"},
		{"item", 1, "item~7"},
		{"item", 2, "item~7~2"},
		{long, 0, long},
		{long, 1, long[:253] + "~7"},
		{long, 12, long[:250] + "~7~12"},
		{wide, 1, wide[:253] + "~7"},
		{wide, 2, wide[:248] + "~7~2"},
	} {
		if got := candidate(row.name, 7, row.i); got != row.want || len(got) > maxName {
			t.Errorf("try %d for %q is %q", row.i, row.name, got)
		}
	}
	for _, name := range []string{"item", long, wide} {
		got := temporary(name, testID)
		if len(got) > maxName || !reserved(got) || !strings.HasSuffix(got, testID.String()) || strings.ToValidUTF8(got, "") != got {
			t.Errorf("the temporary of %q is %q", name, got)
		}
		if reserved(got+"~7") || reserved(got[1:]) || reserved(name) {
			t.Errorf("%q is taken for a temporary", name)
		}
	}
}

// TestClash has the name taken by each kind of thing. The link's target must never be touched.
func TestClash(t *testing.T) {
	link := func(t *testing.T, at string) {
		outside := scratch(t)
		must(t, os.WriteFile(filepath.Join(outside, "a"), []byte("outside"), 0o600))
		must(t, os.Symlink(outside, at))
		t.Cleanup(func() {
			if text, err := os.ReadFile(filepath.Join(outside, "a")); string(text) != "outside" {
				t.Errorf("the link was followed: %q %v", text, err)
			}
		})
	}
	kinds := map[string]func(t *testing.T, at string){
		"file": func(t *testing.T, at string) { must(t, os.WriteFile(at, []byte("before"), 0o600)) },
		"tree": func(t *testing.T, at string) {
			must(t, os.MkdirAll(filepath.Join(at, "old", "er"), 0o755))
			must(t, os.Chmod(filepath.Join(at, "old"), 0))
		},
		"empty directory": func(t *testing.T, at string) { must(t, os.Mkdir(at, 0o755)) },
		"link":            link,
		"dangling link":   func(t *testing.T, at string) { must(t, os.Symlink("/nowhere", at)) },
		"pipe":            func(t *testing.T, at string) { must(t, unix.Mkfifo(at, 0o600)) },
	}
	for kind, make := range kinds {
		for _, items := range [][]entry{file(), tree()} {
			for _, keep := range []bool{false, true} {
				for _, clash := range []Clash{KeepBoth, Replace, Refuse} {
					t.Run(fmt.Sprintf("%s by %d, keep %v, %s", kind, len(items), keep, clash), func(t *testing.T) {
						p := here(t, items)
						make(t, filepath.Join(p.to, "item"))
						before := look(t, p.to)
						o := p.options()
						o.Keep, o.Clash = keep, clash
						out, err := p.deliver(o)
						want := p.want("item", o)
						switch clash {
						case KeepBoth:
							want = p.want("item~7", o)
							for name, is := range before {
								want[name] = is
							}
							must(t, err)
						case Replace:
							must(t, err)
						case Refuse:
							want = before
							reasonIs(t, err, bundle.ReasonClash)
						}
						same(t, look(t, p.to), want)
						if out.Left != "" {
							t.Error(out.Left)
						}
					})
				}
			}
		}
	}
}

func TestKeepBothCountsUp(t *testing.T) {
	p := here(t, file())
	for _, want := range []string{"item", "item~7", "item~7~2", "item~7~3"} {
		p.job = makeQuarantined(t, filepath.Join(scratch(t), "q"), file())
		must(t, errors.Join(os.RemoveAll(p.book.path)))
		out, err := p.deliver(p.options())
		if err != nil || out.Final != want {
			t.Fatalf("got %+v, %v, want %s", out, err, want)
		}
	}
}

// TestANameTakenInTheLastInstantIsNotReplaced has somebody else take the name after the intent was noted.
func TestANameTakenInTheLastInstantIsNotReplaced(t *testing.T) {
	for _, clash := range []Clash{KeepBoth, Refuse} {
		for _, keep := range []bool{false, true} {
			p := here(t, tree())
			o := p.options()
			o.Clash, o.Keep = clash, keep
			o.hook = func(step string) {
				if step == "noted" {
					must(t, os.Mkdir(filepath.Join(p.to, "item"), 0o755))
				}
			}
			out, err := p.deliver(o)
			if clash == Refuse {
				reasonIs(t, err, bundle.ReasonClash)
				if intent := p.book.read(t); intent.Name != "" {
					t.Errorf("the intent stands: %+v", intent)
				}
				if names := top(t, p.to); len(names) != 1 {
					t.Errorf("left over: %v", names)
				}
				continue
			}
			if intent := p.book.read(t); err != nil || out.Final != "item~7" || intent.Name != "item~7" {
				t.Errorf("got %+v, %v, on record %+v", out, err, intent)
			}
		}
	}
}

// TestAnItemMayNotBeCalledLikeALeftover keeps one bundle from standing where another one cleans up.
func TestAnItemMayNotBeCalledLikeALeftover(t *testing.T) {
	name := temporary("item", bundle.ID{9})
	p := here(t, []entry{{name, 0o600, 1, "x"}})
	o := p.options()
	for _, clash := range []Clash{Refuse, Replace} {
		o.Clash = clash
		_, err := p.deliver(o)
		reasonIs(t, err, bundle.ReasonClash)
	}
	o.Clash = KeepBoth
	if out, err := p.deliver(o); err != nil || out.Final != name+"~7" {
		t.Errorf("got %+v, %v", out, err)
	}
}

// TestContentThatNoLongerMatchesIsRefused changes the quarantined bundle after its approval. Nothing may appear, not even what is right.
func TestContentThatNoLongerMatchesIsRefused(t *testing.T) {
	flip := func(t *testing.T, name string) {
		text, err := os.ReadFile(name)
		must(t, err)
		text[len(text)/2] ^= 1
		must(t, os.WriteFile(name, text, 0o600))
	}
	for name, change := range map[string]func(t *testing.T, files string){
		"a flipped bit":          func(t *testing.T, files string) { flip(t, filepath.Join(files, "item/a")) },
		"a flipped bit in a big": func(t *testing.T, files string) { flip(t, filepath.Join(files, "item/deep/big")) },
		"a byte more": func(t *testing.T, files string) {
			must(t, os.WriteFile(filepath.Join(files, "item/none"), []byte("x"), 0o600))
		},
		"a byte more in a big": func(t *testing.T, files string) {
			must(t, os.WriteFile(filepath.Join(files, "item/deep/big"), []byte(big+"x"), 0o600))
		},
		"a byte less":          func(t *testing.T, files string) { must(t, os.Truncate(filepath.Join(files, "item/a"), 4)) },
		"a byte less in a big": func(t *testing.T, files string) { must(t, os.Truncate(filepath.Join(files, "item/deep/big"), 1<<17)) },
		"a missing file":       func(t *testing.T, files string) { must(t, os.Remove(filepath.Join(files, "item/a"))) },
		"a missing directory":  func(t *testing.T, files string) { must(t, os.Remove(filepath.Join(files, "item/empty"))) },
		"an extra file": func(t *testing.T, files string) {
			must(t, os.WriteFile(filepath.Join(files, "item/b"), nil, 0o600))
		},
		"an extra file beside": func(t *testing.T, files string) {
			must(t, os.WriteFile(filepath.Join(files, "other"), nil, 0o600))
		},
		"an extra directory": func(t *testing.T, files string) { must(t, os.Mkdir(filepath.Join(files, "item/deep/x"), 0o700)) },
		"a pipe for a file": func(t *testing.T, files string) {
			must(t, os.Remove(filepath.Join(files, "item/a")))
			must(t, unix.Mkfifo(filepath.Join(files, "item/a"), 0o600))
		},
		"a link for a file": func(t *testing.T, files string) {
			must(t, os.Rename(filepath.Join(files, "item/a"), filepath.Join(files, "../a")))
			must(t, os.Symlink("../../a", filepath.Join(files, "item/a")))
		},
		"a link for the tree": func(t *testing.T, files string) {
			must(t, os.Rename(filepath.Join(files, "item"), filepath.Join(files, "../item")))
			must(t, os.Symlink("../item", filepath.Join(files, "item")))
		},
		"nothing at all": func(t *testing.T, files string) { must(t, os.RemoveAll(filepath.Dir(files))) },
	} {
		for _, keep := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, keep %v", name, keep), func(t *testing.T) {
				p := here(t, tree())
				change(t, filepath.Join(p.job.Dir, "files"))
				o := p.options()
				o.Keep = keep
				_, err := p.deliver(o)
				reasonIs(t, err, bundle.ReasonContentMismatch)
				if names := top(t, p.to); len(names) > 0 {
					t.Errorf("the destination holds %v", names)
				}
				if intent := p.book.read(t); intent != nil {
					t.Errorf("an intent was noted: %+v", intent)
				}
			})
		}
	}
}

// TestACopyIsHashedEvenWhereTheOriginalWasVerified: the disk may fail between two readings.
func TestACopyIsHashedEvenWhereTheOriginalWasVerified(t *testing.T) {
	for _, at := range []string{"item/a", "item/deep/big"} {
		p := here(t, tree())
		p.job.Verified = true
		f, err := os.OpenFile(filepath.Join(p.job.Dir, "files", at), os.O_WRONLY, 0)
		must(t, err)
		_, err = f.WriteAt([]byte{'!'}, 2)
		must(t, errors.Join(err, f.Close()))
		o := p.options()
		o.Keep = true
		_, err = p.deliver(o)
		reasonIs(t, err, bundle.ReasonContentMismatch)
		if names := top(t, p.to); len(names) > 0 {
			t.Errorf("the destination holds %v", names)
		}
	}
}

// TestWhatHasASecondLinkIsCopied: whoever holds the other link could write to what was delivered.
func TestWhatHasASecondLinkIsCopied(t *testing.T) {
	for _, items := range [][]entry{tree(), closed()} {
		p := here(t, items)
		last := items[len(items)-1].path
		must(t, os.Link(filepath.Join(p.job.Dir, "files", last), filepath.Join(filepath.Dir(p.job.Dir), "backup")))
		out, err := p.deliver(p.options())
		must(t, err)
		if !out.Copied {
			t.Error("it was moved")
		}
		same(t, look(t, p.to), p.want("item", p.options()))
	}
}

// TestALargeTreeIsMovedBySeveral shares the files of a tree out, and whoever finds one that cannot be moved speaks for all.
func TestALargeTreeIsMovedBySeveral(t *testing.T) {
	items := []entry{{path: "item/", mode: 0o700}}
	for n := range 2*moveApart + 7 {
		if n%100 == 0 {
			items = append(items, entry{path: fmt.Sprintf("item/%04d/", n), mode: 0o700})
		}
		items = append(items, entry{path: fmt.Sprintf("item/%04d/%d", n/100*100, n), content: fmt.Sprint(n), mode: 0o600})
	}
	for _, linked := range []int{0, len(items) - 1} { // 0: none
		p := here(t, items)
		p.job.Verified = true
		if linked > 0 {
			for items[linked].content == "" {
				linked++
			}
			must(t, os.Link(filepath.Join(p.job.Dir, "files", items[linked].path), filepath.Join(filepath.Dir(p.job.Dir), "backup")))
		}
		out, err := p.deliver(p.options())
		must(t, err)
		if out.Copied != (linked > 0) {
			t.Errorf("a second link of entry %d: copied %v", linked, out.Copied)
		}
		same(t, look(t, p.to), p.want("item", p.options()))
	}
}

// TestAReplacedDirectoryIsRemovedWhateverItHolds has in it what Go's fs.FS would not name.
func TestAReplacedDirectoryIsRemovedWhateverItHolds(t *testing.T) {
	p := here(t, tree())
	old := filepath.Join(p.to, "item", "not\xffutf8", "x")
	must(t, os.MkdirAll(old, 0o700))
	must(t, os.Chmod(filepath.Dir(old), 0o100))
	o := p.options()
	o.Clash, o.Keep = Replace, true
	out, err := p.deliver(o)
	if err != nil || out.Left != "" {
		t.Fatalf("got %+v, %v", out, err)
	}
	same(t, look(t, p.to), p.want("item", o))
}

func TestWordsOfTheConfiguration(t *testing.T) {
	for _, c := range []Clash{KeepBoth, Replace, Refuse} {
		if got, err := ParseClash(c.String()); got != c || err != nil {
			t.Errorf("%s: %v %v", c, got, err)
		}
	}
	if _, err := ParseClash("both"); err == nil {
		t.Error("both is taken")
	}
}

// TestStoppedAfterTheIntentWasNoted has somebody stop the route in the last instant, also of an attempt that finds its intent on record and hashes the item once more.
func TestStoppedAfterTheIntentWasNoted(t *testing.T) {
	for _, keep := range []bool{false, true} {
		p := here(t, tree())
		o := p.options()
		o.Keep = keep
		stop := bundle.Reject(bundle.ReasonRouteStopped, "G-2", "stopped")
		for _, at := range []string{"noted", "prepared", "killed", "prepared"} {
			if at == "killed" { // with the intent on record
				func() {
					defer func() { _ = recover() }()
					o.May, o.hook = nil, func(step string) {
						if step == "noted" {
							panic(step)
						}
					}
					_, _ = p.deliver(o)
				}()
				if intent := p.book.read(t); intent == nil || intent.Name != "item" {
					t.Fatalf("on record is %+v", intent)
				}
				continue
			}
			stopped := false
			o.May = func() error {
				if stopped {
					return stop
				}
				return nil
			}
			o.hook = func(step string) { stopped = stopped || step == at }
			_, err := p.deliver(o)
			reasonIs(t, err, bundle.ReasonRouteStopped)
			if slices.Contains(top(t, p.to), "item") {
				t.Fatalf("keep %v: delivered, although stopped at %s", keep, at)
			}
		}
		o.May, o.hook = nil, nil
		out, err := p.deliver(o)
		if err != nil || out.Final != "item" {
			t.Errorf("keep %v: %+v, %v", keep, out, err)
		}
		same(t, look(t, p.to), p.want("item", o))
	}
}

// TestStopped has the context end while a tree is copied: what was made is removed, and the next attempt delivers.
func TestStopped(t *testing.T) {
	p := here(t, tree())
	ctx, cancel := context.WithCancel(t.Context())
	o := p.options()
	o.Keep = true
	o.hook = func(step string) {
		if step == "file" {
			cancel()
		}
	}
	_, err := deliverOne(ctx, disk.New(), p.job, o, p.book.intent)
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if names := top(t, p.to); len(names) > 0 {
		t.Errorf("left over: %v", names)
	}
	o.hook = nil
	if _, err := p.deliver(o); err != nil {
		t.Fatal(err)
	}
}

// TestAnIntentThatIsNotNoted tells a refused one, after which nothing is left, from one of which nobody knows.
func TestAnIntentThatIsNotNoted(t *testing.T) {
	gone := errors.New("the ledger has stopped")
	for _, keep := range []bool{false, true} {
		p := here(t, tree())
		o := p.options()
		o.Keep = keep
		_, err := deliverOne(t.Context(), disk.New(), p.job, o, func(Intent) error { return fmt.Errorf("%w: it was rejected", ErrNotNoted) })
		if !errors.Is(err, ErrNotNoted) || len(top(t, p.to)) > 0 {
			t.Fatalf("refused: %v, and there are %v", err, top(t, p.to))
		}
		// The ledger ends after it has written the intent and before it could say so.
		_, err = deliverOne(t.Context(), disk.New(), p.job, o, func(i Intent) error {
			if i.Final != "" {
				must(t, p.book.intent(i))
			}
			return gone
		})
		if !errors.Is(err, gone) {
			t.Fatal(err)
		}
		if names := top(t, p.to); keep && (len(names) != 1 || names[0] != temporary("item", testID)) {
			t.Fatalf("what the intent names is gone: %v", names)
		}
		out, err := p.deliver(o)
		if err != nil || out.Resumed || len(top(t, p.to)) != 1 {
			t.Fatalf("got %+v, %v, %v", out, err, top(t, p.to))
		}
		same(t, look(t, p.to), p.want("item", o))
		if out, err = p.deliver(o); err != nil || !out.Resumed || out.Taken {
			t.Fatalf("once more: %+v, %v", out, err)
		}
		same(t, look(t, p.to), p.want("item", o))
	}
}

// TestAFileThatLooksLikeTheIntentIsNotTheDelivery: the same name and another inode is somebody else's.
func TestAFileThatLooksLikeTheIntentIsNotTheDelivery(t *testing.T) {
	p := here(t, file())
	item := inodeOf(t, filepath.Join(p.job.Dir, "files", "item"))
	must(t, p.book.intent(Intent{Final: "item", Inode: item, Moved: true}))
	must(t, os.WriteFile(filepath.Join(p.to, "item"), []byte("alpha"), 0o640))
	out, err := p.deliver(p.options())
	if err != nil || out.Resumed || out.Final != "item~7" {
		t.Errorf("got %+v, %v", out, err)
	}
	if got := p.book.read(t); *got != (ledger.Delivery{Name: "item~7", Inode: item, Moved: true}) {
		t.Errorf("on record: %+v", got)
	}
}

// TestPourSplitsNothing has a reader that gives a byte at a time, and one that fails.
func TestPourSplitsNothing(t *testing.T) {
	want := bundle.File{Path: "item", Size: 5}
	for _, text := range []string{"alpha", "alph", "alphab", "alphb"} {
		c := newContent(t.Context(), 5)
		c.hash.Write([]byte("alpha"))
		want.Digest = bundle.Digest(c.hash.Sum(nil))
		err := c.check(iotestOneByte{bytes.NewReader([]byte(text))}, want)
		if (err == nil) != (text == "alpha") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

type iotestOneByte struct{ r *bytes.Reader }

func (o iotestOneByte) Read(p []byte) (int, error) { return o.r.Read(p[:1]) }

// full is a disk that has no room for one rename.
type full struct{ struck bool }

func (f *full) Before(op *disk.Op) error {
	if op.Kind == disk.RenameNew && !f.struck {
		f.struck = true
		return unix.ENOSPC
	}
	return nil
}

func (f *full) After(*disk.Op, error) {}

// A rename fails for want of room, and for the same want its intent cannot be taken back. What the intent names stays where it is, or the next attempt would think
// that it was delivered, and taken.
func TestAnIntentThatCannotBeTakenBackKeepsWhatItNames(t *testing.T) {
	for _, keep := range []bool{false, true} {
		p := here(t, tree())
		o := p.options()
		o.Keep = keep
		_, err := deliverOne(t.Context(), disk.Watched(&full{}), p.job, o, func(i Intent) error {
			if i.Final == "" {
				return fmt.Errorf("%w: %w", ErrNotNoted, unix.ENOSPC)
			}
			return p.book.intent(i)
		})
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
		out, err := p.deliver(o)
		if err != nil || out.Taken {
			t.Fatalf("keep %v: %+v, %v", keep, out, err)
		}
		same(t, look(t, p.to), p.want("item", o))

		// A bundle that is rejected meanwhile has no next attempt: nothing of it stays.
		p = here(t, tree())
		_, err = deliverOne(t.Context(), disk.Watched(&full{}), p.job, o, func(i Intent) error {
			if i.Final == "" {
				return fmt.Errorf("%w: %w", ErrNotNoted, ErrOver)
			}
			return p.book.intent(i)
		})
		if names := top(t, p.to); !errors.Is(err, unix.ENOSPC) || len(names) > 0 {
			t.Fatalf("keep %v: rejected meanwhile: %v, %v", keep, err, names)
		}
	}
}
