package protocol_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"slices"
	"testing"
)

// leaksSeenBy are the packages whose goroutines are watched by tests of another package, each with that test: they put rooms together and are run whole. The simulation runs each
// life of a house within a bubble of testing/synctest, which fails when a goroutine that was started in it outlives it.
var leaksSeenBy = map[string]string{
	"sender/house":   "internal/sim.TestTransfers",
	"receiver/house": "internal/sim.TestTransfers",
	// It is for tests alone, and ends what it starts with each.
	"internal/scanners": "receiver/inspect/clamd.TestARealClamd",
}

// starts tells whether a node starts a goroutine: a go statement, Go of a group, or a function that is called later on one of its own.
func starts(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GoStmt:
		return true
	case *ast.CallExpr:
		_, method := n.Fun.(*ast.SelectorExpr)
		return method && slices.Contains([]string{"Go", "TryGo", "AfterFunc"}, called(n))
	}
	return false
}

// unwatched gives, for each package that starts goroutines outside its tests and has no test that they end, the places where it does.
func unwatched(all []source) map[string][]string {
	places, watched := map[string][]string{}, map[string]bool{}
	for _, s := range all {
		pkg := path.Dir(s.name)
		ast.Inspect(s.file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && s.test && called(call) == "VerifyTestMain" {
				watched[pkg] = true
			}
			if !s.test && n != nil && starts(n) {
				places[pkg] = append(places[pkg], s.place(n))
			}
			return true
		})
	}
	for pkg := range watched {
		delete(places, pkg)
	}
	return places
}

// Where goroutines are started, a test sees that they end: in TestMain by goleak, or by the test that leaksSeenBy names.
func TestEveryPackageThatStartsGoroutinesSeesThemEnd(t *testing.T) {
	all := sources(t, "sender", "receiver", "internal", "protocol")
	left := unwatched(all)
	for pkg, places := range left {
		if leaksSeenBy[pkg] == "" {
			t.Errorf("%s starts goroutines at %v, and none of its tests calls goleak.VerifyTestMain", pkg, places)
		}
	}
	for pkg, name := range leaksSeenBy {
		parts := regexp.MustCompile(`^(.+)\.(Test\w+)$`).FindStringSubmatch(name)
		if len(left[pkg]) == 0 {
			t.Errorf("%s starts no goroutines, or watches them itself: it needs no row", pkg)
		}
		if !slices.ContainsFunc(all, func(s source) bool {
			return s.test && path.Dir(s.name) == parts[1] && slices.ContainsFunc(s.file.Decls, func(d ast.Decl) bool {
				f, ok := d.(*ast.FuncDecl)
				return ok && f.Name.Name == parts[2]
			})
		}) {
			t.Errorf("the goroutines of %s are watched by %s, which is not in the source", pkg, name)
		}
	}
}

// A rule that catches nothing is none.
func TestTheRuleOfGoroutinesCatches(t *testing.T) {
	const quiet = `package p; func f() { defer g(); h.Goes() }`
	const watch = `package p; func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }`
	rows := []struct {
		name, code, test string
		caught           bool
	}{
		{"a go statement", `package p; func f() { go g() }`, "", true},
		{"one within a function", `package p; var f = func() { go func() {}() }`, "", true},
		{"a group", `package p; func f() { w.group.Go(g) }`, "", true},
		{"a timer's function", `package p; func f() { time.AfterFunc(1, g) }`, "", true},
		{"one that its tests watch", `package p; func f() { go g() }`, watch, false},
		{"none", quiet, "", false},
		{"one of the tests alone", quiet, `package p; func f() { go g() }`, false},
	}
	for _, row := range rows {
		at := token.NewFileSet()
		var all []source
		for name, code := range map[string]string{"p/p.go": row.code, "p/p_test.go": row.test} {
			if code == "" {
				continue
			}
			file, err := parser.ParseFile(at, name, code, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(row.name, err)
			}
			all = append(all, source{name, name == "p/p_test.go", file, at})
		}
		if got := unwatched(all); (len(got) > 0) != row.caught {
			t.Errorf("%s: %v", row.name, got)
		}
	}
}
