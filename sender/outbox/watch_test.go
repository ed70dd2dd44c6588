package outbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestWhatIsMovedInIsTakenAtOnce(t *testing.T) {
	t.Parallel()
	y := build(t, Options{Settle: long, Rescan: long})
	y.watch()
	y.ready()
	y.moveIn("file", "whole")
	y.offered("file")
	must(t, os.MkdirAll(filepath.Join(y.beside, "tree/deep"), 0o755))
	must(t, os.WriteFile(filepath.Join(y.beside, "tree/deep/x"), nil, 0o644))
	must(t, os.Rename(filepath.Join(y.beside, "tree"), y.path("tree")))
	if c := y.next(); c.Name != "tree" {
		t.Fatalf("offered %q", c.Name)
	}
}

// TestWhatIsWrittenSlowlyIsTakenWhenItStandsStill writes with pauses, some of them between two openings.
func TestWhatIsWrittenSlowlyIsTakenWhenItStandsStill(t *testing.T) {
	t.Parallel()
	y := build(t, Options{Settle: 3 * testSettle, Rescan: long})
	y.watch()
	content := ""
	for i := range 6 {
		content += fmt.Sprint(i)
		y.write("file", content)
		y.quiet(testSettle)
	}
	last := time.Now()
	c := y.next()
	if waited := time.Since(last); waited < testSettle { // one of three was spent in quiet
		t.Errorf("offered %s after the last write", waited+testSettle)
	}
	item, err := y.Claim(c, id(1))
	must(t, err)
	holds(t, item.Path, content)
}

func TestATreeThatGrowsIsNotTaken(t *testing.T) {
	t.Parallel()
	y := build(t, Options{Settle: 2 * testSettle, Rescan: long})
	must(t, os.MkdirAll(y.path("tree/a/b"), 0o755))
	y.watch()
	for i := range 5 {
		must(t, os.WriteFile(y.path("tree/a/b", fmt.Sprint(i)), nil, 0o644)) // inotify sees nothing of it
		y.quiet(testSettle)
	}
	if c := y.next(); c.Name != "tree" {
		t.Fatalf("offered %q", c.Name)
	}
}

func TestAWriterHoldsBackWhatIsMadeInPlaceAndNotWhatIsMovedIn(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{"a file": "item", "a file deep in a tree": "item/a/b"} {
		for how, moved := range map[string]bool{"moved in": true, "in place": false} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				y := build(t, Options{Settle: testSettle, Rescan: long})
				if y.blind {
					if os.Getenv("CI") == "true" {
						t.Fatal("leases do not work on this file system, so writers are not looked for (TMPDIR names another): ", y.notices)
					}
					t.Skip("SKIPPED: leases do not work on this file system, so writers are not looked for (TMPDIR names another): ", y.notices)
				}
				y.watch()
				y.ready() // what is moved in before that is found by reading, and is no rename
				top := y.beside
				if !moved {
					top = y.o.Dir
				}
				must(t, os.MkdirAll(filepath.Dir(filepath.Join(top, path)), 0o755))
				f, err := os.Create(filepath.Join(top, path))
				must(t, err)
				defer f.Close()
				if moved {
					must(t, os.Rename(filepath.Join(top, "item"), y.path("item")))
				} else {
					y.quiet(4 * testSettle)
					must(t, f.Close())
				}
				if c := y.next(); c.Name != "item" {
					t.Fatalf("offered %q", c.Name)
				}
			})
		}
	}
}

func TestNamesThatAreLeftAlone(t *testing.T) {
	t.Parallel()
	y := build(t, Options{Settle: testSettle, Rescan: testSettle})
	alone := []string{".hidden", "x.part", "x.tmp", ".x.ecluse-reason.txt~", "..."}
	inside := []string{".hidden", "x.part", "x.tmp", ".ecluse", ".git"}
	y.watch()
	for _, n := range alone {
		y.moveIn(n, "")
	}
	must(t, os.Mkdir(filepath.Join(y.beside, "tree"), 0o755))
	for _, n := range inside {
		must(t, os.WriteFile(filepath.Join(y.beside, "tree", n), []byte(n), 0o644))
	}
	must(t, os.Rename(filepath.Join(y.beside, "tree"), y.path("tree")))
	c := y.next()
	if c.Name != "tree" {
		t.Fatalf("offered %q", c.Name)
	}
	item, err := y.Claim(c, id(1))
	must(t, err)
	for _, n := range inside {
		holds(t, filepath.Join(item.Path, n), n)
	}
	y.quiet(4 * testSettle)
	for _, n := range alone {
		holds(t, y.path(n), "")
	}
	must(t, os.Rename(y.path("x.part"), y.path("x"))) // this is how such a tool ends
	y.offered("x")
}

// TestHostileThingsHoldUpNobody drops everything that is no plain file, and one that is.
func TestHostileThingsHoldUpNobody(t *testing.T) {
	t.Parallel()
	y := build(t, Options{Settle: testSettle, Rescan: long})
	names := []string{"dangling", "socket", "pipe", "loop", "linked", "linked2", "absolute", "plain"}
	must(t, os.Symlink("/nowhere", y.path("dangling")))
	must(t, os.Symlink("/etc", y.path("absolute")))
	must(t, os.Symlink("loop", y.path("loop")))
	must(t, unix.Mkfifo(y.path("pipe"), 0o600))
	must(t, unix.Mknod(y.path("socket"), unix.S_IFSOCK|0o600, 0))
	y.write("linked", "two names")
	must(t, os.Link(y.path("linked"), y.path("linked2")))
	if os.Geteuid() == 0 {
		names = append(names, "device")
		must(t, unix.Mknod(y.path("device"), unix.S_IFCHR|0o600, 1<<8|3))
	}
	y.write("plain", "content")
	must(t, os.Mkdir(y.path("deep"), 0o755)) // and a tree with a pipe in it, which nobody must open
	must(t, unix.Mkfifo(y.path("deep/pipe"), 0o600))
	names = append(names, "deep")
	y.watch()
	y.offered(names...)
	items, err := y.Claimed()
	must(t, err)
	if len(items) != len(names) {
		t.Fatalf("%d are claimed, want %d", len(items), len(names))
	}
	for _, item := range items {
		must(t, y.Failed(item, "it cannot travel"))
	}
	if must(t, y.PurgeFailed(time.Now().Add(time.Hour), func(Kept) bool { return true })); !exists("/etc/hostname") && !exists("/etc/passwd") {
		t.Fatal("a link was followed")
	}
}

func TestWhatInotifyMissedIsFound(t *testing.T) {
	t.Parallel()
	y := build(t, Options{Settle: testSettle, Rescan: long})
	ctx, cancel := context.WithCancel(t.Context())
	w := &watcher{b: y.Outbox, ctx: ctx, moved: make(chan *follow), calm: make(chan *follow), seen: make(chan sight)}
	w.f = newFollowers(waits{testSettle, testSettle}, y.writeReason, y.removeReason)
	defer w.group.Wait()
	defer cancel()
	defer w.unwatch()
	w.scan(time.Now())
	y.write("lost", "")
	<-w.notifier.events // and nobody has seen it
	w.events([]event{{kind: eventOverflow}}, true)
	if now := time.Now(); w.rescan.After(now) || !y.told(NoticeOverflow) {
		t.Fatalf("no rescan before %s", w.rescan.Sub(now))
	}
	w.scan(time.Now())
	if w.f.items["lost"] == nil {
		t.Fatal("the rescan did not find it")
	}
}

func TestTheRescanFindsWithoutInotify(t *testing.T) {
	t.Parallel()
	y := build(t, Options{Settle: testSettle, Rescan: testSettle})
	y.write("before", "")
	y.watch()
	y.offered("before")
	// A directory that takes the outbox's place makes no event in the one that was watched.
	other := filepath.Join(y.beside, "other")
	must(t, os.Mkdir(other, 0o770))
	must(t, os.WriteFile(filepath.Join(other, "after"), nil, 0o644))
	must(t, unix.Renameat2(unix.AT_FDCWD, other, unix.AT_FDCWD, y.o.Dir, unix.RENAME_EXCHANGE))
	if c := y.next(); c.Name != "after" {
		t.Fatalf("offered %q", c.Name)
	}
}

func TestAnUnwatchedOutboxIsReadAtIntervalsOnly(t *testing.T) {
	t.Parallel()
	y := build(t, Options{Settle: testSettle, Rescan: testSettle, Unwatched: true})
	y.watch()
	time.Sleep(testSettle / 2) // the first reading is over
	began := time.Now()
	y.moveIn("item", "")
	if c := y.next(); c.Name != "item" {
		t.Fatalf("offered %q", c.Name)
	}
	if took := time.Since(began); took < testSettle {
		t.Errorf("offered after %v: a rename was seen", took)
	}
}

func TestAnOutboxThatGoesComesBack(t *testing.T) {
	t.Parallel()
	y := build(t, Options{Settle: testSettle, Rescan: testSettle})
	y.watch()
	y.moveIn("one", "")
	y.offered("one")
	must(t, os.Rename(y.o.Dir, y.o.Dir+"-away"))
	eventually(t, "the outbox is missed", func() bool { return y.told(NoticeGone) })
	must(t, os.Rename(y.o.Dir+"-away", y.o.Dir))
	eventually(t, "the outbox is back", func() bool { return y.told(NoticeBack) })
	y.moveIn("two", "")
	if c := y.next(); c.Name != "two" {
		t.Fatalf("offered %q", c.Name)
	}
}

func TestAnOfferWaitsForItsTaker(t *testing.T) {
	t.Parallel()
	y := build(t, Options{Settle: testSettle, Rescan: testSettle})
	y.watch()
	for i := range 20 {
		y.moveIn(fmt.Sprint(i), "")
	}
	time.Sleep(3 * testSettle)
	seen := map[string]bool{}
	for range 20 {
		c := y.next()
		if seen[c.Name] {
			t.Fatalf("%q was offered twice", c.Name)
		}
		seen[c.Name] = true
	}
	y.quiet(3 * testSettle) // nobody has claimed them yet; they are offered once a minute
}

func TestARefusedItemIsTriedAgain(t *testing.T) {
	t.Parallel()
	y := build(t, Options{Settle: testSettle, Rescan: long})
	y.watch()
	y.moveIn("item", "")
	c := y.next()
	must(t, os.Mkdir(y.house(sendingName, id(1).String()), 0o700))
	if _, err := y.Claim(c, id(1)); err == nil || errors.Is(err, ErrGone) {
		t.Fatalf("claimed where something stood already: %v", err)
	}
	reason := y.path(reasonName("item"))
	text, err := os.ReadFile(reason)
	must(t, err)
	if len(text) == 0 || !y.told(NoticeRefused) {
		t.Fatal("nobody was told")
	}
	eventually(t, "the refusal is taken in", func() bool { y.Outbox.mu.Lock(); defer y.Outbox.mu.Unlock(); return len(y.outcomes) == 0 })
	must(t, os.Chmod(y.path("item"), 0o600)) // an operator mends it
	_, err = y.Claim(y.next(), id(2))
	must(t, err)
	absent(t, reason)
}

func TestReasonsOfAnEarlierLifeGo(t *testing.T) {
	t.Parallel()
	y := build(t, Options{Settle: testSettle, Rescan: long})
	stale := y.path(reasonName("gone"))
	must(t, os.WriteFile(stale, nil, 0o640))
	y.watch()
	eventually(t, "the reason goes", func() bool { return !exists(stale) })
}

func TestWatchEndsPromptly(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(y *yard){
		"while nobody takes": func(y *yard) { y.moveIn("item", "") },
		"while it settles":   func(y *yard) { y.write("item", "") },
		"with nothing to do": func(*yard) {},
	} {
		t.Run(name, func(t *testing.T) {
			y := build(t, Options{Settle: testSettle, Rescan: testSettle})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { y.Watch(ctx, y.found); close(done) }()
			prepare(y)
			time.Sleep(2 * testSettle)
			cancel()
			select {
			case <-done:
			case <-time.After(time.Second):
				t.Fatal("Watch goes on")
			}
		})
	}
}

func TestEventsAreParsed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n, err := notify(dir)
	must(t, err)
	go n.run(t.Context().Done())
	must(t, os.WriteFile(filepath.Join(dir, "a"), nil, 0o600))
	must(t, os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "bb")))
	must(t, os.WriteFile(filepath.Join(dir, ".hidden"), nil, 0o600))
	must(t, os.Remove(filepath.Join(dir, "bb")))
	must(t, os.Remove(filepath.Join(dir, ".hidden")))
	must(t, syscall.Rmdir(dir))
	var got []event
	for batch := range n.events {
		if got = append(got, batch...); got[len(got)-1].kind == eventEnd {
			break
		}
	}
	must(t, n.close())
	for range n.events {
	}
	want := []event{{eventTouched, "a"}, {eventTouched, "a"}, {eventMoved, "bb"}, {eventEnd, ""}}
	if fmt.Sprint(got[:min(len(got), 4)]) != fmt.Sprint(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	if e := parseEvents(make([]byte, 20)); len(e) != 0 {
		t.Fatalf("nothing became %v", e)
	}
	b := make([]byte, unix.SizeofInotifyEvent)
	b[12] = 200 // a name beyond the end
	if e := parseEvents(b); len(e) != 1 || e[0].kind != eventOverflow {
		t.Fatalf("half an event became %v", e)
	}
}
