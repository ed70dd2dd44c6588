package deliver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
)

// What cannot be moved as it is, or what its owner could not put together again, is not prepared: the delivery does all of it, and tells what is wrong.
func TestOnlyWhatWillBeMovedIsMadePrepare(t *testing.T) {
	for name, row := range map[string]struct {
		items    func() []entry
		options  func(p *place, o *Options)
		change   func(p *place)
		apart    bool
		prepared bool
	}{
		"a tree":                                    {items: changeableTree, prepared: true},
		"content that was not read":                 {items: changeableTree, change: func(p *place) { p.job.Verified = false }},
		"a file that its owner may not change":      {items: tree},
		"a directory that its owner may not change": {items: twig},
		"to another file system":                    {items: changeableTree, apart: true},
		"what has to stay as well":                  {items: changeableTree, options: func(_ *place, o *Options) { o.Keep = true }},
		"no destination":                            {items: changeableTree, options: func(p *place, o *Options) { o.Directory = p.to + "-not" }},
		"a name that is taken":                      {items: changeableTree, options: func(p *place, o *Options) { o.Clash = Refuse; must(t, os.Mkdir(filepath.Join(p.to, "item"), 0o700)) }},
		"a file with a second name":                 {items: changeableTree, change: func(p *place) { at := filepath.Join(p.job.Dir, "files/item/a"); must(t, os.Link(at, p.to+"-link")) }},
		"a file that is not there":                  {items: changeableTree, change: func(p *place) { must(t, os.Remove(filepath.Join(p.job.Dir, "files/item/a"))) }},
		"a bundle that is not there":                {items: changeableTree, change: func(p *place) { p.job.Dir += "-not" }},
		"a file, where a link stands": {items: file, change: func(p *place) {
			at := filepath.Join(p.job.Dir, "files/item")
			must(t, os.Remove(at))
			must(t, os.Symlink("/etc/hosts", at))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			lay := here
			if row.apart {
				lay = apart
			}
			p := lay(t, row.items())
			p.job.Verified = true
			o := p.options()
			if row.options != nil {
				row.options(p, &o)
			}
			if row.change != nil {
				row.change(p)
			}
			intent, ok := Prepare(context.Background(), disk.New(), p.job, o)
			if ok != row.prepared || ok && intent.Final != "item" {
				t.Errorf("prepared %v, %+v", ok, intent)
			}
		})
	}
}

// What is prepared is renamed, and its intent is not noted a second time: the steps counted are those before and after the one note.
func TestWhatIsPreparedIsOnlyRenamed(t *testing.T) {
	p := here(t, changeableTree())
	p.early = true
	o := p.options()
	var notes int
	p.book.step = func(string) { notes++ }
	out, err := p.deliver(o)
	if err != nil || out.Final != "item" || out.Resumed || notes != 2 {
		t.Fatalf("%+v, %v, %d steps of notes", out, err, notes)
	}
	same(t, look(t, p.to), p.want("item", o))
}

// A name that somebody takes after the intent was noted is not replaced, and an intent that is not carried out is taken back.
func TestWhatIsPreparedAndCannotBeRenamed(t *testing.T) {
	for _, clash := range []Clash{KeepBoth, Refuse} {
		p := here(t, changeableTree())
		p.early = true
		o := p.options()
		o.Clash = clash
		p.book.step = func(step string) {
			if step == "after the intent is durable" && len(top(t, p.to)) == 0 {
				must(t, os.Mkdir(filepath.Join(p.to, "item"), 0o755))
			}
		}
		out, err := p.deliver(o)
		switch intent := p.book.read(t); {
		case clash == KeepBoth:
			if err != nil || out.Final != "item~7" || intent.Name != "item~7" {
				t.Errorf("got %+v, %v, on record %+v", out, err, intent)
			}
		case intent.Name != "":
			t.Errorf("the intent stands: %+v", intent)
		default:
			reasonIs(t, err, bundle.ReasonClash)
		}
	}
	var failed *Failure
	p := here(t, changeableTree())
	p.early = true
	p.book.step = func(step string) {
		if step == "after the intent is durable" {
			_ = os.Rename(p.to, p.to+"-away")
		}
	}
	if _, err := p.deliver(p.options()); !errors.As(err, &failed) || failed.Reason != bundle.ReasonDestination {
		t.Errorf("without a destination: %v", err)
	}
	if intent := p.book.read(t); intent.Name != "" {
		t.Errorf("without a destination, and nobody can reject it: %+v", intent)
	}
}

// prepares makes the next attempt one of a job that was prepared by this process.
func (p *place) prepares(o Options) {
	p.t.Helper()
	p.job.Verified = true
	i, ok := Prepare(context.Background(), disk.New(), p.job, o)
	if !ok {
		p.t.Fatal("it was not prepared")
	}
	must(p.t, p.book.intent(i))
	p.job.Previous, p.job.Prepared = p.book.read(p.t), true
}

func (p *place) attemptOn(d *disk.Disk, o Options) (Outcome, error) {
	return deliverOne(context.Background(), d, p.job, o, p.book.intent)
}

func TestAHardLinkMadeAfterPreparingDoesNotLeadToWhatWasDelivered(t *testing.T) {
	p := here(t, changeableTree())
	o := p.options()
	p.prepares(o)
	must(t, os.Link(filepath.Join(p.job.Dir, "files/item/a"), p.to+"-backup"))
	_, err := p.attemptOn(disk.New(), o)
	must(t, err)
	must(t, os.WriteFile(p.to+"-backup", []byte("EVIL!"), 0o600))
	if b, err := os.ReadFile(filepath.Join(p.to, "item/a")); string(b) != "alpha" || err != nil {
		t.Errorf("delivered %q, %v", b, err)
	}
}

// handsOn makes a directory that hands a group on, or none.
func handsOn(t *testing.T, dir string, gid int) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	if gid != 0 {
		must(t, os.Chown(dir, -1, gid))
		must(t, os.Chmod(dir, os.ModeSetgid|0o775))
	}
}

func TestAnotherDestinationThanThePreparedOneGivesItsOwnGroup(t *testing.T) {
	needRoot(t)
	for _, row := range []struct{ before, after, want int }{{4001, 4002, 4002}, {4001, 0, os.Getegid()}, {0, 4002, 4002}} {
		p := here(t, changeableTree())
		handsOn(t, p.to, row.before)
		o := p.options()
		p.prepares(o)
		must(t, os.Rename(p.to, p.to+"-old"))
		handsOn(t, p.to, row.after)
		_, err := p.attemptOn(disk.New(), o)
		must(t, err)
		for _, name := range []string{"item", "item/a", "item/b/tool"} {
			info, err := os.Stat(filepath.Join(p.to, name))
			must(t, err)
			if got := int(stat(info).Gid); got != row.want {
				t.Errorf("%+v: %s has group %d", row, name, got)
			}
		}
	}
}

// failing fails acts of one kind on one path, so many times.
type failing struct {
	kind  disk.Kind
	path  string
	times int
}

func (f *failing) Before(op *disk.Op) error {
	if op.Kind == f.kind && op.Path == f.path && f.times > 0 {
		f.times--
		return unix.EIO
	}
	return nil
}

func (*failing) After(*disk.Op, error) {}

// A life that ended between the rename and its note has delivered: one look that fails at the next start takes nothing back.
func TestOneLookThatFailsDoesNotUndoADelivery(t *testing.T) {
	p := here(t, changeableTree())
	o := p.options()
	p.prepares(o)
	must(t, os.Rename(filepath.Join(p.job.Dir, "files/item"), filepath.Join(p.to, "item"))) // and killed
	p.job.Prepared, p.job.Verified = false, false
	if _, err := p.attemptOn(disk.Watched(&failing{disk.Stat, filepath.Join(p.to, "item"), 1}), o); err == nil {
		t.Fatal("the look did not fail")
	}
	p.job.Previous = p.book.read(t)
	if out, err := p.attemptOn(disk.New(), o); err != nil || !out.Resumed || out.Taken {
		t.Errorf("then: %+v, %v", out, err)
	}
}

// An intent names its item by a number that another place gives to another thing: a state that was copied is not one whose items were taken.
func TestAStateThatWasCopiedHasDeliveredNothing(t *testing.T) {
	for _, clash := range []Clash{KeepBoth, Replace} {
		p := here(t, changeableTree())
		o := p.options()
		o.Clash = clash
		p.prepares(o)
		out, err := exec.Command("cp", "-a", p.job.Dir, p.job.Dir+"-copy").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		must(t, os.Rename(p.job.Dir, p.job.Dir+"-old"))
		must(t, os.Rename(p.job.Dir+"-copy", p.job.Dir))
		p.job.Prepared, p.job.Verified = false, false
		if out, err := p.attemptOn(disk.New(), o); err != nil || out.Resumed {
			t.Errorf("%v: %+v, %v", clash, out, err)
		}
		same(t, look(t, p.to), p.want("item", o))
	}
}

// What stands at the destination on another file system may have the item's number by chance.
func TestAnotherFileSystemsNumberIsNotTheDelivery(t *testing.T) {
	needRoot(t)
	p := here(t, file())
	o := p.options()
	p.prepares(o)
	mount(t, "none", p.to, "tmpfs", 0, "")
	must(t, os.WriteFile(filepath.Join(p.to, "item"), []byte("another's"), 0o600))
	p.job.Dir, p.job.Previous.Inode = rehomed(t, p, inodeOf(t, filepath.Join(p.to, "item")))
	if out, err := p.attemptOn(disk.New(), o); err != nil || out.Resumed || out.Final != "item~7" {
		t.Errorf("%+v, %v", out, err)
	}
}

// rehomed makes the quarantined bundle again on a new file system, until its item has a number there: new file systems begin with the same ones.
func rehomed(t *testing.T, p *place, number uint64) (dir string, inode uint64) {
	t.Helper()
	at := filepath.Join(scratch(t), "fs")
	mount(t, "none", at, "tmpfs", 0, "")
	for n := range 100 {
		name := filepath.Join(at, fmt.Sprint(n))
		must(t, os.WriteFile(name, []byte("alpha"), 0o600))
		if inodeOf(t, name) == number {
			dir := filepath.Join(at, "quarantine")
			must(t, os.MkdirAll(filepath.Join(dir, "files"), 0o700))
			must(t, os.Rename(name, filepath.Join(dir, "files", "item")))
			return dir, number
		}
	}
	t.Fatalf("no item got the number %d", number)
	return "", 0
}

// A queue of intents that an earlier life left costs no durable step for each.
func TestIntentsOfAnEarlierLifeAreNotTakenBackOneByOne(t *testing.T) {
	dir := scratch(t)
	o := Options{Directory: filepath.Join(dir, "to"), FileMode: DefaultFileMode, DirMode: DefaultDirMode}
	must(t, os.Mkdir(o.Directory, 0o755))
	var jobs []Job
	for n := range 50 {
		j := makeQuarantined(t, filepath.Join(dir, "q", fmt.Sprint(n)), []entry{{fmt.Sprint("f", n), 0o600, 1_000_000_000, "alpha"}})
		j.ID, j.Verified = bundle.ID{byte(n), 1}, true
		i, ok := Prepare(context.Background(), disk.New(), j, o)
		if !ok {
			t.Fatal("it was not prepared")
		}
		j.Previous, j.Verified = &ledger.Delivery{Name: i.Final, Inode: i.Inode, Moved: i.Moved}, false
		jobs = append(jobs, j)
	}
	notes := 0
	for _, r := range Batch(context.Background(), disk.New(), jobs, o, func([]Intent) []error { notes++; return nil }) {
		must(t, r.Err)
	}
	if names := top(t, o.Directory); notes > 0 || len(names) != 50 {
		t.Errorf("%d notes, %d items", notes, len(names))
	}
}

// Several bundles that were prepared under one name each get one, however often they are killed.
func TestSeveralPreparedUnderOneName(t *testing.T) {
	for _, clash := range []Clash{KeepBoth, Replace, Refuse} {
		for first := 1; first < 30; first++ {
			for second := 0; second < 30; second += 3 {
				severalOfOneName(t, clash, first, second)
			}
		}
	}
}

func severalOfOneName(t *testing.T, clash Clash, first, second int) {
	t.Helper()
	dir := filepath.Join(memory(t), "x")
	o := Options{Directory: filepath.Join(dir, "to"), FileMode: DefaultFileMode, DirMode: DefaultDirMode, Clash: clash}
	must(t, os.MkdirAll(o.Directory, 0o755))
	records, done := map[bundle.ID]ledger.Delivery{}, map[bundle.ID]bool{}
	var jobs []Job
	for n := range 3 {
		j := makeQuarantined(t, filepath.Join(dir, "q", fmt.Sprint(n)), []entry{{"item/", 0o700, 1_000_000_000, ""}, {"item/a", 0o600, 1_000_000_000, fmt.Sprint("content ", n)}})
		j.ID, j.Sequence, j.Verified = bundle.ID{byte(n + 1)}, uint64(n+1), true
		i, ok := Prepare(context.Background(), disk.New(), j, o)
		if !ok {
			t.Fatal("it was not prepared")
		}
		records[j.ID] = ledger.Delivery{Name: i.Final, Inode: i.Inode, Moved: i.Moved}
		jobs = append(jobs, j)
	}
	live := func(killAt int, prepared bool) {
		defer func() {
			if r := recover(); r != nil && r != (killed{}) {
				panic(r)
			}
		}()
		o.hook = func(string) {
			if killAt--; killAt == 0 {
				panic(killed{})
			}
		}
		var now []Job
		for _, j := range jobs {
			if done[j.ID] {
				continue
			}
			r := records[j.ID]
			j.Previous, j.Verified, j.Prepared = &r, prepared, prepared && r.Name != ""
			now = append(now, j)
		}
		for i, r := range Batch(context.Background(), disk.New(), now, o, func(all []Intent) []error {
			o.hook("note")
			for _, i := range all {
				records[i.ID] = ledger.Delivery{Name: i.Final, Inode: i.Inode, Moved: i.Moved}
			}
			return nil
		}) {
			done[now[i].ID] = r.Err == nil
		}
	}
	live(first, true)
	live(second, false)
	live(0, false)
	stand := map[Clash]int{KeepBoth: 3, Replace: 1, Refuse: 1}[clash]
	seen := map[string]bool{}
	for _, name := range top(t, o.Directory) {
		b, err := os.ReadFile(filepath.Join(o.Directory, name, "a"))
		must(t, err)
		seen[string(b)] = true
	}
	if names := top(t, o.Directory); len(names) != stand || len(seen) != stand {
		t.Errorf("%v, killed at %d and %d: there are %v with %d contents", clash, first, second, names, len(seen))
	}
}
