package outbox

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
)

func (y *yard) claimed(name string, n int) Item {
	y.t.Helper()
	y.write(name, "content of "+name)
	item, err := y.Claim(Candidate{Name: name}, id(n))
	must(y.t, err)
	return item
}

func TestClaimMovesTheItem(t *testing.T) {
	t.Parallel()
	y := build(t, Options{})
	y.write("item", "content")
	item, err := y.Claim(Candidate{Name: "item"}, id(1))
	must(t, err)
	if want := y.path(".ecluse", "sending", id(1).String(), "item"); item.Path != want {
		t.Errorf("it stands at %s, want %s", item.Path, want)
	}
	if item.Tenant != "default" || item.Outbox != y.Dir() || item.Name != "item" || item.ID != id(1) || item.Class != bundle.Normal || time.Since(item.Created) > time.Minute {
		t.Errorf("%+v", item)
	}
	holds(t, item.Path, "content")
	absent(t, y.path("item"))
	y.write("x.part", "upload")
	item, err = y.Claim(Candidate{Name: "x.part", As: "x", Class: bundle.Urgent}, id(2))
	must(t, err)
	if item.Name != "x" || filepath.Base(item.Path) != "x" || item.Class != bundle.Urgent {
		t.Errorf("%+v", item)
	}
	holds(t, item.Path, "upload")
}

func TestClaimedSurvivesARestart(t *testing.T) {
	t.Parallel()
	y := build(t, Options{})
	one, two := y.claimed("one", 1), y.claimed("two", 2)
	must(t, os.Mkdir(y.house(sendingName, id(3).String()), 0o700)) // a crash in the middle of a claim
	must(t, os.Mkdir(y.house(sendingName, "stray"), 0o700))
	b, err := Open(y.o)
	must(t, err)
	items, err := b.Claimed()
	must(t, err)
	if len(items) != 2 {
		t.Fatalf("%d items: %+v", len(items), items)
	}
	for _, want := range []Item{one, two} {
		if !slices.ContainsFunc(items, func(i Item) bool {
			return i.Path == want.Path && i.ID == want.ID && i.Name == want.Name && i.Tenant == want.Tenant
		}) {
			t.Errorf("%s is not among %+v", want.Path, items)
		}
	}
	absent(t, y.house(sendingName, id(3).String()))
	if !y.told(NoticeStray) {
		t.Error("the stray was not reported")
	}
}

func TestAnItemThatWasTakenBackIsNoError(t *testing.T) {
	t.Parallel()
	for name, take := range map[string]func(y *yard) error{
		"moved away": func(y *yard) error { return os.Rename(y.path("item"), filepath.Join(y.beside, "mine")) },
		"removed":    func(y *yard) error { return os.Remove(y.path("item")) },
		"another in its place": func(y *yard) error {
			return errors.Join(os.WriteFile(filepath.Join(y.beside, "new"), []byte("new"), 0o644), os.Rename(filepath.Join(y.beside, "new"), y.path("item")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			y := build(t, Options{Settle: testSettle, Rescan: long})
			y.watch()
			y.moveIn("item", "old")
			c := y.next()
			must(t, take(y))
			if _, err := y.Claim(c, id(1)); !errors.Is(err, ErrGone) {
				t.Fatalf("got %v, want ErrGone", err)
			}
			absent(t, y.path(reasonName("item")))
			absent(t, y.house(sendingName, id(1).String()))
			if y.told(NoticeRefused) {
				t.Error("it was reported")
			}
			if !exists(y.path("item")) {
				y.moveIn("item", "new")
			}
			item, err := y.Claim(y.next(), id(2))
			must(t, err)
			holds(t, item.Path, "new")
		})
	}
}

func TestClaimTakesOneName(t *testing.T) {
	t.Parallel()
	y := build(t, Options{})
	must(t, os.WriteFile(filepath.Join(y.beside, "secret"), nil, 0o600))
	y.write("item", "")
	for name, c := range map[string]Candidate{
		"a path":        {Name: "../beside/secret"},
		"a path within": {Name: ".ecluse/sending"},
		"as a path":     {Name: "item", As: "../item"},
		"the directory": {Name: "."},
		"the parent":    {Name: ".."},
		"no name":       {},
		"our own house": {Name: houseName},
		"as dots":       {Name: "item", As: ".."},
	} {
		if item, err := y.Claim(c, id(1)); err == nil {
			t.Errorf("%s: claimed as %s", name, item.Path)
		}
		if y.told(NoticeRefused) {
			t.Fatalf("%s: a reason was written", name)
		}
	}
	if _, err := y.Claim(Candidate{Name: "item"}, bundle.ID{}); err == nil {
		t.Error("claimed without an id")
	}
	holds(t, y.path("item"), "")
	if !exists(y.house(sendingName)) || !exists(filepath.Join(y.beside, "secret")) {
		t.Error("something was moved")
	}
}

func TestSentIsTheSameAfterACrash(t *testing.T) {
	t.Parallel()
	y := build(t, Options{})
	for name, crash := range map[string]func(item Item) error{
		"none":                func(Item) error { return nil },
		"before anything":     func(Item) error { return nil },
		"with the place made": func(item Item) error { return os.Mkdir(y.sentDir(7), 0o700) },
		"with the item moved": func(item Item) error {
			return errors.Join(os.Mkdir(y.sentDir(7), 0o700), os.Rename(item.Path, filepath.Join(y.sentDir(7), item.Name)))
		},
		"with everything done":   func(item Item) error { return y.Sent(item, 7, time.Now()) },
		"after somebody took it": func(item Item) error { return y.Sent(item, 7, time.Now()) },
	} {
		t.Run(name, func(t *testing.T) {
			item := y.claimed("item", 1)
			must(t, crash(item))
			must(t, y.Sent(item, 7, time.Now()))
			must(t, y.Sent(item, 7, time.Now()))
			path, ok := y.SentPath(7, "item")
			if !ok || path != y.path(".ecluse", "sent", "7", "item") {
				t.Fatalf("it stands at %s, %v", path, ok)
			}
			holds(t, path, "content of item")
			absent(t, filepath.Dir(item.Path))
			must(t, os.RemoveAll(y.sentDir(7)))
		})
	}
	if _, ok := y.SentPath(7, "item"); ok {
		t.Error("what is gone stands somewhere")
	}
	if _, ok := y.SentPath(7, "../../sending"); ok {
		t.Error("a path was taken for a name")
	}
}

func TestAnEarlierEpochMakesRoom(t *testing.T) {
	t.Parallel()
	y := build(t, Options{})
	for n := range 3 {
		item := y.claimed("item", n+1)
		must(t, os.WriteFile(item.Path, []byte{byte('a' + n)}, 0o644))
		must(t, y.Sent(item, 1, time.Now()))
	}
	for place, content := range map[string]string{"1": "c", "1~1": "a", "1~2": "b"} {
		holds(t, y.house(sentName, place, "item"), content)
	}
}

func TestWhatWasLongOnItsWayIsKeptFromItsEndOn(t *testing.T) {
	t.Parallel()
	y := build(t, Options{})
	item := y.claimed("item", 1)
	old := time.Now().Add(-48 * time.Hour)
	must(t, os.Chtimes(filepath.Dir(item.Path), old, old))
	must(t, y.Sent(item, 1, time.Now()))
	must(t, y.PurgeSent(time.Now().Add(-time.Hour), func(k Kept) bool { t.Errorf("it is to be purged, as of %v", k.Since); return false }))
}

func TestFailedIsTheSameAfterACrash(t *testing.T) {
	t.Parallel()
	for name, crash := range map[string]func(y *yard, item Item) error{
		"before anything":     func(*yard, Item) error { return nil },
		"with the place made": func(y *yard, item Item) error { return os.Mkdir(y.house(failedName, item.ID.String()), 0o700) },
		"with the item moved": func(y *yard, item Item) error {
			dir := y.house(failedName, item.ID.String())
			return errors.Join(os.Mkdir(dir, 0o700), os.Rename(item.Path, filepath.Join(dir, item.Name)))
		},
		"with everything done": func(y *yard, item Item) error { return y.Failed(item, "because") },
	} {
		for _, item := range []string{"item", reasonFile} {
			t.Run(name+" "+item, func(t *testing.T) {
				y := build(t, Options{})
				it := y.claimed(item, 1)
				must(t, crash(y, it))
				must(t, y.Failed(it, "because"))
				must(t, y.Failed(it, "because"))
				dir := y.path(".ecluse", "failed", id(1).String())
				holds(t, filepath.Join(dir, item), "content of "+item)
				text, err := os.ReadFile(filepath.Join(dir, reasonFor(item)))
				must(t, err)
				if !strings.Contains(string(text), "because") || !strings.Contains(string(text), id(1).String()) {
					t.Errorf("the reason is %q", text)
				}
				absent(t, filepath.Dir(it.Path))
				if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o750 {
					t.Errorf("mode %v, %v", info.Mode(), err)
				}
			})
		}
	}
}

func TestPurgeAsksAndReports(t *testing.T) {
	t.Parallel()
	y := build(t, Options{})
	old, young := time.Now().Add(-48*time.Hour), time.Now()
	for n, age := range []time.Time{old, old, young} {
		must(t, y.Sent(y.claimed("item", n+1), uint64(n+1), time.Now()))
		must(t, os.Chtimes(y.sentDir(uint64(n+1)), age, age))
		it := y.claimed("bad", n+11)
		must(t, y.Failed(it, "because"))
		must(t, os.Chtimes(y.house(failedName, it.ID.String()), age, age))
	}
	must(t, os.Rename(y.sentDir(2), y.house(sentName, "2~1")))
	must(t, os.MkdirAll(y.house(sentName, partial+"9", "deep"), 0o700)) // a purge that was cut short
	must(t, os.Mkdir(y.house(sentName, "stray"), 0o700))
	before := time.Now().Add(-time.Hour)
	for n, unseen := range []bool{true, true, false} {
		must(t, y.Dismiss(id(n+11)))
		must(t, y.Dismiss(id(n+11)))
		if Unseen(y.o.Disk, y.o.Dir) != unseen || FailedDir(y.o.Disk, y.o.Dir, id(n+11)) != y.house(failedName, id(n+11).String()+seen) {
			t.Errorf("%d are dismissed, and of what failed something is unseen: %v", n+1, !unseen)
		}
	}
	if err := y.Dismiss(id(9)); !errors.Is(err, ErrGone) {
		t.Errorf("dismissed what is not there: %v", err)
	}
	var sent, failed []Kept
	keep := func(list *[]Kept, answer func(Kept) bool) func(Kept) bool {
		return func(k Kept) bool { *list = append(*list, k); return answer(k) }
	}
	must(t, y.PurgeSent(before, keep(&sent, func(k Kept) bool { return k.Earlier })))
	if len(sent) != 2 || sent[0].Sequence != 1 || sent[0].Earlier || sent[1].Sequence != 2 || !sent[1].Earlier || !slices.Equal(sent[0].Names, []string{"item"}) || sent[0].Since.After(before) {
		t.Fatalf("asked for %+v", sent)
	}
	holds(t, y.house(sentName, "1", "item"), "content of item")
	absent(t, y.house(sentName, "2~1"))
	holds(t, y.house(sentName, "3", "item"), "content of item")
	absent(t, y.house(sentName, partial+"9"))
	if !exists(y.house(sentName, "stray")) || !y.told(NoticeStray) {
		t.Error("a stray was purged, or not reported")
	}
	must(t, y.PurgeFailed(before, keep(&failed, func(k Kept) bool { return k.ID == id(11) })))
	if len(failed) != 2 || !slices.Equal(failed[0].Names, []string{"bad"}) {
		t.Fatalf("asked for %+v", failed)
	}
	absent(t, y.house(failedName, id(11).String()+seen))
	holds(t, filepath.Join(FailedDir(y.o.Disk, y.o.Dir, id(12)), "bad"), "content of bad")
	holds(t, filepath.Join(FailedDir(y.o.Disk, y.o.Dir, id(13)), "bad"), "content of bad")
}

func TestReasonNamesFit(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, n := range []string{"a", strings.Repeat("a", 255), strings.Repeat("a", 254) + "b", strings.Repeat("é", 127), strings.Repeat("a", 236), strings.Repeat("a", 237)} {
		r := reasonName(n)
		if len(r) > maxComponent || !isReason(r) || !leftAlone(r) {
			t.Errorf("%q has the reason %q", n, r)
		}
		if other, twice := seen[r]; twice {
			t.Errorf("%q and %q share a reason", n, other)
		}
		seen[r] = n
	}
}

func TestOpenRefusesAHouseOfAnother(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(house string) error{
		"a file": func(h string) error { return os.WriteFile(h, nil, 0o600) },
		"a link": func(h string) error { return os.Symlink("/tmp", h) },
		"somebody else's": func(h string) error {
			if os.Geteuid() != 0 {
				return os.WriteFile(h, nil, 0o600)
			}
			return errors.Join(os.Mkdir(h, 0o777), os.Chown(h, 4711, 4711))
		},
	} {
		dir := t.TempDir()
		must(t, make(filepath.Join(dir, houseName)))
		if _, err := Open(Options{Disk: disk.New(), Dir: dir, Tenant: "default"}); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}
