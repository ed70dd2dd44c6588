package deliver

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
)

// entry is one file or directory of a made-up bundle; a directory's path ends in a slash.
type entry struct {
	path    string
	mode    uint32
	mtime   int64
	content string
}

// big is content above cloneLeast, so that the kernel is asked to copy it.
var big = strings.Repeat("all that glitters ", 7_500)

func tree() []entry {
	return []entry{
		{"item/", 0o700, 1_000_000_000, ""},
		{"item/a", 0o600, 1_000_000_001, "alpha"},
		{"item/deep/", 0o500, 1_000_000_002, ""},
		{"item/deep/big", 0o400, -5, big},
		{"item/deep/deeper/", 0o700, 4_000_000_000, ""},
		{"item/deep/deeper/tool", 0o700, 1_000_000_003, "#!/bin/sh\n"},
		{"item/empty/", 0o700, 1_000_000_004, ""},
		{"item/none", 0o600, 1_000_000_005, ""},
	}
}

// changeableTree is one that its owner may change under the modes that it gets.
func changeableTree() []entry {
	return []entry{{"item/", 0o700, 1_000_000_000, ""}, {"item/a", 0o600, 1_000_000_001, "alpha"}, {"item/b/", 0o700, 1_000_000_002, ""}, {"item/b/tool", 0o700, -7, "#!/bin/sh\n"}}
}

func twig() []entry {
	return []entry{{"item/", 0o700, 1_000_000_000, ""}, {"item/a", 0o600, 1_000_000_001, "alpha"}, {"item/b/", 0o500, 1_000_000_002, ""}}
}

func file() []entry { return []entry{{"item", 0o600, 1_000_000_000, "alpha"}} }

// closed is a tree that its owner cannot use before its modes are opened again.
func closed() []entry {
	return []entry{
		{"item/", 0o500, 1_000_000_000, ""},
		{"item/dark/", 0o000, 1_000_000_001, ""},
		{"item/dark/f", 0o000, 1_000_000_002, "unread"},
		{"item/w", 0o200, 1_000_000_003, "write only"},
	}
}

// place is a state directory with one quarantined bundle, and a destination.
type place struct {
	t     *testing.T
	job   Job
	to    string
	items []entry
	book  book
	early bool // the next attempt is of a process that prepares it before it comes into quarantine
}

// book is a ledger of one bundle: a file, so that it outlives a killed process. ask is called before and after each change.
type book struct {
	path string
	step func(string)
}

func (b *book) intent(i Intent) error {
	b.step("before the intent is durable")
	text, err := json.Marshal(ledger.Delivery{Name: i.Final, Inode: i.Inode, Moved: i.Moved})
	if err == nil {
		err = os.WriteFile(b.path+"~", text, 0o600)
	}
	if err == nil {
		err = os.Rename(b.path+"~", b.path)
	}
	b.step("after the intent is durable")
	return err
}

func (b *book) read(t testing.TB) *ledger.Delivery {
	text, err := os.ReadFile(b.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	d := new(ledger.Delivery)
	if err := json.Unmarshal(text, d); err != nil {
		t.Fatal(err)
	}
	return d
}

var testID = bundle.ID{1, 2, 3}

// quarantine makes a quarantined bundle in dir.
func makeQuarantined(t testing.TB, dir string, items []entry) Job {
	t.Helper()
	table := new(bundle.Table)
	slices.SortFunc(items, func(a, b entry) int {
		return bundle.Compare(bundle.Path(strings.TrimSuffix(a.path, "/")), bundle.Path(strings.TrimSuffix(b.path, "/")))
	})
	must(t, os.MkdirAll(filepath.Join(dir, "files"), 0o700))
	for _, e := range items {
		at := filepath.Join(dir, "files", e.path)
		p, err := bundle.ParsePath(strings.TrimSuffix(e.path, "/"))
		must(t, err)
		if strings.HasSuffix(e.path, "/") {
			must(t, os.Mkdir(at, 0o700))
			must(t, table.AddDir(p, e.mode, e.mtime))
			continue
		}
		must(t, os.WriteFile(at, []byte(e.content), 0o600))
		n, err := table.AddFile(p, int64(len(e.content)), e.mode, e.mtime)
		must(t, err)
		table.SetDigest(n, sha256.Sum256([]byte(e.content)))
	}
	name, _, _ := strings.Cut(items[0].path, "/")
	return Job{ID: testID, Name: name, Sequence: 7, Table: table, Dir: dir}
}

// newPlace makes a place; the destination is below base, the quarantine below from.
func newPlace(t *testing.T, from, base string, items []entry) *place {
	t.Helper()
	p := &place{t: t, to: filepath.Join(base, "to"), items: items}
	must(t, os.Mkdir(p.to, 0o755))
	p.job = makeQuarantined(t, filepath.Join(from, "quarantine"), items)
	p.book = book{path: filepath.Join(from, "book"), step: func(string) {}}
	return p
}

// here is a place whose quarantine and destination share a file system.
func here(t *testing.T, items []entry) *place {
	dir := scratch(t)
	return newPlace(t, dir, dir, items)
}

// scratch is t.TempDir, removed whatever the modes of what is in it.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "deliver")
	must(t, err)
	t.Cleanup(func() { must(t, Purge(disk.New(), dir)) })
	return dir
}

// memory is a directory on a file system in memory, where a sync costs nothing.
func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "deliver")
	if err != nil {
		lacking(t, "no file system in memory: "+err.Error())
	}
	t.Cleanup(func() { must(t, Purge(disk.New(), dir)) })
	return dir
}

// apart is a place whose destination is on another file system than its quarantine.
func apart(t *testing.T, items []entry) *place {
	t.Helper()
	from, base := scratch(t), memory(t)
	a, err := os.Stat(from)
	must(t, err)
	b, err := os.Stat(base)
	must(t, err)
	if stat(a).Dev == stat(b).Dev {
		lacking(t, "the temporary directory and /dev/shm are one file system")
	}
	return newPlace(t, from, base, items)
}

func (p *place) options() Options {
	return Options{Directory: p.to, FileMode: DefaultFileMode, DirMode: DefaultDirMode}
}

func (p *place) deliver(o Options) (Outcome, error) {
	p.job.Previous, p.job.Verified, p.job.Prepared = p.book.read(p.t), false, false
	if p.early {
		p.early, p.job.Verified = false, true
		intent, ok := Prepare(context.Background(), disk.New(), p.job, o)
		if !ok {
			p.t.Fatal("it was not prepared")
		}
		must(p.t, p.book.intent(intent))
		p.job.Previous, p.job.Prepared = p.book.read(p.t), true
	}
	return deliverOne(context.Background(), disk.New(), p.job, o, p.book.intent)
}

// want is what the item looks like under a name of the destination.
func (p *place) want(name string, o Options) map[string]string {
	o = o.withHook()
	all := make(map[string]string)
	for _, e := range p.items {
		at := name + strings.TrimSuffix(strings.TrimPrefix(e.path, p.job.Name), "/")
		mode := o.fileMode(bundle.File{Mode: e.mode})
		if strings.HasSuffix(e.path, "/") {
			mode = o.dirMode(bundle.Dir{Mode: e.mode}) | fs.ModeDir
		}
		all[at] = fmt.Sprintf("%v %d %x", mode, e.mtime, sha256.Sum256([]byte(e.content)))
	}
	return all
}

// look lists everything below a directory. As a plain user it opens for itself what modes close, and puts the modes back.
func look(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	var below func(rel string)
	below = func(rel string) {
		entries, err := os.ReadDir(filepath.Join(dir, rel))
		must(t, err)
		for _, e := range entries {
			name := path.Join(rel, e.Name())
			at := filepath.Join(dir, name)
			info, err := os.Lstat(at)
			must(t, err)
			if info.Mode()&fs.ModeSymlink != 0 || !info.IsDir() && !info.Mode().IsRegular() {
				all[name] = info.Mode().String()
				continue
			}
			opened := os.Geteuid() != 0 && info.Mode()&0o700 != 0o700
			if opened {
				must(t, os.Chmod(at, 0o700))
			}
			var content []byte
			if info.IsDir() {
				below(name)
			} else {
				content, err = os.ReadFile(at)
				must(t, err)
			}
			if opened {
				must(t, os.Chmod(at, info.Mode()))
			}
			all[name] = fmt.Sprintf("%v %d %x", info.Mode(), info.ModTime().Unix(), sha256.Sum256(content))
		}
	}
	below("")
	return all
}

// top lists the names that stand directly in a directory.
func top(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func same(t testing.TB, got, want map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			t.Errorf("%q is %q, want %q", name, got[name], want[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			t.Errorf("%q is there: %s", name, got[name])
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func reasonIs(t testing.TB, err error, want bundle.Reason) {
	t.Helper()
	if got, _ := bundle.ReasonOf(err); got != want {
		t.Fatalf("got %v, want reason %q", err, want)
	}
}

// plainRun is set where a test run as root runs the tests again as a plain user: what needs root has been run then.
const plainRun = "ECLUSE_TEST_PLAIN"

// lacking skips a test that this machine cannot run. In CI that is a failure.
func lacking(t *testing.T, what string) {
	t.Helper()
	if os.Getenv(plainRun) != "" {
		t.Skip("run as root by the parent: " + what)
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("CI must run this: " + what)
	}
	t.Skip("NOT TESTED: " + what)
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		lacking(t, "it needs root")
	}
}

// mount mounts something at a new directory until the test ends.
func mount(t *testing.T, source, at, kind string, flags uintptr, data string) {
	t.Helper()
	must(t, os.MkdirAll(at, 0o755))
	if err := unix.Mount(source, at, kind, flags, data); err != nil {
		lacking(t, "mount: "+err.Error())
	}
	t.Cleanup(func() { must(t, unix.Unmount(at, unix.MNT_DETACH)) })
}

// TestAlsoAsAPlainUser runs all tests again without any privilege.
func TestAlsoAsAPlainUser(t *testing.T) {
	needRoot(t)
	const nobody = 65534
	dir := scratch(t)
	must(t, os.Chmod(dir, 0o711))
	self, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	binary := filepath.Join(dir, "deliver.test")
	must(t, os.WriteFile(binary, self, 0o755))
	work := filepath.Join(dir, "work")
	must(t, os.Mkdir(work, 0o755))
	must(t, os.Chown(work, nobody, nobody))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-test.v")
	cmd.Dir, cmd.Env = work, []string{"TMPDIR=" + work, plainRun + "=1", "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestDelivers") {
		t.Fatalf("as a plain user: %v\n%s", err, out)
	}
}

// deliverOne is Batch of one job. intent is its Note; called with "" and 0 it takes the intent back.
func deliverOne(ctx context.Context, disks *disk.Disk, job Job, o Options, intent func(Intent) error) (Outcome, error) {
	note := func(all []Intent) []error { return []error{intent(all[0])} }
	r := Batch(ctx, disks, []Job{job}, o, note)[0]
	return r.Outcome, r.Err
}
