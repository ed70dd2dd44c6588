package protocol_test

import (
	"bufio"
	"go/ast"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

var (
	testName  = regexp.MustCompile("`([a-z/]+\\.(?:Test|Fuzz|Benchmark)\\w+)`")
	bareTest  = regexp.MustCompile("`(?:Test|Fuzz|Benchmark)\\w+`")
	soakCount = regexp.MustCompile("`soak-([a-z]+)` ([0-9,]+) / ([0-9,]+)")
)

// promises checks the section of the README that says what is promised and by which test: each row names at least one test, each test is one of known, and each count is what
// scripts/counts asks for. It returns how many rows there are, and what is wrong.
func promises(text string, known map[string]bool, counts map[string][2]string) (rows int, faults []string) {
	_, section, ok := strings.Cut(text, "\n## What is promised, and by which test\n")
	if !ok {
		return 0, []string{"the README does not say what is promised"}
	}
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		names := testName.FindAllStringSubmatch(line, -1)
		for _, m := range names {
			if !known[m[1]] {
				faults = append(faults, m[1]+" is not in the source")
			}
		}
		if m := bareTest.FindString(line); m != "" {
			faults = append(faults, m+" is named without its package")
		}
		for _, m := range soakCount.FindAllStringSubmatch(line, -1) {
			if want := counts[m[1]]; want != [2]string{strings.ReplaceAll(m[2], ",", ""), strings.ReplaceAll(m[3], ",", "")} {
				faults = append(faults, m[0]+" is "+want[0]+" / "+want[1]+" in scripts/counts")
			}
		}
		if strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| fault or attack |") {
			rows++
			if cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | "); len(cells) != 3 || len(names) == 0 {
				faults = append(faults, "a row has no three cells, or names no test: "+line)
			}
		}
	}
	return rows, faults
}

// Every row of what the README promises has its tests in the source, and its counts in scripts/counts: a row whose test was renamed or removed promises nothing.
func TestEveryPromiseOfTheReadmeHasItsTest(t *testing.T) {
	known := map[string]bool{}
	for _, s := range sources(t, "sender", "receiver", "internal", "protocol") {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && s.test && f.Recv == nil {
				known[path.Dir(s.name)+"."+f.Name.Name] = true
			}
		}
	}
	counts := map[string][2]string{}
	file, err := os.Open("../scripts/counts")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if f := strings.Fields(lines.Text()); len(f) > 4 && f[0] != "#" {
			counts[f[0]] = [2]string{f[2], f[3]}
		}
	}
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	rows, faults := promises(string(text), known, counts)
	for _, fault := range faults {
		t.Error(fault)
	}
	if rows < 60 || len(counts) < 10 {
		t.Errorf("%d rows, %d counts: the form of one of them has changed", rows, len(counts))
	}
	for name := range counts { // what is counted is promised
		if !strings.Contains(string(text), "`soak-"+name+"` ") {
			t.Errorf("no row gives the counts of soak-%s", name)
		}
	}
}

func TestTheCheckOfPromisesCatches(t *testing.T) {
	known, counts := map[string]bool{"a/b.TestX": true}, map[string][2]string{"kill": {"50", "2000"}}
	for row, caught := range map[string]bool{
		"| f | w | `a/b.TestX` |":                              false,
		"| f | w | `a/b.TestX` (`soak-kill` 50 / 2,000) |":     false,
		"| f | w | `a/b.TestY` |":                              true,
		"| f | w | `TestX` |":                                  true,
		"| f | w | see elsewhere |":                            true,
		"| f | `a/b.TestX` |":                                  true,
		"| f | w | `a/b.TestX` (`soak-kill` 50 / 20,000) |":    true,
		"| f | w | `a/b.TestX` (`soak-nothing` 50 / 20,000) |": true,
	} {
		if rows, faults := promises("x\n## What is promised, and by which test\n"+row+"\n", known, counts); rows != 1 || (len(faults) > 0) != caught {
			t.Errorf("%s: %q", row, faults)
		}
	}
}
