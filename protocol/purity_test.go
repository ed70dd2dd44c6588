// Package protocol_test keeps the rules that no single package can keep: what the packages of the protocol may use, who in this
// repository may import whom, and that rules and reasons which code names stand in SPEC.md.
package protocol_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "ecluse"

// impure are the packages, with all below them, that protocol/ may not import: they reach the world, wait, share or guess.
var impure = []string{"os", "net", "sync", "context", "log", "io/ioutil", "math/rand", "crypto/rand", "syscall", "unsafe", "runtime",
	"embed", "plugin", "database", "testing", "C"}

// pureLibraries are what protocol/ may import besides the standard library and itself: bytes in, bytes out.
var pureLibraries = []string{"github.com/cespare/xxhash/v2", "github.com/hiddeco/sshsig", "github.com/klauspost/compress",
	"github.com/klauspost/reedsolomon", "golang.org/x/crypto", "golang.org/x/text"}

// clocks are what protocol/ may not use of package time: time is an argument.
var clocks = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Local", "LoadLocation"}

// source is one Go file of the repository.
type source struct {
	name string // path from the root of the repository, with slashes
	test bool
	file *ast.File
	at   *token.FileSet
}

// place gives file and line of a node.
func (s source) place(n ast.Node) string {
	return s.name + ":" + strconv.Itoa(s.at.Position(n.Pos()).Line)
}

// imports gives the paths that the file imports, by the name under which each is known in it.
func (s source) imports(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, spec := range s.file.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(s.place(spec), err)
		}
		name := path.Base(p)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if name == "_" || name == "." {
			name += p // may stand several times
		}
		all[name] = p
	}
	return all
}

// sources parses every Go file below the given folders of the repository. It fails when it finds none.
func sources(t *testing.T, folders ...string) (all []source) {
	t.Helper()
	for _, folder := range folders {
		root := filepath.Join("..", folder)
		if _, err := os.Stat(root); os.IsNotExist(err) {
			continue // a house that is not built yet
		}
		err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(name, ".go") || d.IsDir() {
				return err
			}
			at := token.NewFileSet()
			file, err := parser.ParseFile(at, name, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			rel, err := filepath.Rel("..", name)
			if err != nil {
				return err
			}
			all = append(all, source{filepath.ToSlash(rel), strings.HasSuffix(name, "_test.go"), file, at})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(all) == 0 {
		t.Fatalf("no Go file below %v", folders)
	}
	return all
}

// pure gives the files that the rules of purity hold for, and fails when there are none.
func pure(t *testing.T) []source {
	t.Helper()
	all := slices.DeleteFunc(sources(t, "protocol"), func(s source) bool { return s.test })
	if len(all) == 0 {
		t.Fatal("no file of protocol/ but tests")
	}
	return all
}

// within tells whether an import path is one of the roots or lies below one.
func within(p string, roots ...string) bool {
	return slices.ContainsFunc(roots, func(root string) bool { return p == root || strings.HasPrefix(p, root+"/") })
}

// importFault says why a file of protocol/ may not import a package, or nothing.
func importFault(p string) string {
	first, _, _ := strings.Cut(p, "/")
	switch {
	case within(p, impure...):
		return "reaches outside"
	case within(p, module):
		if !within(p, module+"/protocol") {
			return "is a room above the protocol"
		}
	case strings.Contains(first, ".") && !within(p, pureLibraries...):
		return "is not among the pure libraries"
	}
	return ""
}

func TestProtocolImportsOnlyWhatIsPure(t *testing.T) {
	for _, s := range pure(t) {
		for name, p := range s.imports(t) {
			if fault := importFault(p); fault != "" {
				t.Errorf("%s imports %s, which %s", s.name, p, fault)
			}
			if strings.HasPrefix(name, ".") {
				t.Errorf("%s imports %s by a dot, which hides what it uses of it", s.name, p)
			}
		}
	}
}

// actFault says why a node has no place in protocol/, or nothing. clock is the name of package time in its file.
func actFault(n ast.Node, clock string) string {
	switch n := n.(type) {
	case *ast.GoStmt:
		return "starts a goroutine"
	case *ast.ChanType:
		return "has a channel"
	case *ast.SendStmt:
		return "sends on a channel"
	case *ast.SelectStmt:
		return "selects"
	case *ast.UnaryExpr:
		if n.Op == token.ARROW {
			return "receives from a channel"
		}
	case *ast.SelectorExpr:
		if x, ok := n.X.(*ast.Ident); ok && x.Name == clock && slices.Contains(clocks, n.Sel.Name) {
			return "uses time." + n.Sel.Name
		}
	}
	return ""
}

// faultsOf gives the place and fault of every act in a file that protocol/ may not hold.
func faultsOf(t *testing.T, s source) (faults []string) {
	t.Helper()
	clock := ""
	for name, p := range s.imports(t) {
		if p == "time" {
			clock = name
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		if fault := actFault(n, clock); fault != "" {
			faults = append(faults, s.place(n)+" "+fault)
		}
		return true
	})
	return faults
}

func TestProtocolHasNoClockGoroutineOrChannel(t *testing.T) {
	for _, s := range pure(t) {
		for _, fault := range faultsOf(t, s) {
			t.Error(fault)
		}
	}
}

// A guard that catches nothing is none: each row must be caught, and the last one must not.
func TestTheGuardsOfPurityCatch(t *testing.T) {
	rows := []struct {
		name, code string
		caught     bool
	}{
		{"the clock", `import "time"; var x = time.Now()`, true},
		{"the clock as a value", `import "time"; var x = time.Now`, true},
		{"the clock by another name", `import wait "time"; func f() { wait.Sleep(1) }`, true},
		{"a timer", `import "time"; var x = time.NewTimer(1)`, true},
		{"a goroutine", `func f() { go f() }`, true},
		{"a channel in a type", `type x struct{ c <-chan int }`, true},
		{"a channel that is made", `var x = make(chan int)`, true},
		{"a channel that came from elsewhere", `func f() { <-g() }`, true},
		{"a channel that is sent on", `func f() { g() <- 1 }`, true},
		{"a select", `func f() { select {} }`, true},
		{"times that are given", `import "time"; func f(t time.Time) string { return t.UTC().Format(time.RFC3339) }`, false},
	}
	for _, row := range rows {
		at := token.NewFileSet()
		file, err := parser.ParseFile(at, "row.go", "package row;"+row.code, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(row.name, err)
		}
		if got := faultsOf(t, source{"row.go", false, file, at}); (len(got) > 0) != row.caught {
			t.Errorf("%s: %q", row.name, got)
		}
	}
	for p, caught := range map[string]bool{"os": true, "os/exec": true, "net/netip": true, "sync/atomic": true, "log/slog": true, "math/rand/v2": true,
		"io/ioutil": true, "context": true, module + "/internal/udp": true, module + "/sender": true, "golang.org/x/sys/unix": true,
		"go.uber.org/zap": true, "golang.org/x/text/unicode/norm": false, module + "/protocol/bundle": false, "hash/crc32": false,
		"ossify": false, "math/bits": false} {
		if got := importFault(p); (got != "") != caught {
			t.Errorf("import of %s: %q", p, got)
		}
	}
}

// house is the first folder of a package or file of this repository: sender, receiver, internal or protocol.
func house(p string) string {
	first, _, _ := strings.Cut(p, "/")
	return first
}

// mayImport says which folders the packages of a folder may import of this repository.
var mayImport = map[string][]string{
	"sender":   {"sender", "internal", "protocol"},
	"receiver": {"receiver", "internal", "protocol"},
	"internal": {"internal", "protocol"},
	"protocol": {"protocol"},
}

// bothHouses are the rooms that know both houses. They have no code but tests, so nothing else does by them.
var bothHouses = []string{"internal/sim", "internal/points"}

// Imports go one way: the houses use the cellar, the cellar the book, and the houses never meet. It holds for tests too.
func TestImportsGoOneWay(t *testing.T) {
	for _, s := range sources(t, "sender", "receiver", "internal", "protocol") {
		if slices.Contains(bothHouses, path.Dir(s.name)) && s.test {
			continue
		}
		for _, p := range s.imports(t) {
			rest, ours := strings.CutPrefix(p, module+"/")
			if ours && !slices.Contains(mayImport[house(s.name)], house(rest)) {
				t.Errorf("%s imports %s", s.name, p)
			}
		}
	}
}

// Commands are made where people are spoken to: in the mains, and in internal/cli for both. A room that knew of a command line could be used by nothing else.
func TestCommandsStandAtTheDoor(t *testing.T) {
	door := []string{"sender", "receiver", "internal/cli"}
	seen := 0
	for _, s := range sources(t, "sender", "receiver", "internal") {
		for _, p := range s.imports(t) {
			if s.test || p != module+"/internal/cli" && !strings.HasPrefix(p, "github.com/spf13/cobra") {
				continue
			}
			if seen++; !slices.Contains(door, path.Dir(s.name)) {
				t.Errorf("%s imports %s", s.name, p)
			}
		}
	}
	if seen == 0 {
		t.Error("nobody imports what commands are made of: the names have changed")
	}
}

// spec gives the rules of SPEC.md, each with how often it is set, and its reasons.
func spec(t *testing.T) (rules map[string]int, reasons map[string]bool) {
	t.Helper()
	text, err := os.ReadFile("SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	rules, reasons = map[string]int{}, map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\*\*([A-Z]-[0-9]+)\.\*\*`).FindAllSubmatch(text, -1) {
		rules[string(m[1])]++
	}
	_, table, found := strings.Cut(string(text), "\n## 12. ")
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|").FindAllStringSubmatch(table, -1) {
		reasons[m[1]] = true
	}
	if len(rules) < 40 || !found || len(reasons) < 40 {
		t.Fatalf("SPEC.md has %d rules and %d reasons: its form has changed", len(rules), len(reasons))
	}
	return rules, reasons
}

func TestEveryRuleOfTheSpecIsSetOnceAndCounted(t *testing.T) {
	rules, _ := spec(t)
	for rule, n := range rules {
		if n != 1 {
			t.Errorf("SPEC.md sets rule %s %d times", rule, n)
		}
		letter, number, _ := strings.Cut(rule, "-")
		if i, err := strconv.Atoi(number); err != nil || i > 1 && rules[letter+"-"+strconv.Itoa(i-1)] == 0 {
			t.Errorf("SPEC.md sets rule %s but not the one before", rule)
		}
	}
}

// Every reason that the text of SPEC.md gives in code marks stands in its table, and every rule that it refers to is set.
func TestTheSpecNamesOnlyWhatItSets(t *testing.T) {
	rules, reasons := spec(t)
	text, err := os.ReadFile("SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	body, _, _ := strings.Cut(string(text), "\n## 12. ")
	for _, m := range regexp.MustCompile(`\(((?:`+"`[a-z0-9-]+`"+`(?:, )?)+)\)`).FindAllStringSubmatch(body, -1) {
		for _, reason := range strings.Split(m[1], ", ") {
			if reason = strings.Trim(reason, "`"); !reasons[reason] {
				t.Errorf("SPEC.md gives the reason %s, which is not in its table", reason)
			}
		}
	}
	for _, m := range regexp.MustCompile(`\b([BCFGIMNPQRST]-[0-9]+)\b`).FindAllStringSubmatch(body, -1) {
		if rules[m[1]] == 0 {
			t.Errorf("SPEC.md speaks of rule %s, which it does not set", m[1])
		}
	}
}

var ruleForm = regexp.MustCompile(`^[A-Z]-[0-9]+$`)

// Every rule that a refusal names is one of SPEC.md: the second argument of Reject anywhere in the repository, and every string of
// protocol/ that has the form of a rule.
func TestRefusalsNameRulesOfTheSpec(t *testing.T) {
	rules, _ := spec(t)
	seen := 0
	check := func(s source, e ast.Expr) {
		lit, ok := e.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return
		}
		rule, err := strconv.Unquote(lit.Value)
		if err != nil {
			t.Fatal(s.place(lit), err)
		}
		seen++
		if rules[rule] == 0 {
			t.Errorf("%s names rule %q, which SPEC.md does not set", s.place(lit), rule)
		}
	}
	for _, s := range sources(t, "sender", "receiver", "internal", "protocol") {
		if s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if len(n.Args) >= 3 && called(n) == "Reject" {
					check(s, n.Args[1])
				}
			case *ast.BasicLit:
				if text, err := strconv.Unquote(n.Value); err == nil && house(s.name) == "protocol" && ruleForm.MatchString(text) {
					check(s, n)
				}
			}
			return true
		})
	}
	if seen < 10 {
		t.Fatalf("only %d rules are named", seen)
	}
}

// called gives the last name of the function that a call calls.
func called(call *ast.CallExpr) string {
	switch fun := call.Fun.(type) {
	case *ast.Ident:
		return fun.Name
	case *ast.SelectorExpr:
		return fun.Sel.Name
	}
	return ""
}
