package protocol_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// passedOver are skips that leave nothing untested, by how their text begins.
var passedOver = []string{
	"not a soak: ",                // the counts of scripts/counts are made by make proof and make soak-NAME
	"part of TestSoak",            // so are parts of one
	"run as root by the parent: ", // done before, in the process that started this one
	"it is run by Test",           // what another test starts in a process of its own
	"it is for the processes that Test", "it is for the processes that the benchmark starts",
	"it is for make bench: ",                              // which measures, and promises nothing
	"no plan", "there is a plan", "none is sent promptly", // rapid draws again
}

// quietSkips gives the places where a function skips a test and does not ask whether CI=true, unless the text is one of passedOver.
func quietSkips(s source) (places []string) {
	for _, d := range s.file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		asks, skips := false, []*ast.CallExpr{}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				asks = asks || n.Value == `"CI"`
			case *ast.CallExpr:
				if _, method := n.Fun.(*ast.SelectorExpr); method && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, called(n)) {
					skips = append(skips, n)
				}
			}
			return true
		})
		for _, call := range skips {
			if !asks && !slices.ContainsFunc(passedOver, func(p string) bool { return len(call.Args) > 0 && strings.HasPrefix(begins(call.Args[0]), p) }) {
				places = append(places, s.place(call))
			}
		}
	}
	return places
}

// begins gives the string that an expression begins with.
func begins(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BinaryExpr:
		return begins(e.X)
	case *ast.BasicLit:
		text, _ := strconv.Unquote(e.Value)
		return text
	}
	return ""
}

// What a machine cannot test is a failure where CI=true: a proof that was left out, and that nobody missed, proves nothing.
func TestNoTestIsLeftOutInCI(t *testing.T) {
	for _, s := range sources(t, "sender", "receiver", "internal", "protocol") {
		for _, place := range quietSkips(s) {
			t.Errorf("%s skips a test, and its function does not fail where CI=true", place)
		}
	}
}

func TestTheRuleOfSkipsCatches(t *testing.T) {
	for code, caught := range map[string]bool{
		`func f() { t.Skip("no root") }`:                                              true,
		`func f() { if x { t.SkipNow() } }`:                                           true,
		`func f() { t.Skipf("%s is not here", x) }`:                                   true,
		`func f() { t.Skipf("not a soak: %s says how many", x) }`:                     false,
		`func f() { if os.Getenv("CI") == "true" { t.Fatal(1) }; t.Skip("no x") }`:    false,
		`func f() { t.Run("x", func(t *testing.T) { t.Skip("nothing " + "here") }) }`: true,
	} {
		at := token.NewFileSet()
		file, err := parser.ParseFile(at, "row_test.go", "package row;"+code, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if got := quietSkips(source{"row_test.go", true, file, at}); (len(got) > 0) != caught {
			t.Errorf("%s: %v", code, got)
		}
	}
}
