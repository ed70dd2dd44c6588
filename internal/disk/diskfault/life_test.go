package diskfault

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
)

// row is one act that can be failed.
type row struct {
	kind disk.Kind
	do   func(b *machine) error
}

// rows is an act of each kind that changes, reads or syncs something; prepared has made what they are about.
var rows = []row{
	{disk.Create, func(b *machine) error { f, err := b.OpenStaged(b.at("new")); return closed(f, err) }},
	{disk.Open, func(b *machine) error { f, err := b.Open(b.at("file")); return closed(f, err) }},
	{disk.Mkdir, func(b *machine) error { return b.Mkdir(b.at("new"), 0o700) }},
	{disk.Rename, func(b *machine) error { return b.Rename(b.at("file"), b.at("other")) }},
	{disk.RenameNew, func(b *machine) error {
		return b.Renameat2(unix.AT_FDCWD, b.at("file"), unix.AT_FDCWD, b.at("new"), unix.RENAME_NOREPLACE)
	}},
	{disk.Exchange, func(b *machine) error {
		return b.Renameat2(unix.AT_FDCWD, b.at("file"), unix.AT_FDCWD, b.at("dir"), unix.RENAME_EXCHANGE)
	}},
	{disk.Remove, func(b *machine) error { return b.Remove(b.at("file")) }},
	{disk.Remove, func(b *machine) error { return b.Remove(b.at("dir")) }},
	{disk.Chmod, func(b *machine) error { return b.Chmod(b.at("file"), 0o640) }},
	{disk.Stat, func(b *machine) error { _, err := b.Lstat(b.at("file")); return err }},
	{disk.List, func(b *machine) error { _, err := b.List(b.dir); return err }},
	{disk.Space, func(b *machine) error { _, err := b.Space(b.dir); return err }},
	{disk.SyncDir, func(b *machine) error { return b.SyncDir(b.dir) }},
	{disk.SyncSystem, func(b *machine) error { return b.SyncAll(b.dir) }},
	{disk.Write, onFile(func(f *disk.File) error { _, err := f.Write(newText); return err })},
	{disk.Read, onFile(func(f *disk.File) error { _, err := f.Read(make([]byte, 4)); return err })},
	{disk.Truncate, onFile(func(f *disk.File) error { return f.Truncate(0) })},
	{disk.Times, onFile(func(f *disk.File) error { return f.SetMtime(5) })},
	{disk.Sync, onFile(func(f *disk.File) error { return f.Sync() })},
}

func closed(f *disk.File, err error) error {
	if err != nil {
		return err
	}
	return f.Close()
}

// onFile opens a file and then does one act on it.
func onFile(do func(f *disk.File) error) func(b *machine) error {
	return func(b *machine) error {
		f, err := b.OpenFile(b.at("file"), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		return errors.Join(do(f), f.Close())
	}
}

// prepared is a machine with {file, other, dir/}.
func prepared(t *testing.T) *machine {
	b := boot(t)
	must(t, errors.Join(b.Replace(b.at("file"), oldText), b.Replace(b.at("other"), newText), b.Mkdir(b.at("dir"), 0o700), b.SyncAll(b.dir)))
	return b
}

// answers says what each fault makes of an act.
var answers = map[What]error{
	Kill: disk.ErrKilled, Torn: disk.ErrKilled, ErrorOnce: unix.EIO, ErrorPath: unix.EIO, ErrorAll: unix.EIO, FullOnce: unix.ENOSPC, Full: unix.ENOSPC, Short: unix.ENOSPC,
}

// TestEachFaultStrikesEachActThatItCan arms every fault for every kind of act: it strikes once and is counted, what it forbids is not done, and it lasts as long as it says.
func TestEachFaultStrikesEachActThatItCan(t *testing.T) {
	for _, what := range Whats() {
		for _, r := range rows {
			b := prepared(t)
			before := shape(t, b.dir, true)
			b.life.Arm(Fault{What: what, Only: func(op *disk.Op) bool { return op.Kind == r.kind }})
			err := r.do(b)
			if !what.Strikes(r.kind) {
				if err != nil || len(b.Fired()) > 0 {
					t.Errorf("%v on %v: %v, %v", what, r.kind, err, b.Fired())
				}
				continue
			}
			if !errors.Is(err, answers[what]) || b.Fired()[what] != 1 || len(b.Fired()) != 1 {
				t.Errorf("%v on %v: %v, %v", what, r.kind, err, b.Fired())
			}
			if what != Torn && what != Short && shape(t, b.dir, true) != before {
				t.Errorf("%v on %v: it was done", what, r.kind)
			}
			lasts := what == Kill || what == Torn || what == ErrorPath || what == ErrorAll || what == Full
			if again := r.do(b); lasts != errors.Is(again, answers[what]) || !lasts && again != nil {
				t.Errorf("%v on %v, again: %v", what, r.kind, again)
			}
			b.life.Relieve()
			if dead := what == Kill || what == Torn; lasts && dead != errors.Is(r.do(b), disk.ErrKilled) || dead != b.life.Dead() {
				t.Errorf("%v on %v: after it was relieved it is dead: %v", what, r.kind, b.life.Dead())
			}
		}
	}
}

func TestAFaultWaitsForItsAct(t *testing.T) {
	b := boot(t)
	b.life.Trace()
	b.life.Arm(Fault{What: ErrorOnce, At: 3}, Fault{What: FullOnce, At: 4})
	for n, want := range []error{nil, nil, unix.EIO, nil, unix.ENOSPC, nil} {
		var err error
		if n == 3 {
			_, err = b.Stat(b.dir) // takes no room: the fault waits for the next
		} else {
			err = b.Mkdir(b.at(string(rune('a'+n))), 0o700)
		}
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("act %d: %v", n+1, err)
		}
	}
	n, traced := b.life.Acts()
	if n != 6 || len(traced) != 6 || traced[3] != (Act{disk.Stat, b.dir, ""}) || traced[5].Path != b.at("f") {
		t.Errorf("%d acts: %v", n, traced)
	}
}

func TestAnErrorOnAPathLeavesOtherPathsAlone(t *testing.T) {
	b := prepared(t)
	b.life.Arm(Fault{What: ErrorPath, Only: func(op *disk.Op) bool { return op.Path == b.at("file") }})
	for _, err := range []error{b.Chmod(b.at("file"), 0o600), b.Remove(b.at("file")), b.Rename(b.at("other"), b.at("file"))} {
		if !errors.Is(err, unix.EIO) {
			t.Errorf("%v", err)
		}
	}
	must(t, b.Remove(b.at("other")))
}

func TestAShortWriteIsHalfDone(t *testing.T) {
	for _, what := range []What{Short, Torn} {
		b := boot(t)
		b.life.Arm(Fault{What: what})
		if err := write1(b, "file", false); !errors.Is(err, answers[what]) {
			t.Error(err)
		}
		text, err := os.ReadFile(b.at("file"))
		if must(t, err); string(text) != string(newText[:len(newText)/2]) {
			t.Errorf("%v: %d bytes", what, len(text))
		}
		seen := make(map[int]bool)
		for seed := range uint64(100) { // what was done of it may be lost
			b := boot(t)
			must(t, b.Replace(b.at("file"), nil))
			b.life.Arm(Fault{What: what})
			_ = write1(b, "file", false)
			b.crash(t, seed, Ordered)
			text, err := os.ReadFile(b.at("file"))
			must(t, err)
			seen[len(text)] = true
		}
		if !seen[0] || !seen[len(newText)/2] || seen[len(newText)] {
			t.Errorf("%v: after a cut it has %v bytes", what, seen)
		}
	}
}

func TestADeadLifeTouchesNothing(t *testing.T) {
	b := prepared(t)
	f, err := b.OpenFile(b.at("file"), os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	dead := b.Disk
	b.life.Kill()
	b.crash(t, 1, Killed)
	before := shape(t, b.dir, true)
	_, write := f.Write([]byte("x"))
	for _, err := range []error{write, f.Sync(), dead.RemoveAll(b.at("file")), dead.MkdirAll(b.at("x/y")), dead.SyncAll(b.dir)} {
		if !errors.Is(err, disk.ErrKilled) {
			t.Errorf("%v", err)
		}
	}
	if shape(t, b.dir, true) != before {
		t.Error("it touched the disk")
	}
	must(t, b.Remove(b.at("file"))) // the next life can
}

func TestALimitIsADiskThatFillsUp(t *testing.T) {
	b := boot(t)
	must(t, b.Replace(b.at("first"), make([]byte, 5000))) // two pages
	must(t, b.Limit(b.dir, 6*pageSize))
	free := func(want int64) {
		t.Helper()
		if f, err := b.Space(b.dir); err != nil || f.Bytes != want*pageSize || f.Total != 6*pageSize {
			t.Errorf("%+v, %v; want %d pages", f, err, want)
		}
	}
	free(4)
	f, err := b.OpenStaged(b.at("second"))
	must(t, err)
	defer f.Close()
	if n, err := f.Write(make([]byte, 5*pageSize)); n != 4*pageSize || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("%d bytes, %v", n, err)
	}
	free(0)
	if n, err := f.WriteAt(make([]byte, pageSize), 0); n != pageSize || err != nil { // in place
		t.Errorf("%d bytes, %v", n, err)
	}
	if _, err := b.OpenStaged(b.at("third")); !errors.Is(err, unix.ENOSPC) {
		t.Error(err)
	}
	must(t, b.Remove(b.at("first")))
	free(2)
	must(t, f.Truncate(1))
	free(5)
	must(t, b.Replace(b.at("second"), nil))
	free(6)
	must(t, b.Limit(b.dir, 0))
	must(t, write1(b, "file", true))
}

func TestAFullDiskSaysThatNothingIsFree(t *testing.T) {
	b := boot(t)
	b.life.Arm(Fault{What: Full})
	if err := b.Mkdir(b.at("x"), 0o700); !errors.Is(err, unix.ENOSPC) {
		t.Error(err)
	}
	if f, err := b.Space(b.dir); err != nil || f.Bytes != 0 {
		t.Errorf("%+v, %v", f, err)
	}
	b.life.Relieve()
	if f, err := b.Space(b.dir); err != nil || f.Bytes == 0 {
		t.Errorf("%+v, %v", f, err)
	}
}

// TestTwoFileSystemsAreTwo: nothing is renamed from one to the other, and each is synced by itself.
func TestTwoFileSystemsAreTwo(t *testing.T) {
	lost := 0
	for seed := range uint64(100) {
		base := memory(t)
		one, two := filepath.Join(base, "one"), filepath.Join(base, "two")
		must(t, errors.Join(os.Mkdir(one, 0o700), os.Mkdir(two, 0o700)))
		m, err := New(one, two)
		must(t, err)
		b := &machine{Model: m, dir: one}
		b.begin()
		must(t, errors.Join(b.Prepare(one+"/a", newText), b.Place(one+"/a"), b.Prepare(two+"/b", newText), b.Place(two+"/b")))
		if err := b.Rename(one+"/a", two+"/a"); !errors.Is(err, unix.EXDEV) {
			t.Errorf("renamed: %v", err)
		}
		must(t, b.SyncAll(two))
		b.crash(t, seed, Ordered)
		if text, err := os.ReadFile(two + "/b"); err != nil || string(text) != string(newText) {
			t.Errorf("what was synced: %v", err)
		}
		if text, err := os.ReadFile(one + "/a"); err != nil || string(text) != string(newText) {
			lost++
		}
		must(t, m.Close())
	}
	if lost == 0 {
		t.Error("a sync of one file system covered the other")
	}
}

// TestAnActThatFailsLeavesNoTrace lets the system refuse acts that the model had prepared for.
func TestAnActThatFailsLeavesNoTrace(t *testing.T) {
	for name, do := range map[string]func(b *machine) error{
		"rename over a full directory": func(b *machine) error { return b.Rename(b.at("dir"), b.at("full")) },
		"a file over a directory":      func(b *machine) error { return b.Rename(b.at("file"), b.at("dir")) },
		"a directory over a file":      func(b *machine) error { return b.Rename(b.at("dir"), b.at("file")) },
		"a directory into itself":      func(b *machine) error { return b.Rename(b.at("full"), b.at("full/sub")) },
		"remove a full directory":      func(b *machine) error { return b.Remove(b.at("full")) },
		"what is not there":            func(b *machine) error { return b.Rename(b.at("none"), b.at("file")) },
		"a name that is taken": func(b *machine) error {
			return b.Renameat2(unix.AT_FDCWD, b.at("file"), unix.AT_FDCWD, b.at("other"), unix.RENAME_NOREPLACE)
		},
	} {
		b := prepared(t)
		must(t, errors.Join(b.Mkdir(b.at("full"), 0o700), b.Mkdir(b.at("full/sub"), 0o700), b.Mkdir(b.at("full/x"), 0o700), b.SyncAll(b.dir)))
		before := shape(t, b.dir, false)
		if err := do(b); err == nil {
			t.Errorf("%s: it was done", name)
		}
		if acts, _ := b.Pending(); acts > 0 || shape(t, b.dir, false) != before {
			t.Errorf("%s: %d acts are open; it was\n%s\nand is\n%s", name, acts, before, shape(t, b.dir, false))
		}
	}
}
