package disk

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// around are the calls that go around the seam, by package.
var around = map[string]*regexp.Regexp{
	"os": regexp.MustCompile(`^(Open|OpenFile|OpenRoot|OpenInRoot|Create|CreateTemp|Mkdir|MkdirAll|MkdirTemp|Rename|Remove|RemoveAll|Stat|Lstat|ReadDir|ReadFile|WriteFile|` +
		`Chmod|Chown|Lchown|Chtimes|Link|Symlink|Readlink|Truncate|DirFS|CopyFS)$`),
	"golang.org/x/sys/unix": regexp.MustCompile(`^(Open\w*|Creat|Mk\w+|Rename\w*|Unlink\w*|Rmdir|Link\w*|Symlink\w*|Readlink\w*|[FL]?[Ss]tat\w*|Statx|Faccess\w*|Access|[Ff]?[Cc]hmod\w*|` +
		`[FL]?[Cc]hown\w*|Ut?imes?\w*|Utimes\w*|Futimes\w*|Truncate|Ftruncate|Fallocate|P?read\w*|P?[Rr]ead|P?[Ww]rite\w*|Fsync|Fdatasync|Syncfs|Sync|SyncFileRange|CopyFileRange|IoctlFileClone\w*|` +
		`Getdents|Sendfile|Splice|Syscall\d?|RawSyscall\d?)$`),
	"syscall":              regexp.MustCompile(`^(Open\w*|Creat|Mk\w+|Rename\w*|Unlink\w*|Rmdir|Link\w*|Symlink\w*|[FL]?[Ss]tat\w*|Read|Write|Pread|Pwrite|Fsync|Sync|Syscall\d?|RawSyscall\d?)$`),
	"path/filepath":        regexp.MustCompile(`^(Walk|WalkDir|Glob|EvalSymlinks)$`),
	"ecluse/internal/disk": regexp.MustCompile(`^(New|Watched|ReplaceLike|Device)$`), // a room is handed the Disk of its house
}

// types of those packages that look like calls.
var types = []string{"Stat_t", "Statfs_t", "Timespec"}

// outside are the files that the seam is not for.
var outside = map[string]string{
	"sender/outbox/inotify.go": "inotify",
	"receiver/collect/mmap.go": "memory without a file",

	"receiver/deliver/remote/remotetest/bundle.go": "only tests import it",

	// A child of the daemon, which only reads, and holds nothing that a crash could lose.
	"internal/examine/run.go":     "it opens what it looks into",
	"internal/examine/fence.go":   "landlock and capabilities",
	"internal/examine/seccomp.go": "seccomp",
}

func TestNoRoomGoesAroundTheSeam(t *testing.T) {
	files := 0
	for _, place := range []string{"sender/*/*.go", "receiver/*/*.go", "receiver/deliver/*/*.go", "receiver/deliver/*/*/*.go", "internal/audit/*.go", "internal/clock/*.go", "internal/journal/*.go"} {
		names, err := filepath.Glob(filepath.Join("..", "..", place))
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %d files, %v", place, len(names), err)
		}
		for _, name := range names {
			rel, _ := filepath.Rel(filepath.Join("..", ".."), name)
			if strings.HasSuffix(name, "_test.go") || outside[filepath.ToSlash(rel)] != "" {
				continue
			}
			files++
			for _, call := range callsAround(t, name) {
				t.Errorf("%s: %s goes around the seam", rel, call)
			}
		}
	}
	if files < 100 {
		t.Errorf("only %d files were read", files)
	}
}

func TestTheSearchForWaysAroundFindsThem(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x.go")
	const text = `package x
import ("os"; u "golang.org/x/sys/unix"; "path/filepath"; "ecluse/internal/disk")
func f() { os.Remove(""); u.Openat(0, "", 0, 0); var st u.Stat_t; _ = u.Fstat(0, &st); filepath.WalkDir("", nil); filepath.Join(""); disk.New(); os.Geteuid(); g := os.Rename; _ = g }`
	if err := os.WriteFile(name, []byte(text), fs.FileMode(0o600)); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(callsAround(t, name), " ")
	if want := "os.Remove u.Openat u.Fstat filepath.WalkDir disk.New os.Rename"; got != want {
		t.Errorf("found %q, not %q", got, want)
	}
}

// callsAround lists what a file uses that goes around the seam.
func callsAround(t *testing.T, name string) (found []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	packages := make(map[string]*regexp.Regexp)
	for _, spec := range file.Imports {
		path := strings.Trim(spec.Path.Value, `"`)
		as := filepath.Base(path)
		if spec.Name != nil {
			as = spec.Name.Name
		}
		if r := around[path]; r != nil {
			packages[as] = r
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := s.X.(*ast.Ident); ok && packages[x.Name] != nil && packages[x.Name].MatchString(s.Sel.Name) && !slices.Contains(types, s.Sel.Name) {
			found = append(found, x.Name+"."+s.Sel.Name)
		}
		return true
	})
	return found
}
