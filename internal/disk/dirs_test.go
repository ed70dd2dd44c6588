package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Names are found wherever they are asked for, in any order, and no link is followed: neither the last part of a name, nor one that leads out of the Root.
func TestDirsFindWhatIsThereAndFollowNoLink(t *testing.T) {
	top := t.TempDir()
	outside := filepath.Join(top, "outside")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(outside, []byte("out"), 0o600))
	for _, p := range []*probe{nil, {}} {
		d := New()
		if p != nil {
			d = Watched(p)
		}
		in := filepath.Join(top, "in")
		must(os.RemoveAll(in))
		must(os.Mkdir(in, 0o700))
		root, err := d.OpenRoot(in)
		must(err)
		defer root.Close()
		dirs, to := root.Dirs(), root.Dirs()
		defer dirs.Close()
		defer to.Close()
		for _, name := range []string{"a", "a/b", "c", "a/b/d"} {
			must(dirs.Mkdir(name, 0o700))
		}
		for _, name := range []string{"top", "a/one", "a/b/two", "c/three"} {
			must(os.WriteFile(filepath.Join(in, name), []byte(name), 0o600))
		}
		must(dirs.Rename("a/b/two", to, "c/moved"))
		for name, want := range map[string]string{"c/moved": "a/b/two", "top": "top", "a/one": "a/one", "c/three": "c/three"} {
			f, err := dirs.Open(name)
			must(err)
			b := make([]byte, 20)
			n, err := f.Read(b)
			must(errors.Join(err, f.Close()))
			if string(b[:n]) != want {
				t.Errorf("%s holds %q", name, b[:n])
			}
		}
		must(os.Symlink("top", filepath.Join(in, "link")))
		must(os.Symlink(top, filepath.Join(in, "out")))
		if _, err := dirs.Open("link"); !errors.Is(err, unix.ELOOP) {
			t.Errorf("a link that stays inside: %v", err)
		}
		var st unix.Stat_t
		must(dirs.Lstat("c/moved", &st))
		if st.Size != int64(len("a/b/two")) {
			t.Errorf("c/moved has %d bytes", st.Size)
		}
		must(dirs.Lstat("link", &st))
		if st.Mode&unix.S_IFMT != unix.S_IFLNK {
			t.Errorf("a link is looked through: mode %o", st.Mode)
		}
		for _, name := range []string{"out/outside", "../outside", "nowhere/x", "a/nothing"} {
			if err := dirs.Lstat(name, &st); err == nil {
				t.Errorf("%s is looked at", name)
			}
			if f, err := dirs.Open(name); err == nil {
				t.Errorf("%s opens %s", name, f.Name())
			}
			if err := dirs.Rename("top", to, filepath.Join(filepath.Dir(name), "stolen")); err == nil && name != "a/nothing" {
				t.Errorf("a rename to %s", name)
			}
			must(os.WriteFile(filepath.Join(in, "top"), []byte("top"), 0o600))
		}
		for _, name := range []string{"..", "a/..", "/etc/hostname"} {
			if f, err := dirs.Open(name); err == nil && name != "a/.." {
				t.Errorf("%s opens %s", name, f.Name())
			}
		}
		if err := dirs.Mkdir("out/made", 0o700); err == nil {
			t.Error("a directory is made through a link")
		}
		if err := dirs.Mkdir("a", 0o700); !errors.Is(err, fs.ErrExist) {
			t.Errorf("what is there is made again: %v", err)
		}
	}
}

type probe struct{}

func (*probe) Before(*Op) error { return nil }
func (*probe) After(*Op, error) {}
