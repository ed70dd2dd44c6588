package bundle

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// goodPaths pass N-1 and N-2 as they are: what people call their things.
var goodPaths = []string{
	"a", "a/b", "a/b/c", "README", "data set.csv", " ", " a", "a ", "a.", "a..", "...", "..a", "a..b", ".hidden", ".a/.b", "-rf", "--", "~", "~root", "$HOME", "`id`",
	"%2e%2e", "%00", "a%2fb", "a:b", "C:", "C:a", "con", "NUL", "aux.txt", `a\b`, `\`, `\\host\share`, `..\..`, `"`, `'`, `"quoted"`, "a*b", "a?b", "a|b", "<a>", "a>b", "&", ";", "=cmd()",
	"+1", "@x", "#1", "!", "a,b", "{}", "[]", "null", "true", "0", "00", "-1", "1e9", "NaN",
	"été/à la française/ça va.txt", "œuvre/Œdipe/cœur", "Noël.pdf", "l’été", "«guillemets»", "e\u0301te\u0301", // NFC and NFD
	"Übergrößenträger.txt", "Straße/Maß/ẞ", "äöüß ÄÖÜ", "Fußgängerüberführung", "Lëtzebuerg/Zuuch/Dëschdeg", "Kënnt Der Iech déi Saach iwwerleeën", "Ëmwelt/Bréif.odt", "Gréng Schëffer", "Fënnef Äppel",
	"中文/文件.txt", "测试数据集", "漢字かな交じり文", "データ.csv", "한국어/파일", "\u1112\u1161\u11ab", "Ελληνικά", "Ύδωρ\u0301", "русский/файл.txt", "українська", "עברית", "العربية", "हिन्दी", "ไทย", "ትግርኛ", "ქართული",
	"👨‍👩‍👧‍👦", "👨‍👩‍👧‍👦/familie.jpg", "🏳️‍🌈", "❤️", "☂\ufe0e", "👩🏽‍⚕️", "🇱🇺", "1️⃣", "नी‌का", "می‌خواهم", "\u200d", "a\u200cb", "a\u034fb", "\ufeffbom", "a\u00adb", "a\u00a0b", "a\u3000b", "\u2060", "\u200b", "\ufffd",
	"\U0001d11e", "\U0010ffff", "\u0300", "a\u0300\u0301\u0302", "\u2212", "ａｂｃ", "①", "ﬁ", "ǆ", "İstanbul", "ısı", "ſ", "K", "Å", "\u037e", "a\u2024", "\u2215", "\u29f8", "\uff0f", "\uff0e\uff0e", "\u2025",
	strings.Repeat("x", 255), strings.Repeat("é", 127) + "x", strings.Repeat("a/", 63) + "a", "a/" + strings.Repeat("x", 255),
	strings.Repeat(strings.Repeat("x", 255)+"/", 15) + strings.Repeat("y", 255) + "/", // completed to 4,096 bytes below
}

func init() {
	last := &goodPaths[len(goodPaths)-1]
	*last = (*last)[:MaxPath-2] + "/z"
}

func TestPathsThatPeopleUsePass(t *testing.T) {
	for _, s := range goodPaths {
		p, err := ParsePath(s)
		if err != nil || p.String() != s {
			t.Errorf("N-1: %.80q: %v", s, err)
		}
	}
	if last := goodPaths[len(goodPaths)-1]; len(last) != MaxPath {
		t.Errorf("the longest path has %d bytes", len(last))
	}
}

type pathRow struct {
	rule, path string
	reason     Reason
}

// badPaths are refused one by one.
func badPaths() []pathRow {
	rows := []pathRow{
		{"N-1", "", ReasonPathSyntax}, {"N-1", "/", ReasonPathSyntax}, {"N-1", "/a", ReasonPathSyntax}, {"N-1", "a/", ReasonPathSyntax}, {"N-1", "a//b", ReasonPathSyntax},
		{"N-1", "//", ReasonPathSyntax}, {"N-1", "//a", ReasonPathSyntax}, {"N-1", "a/b//", ReasonPathSyntax}, {"N-1", "/etc/passwd", ReasonPathSyntax},
		{"N-1", ".", ReasonPathSyntax}, {"N-1", "..", ReasonPathSyntax}, {"N-1", "./a", ReasonPathSyntax}, {"N-1", "../a", ReasonPathSyntax}, {"N-1", "a/.", ReasonPathSyntax},
		{"N-1", "a/..", ReasonPathSyntax}, {"N-1", "a/./b", ReasonPathSyntax}, {"N-1", "a/../b", ReasonPathSyntax}, {"N-1", "a/../../etc", ReasonPathSyntax}, {"N-1", "../../../../etc/shadow", ReasonPathSyntax},
		{"N-1", "\xff", ReasonPathSyntax}, {"N-1", "a\x80", ReasonPathSyntax}, {"N-1", "a/\xc3", ReasonPathSyntax}, {"N-1", "\xc0\xaf", ReasonPathSyntax}, {"N-1", "\xc0\xae\xc0\xae/a", ReasonPathSyntax},
		{"N-1", "\xe0\x80\xaf", ReasonPathSyntax}, {"N-1", "\xed\xa0\x80", ReasonPathSyntax}, {"N-1", "\xed\xb0\x80", ReasonPathSyntax}, {"N-1", "\xf4\x90\x80\x80", ReasonPathSyntax}, {"N-1", "\xf8\x88\x80\x80\x80", ReasonPathSyntax},
		{"N-1", "\xe4\xb8", ReasonPathSyntax}, {"N-1", "\xe4\xb8/a", ReasonPathSyntax}, {"N-1", "é"[:1] + "/" + "é"[1:], ReasonPathSyntax}, {"N-1", "caf\xe9", ReasonPathSyntax},
		{"N-1", strings.Repeat("x", 256), ReasonPathLong}, {"N-1", strings.Repeat("é", 128), ReasonPathLong}, {"N-1", "a/" + strings.Repeat("x", 256) + "/b", ReasonPathLong},
		{"N-1", strings.Repeat("a/", 64) + "a", ReasonPathLong}, {"N-1", strings.Repeat("a/", 2048) + "a", ReasonPathLong}, {"N-1", strings.Repeat("x", 4097), ReasonPathLong},
		{"N-1", goodPaths[len(goodPaths)-1] + "z", ReasonPathLong}, {"N-1", strings.Repeat("../", 2000), ReasonPathLong},
		{"N-2", "a\nb", ReasonPathControl}, {"N-2", "a\r", ReasonPathControl}, {"N-2", "\t", ReasonPathControl}, {"N-2", "\x1b[2J", ReasonPathControl}, {"N-2", "a\x00.txt", ReasonPathControl},
		{"N-2", "gpj\u202etxt.exe", ReasonPathControl}, {"N-2", "a/\u2066b", ReasonPathControl},
	}
	for r := rune(0); r <= 0x1f; r++ {
		rows = append(rows, pathRow{"N-2", "a" + string(r) + "b", ReasonPathControl})
	}
	for r := rune(0x7f); r <= 0x9f; r++ {
		rows = append(rows, pathRow{"N-2", string(r), ReasonPathControl})
	}
	for _, r := range []rune{0x2028, 0x2029, 0x061c, 0x200e, 0x200f, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069} {
		rows = append(rows, pathRow{"N-2", "x/y" + string(r), ReasonPathControl})
	}
	return rows
}

func TestPathsAreRefused(t *testing.T) {
	for _, row := range badPaths() {
		t.Run(fmt.Sprintf("%s/%.40q", row.rule, row.path), func(t *testing.T) {
			p, err := ParsePath(row.path)
			if want := fmt.Sprintf("%s %s", row.reason, row.rule); ruleOf(err) != want || p != "" {
				t.Errorf("ParsePath(%.80q) = %q, %v, want %s", row.path, p, err, want)
			}
		})
	}
}

// The neighbours of every refused character pass: a range that is one too wide would refuse them.
func TestNoOtherCharacterIsAControl(t *testing.T) {
	refused := 0
	for r := rune(0); r <= 0x10ffff; r++ {
		if r >= 0xd800 && r <= 0xdfff {
			continue
		}
		_, err := ParsePath("a" + string(r) + "b")
		if err != nil {
			refused++
		}
	}
	if want := 32 + 33 + 2 + 3 + 5 + 4; refused != want {
		t.Errorf("N-2: %d characters are refused, want %d", refused, want)
	}
	for _, r := range []rune{0x20, 0x7e, 0xa0, 0x061b, 0x061d, 0x200c, 0x200d, 0x2010, 0x2027, 0x202f, 0x2065, 0x206a, 0xfe0e, 0xfe0f} {
		if _, err := ParsePath("a" + string(r)); err != nil {
			t.Errorf("N-2: %U: %v", r, err)
		}
	}
}

func TestComponentsAreOneName(t *testing.T) {
	for _, s := range []string{"a", "a b", "été", "...", strings.Repeat("x", 255)} {
		if got, err := ParseComponent(s); got != s || err != nil {
			t.Errorf("%q: %q, %v", s, got, err)
		}
	}
	for s, want := range map[string]string{"a/b": "path-syntax N-1", "": "path-syntax N-1", "..": "path-syntax N-1", "a\n": "path-control N-2", strings.Repeat("x", 256): "path-long N-1"} {
		if got, err := ParseComponent(s); got != "" || ruleOf(err) != want {
			t.Errorf("%q: %q, %v, want %s", s, got, err, want)
		}
	}
}

func TestPathsAreOrderedByComponent(t *testing.T) {
	ordered := []Path{"A", "B", "a", "a/\x20", "a/-", "a/b", "a/b/c", "a/b/d", "a/b c", "a/b!", "a/b.", "a/b0", "a/bb", "a/c", "a b", "a b/c", "a!", "a-", "a.", "a.b", "a0", "aa", "b", "é", "中"}
	for i, a := range ordered {
		for j, b := range ordered {
			if got := Compare(a, b); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("N-5: Compare(%q, %q) = %d", a, b, got)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawPath(t, "a"), drawPath(t, "b")
		want := slices.Compare(a.Components(), b.Components())
		if got := Compare(a, b); (got < 0) != (want < 0) || (got > 0) != (want > 0) {
			t.Fatalf("N-5: Compare(%q, %q) = %d, component by component %d", a, b, got, want)
		}
	})
}

// drawPath draws paths that are close to each other.
func drawPath(t *rapid.T, name string) Path {
	p, err := ParsePath(rapid.StringMatching(`[ab !-]{1,3}(/[ab !-]{1,3}){0,3}`).Draw(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPartsOfAPath(t *testing.T) {
	for _, row := range []struct{ path, base, parent Path }{{"a", "a", ""}, {"a/b", "b", "a"}, {"a/b/c.d", "c.d", "a/b"}} {
		if string(row.base) != row.path.Base() || row.path.Parent() != row.parent {
			t.Errorf("%q: base %q, parent %q", row.path, row.path.Base(), row.path.Parent())
		}
		if got := strings.Join(row.path.Components(), "/"); got != string(row.path) {
			t.Errorf("%q has components %q", row.path, got)
		}
	}
	if !Path("a").holds("a/b") || Path("a").holds("a") || Path("a").holds("ab") || Path("a/b").holds("a") {
		t.Error("holds")
	}
}

func FuzzParsePath(f *testing.F) {
	for _, s := range goodPaths {
		f.Add(s)
	}
	for _, row := range badPaths() {
		f.Add(row.path)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var p Path
		var err error
		if n := allocated(func() { p, err = ParsePath(s) }); n > 1024 {
			t.Fatalf("%d bytes were allocated for a path of %d", n, len(s))
		}
		if err != nil {
			if reason, ok := ReasonOf(err); !ok || !strings.HasPrefix(string(reason), "path-") || p != "" {
				t.Fatalf("ParsePath(%q) = %q, %v", s, p, err)
			}
			if r := checkPath([]byte(s)); r == nil {
				t.Fatalf("%q is refused as a string and taken as bytes", s)
			}
			return
		}
		if string(p) != s || checkPath([]byte(s)) != nil || len(s) > MaxPath || s != strings.ToValidUTF8(s, "") {
			t.Fatalf("ParsePath(%q) = %q", s, p)
		}
		for _, c := range p.Components() {
			if c == "" || c == "." || c == ".." || len(c) > MaxComponent {
				t.Fatalf("%q holds the name %q", s, c)
			}
		}
		if parent := p.Parent(); parent != "" && (Compare(parent, p) >= 0 || string(parent)+"/"+p.Base() != s) {
			t.Fatalf("%q has the parent %q", s, parent)
		}
	})
}
