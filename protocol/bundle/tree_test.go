package bundle

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// tableOf makes a table of paths in any order; those that end in "/" are directories. Every parent is added unless bare.
func tableOf(t testing.TB, bare bool, paths ...string) *Table {
	t.Helper()
	var files, dirs []Path
	for _, s := range paths {
		p, isDir := strings.CutSuffix(s, "/")
		if isDir {
			dirs = append(dirs, Path(p))
		} else {
			files = append(files, Path(p))
		}
		for q := Path(p).Parent(); !bare && q != ""; q = q.Parent() {
			dirs = append(dirs, q)
		}
	}
	slices.SortFunc(files, Compare)
	slices.SortFunc(dirs, Compare)
	table := new(Table)
	for _, p := range slices.Compact(dirs) {
		addDirT(t, table, string(p), 0o700, 0)
	}
	for _, p := range slices.Compact(files) {
		addFileT(t, table, string(p), 1, 0o600, 0, repeated(1))
	}
	return table
}

func TestTrees(t *testing.T) {
	for _, row := range []struct {
		name  string
		want  string // "" passes
		paths []string
	}{
		{"M-3/one file", "", []string{"n"}},
		{"M-3/one directory", "", []string{"n/"}},
		{"M-3/a tree", "", []string{"n/", "n/a", "n/b/", "n/b/c", "n/b c", "n/d/", "n/d/e/", "n/d/e/f"}},
		{"M-3/nothing", "manifest-tree M-3", nil},
		{"M-3/another file", "manifest-tree M-3", []string{"m"}},
		{"M-3/another directory", "manifest-tree M-3", []string{"m/"}},
		{"M-3/name is a prefix", "manifest-tree M-3", []string{"nn"}},
		{"M-3/two roots, later", "manifest-tree M-3", []string{"n/", "o/"}},
		{"M-3/two roots, earlier", "manifest-tree M-3", []string{"m/", "n/"}},
		{"M-3/file and second root", "manifest-tree M-3", []string{"n", "o"}},
		{"M-3/file root and directory root", "manifest-tree M-3", []string{"a/", "n"}},
		{"M-3/file without its directory", "manifest-tree M-3", []string{"n/a"}},
		{"M-3/directory without its parent", "manifest-tree M-3", []string{"n/", "n/a/b/"}},
		{"M-3/file without its nearest", "manifest-tree M-3", []string{"n/", "n/a/b"}},
		{"M-3/root missing, nearest there", "manifest-tree M-3", []string{"n/a/", "n/a/b"}},
		{"M-3/parent that is only a prefix", "manifest-tree M-3", []string{"n/", "n/ab/", "n/a/b"}},
		{"M-3/hole behind a neighbour", "manifest-tree M-3", []string{"n/", "n/a/", "n/a/b", "n/c/d"}},
		{"N-3/file and directory of one path", "path-collision N-3", []string{"n", "n/"}},
		{"N-3/file and directory below", "path-collision N-3", []string{"n/", "n/a", "n/a/"}},
		{"N-3/file above a file", "path-collision N-3", []string{"n/", "n/a", "n/a/b"}},
		{"N-3/file above a directory", "path-collision N-3", []string{"n/", "n/a", "n/a/b/"}},
		{"N-3/file far above", "path-collision N-3", []string{"n/", "n/a", "n/a/b/", "n/a/b/c"}},
		{"N-3/root file above", "path-collision N-3", []string{"n", "n/a"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := tableOf(t, true, row.paths...).Check(Linux, "n")
			if err == nil && row.want == "" {
				return
			}
			if ruleOf(err) != row.want {
				t.Errorf("%v, want %q", err, row.want)
			}
		})
	}
}

func TestTablesTakeEntriesInOrderOnly(t *testing.T) {
	for _, pair := range [][2]Path{{"n/a", "n/a"}, {"n/b", "n/a"}, {"n/a b", "n/a/b"}, {"n/a/b", "n/a"}} {
		table := new(Table)
		if _, err := table.AddFile(pair[0], 1, 0, 0); err != nil {
			t.Fatal(err)
		}
		if number, err := table.AddFile(pair[1], 1, 0, 0); ruleOf(err) != "manifest-tree M-3" || number != 0 || table.Files() != 1 || table.Total() != 1 {
			t.Errorf("M-3: %q after %q: number %d, %v", pair[1], pair[0], number, err)
		}
		if err := table.AddDir(pair[0], 0, 0); err != nil {
			t.Fatal(err)
		}
		if err := table.AddDir(pair[1], 0, 0); ruleOf(err) != "manifest-tree M-3" || table.Dirs() != 1 {
			t.Errorf("M-3: directory %q after %q: %v", pair[1], pair[0], err)
		}
	}
}

func TestTablesRefuseImpossibleNumbers(t *testing.T) {
	for name, row := range map[string]struct {
		size, mtime int64
		want        string
	}{
		"M-2/negative size": {-1, 0, "manifest-field M-2"}, "M-2/size above": {MaxBytes + 1, 0, "manifest-field M-2"}, "M-2/total above": {MaxBytes, 0, "manifest-field M-2"},
		"M-2/overflow": {1<<63 - 1, 0, "manifest-field M-2"}, "M-4/mtime below": {0, MinMtime - 1, "manifest-field M-4"}, "M-4/mtime above": {0, MaxMtime + 1, "manifest-field M-4"},
	} {
		t.Run(name, func(t *testing.T) {
			table := new(Table)
			addFileT(t, table, "n/a", 1, 0, 0, Digest{})
			if _, err := table.AddFile("n/b", row.size, 0, row.mtime); ruleOf(err) != row.want || table.Files() != 1 {
				t.Errorf("%v, want %s", err, row.want)
			}
		})
	}
	table := new(Table)
	if err := table.AddDir("n", 0, MaxMtime+1); ruleOf(err) != "manifest-field M-4" {
		t.Errorf("M-4: %v", err)
	}
	addDirT(t, table, "n", 0o755, MaxMtime)
	addFileT(t, table, "n/x", MaxBytes, 0o100644, MinMtime, Digest{})
	if table.Dir(0).Mode != 0o700 || table.File(1).Mode != 0o600 {
		t.Errorf("M-4: modes %o and %o hold more than the owner's bits", table.Dir(0).Mode, table.File(1).Mode)
	}
}

// onePath are pairs of which each is one name for some file system of this world.
var onePath = []struct {
	rule, what, a, b string
}{
	{"N-3", "e acute", "é", "e\u0301"}, {"N-3", "capital E acute", "É", "E\u0301"}, {"N-3", "u umlaut", "ü", "u\u0308"}, {"N-3", "e diaeresis", "Zëmmer", "Ze\u0308mmer"},
	{"N-3", "c cedilla", "ç", "c\u0327"}, {"N-3", "n tilde", "ñ", "n\u0303"}, {"N-3", "a ring", "å", "a\u030a"}, {"N-3", "o circumflex", "hôpital", "ho\u0302pital"},
	{"N-3", "Kelvin is plain K", "K", "\u212a"}, {"N-3", "Greek question mark is a semicolon", ";", "\u037e"}, {"N-3", "Angstrom", "Å", "\u212b"}, {"N-3", "Ohm", "Ω", "\u2126"},
	{"N-3", "Greek tonos and oxia", "ά", "\u1f71"}, {"N-3", "grave accent", "`", "\u1fef"}, {"N-3", "middle dot", "·", "\u0387"}, {"N-3", "en quad", "\u2002", "\u2000"}, {"N-3", "em quad", "\u2003", "\u2001"},
	{"N-3", "Hangul syllable", "한", "\u1112\u1161\u11ab"}, {"N-3", "Hangul two parts", "가", "\u1100\u1161"}, {"N-3", "kana with mark", "が", "か\u3099"}, {"N-3", "kana half", "パ", "ハ\u309a"},
	{"N-3", "CJK compatibility", "豈", "\uf900"}, {"N-3", "CJK compatibility, plane 2", "丽", "\U0002f800"}, {"N-3", "order of marks", "a\u0323\u0307", "a\u0307\u0323"}, {"N-3", "composed below and above", "ṩ", "s\u0307\u0323"},
	{"N-3", "part composed", "ệ", "ê\u0323"}, {"N-3", "part composed otherwise", "ệ", "ẹ\u0302"}, {"N-3", "Vietnamese", "Việt", "Vie\u0323\u0302t"}, {"N-3", "deprecated composed", "\u0915\u093c", "\u0958"},
	{"N-3", "angle brackets", "\u3008", "\u2329"}, {"N-3", "Hebrew presentation", "שׁ", "\ufb2a"}, {"N-3", "musical symbol", "\U0001d157\U0001d165", "\U0001d15e"}, {"N-3", "not equal sign", "≠", "=\u0338"},
	{"N-3", "within a longer name", "rapport-de-l'été-2026.csv", "rapport-de-l'e\u0301te\u0301-2026.csv"}, {"N-3", "Cyrillic short i", "й", "и\u0306"}, {"N-3", "dotted capital I", "İ", "I\u0307"},
	{"N-4", "ASCII case", "readme", "README"}, {"N-4", "one letter", "a.txt", "A.txt"}, {"N-4", "extension", "a.txt", "a.TXT"}, {"N-4", "accent and case", "été", "ÉTÉ"}, {"N-4", "accent, case and form", "été", "E\u0301TE\u0301"},
	{"N-4", "sharp s and ss", "Straße", "STRASSE"}, {"N-4", "capital sharp s", "Straße", "STRAẞE"}, {"N-4", "sharp s and Ss", "maß", "maSs"}, {"N-4", "ligature fi", "ﬁn", "fin"}, {"N-4", "ligature ffl", "ﬄ", "FFL"}, {"N-4", "ligature st", "ﬅ", "st"},
	{"N-4", "long s", "ſ", "s"}, {"N-4", "final sigma", "ς", "σ"}, {"N-4", "capital sigma", "Σ", "ς"}, {"N-4", "micro sign", "µ", "μ"}, {"N-4", "dotted I decomposed", "i\u0307", "İ"}, {"N-4", "Kelvin and small k", "k", "\u212a"},
	{"N-4", "Angstrom and small a ring", "å", "\u212b"}, {"N-4", "Ohm and omega", "ω", "\u2126"}, {"N-4", "Cyrillic", "файл", "ФАЙЛ"}, {"N-4", "Greek", "ύδωρ", "ΎΔΩΡ"}, {"N-4", "Armenian ligature", "և", "եւ"}, {"N-4", "Georgian Mtavruli", "ა", "\u1c90"},
	{"N-4", "Cherokee", "Ꭰ", "\uab70"}, {"N-4", "Deseret", "𐐨", "𐐀"}, {"N-4", "digraph dz", "ǆ", "ǅ"}, {"N-4", "digraph DZ", "ǆ", "Ǆ"}, {"N-4", "full width", "ａ", "Ａ"}, {"N-4", "Roman numeral", "ⅷ", "Ⅷ"}, {"N-4", "circled", "ⓐ", "Ⓐ"},
	{"N-4", "iota below", "ᾳ", "ΑΙ"}, {"N-4", "iota below, capital", "ᾼ", "αι"}, {"N-4", "apostrophe n", "ŉ", "ʼN"}, {"N-4", "j caron", "ǰ", "J\u030c"}, {"N-4", "theta", "ϑ", "Θ"}, {"N-4", "thorn", "þ", "Þ"}, {"N-4", "ae", "æ", "Æ"}, {"N-4", "oe", "œuvre", "ŒUVRE"},
	{"N-4", "Luxembourgish", "lëtzebuerg", "LËTZEBUERG"}, {"N-4", "Luxembourgish, decomposed", "Lëtzebuerg", "LE\u0308TZEBUERG"}, {"N-3", "mark of iota in another order", "α\u0345\u0301", "α\u0301\u0345"},
}

func TestTwoPathsForOneNameCollide(t *testing.T) {
	for _, row := range onePath {
		t.Run(row.rule+"/"+row.what, func(t *testing.T) {
			want := "path-collision " + row.rule
			if row.rule == "N-3" && (row.a == row.b || norm.NFC.String(row.a) != norm.NFC.String(row.b)) {
				t.Fatalf("%q and %q are no pair for N-3", row.a, row.b)
			}
			for where, paths := range map[string][]string{
				"files":                   {"n/" + row.a, "n/" + row.b},
				"directories":             {"n/" + row.a + "/", "n/" + row.b + "/"},
				"file and directory":      {"n/" + row.a, "n/" + row.b + "/"},
				"directories with files":  {"n/" + row.a + "/x", "n/" + row.b + "/y"},
				"deep, with others about": {"n/0/x", "n/z/" + row.a, "n/z/" + row.b, "n/z/~", "n/zz/q"},
			} {
				table := tableOf(t, false, paths...)
				err := table.Check(Portable, "n")
				if err == nil || !strings.HasPrefix(ruleOf(err), "path-collision") {
					t.Errorf("%s, portable: %v", where, err)
				}
				err = table.Check(Linux, "n")
				if row.rule == "N-3" && ruleOf(err) != want {
					t.Errorf("%s, linux: %v, want %s", where, err, want)
				}
				if row.rule == "N-4" && err != nil {
					t.Errorf("%s, linux: %v, want nothing", where, err)
				}
			}
		})
	}
}

// Every two characters that any simple rule takes for cases of one another have one form.
func TestNoTwoCasesAreForgotten(t *testing.T) {
	f, pairs := newFormer(Portable), 0
	for r := rune(0); r <= unicode.MaxRune; r++ {
		for q := unicode.SimpleFold(r); q > r; q = unicode.SimpleFold(q) {
			if pairs++; f.form(Path(r)) != f.form(Path(q)) {
				t.Errorf("N-4: %U and %U have the forms %+q and %+q", r, q, f.form(Path(r)), f.form(Path(q)))
			}
		}
	}
	if pairs < 1400 {
		t.Errorf("only %d pairs of cases", pairs)
	}
}

// What plain tells cheaply must be what form would say.
func TestPlainNamesAreTheirOwnForm(t *testing.T) {
	for _, policy := range []NamePolicy{Linux, Portable} {
		f := newFormer(policy)
		for c := byte(0x20); c < 0x7f; c++ {
			p := Path("x" + string(rune(c)) + "/y")
			if f.plain(p) != (f.form(p) == string(p)) {
				t.Errorf("%s: %q is plain: %v", policy, p, f.plain(p))
			}
		}
	}
}

func TestNamesThatOnlyLookAlikePass(t *testing.T) {
	for _, pair := range [][2]string{{"a", "а"}, {"l", "1"}, {"0", "O"}, {"ß", "β"}, {"ı", "i"}, {"a", "ａ"}, {"fi", "fl"}, {"e", "é"}, {"a b", "a\u00a0b"}, {"👨‍👩‍👧", "👨👩👧"}, {"❤", "❤️"}, {"①", "1"}, {"²", "2"}, {"中", "仲"}, {"a", "a\u200d"}, {"ss", "sſt"}} {
		if err := tableOf(t, false, "n/"+pair[0], "n/"+pair[1]).Check(Portable, "n"); err != nil {
			t.Errorf("%q and %q: %v", pair[0], pair[1], err)
		}
	}
	paths := []string{"n/"}
	for _, p := range goodPaths[:len(goodPaths)-3] {
		if !strings.Contains(p, "/") && len(p) <= 200 {
			paths = append(paths, "n/"+p+"/"+p) // no two of one form beside each other
		}
	}
	unique := map[string]bool{}
	paths = slices.DeleteFunc(paths, func(p string) bool { f := norm.NFC.String(p); seen := unique[f]; unique[f] = true; return seen })
	if err := tableOf(t, false, paths...).Check(Linux, "n"); err != nil || len(paths) < 100 {
		t.Errorf("%d names of people: %v", len(paths), err)
	}
}

func TestPortableNames(t *testing.T) {
	reserved := []string{"CON", "con", "Con", "PRN", "AUX", "NUL", "nul", "con.txt", "CON.", "CON .txt", "NUL.tar.gz", "aux.h", "prn ", "a.", "a..", "a ", "...", " ",
		"a<", "a>b", "a:b", "C:", `a"b`, `a\b`, "a|b", "a?", "*", "COM¹", "com².log", "COM³", "LPT¹", "lpt².x", "LPT³"}
	for d := '0'; d <= '9'; d++ {
		reserved = append(reserved, "COM"+string(d), "lpt"+string(d)+".txt")
	}
	for _, name := range reserved {
		t.Run(fmt.Sprintf("N-4/refused %q", name), func(t *testing.T) {
			for _, paths := range [][]string{{"n/" + name}, {"n/" + name + "/"}, {"n/" + name + "/inside"}} {
				table := tableOf(t, false, paths...)
				if err := table.Check(Portable, "n"); ruleOf(err) != "path-portable N-4" || !strings.Contains(err.Error(), "n/") {
					t.Errorf("portable: %v", err)
				}
				if err := table.Check(Linux, "n"); err != nil {
					t.Errorf("linux: %v", err)
				}
			}
			if err := tableOf(t, false, name).Check(Portable, name); ruleOf(err) != "path-portable N-4" {
				t.Errorf("as the name of the bundle: %v", err)
			}
		})
	}
	for _, name := range []string{"CONTRACT", "console", "com", "COM10", "COMA", "LPT", "LPT12", "com_1", "nul-1", "nulls.txt", "xCON", " CON", ".con", ".a", "a.b", "a b", "été", "👨‍👩‍👧‍👦", "COM⁴", "COM１", "aux_", "$", "~", "%41", "'"} {
		t.Run(fmt.Sprintf("N-4/allowed %q", name), func(t *testing.T) {
			if err := tableOf(t, false, "n/"+name).Check(Portable, "n"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestARefusalListsTheFirstTenNames(t *testing.T) {
	var paths, names []string
	for i := range 30 {
		paths = append(paths, fmt.Sprintf("n/%02d:", i))
		names = append(names, fmt.Sprintf("n/%02d:", i))
	}
	err := tableOf(t, false, paths...).Check(Portable, "n")
	r, ok := err.(*Rejection)
	if !ok || !slices.Equal(r.Names, names[:10]) || !strings.Contains(err.Error(), `"n/00:", "n/01:"`) {
		t.Errorf("%v", err)
	}
}

// The table of paths and pairs is the specification's own proof; it must not shrink unseen.
func TestThereAreEnoughPaths(t *testing.T) {
	if n := len(goodPaths) + len(badPaths()) + len(onePath); n < 200 || len(onePath) < 60 {
		t.Errorf("section 9 has %d paths and pairs", n)
	}
}
