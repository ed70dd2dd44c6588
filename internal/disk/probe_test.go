package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// witness is a Probe that notes what it sees below a directory, and answers what it is told to. Its lock is held from Before to After, as a probe's may be.
type witness struct {
	dir    string
	answer func(*Op) error

	mu   sync.Mutex
	now  *Op
	seen []string
}

func (w *witness) Before(op *Op) error {
	w.mu.Lock()
	w.now = op
	short := func(path string) string {
		if path == "" {
			return ""
		}
		rel, err := filepath.Rel(w.dir, path)
		if err != nil || strings.HasPrefix(rel, "..") {
			return "?" + path
		}
		if strings.HasPrefix(rel, "t-") {
			return "t-*"
		}
		return rel
	}
	text := op.Kind.String() + " " + short(op.Path)
	if op.To != "" {
		text += " " + short(op.To)
	}
	if op.Kind == Read || op.Kind == Write {
		text += fmt.Sprintf(" %d+%d", op.At, op.Len)
	}
	if op.Kind == Write && op.Data != nil && len(op.Data) != op.Len {
		text += " with other data"
	}
	w.seen = append(w.seen, text)
	if w.answer != nil {
		return w.answer(op)
	}
	return nil
}

func (w *witness) After(op *Op, _ error) {
	if w.now != op {
		panic("another act came in between")
	}
	w.now = nil
	w.mu.Unlock()
}

// acts is every act that a Disk can be asked for, each on a directory made by prepare, with what a probe has to see of it.
var acts = []struct {
	name string
	do   func(d *Disk, dir string) error
	sees string // lines
}{
	{"put", func(d *Disk, dir string) error {
		return errors.Join(d.Prepare(dir+"/new/p", []byte("abc")), d.Place(dir+"/new/p"))
	},
		"create new/p.ecluse-tmp\nstat new\nstat .\nmkdir new\ncreate new/p.ecluse-tmp\nwrite new/p.ecluse-tmp 0+3\nrename new/p.ecluse-tmp new/p"},
	{"discard", func(d *Disk, dir string) error {
		return errors.Join(d.Prepare(dir+"/d", nil), d.Discard(dir+"/d"), d.Discard(dir+"/d"))
	},
		"create d.ecluse-tmp\nwrite d.ecluse-tmp 0+0\nremove d.ecluse-tmp\nremove d.ecluse-tmp"},
	{"replace", func(d *Disk, dir string) error { return d.Replace(dir+"/file", []byte("abc")) },
		"create file.ecluse-tmp\nwrite file.ecluse-tmp 0+3\nsync file.ecluse-tmp\nrename file.ecluse-tmp file\nsync-dir ."},
	{"read file", func(d *Disk, dir string) error { _, err := d.ReadFile(dir+"/file", 100); return err }, "open file\nread file 0+101\nread file 9+92"},
	{"read dir", func(d *Disk, dir string) error { _, err := d.ReadDir(dir); return err }, "list ."},
	{"sync all", func(d *Disk, dir string) error { return d.SyncAll(dir) }, "sync-system ."},
	{"space", func(d *Disk, dir string) error { _, err := d.Space(dir); return err }, "space ."},
	{"mkdir", func(d *Disk, dir string) error { return d.Mkdir(dir+"/m", 0o700) }, "mkdir m"},
	{"create temp", func(d *Disk, dir string) error { f, err := d.CreateTemp(dir, "t-*"); return closed(f, err) }, "create t-*"},
	{"rename", func(d *Disk, dir string) error { return d.Rename(dir+"/file", dir+"/other") }, "rename file other"},
	{"remove", func(d *Disk, dir string) error { return d.Remove(dir + "/file") }, "remove file"},
	{"remove all", func(d *Disk, dir string) error { return d.RemoveAll(dir + "/tree") },
		"remove tree\nlist tree\nremove tree/a\nremove tree/b\nlist tree/b\nremove tree/b/c\nremove tree/b\nremove tree"},
	{"chmod", func(d *Disk, dir string) error { return d.Chmod(dir+"/file", 0o600) }, "chmod file"},
	{"lchown", func(d *Disk, dir string) error { return d.Lchown(dir+"/file", -1, -1) }, "chown file"},
	{"chtimes", func(d *Disk, dir string) error { return d.Chtimes(dir+"/file", time.Time{}, time.Unix(1, 0)) }, "times file"},
	{"stat", func(d *Disk, dir string) error { _, err := d.Stat(dir + "/file"); return err }, "stat file"},
	{"lstat", func(d *Disk, dir string) error { _, err := d.Lstat(dir + "/file"); return err }, "stat file"},
	{"raw", func(d *Disk, dir string) error {
		return below(d, dir, func(fd int) (err error) {
			var st unix.Stat_t
			err = errors.Join(d.Fstatat(fd, "file", &st, 0), d.Fstat(fd, &st), d.Faccessat(fd, "file", unix.R_OK, 0))
			f, failed := d.Openat(fd, "file", unix.O_RDONLY, 0)
			if failed != nil {
				return errors.Join(err, failed)
			}
			_, failed = d.Pread(f, make([]byte, 4), 2)
			return errors.Join(err, failed, unix.Close(f))
		})
	}, "open .\nstat file\nstat .\nstat file\nopen file\nread file 2+4"},
	{"raw renames", func(d *Disk, dir string) error {
		return below(d, dir, func(fd int) error {
			return errors.Join(d.Renameat2(fd, "file", fd, "x", unix.RENAME_NOREPLACE), d.Renameat2(fd, "x", fd, "tree", unix.RENAME_EXCHANGE), d.Renameat2(fd, "x", fd, "y", 0))
		})
	}, "open .\nrename-new file x\nexchange x tree\nrename x y"},
	{"file", func(d *Disk, dir string) error {
		f, err := d.OpenStaged(dir + "/file")
		if err != nil {
			return err
		}
		if err := os.Rename(dir+"/file", dir+"/moved"); err != nil { // by somebody else: the probe is told where it stands now
			return err
		}
		_, w := f.Write([]byte("12"))
		_, wa := f.WriteAt([]byte("3"), 5)
		_, r := f.Read(make([]byte, 3))
		_, ra := f.ReadAt(make([]byte, 1), 0)
		_, s := f.Stat()
		return errors.Join(w, wa, r, ra, s, f.Truncate(4), f.Chmod(0o600), f.Chown(-1, -1), f.SetMtime(7), f.Sync(), f.StartWriteback(0, 4), f.Close())
	}, "create file\nwrite moved 0+2\nwrite moved 5+1\nread moved 2+3\nread moved 0+1\nstat moved\ntruncate moved\nchmod moved\nchown moved\ntimes moved\nsync moved"},
	{"copy range", func(d *Disk, dir string) error {
		return both(d, dir, func(from, to *File) error { at := int64(0); _, err := to.CopyRange(from, &at, 9); return err })
	}, "open file\ncreate copy\nwrite copy 0+9"},
	{"copy", func(d *Disk, dir string) error {
		return both(d, dir, func(from, to *File) error { _, err := io.Copy(to, from); return err })
	},
		"open file\ncreate copy\nread file 0+32768\nwrite copy 0+9\nread file 9+32768"},
	{"directory", func(d *Disk, dir string) error {
		f, err := d.Open(dir + "/tree")
		if err != nil {
			return err
		}
		_, all := f.ReadDir(-1)
		_, names := f.Readdirnames(-1)
		return errors.Join(all, names, f.Sync(), f.SyncSystem(), f.Close())
	}, "open tree\nlist tree\nlist tree\nsync-dir tree\nsync-system tree"},
	{"root", func(d *Disk, dir string) error {
		r, err := d.OpenRoot(dir)
		if err != nil {
			return err
		}
		defer r.Close()
		b, err := r.OpenRoot("tree")
		if err != nil {
			return err
		}
		defer b.Close()
		f, opened := b.OpenFile("new", os.O_WRONLY|os.O_CREATE, 0o600)
		_, looked := r.Lstat("file")
		_, listed := r.List("tree")
		return errors.Join(closed(f, opened), looked, listed, r.Mkdir("m", 0o700), r.Rename("file", "m/x"), r.Chmod("m/x", 0o600), b.Remove("new"), r.RemoveAll("m"))
	}, "open .\nopen tree\ncreate tree/new\nstat file\nlist tree\nmkdir m\nrename file m/x\nchmod m/x\nremove tree/new\nremove m\nlist m\nremove m/x\nremove m"},
}

func closed(f *File, err error) error {
	if err != nil {
		return err
	}
	return f.Close()
}

func below(d *Disk, dir string, do func(fd int) error) error {
	fd, err := d.Openat(unix.AT_FDCWD, dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	return errors.Join(do(fd), unix.Close(fd))
}

func both(d *Disk, dir string, do func(from, to *File) error) error {
	from, err := d.Open(dir + "/file")
	if err != nil {
		return err
	}
	to, err := d.OpenFile(dir+"/copy", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return errors.Join(err, from.Close())
	}
	return errors.Join(do(from, to), from.Close(), to.Close())
}

// prepare makes {file, tree/{a, b/c}} with nine bytes in each file.
func prepare(t *testing.T) string {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err == nil {
		err = os.MkdirAll(filepath.Join(dir, "tree", "b"), 0o700)
	}
	for _, name := range []string{"file", "tree/a", "tree/b/c"} {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte("nine byte"), 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAProbeSeesEveryActWithItsPath(t *testing.T) {
	seen := make(map[string]bool)
	for _, a := range acts {
		t.Run(a.name, func(t *testing.T) {
			dir := prepare(t)
			w := &witness{dir: dir}
			if err := a.do(Watched(w), dir); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(w.seen, "\n"); got != a.sees {
				t.Errorf("it saw\n%s\nand not\n%s", got, a.sees)
			}
			for _, line := range w.seen {
				kind, _, _ := strings.Cut(line, " ")
				seen[kind] = true
			}
		})
	}
	for k := Kind(1); int(k) < Kinds; k++ {
		if !seen[k.String()] {
			t.Errorf("no act is a %s", k)
		}
	}
}

func TestAnActDoesTheSameWithAndWithoutAProbe(t *testing.T) {
	for _, a := range acts {
		t.Run(a.name, func(t *testing.T) {
			plain, seen := prepare(t), prepare(t)
			if err := errors.Join(a.do(New(), plain), a.do(Watched(&witness{dir: seen}), seen)); err != nil {
				t.Fatal(err)
			}
			if p, s := tree(t, plain), tree(t, seen); p != s {
				t.Errorf("without\n%s\nwith\n%s", p, s)
			}
		})
	}
}

// TestWhatAProbeForbidsIsNotDone forbids one act after the other: each answers with the probe's error, and a dead process changes nothing more, whatever it cleans up.
func TestWhatAProbeForbidsIsNotDone(t *testing.T) {
	for _, a := range acts {
		t.Run(a.name, func(t *testing.T) {
			lines := strings.Split(a.sees, "\n")
			for n := range lines {
				dir := prepare(t)
				var frozen string
				w := &witness{dir: dir}
				w.answer = func(*Op) error {
					if len(w.seen) <= n {
						return nil
					}
					if frozen == "" {
						frozen = tree(t, dir)
					}
					return ErrKilled
				}
				if err := a.do(Watched(w), dir); !errors.Is(err, ErrKilled) {
					t.Errorf("killed at %q, and it says %v", lines[n], err)
				}
				if now := tree(t, dir); now != frozen && a.name != "file" { // which renames behind the seam's back
					t.Errorf("killed at %q: it was\n%s\nand is\n%s", lines[n], frozen, now)
				}
			}
		})
	}
}

func TestAWriteIsCutShort(t *testing.T) {
	writes := map[string]func(d *Disk, dir string) error{
		"write": func(d *Disk, dir string) error {
			return both(d, dir, func(_, to *File) error { _, err := to.Write([]byte("nine byte")); return err })
		},
		"write at": func(d *Disk, dir string) error {
			return both(d, dir, func(_, to *File) error { _, err := to.WriteAt([]byte("nine byte"), 0); return err })
		},
		"copy range": func(d *Disk, dir string) error {
			return both(d, dir, func(from, to *File) error { at := int64(0); _, err := to.CopyRange(from, &at, 9); return err })
		},
	}
	for name, write := range writes {
		dir := prepare(t)
		w := &witness{dir: dir, answer: func(op *Op) error {
			if op.Kind == Write {
				op.Len = 4
				return unix.ENOSPC
			}
			return nil
		}}
		if err := write(Watched(w), dir); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("%s: %v", name, err)
		}
		if b, err := os.ReadFile(dir + "/copy"); err != nil || string(b) != "nine" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
}

func TestAProbeSaysHowMuchIsFree(t *testing.T) {
	w := &witness{}
	d := Watched(spacious{w})
	if free, err := d.Space(t.TempDir()); err != nil || free != (Free{1, 2, 3}) {
		t.Errorf("%+v, %v", free, err)
	}
}

type spacious struct{ *witness }

func (s spacious) After(op *Op, err error) {
	*op.Free = Free{1, 2, 3}
	s.witness.After(op, err)
}

func TestTheHotPathAllocatesNothing(t *testing.T) {
	dir := prepare(t)
	d := New()
	f, err := d.OpenStaged(dir + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 8)
	var st unix.Stat_t
	for name, act := range map[string]func(){
		"pread":    func() { _, _ = d.Pread(f.Fd(), b, 0) },
		"write at": func() { _, _ = f.WriteAt(b, 0) },
		"read at":  func() { _, _ = f.ReadAt(b, 0) },
		"write":    func() { _, _ = f.Write(b) },
		"fstat":    func() { _ = d.Fstat(f.Fd(), &st) },
		"truncate": func() { _ = f.Truncate(8) },
	} {
		if n := testing.AllocsPerRun(100, act); n > 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

// tree shows names, modes, sizes and content.
func tree(t *testing.T, dir string) string {
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		if strings.HasPrefix(rel, "t-") {
			rel = "t-*"
		}
		fmt.Fprintf(&b, "%s %v", rel, info.Mode())
		if info.Mode().IsRegular() {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %q", text)
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Whoever guards a directory is told of each sync that fails below it, whichever it is and whatever becomes of it, and of none elsewhere.
func TestAFailedSyncIsToldToTheGuard(t *testing.T) {
	syncs := map[string]func(d *Disk, dir string) error{
		"a file":      func(d *Disk, dir string) error { return d.Replace(filepath.Join(dir, "file"), []byte("text")) },
		"a directory": func(d *Disk, dir string) error { return d.SyncDir(dir) },
		"all":         func(d *Disk, dir string) error { return d.SyncAll(dir) },
	}
	for name, sync := range syncs {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, guarded afterwards %v", name, late), func(t *testing.T) {
				dir, failure := t.TempDir(), errors.New("broken")
				broken := failure // until it is not
				inside, outside := filepath.Join(dir, "state"), filepath.Join(dir, "state-of-others")
				for _, d := range []string{inside, outside} {
					if err := os.Mkdir(d, 0o700); err != nil {
						t.Fatal(err)
					}
				}
				w := &witness{dir: dir, answer: func(op *Op) error {
					if op.Kind == Sync || op.Kind == SyncDir || op.Kind == SyncSystem {
						return broken
					}
					return nil
				}}
				d := Watched(w)
				var told []error
				guard := func() { d.Guard(inside, func(err error) { told = append(told, err) }) }
				if !late {
					guard()
				}
				for _, at := range []string{outside, inside} {
					if err := sync(d, at); !errors.Is(err, failure) {
						t.Errorf("the sync gave %v", err)
					}
				}
				if late {
					guard()
				}
				if len(told) != 1 || !errors.Is(told[0], failure) || !strings.Contains(told[0].Error(), inside) {
					t.Errorf("the guard was told %v", told)
				}
				// The system thinks of what was lost as written: no later sync may say that it is durable.
				broken = nil
				for name, again := range syncs {
					if err := again(d, inside); !errors.Is(err, ErrLost) {
						t.Errorf("a later sync of %s gave %v", name, err)
					}
					if err := again(d, outside); err != nil {
						t.Errorf("a sync of %s elsewhere gave %v", name, err)
					}
				}
				if len(told) != 1 {
					t.Errorf("the guard was told %v", told)
				}
			})
		}
	}
}
