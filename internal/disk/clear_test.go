package disk

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// deep makes directories within one another, further down than a path can say.
func deep(t *testing.T, top, name string, depth int) {
	t.Helper()
	must(t, os.Mkdir(top, 0o700))
	fd, err := unix.Open(top, unix.O_DIRECTORY, 0)
	must(t, err)
	for range depth {
		must(t, unix.Mkdirat(fd, name, 0o700))
		next, err := unix.Openat(fd, name, unix.O_DIRECTORY, 0)
		must(t, err)
		must(t, unix.Close(fd))
		fd = next
	}
	f, err := unix.Openat(fd, "file", unix.O_CREAT|unix.O_WRONLY, 0o000)
	must(t, err)
	must(t, unix.Close(f))
	must(t, unix.Close(fd))
}

func TestClearRemovesWhateverSomebodyHostileHasMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "scratch")
	must(t, Clear(dir))
	must(t, os.Mkdir(dir, 0o700))
	outside := filepath.Join(filepath.Dir(dir), "outside")
	must(t, os.MkdirAll(filepath.Join(outside, "kept"), 0o755))
	before, err := os.Stat(outside)
	must(t, err)
	deep(t, filepath.Join(dir, "deep"), "d", 20_000)
	deep(t, filepath.Join(dir, "deep too"), ".clear-3", 300)
	for _, name := range []string{".clear-1", ".clear-2/.clear-2", "closed/below/below", "searched/below", "a b/\xff"} {
		must(t, os.MkdirAll(filepath.Join(dir, name), 0o700))
		must(t, os.WriteFile(filepath.Join(dir, name, "file"), nil, 0o000))
	}
	must(t, os.Symlink(outside, filepath.Join(dir, "closed/below/link")))
	must(t, os.Symlink(outside, filepath.Join(dir, "link")))
	must(t, unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	many := filepath.Join(dir, "many")
	must(t, os.Mkdir(many, 0o700))
	for n := range 3 * batchNames {
		must(t, os.Mkdir(filepath.Join(many, strconv.Itoa(n)), 0o700))
	}
	for name, mode := range map[string]os.FileMode{"closed/below/below": 0, "closed/below": 0o100, "closed": 0, "searched": 0o300, "many": 0o500, "": 0} {
		must(t, os.Chmod(filepath.Join(dir, name), mode))
	}
	if os.Getuid() == 0 { // whom no mode keeps out: somebody else does it
		program := filepath.Join(filepath.Dir(dir), "test")
		text, err := os.ReadFile("/proc/self/exe")
		must(t, err)
		must(t, os.WriteFile(program, text, 0o755))
		for p := filepath.Dir(dir); p != "/" && p != os.TempDir(); p = filepath.Dir(p) {
			must(t, os.Chmod(p, 0o755))
		}
		must(t, os.Chown(filepath.Dir(dir), 64125, 64125))
		if out, err := exec.Command("chown", "-hR", "64125:64125", dir).CombinedOutput(); err != nil {
			t.Fatalf("%s", out)
		}
		c := exec.Command("sh", "-c", `ulimit -n 100; exec "$0" -test.run '^TestClearAsAChild$'`, program)
		c.Env = append(os.Environ(), "ECLUSE_TEST_CLEAR="+dir)
		c.Dir = "/"
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 64125, Gid: 64125}}
		if out, err := c.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
			t.Errorf("%v: %s", err, out)
		}
	} else {
		must(t, Clear(dir))
	}
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("it is there: %v", err)
	}
	if after, err := os.Stat(outside); err != nil || after.Mode() != before.Mode() {
		t.Errorf("what a link leads to is %v, %v", after, err)
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) != 1 {
		t.Errorf("and holds %v, %v", left, err)
	}
	file := filepath.Join(filepath.Dir(dir), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	must(t, Clear(file))
	if err := Clear("/proc/self/status"); err == nil || !strings.Contains(err.Error(), "clear /proc/self/status") {
		t.Errorf("what cannot be removed: %v", err)
	}
}

// TestClearAsAChild is what another user does.
func TestClearAsAChild(t *testing.T) {
	dir := os.Getenv("ECLUSE_TEST_CLEAR")
	if dir == "" {
		return
	}
	if err := Clear(dir); err != nil {
		t.Fatal(fmt.Errorf("as %d: %w", os.Getuid(), err))
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
