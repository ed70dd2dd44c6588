package deliver

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ecluse/protocol/bundle"
)

// TestDestinationsThatCannotBeUsed says destination for each, leaves the bundle where it is, and delivers it once the fault is mended.
func TestDestinationsThatCannotBeUsed(t *testing.T) {
	for _, row := range []struct {
		name  string
		spoil func(t *testing.T, to string)
		mend  func(t *testing.T, to string)
		step  string // spoil at this step, not before
		keep  bool
		plain bool // it is no fault for root
	}{
		{
			name:  "missing",
			spoil: func(t *testing.T, to string) { must(t, os.Rename(to, to+".away")) },
			mend:  func(t *testing.T, to string) { must(t, os.Rename(to+".away", to)) },
		},
		{
			name:  "a file",
			spoil: func(t *testing.T, to string) { must(t, errors.Join(os.Remove(to), os.WriteFile(to, nil, 0o644))) },
			mend:  func(t *testing.T, to string) { must(t, errors.Join(os.Remove(to), os.Mkdir(to, 0o755))) },
		},
		{name: "a link", spoil: linkAway, mend: linkBack},
		{name: "a link, while it is moved", step: "directories", spoil: linkAway, mend: linkBack},
		{name: "a link, while it is copied", step: "file", keep: true, spoil: linkAway, mend: linkBack},
		{
			name:  "another directory, while it is copied",
			step:  "file",
			keep:  true,
			spoil: func(t *testing.T, to string) { must(t, errors.Join(os.Rename(to, to+".away"), os.Mkdir(to, 0o755))) },
			mend:  func(t *testing.T, to string) { must(t, errors.Join(os.Remove(to), os.Rename(to+".away", to))) },
		},
		{
			name:  "not writable, moved",
			plain: true,
			spoil: func(t *testing.T, to string) { must(t, os.Chmod(to, 0o555)) },
			mend:  func(t *testing.T, to string) { must(t, os.Chmod(to, 0o755)) },
		},
		{
			name:  "not writable, copied",
			plain: true,
			keep:  true,
			spoil: func(t *testing.T, to string) { must(t, os.Chmod(to, 0o555)) },
			mend:  func(t *testing.T, to string) { must(t, os.Chmod(to, 0o755)) },
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.plain && os.Geteuid() == 0 {
				return // TestAlsoAsAPlainUser runs it
			}
			p := here(t, tree())
			o := p.options()
			o.Keep = row.keep
			if row.step == "" {
				row.spoil(t, p.to)
			} else {
				once := true
				o.hook = func(step string) {
					if step == row.step && once {
						once = false
						row.spoil(t, p.to)
					}
				}
			}
			_, err := p.deliver(o)
			reasonIs(t, err, bundle.ReasonDestination)
			if intent := p.book.read(t); intent != nil && intent.Name != "" {
				t.Errorf("an intent stands: %+v", intent)
			}
			row.mend(t, p.to)
			if names := top(t, p.to); len(names) > 0 {
				t.Errorf("left over: %v", names)
			}
			o.hook = nil
			out, err := p.deliver(o)
			if err != nil || out.Final != "item" {
				t.Fatalf("after it was mended: %+v, %v", out, err)
			}
			same(t, look(t, p.to), p.want("item", o))
		})
	}
}

func linkAway(t *testing.T, to string) {
	must(t, errors.Join(os.Rename(to, to+".away"), os.Mkdir(to+".trap", 0o755), os.Symlink(to+".trap", to)))
}

func linkBack(t *testing.T, to string) {
	if names := top(t, to+".trap"); len(names) > 0 {
		t.Errorf("through the link came %v", names)
	}
	must(t, errors.Join(os.Remove(to), os.Rename(to+".away", to)))
}

// TestAFullDestination has a small file system: full from the start, and filled by somebody else while the copy is under way.
func TestAFullDestination(t *testing.T) {
	needRoot(t)
	for _, step := range []string{"open", "file"} {
		t.Run("full at "+step, func(t *testing.T) {
			base := scratch(t)
			at := filepath.Join(base, "small")
			mount(t, "tmpfs", at, "tmpfs", 0, "size=1m")
			p := newPlace(t, base, at, tree())
			filler := filepath.Join(at, "filler")
			o := p.options()
			once := true
			o.hook = func(s string) {
				if s == step && once {
					once = false
					f, err := os.Create(filler)
					must(t, err)
					defer f.Close()
					for err == nil {
						_, err = f.WriteString(strings.Repeat("x", 4096))
					}
				}
			}
			_, err := p.deliver(o)
			reasonIs(t, err, bundle.ReasonDestination)
			if !errors.Is(err, unix.ENOSPC) {
				t.Errorf("it is full, and the error says %v", err)
			}
			if names := top(t, p.to); len(names) > 0 {
				t.Errorf("left over: %v", names)
			}
			must(t, os.Remove(filler))
			o.hook = nil
			_, err = p.deliver(o)
			must(t, err)
			same(t, look(t, p.to), p.want("item", o))
		})
	}
}

// TestWhatDoesNotFitIsNotBegun: a disk is not filled for nothing.
func TestWhatDoesNotFitIsNotBegun(t *testing.T) {
	needRoot(t)
	base := scratch(t)
	at := filepath.Join(base, "small")
	mount(t, "tmpfs", at, "tmpfs", 0, "size=64k")
	p := newPlace(t, base, at, tree())
	o := p.options()
	files := 0
	o.hook = func(s string) {
		if s == "file" {
			files++
		}
	}
	_, err := p.deliver(o)
	reasonIs(t, err, bundle.ReasonDestination)
	if !errors.Is(err, unix.ENOSPC) || files > 0 {
		t.Errorf("%d files were copied: %v", files, err)
	}
}

func TestAReadOnlyDestination(t *testing.T) {
	needRoot(t)
	base := scratch(t)
	at := filepath.Join(base, "ro")
	mount(t, "tmpfs", at, "tmpfs", 0, "size=1m")
	p := newPlace(t, base, at, tree())
	must(t, unix.Mount("", at, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	_, err := p.deliver(p.options())
	reasonIs(t, err, bundle.ReasonDestination)
}

// TestABindMountIsCopiedTo: both have one device number, and a rename between them fails with EXDEV.
func TestABindMountIsCopiedTo(t *testing.T) {
	needRoot(t)
	for _, items := range [][]entry{file(), tree(), closed()} {
		dir := scratch(t)
		p := newPlace(t, dir, dir, items)
		bound := filepath.Join(dir, "bound")
		mount(t, p.to, bound, "", unix.MS_BIND, "")
		o := p.options()
		o.Directory = bound
		out, err := p.deliver(o)
		if err != nil || !out.Copied || out.Final != "item" {
			t.Fatalf("got %+v, %v", out, err)
		}
		same(t, look(t, p.to), p.want("item", o))
		if left := top(t, filepath.Join(p.job.Dir, "files")); len(left) != 1 {
			t.Errorf("quarantine holds %v", left)
		}
	}
}

// TestTheGroupOfTheDestinationIsHandedOn where its set-group-id bit says so, whether the item is moved or copied.
func TestTheGroupOfTheDestinationIsHandedOn(t *testing.T) {
	needRoot(t)
	const group = 4242
	for _, keep := range []bool{false, true} {
		for _, bit := range []os.FileMode{0, os.ModeSetgid} {
			p := here(t, tree())
			must(t, errors.Join(os.Chown(p.to, 0, group), os.Chmod(p.to, 0o770|bit)))
			o := p.options()
			o.Keep = keep
			_, err := p.deliver(o)
			must(t, err)
			same(t, look(t, p.to), p.want("item", o))
			want := uint32(group)
			if bit == 0 {
				want = uint32(os.Getegid())
			}
			for name := range look(t, p.to) {
				info, err := os.Lstat(filepath.Join(p.to, name))
				must(t, err)
				if got := stat(info).Gid; got != want {
					t.Errorf("keep %v, bit %v: %q is of group %d", keep, bit, name, got)
				}
			}
		}
	}
}
