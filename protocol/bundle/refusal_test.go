package bundle

import (
	"crypto/sha256"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
)

// fixSums gives a text the digest of the SHA256SUMS that its files come to, where they parse.
func fixSums(text string) string {
	_, files, _ := strings.Cut(text, "\"files\":[\n")
	files, _, _ = strings.Cut(files, "],\n\"dirs\"")
	h := sha256.New()
	for line := range strings.Lines(files) {
		s := &scanner{line: []byte(line)}
		table := new(Table)
		if s.file(table); s.err == nil {
			WriteSums(h, table)
		}
	}
	before, rest, ok := strings.Cut(text, `"sums":"`)
	if !ok || len(rest) < 64 {
		return text
	}
	return before + `"sums":"` + fmt.Sprintf("%x", h.Sum(nil)) + rest[64:]
}

func TestManifestsAreRefused(t *testing.T) {
	const (
		syntax, field, tree, total, sums = "manifest-syntax M-1", "manifest-field M-2", "manifest-tree M-3", "manifest-total M-5", "manifest-sums M-6"
		fileA                            = `{"path":"n/a","size":12,"mode":"0600","mtime":1767225599,"sha256":"` + hexElevens + `"}`
		dirN                             = `{"path":"n","mode":"0700","mtime":1767225599}`
		labels                           = `"labels":{"k":"v","l":"a \"b\" \\"}`
	)
	manyLabels := func(n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(`"%03d":""`, i))
		}
		return `"labels":{` + strings.Join(all, ",") + "}"
	}
	for _, row := range []struct{ name, old, new, want string }{
		// M-1: the form.
		{"M-1/byte order mark", `{"format"`, "\ufeff" + `{"format"`, syntax},
		{"M-1/array", `{"format"`, `[{"format"`, syntax},
		{"M-1/space behind a colon", `"bundle":"`, `"bundle": "`, syntax},
		{"M-1/space before a colon", `"bundle":"`, `"bundle" :"`, syntax},
		{"M-1/carriage return", "\",\n\"bundle\"", "\",\r\n\"bundle\"", syntax},
		{"M-1/no line feed", "\",\n\"bundle\"", `","bundle"`, syntax},
		{"M-1/two line feeds", "\",\n\"bundle\"", "\",\n\n\"bundle\"", syntax},
		{"M-1/indented", "\n\"bundle\"", "\n \"bundle\"", syntax},
		{"M-1/tab", "\n\"bundle\"", "\n\t\"bundle\"", syntax},
		{"M-1/key missing", `"tenant":"cssf",` + "\n", "", syntax},
		{"M-1/key doubled", `"tenant":"cssf",` + "\n", `"tenant":"cssf",` + "\n" + `"tenant":"cssf",` + "\n", syntax},
		{"M-1/key unknown", `"tenant":"cssf",` + "\n", `"tenant":"cssf",` + "\n" + `"x":"y",` + "\n", syntax},
		{"M-1/keys swapped", `"size":12,"mode":"0600"`, `"mode":"0600","size":12`, syntax},
		{"M-1/upper key", `"tenant"`, `"Tenant"`, syntax},
		{"M-1/key escaped", `"tenant"`, `"t\u0065nant"`, syntax},
		{"M-1/trailing space", "4108}\n", "4108}\n ", syntax},
		{"M-1/trailing line feed", "4108}\n", "4108}\n\n", syntax},
		{"M-1/trailing NUL", "4108}\n", "4108}\n\x00", syntax},
		{"M-1/second manifest", "4108}\n", "4108}\n{}", syntax},
		{"M-1/no last line feed", "4108}\n", "4108}", syntax},
		{"M-1/comma before the end", "4108}\n", "4108,}\n", syntax},
		{"M-1/comment", "4108}\n", "4108/**/}\n", syntax},
		{"M-1/escape u", `"v"`, `"\u0076"`, syntax}, {"M-1/escape n", `"v"`, `"\n"`, syntax}, {"M-1/escape slash", `"n/a"`, `"n\/a"`, syntax}, {"M-1/escape at the end", `"v"`, `"v\"`, syntax},
		{"M-1/escaped quote for nothing", `"v"`, `"\'"`, syntax}, {"M-1/lone surrogate", `"v"`, `"\ud800"`, syntax},
		{"M-1/raw control", `"v"`, "\"\x01\"", syntax}, {"M-1/raw line feed", `"v"`, "\"\n\"", syntax}, {"M-1/raw NUL", `"v"`, "\"\x00\"", syntax}, {"M-1/raw tab behind an escape", `"v"`, "\"\\\\\t\"", syntax},
		{"M-1/not UTF-8", `"v"`, "\"\xff\"", syntax}, {"M-1/overlong", `"v"`, "\"\xc0\xaf\"", syntax}, {"M-1/surrogate in UTF-8", `"v"`, "\"\xed\xa0\x80\"", syntax}, {"M-1/not UTF-8 behind an escape", `"v"`, "\"\\\\\xff\"", syntax},
		{"M-1/path not UTF-8", `"n/a"`, "\"n/\xe9\"", syntax},
		{"M-1/single quotes", `"v"`, `'v'`, syntax}, {"M-1/bare word", `"v"`, `true`, syntax}, {"M-1/null", `"v"`, `null`, syntax}, {"M-1/nested", `"v"`, `{"a":"b"}`, syntax}, {"M-1/number for a string", `"v"`, `1`, syntax},
		{"M-1/string for a number", `"size":12`, `"size":"12"`, syntax}, {"M-1/leading zero", `"size":12`, `"size":012`, syntax}, {"M-1/two zeroes", `"size":12`, `"size":00`, syntax}, {"M-1/plus", `"size":12`, `"size":+12`, syntax}, {"M-1/minus", `"size":12`, `"size":-12`, syntax},
		{"M-1/fraction", `"size":12`, `"size":12.0`, syntax}, {"M-1/exponent", `"size":12`, `"size":12e0`, syntax}, {"M-1/hexadecimal", `"size":12`, `"size":0xc`, syntax}, {"M-1/no digits", `"size":12`, `"size":`, syntax}, {"M-1/full-width digits", `"size":12`, `"size":１２`, syntax},
		{"M-1/minus zero", `"mtime":0`, `"mtime":-0`, syntax}, {"M-1/minus and leading zero", `"mtime":-1`, `"mtime":-01`, syntax}, {"M-1/two minuses", `"mtime":-1`, `"mtime":--1`, syntax}, {"M-1/minus alone", `"mtime":-1`, `"mtime":-`, syntax}, {"M-1/plus mtime", `"mtime":-1`, `"mtime":+1`, syntax},
		{"M-1/sequence negative", `"sequence":7`, `"sequence":-7`, syntax}, {"M-1/sequence 07", `"sequence":7`, `"sequence":07`, syntax}, {"M-1/total as string", `"total":4108`, `"total":"4108"`, syntax},
		{"M-1/comma behind the last file", "\"}\n],\n\"dirs\"", "\"},\n],\n\"dirs\"", syntax},
		{"M-1/no comma between files", fileA + ",\n", fileA + "\n", syntax},
		{"M-1/files on one line", fileA + ",\n", fileA + ",", syntax},
		{"M-1/file on the bracket's line", "\"files\":[\n", `"files":[`, syntax},
		{"M-1/bracket on a file's line", "\"}\n],\n\"dirs\"", "\"}],\n\"dirs\"", syntax},
		{"M-1/empty list with a line feed", "\"dirs\":[\n" + dirN + ",\n" + `{"path":"n/empty","mode":"0500","mtime":0}` + "\n],", "\"dirs\":[\n],", syntax},
		{"M-1/empty list with a space", "\"dirs\":[\n" + dirN + ",\n" + `{"path":"n/empty","mode":"0500","mtime":0}` + "\n],", "\"dirs\":[ ],", syntax},
		{"M-1/labels swapped", labels, `"labels":{"l":"a","k":"v"}`, syntax}, {"M-1/label doubled", labels, `"labels":{"k":"v","k":"v"}`, syntax}, {"M-1/label without value", labels, `"labels":{"k"}`, syntax},
		{"M-1/labels with a last comma", labels, `"labels":{"k":"v",}`, syntax}, {"M-1/labels with a first comma", labels, `"labels":{,"k":"v"}`, syntax}, {"M-1/labels as array", labels, `"labels":[]`, syntax}, {"M-1/labels with a space", labels, `"labels":{ }`, syntax},
		{"M-1/labels on two lines", labels, "\"labels\":{\"k\":\"v\",\n\"l\":\"w\"}", syntax}, {"M-1/labels null", labels, `"labels":null`, syntax},
		{"M-1/file with one key more", fileA, strings.TrimSuffix(fileA, "}") + `,"owner":"root"}`, syntax}, {"M-1/file without digest", `,"sha256":"` + hexElevens + `"}`, "}", syntax},
		{"M-1/directory with a size", dirN, strings.Replace(dirN, `"mode"`, `"size":0,"mode"`, 1), syntax},
		{"M-1/a line that does not end", `"v"`, `"` + strings.Repeat("v", 2*maxLine) + `"`, syntax},

		// M-2: values.
		{"M-2/another format", "ecluse-manifest-1", "ecluse-manifest-2", field}, {"M-2/no format", "ecluse-manifest-1", "", field},
		{"I-1/bundle short", testID, testID[1:], "manifest-field I-1"}, {"I-1/bundle in upper case", testID, strings.ToUpper(testID), "manifest-field I-1"}, {"I-1/bundle zero", testID, strings.Repeat("a", 26), "manifest-field I-1"}, {"I-1/epoch with a stray bit", testEpoch, testEpoch[:25] + "f", "manifest-field I-1"},
		{"I-2/sender", `"ctie-low"`, `"Ctie-low"`, "manifest-field I-2"}, {"I-2/sender empty", `"ctie-low"`, `""`, "manifest-field I-2"}, {"I-2/tenant climbs", `"cssf"`, `"../cssf"`, "manifest-field I-2"}, {"I-2/tenant with a quote", `"cssf"`, `"cs\"sf"`, "manifest-field I-2"},
		{"I-3/previous in upper case", strings.Repeat("3", 64), strings.Repeat("3", 63) + "A", "manifest-field I-3"}, {"I-3/receiver short", `"receiver":"2`, `"receiver":"`, "manifest-field I-3"}, {"I-3/digest of a file", hexElevens, hexElevens[1:] + "g", "manifest-field I-3"}, {"I-3/digest escaped", hexElevens, hexElevens[1:] + `\\`, "manifest-field I-3"},
		{"I-4/mark short", `"00000000000000ff"`, `"0000000000000ff"`, "manifest-field I-4"}, {"I-4/mark in upper case", `"00000000000000ff"`, `"00000000000000FF"`, "manifest-field I-4"},
		{"M-2/sequence zero", `"sequence":7`, `"sequence":0`, field}, {"M-2/sequence above", `"sequence":7`, `"sequence":9007199254740992`, field}, {"M-2/sequence of 2^64", `"sequence":7`, `"sequence":18446744073709551616`, field}, {"M-2/sequence of 2^64 + 7", `"sequence":7`, `"sequence":18446744073709551623`, field}, {"M-2/sequence of many digits", `"sequence":7`, `"sequence":` + strings.Repeat("9", 60000), field},
		{"M-2/first with a previous", `"sequence":7`, `"sequence":1`, field}, {"M-2/seventh without", strings.Repeat("3", 64), strings.Repeat("0", 64), field},
		{"M-2/created with an offset", "23:59:59Z", "23:59:59+00:00", field}, {"M-2/created with a fraction", "59Z", "59.5Z", field}, {"M-2/created in small letters", "2026-01-31T23:59:59Z", "2026-01-31t23:59:59z", field}, {"M-2/created with a space", "31T23", "31 23", field},
		{"M-2/created on no day", "2026-01-31", "2026-02-29", field}, {"M-2/created in a leap second", "23:59:59Z", "23:59:60Z", field}, {"M-2/created at 24", "T23", "T24", field}, {"M-2/created before 1970", "2026-01-31T23:59:59Z", "1969-12-31T23:59:59Z", field}, {"M-2/created in 10000", "2026-", "10000-", field}, {"M-2/created never", "2026-01-31T23:59:59Z", "", field},
		{"M-2/too many labels", labels, manyLabels(MaxLabels + 1), field}, {"M-2/label without a key", labels, `"labels":{"":"v"}`, field}, {"M-2/label key too long", labels, `"labels":{"` + strings.Repeat("k", 65) + `":"v"}`, field}, {"M-2/label value too long", labels, `"labels":{"k":"` + strings.Repeat("v", 257) + `"}`, field},
		{"M-2/label with a bidirectional control", `"v"`, "\"\u202e\"", field}, {"M-2/label with DEL", `"v"`, "\"\x7f\"", field}, {"M-2/label key with a line separator", `"k":"v"`, "\"k\u2028\":\"v\"", field},
		{"M-2/size above", `"size":12`, `"size":70368744177665`, field}, {"M-2/size of 2^64", `"size":12`, `"size":18446744073709551616`, field}, {"M-2/size of 2^64 + 12", `"size":12`, `"size":18446744073709551628`, field}, {"M-2/sizes add up to too much", `"size":12`, `"size":70368744177664`, field}, {"M-2/size of many digits", `"size":12`, `"size":1` + strings.Repeat("0", 30000), field},
		{"M-2/chunk of 0", `"size":4096,"marks"`, `"size":0,"marks"`, field}, {"M-2/chunk of no power of two", `"size":4096,"marks"`, `"size":4097,"marks"`, field}, {"M-2/chunk too small", `"size":4096,"marks"`, `"size":2048,"marks"`, field}, {"M-2/chunk too large", `"size":4096,"marks"`, `"size":8388608,"marks"`, field}, {"M-2/chunk of 2^64 + 4096", `"size":4096,"marks"`, `"size":18446744073709555712,"marks"`, field},
		{"M-2/total of 2^64 + 4108", `"total":4108`, `"total":18446744073709555724`, field},
		{"N-1/name of two components", `"name":"n"`, `"name":"n/a"`, "path-syntax N-1"}, {"N-1/name that climbs", `"name":"n"`, `"name":".."`, "path-syntax N-1"}, {"N-1/no name", `"name":"n"`, `"name":""`, "path-syntax N-1"}, {"N-2/name with a control", `"name":"n"`, "\"name\":\"n\u0085\"", "path-control N-2"}, {"N-1/name too long", `"name":"n"`, `"name":"` + strings.Repeat("n", 256) + `"`, "path-long N-1"},
		{"N-1/path that climbs", `"n/a"`, `"n/../a"`, "path-syntax N-1"}, {"N-1/path from the root", `"n/a"`, `"/n/a"`, "path-syntax N-1"}, {"N-1/path too long", `"n/a"`, `"n/` + strings.Repeat("a/", 2048) + `a"`, "path-long N-1"}, {"N-1/path of quotes, too long", `"n/a"`, `"n/` + strings.Repeat(`\"`, 4095) + `"`, "path-long N-1"}, {"N-2/path with an override", `"n/a"`, "\"n/\u202ea\"", "path-control N-2"}, {"N-2/path with DEL", `"n/a"`, "\"n/\x7fa\"", "path-control N-2"},
		{"N-1/directory that climbs", `"n/empty"`, `"n/.."`, "path-syntax N-1"},

		// M-3 to M-6.
		{"M-3/files not in order", `"n/a"`, `"n/c"`, tree}, {"M-3/a file twice", `"n/a"`, `"n/b\\\"é"`, tree}, {"M-3/directories not in order", `"n/empty"`, `"a"`, tree}, {"M-3/a directory twice", `"n/empty"`, `"n"`, tree},
		{"M-3/another name", `"name":"n"`, `"name":"m"`, tree}, {"M-3/a file in no directory", `"n/a"`, `"n/0/a"`, tree}, {"M-3/a directory in none", `"n/empty"`, `"n/x/y"`, tree}, {"M-3/nothing at all", "\"files\":[\n" + fileA, `"files":[],` + "\n\"x\":[\n" + fileA, syntax},
		{"N-3/a file and a directory", `"n/empty"`, `"n/a"`, "path-collision N-3"}, {"N-3/two forms of a name", `"n/empty"`, "\"n/b\\\\\\\"e\u0301\"", "path-collision N-3"},
		{"M-4/mode 0777", `"0600"`, `"0777"`, "manifest-field M-4"}, {"M-4/mode 0640", `"0600"`, `"0640"`, "manifest-field M-4"}, {"M-4/setuid", `"0600"`, `"4600"`, "manifest-field M-4"}, {"M-4/mode 0800", `"0600"`, `"0800"`, "manifest-field M-4"}, {"M-4/mode 600", `"0600"`, `"600"`, "manifest-field M-4"}, {"M-4/mode 00600", `"0600"`, `"00600"`, "manifest-field M-4"}, {"M-4/no mode", `"0600"`, `""`, "manifest-field M-4"}, {"M-4/mode of a directory", `"0500"`, `"0555"`, "manifest-field M-4"}, {"M-4/sticky directory", `"0500"`, `"1500"`, "manifest-field M-4"},
		{"M-4/mtime above", `"mtime":-1,`, `"mtime":1099511627777,`, field}, {"M-4/mtime below", `"mtime":-1,`, `"mtime":-1099511627777,`, field}, {"M-4/mtime of 2^63", `"mtime":-1,`, `"mtime":-9223372036854775808,`, field}, {"M-4/mtime of 2^64", `"mtime":-1,`, `"mtime":18446744073709551615,`, field}, {"M-4/mtime of a directory", `"mtime":0}`, `"mtime":1099511627777}`, field},
		{"M-5/total too large", `"total":4108`, `"total":4109`, total}, {"M-5/total too small", `"total":4108`, `"total":0`, total}, {"M-5/size too large", `"size":12`, `"size":13`, total}, {"M-5/one mark too few", "\"00000000000000ff\",\n", "", total}, {"M-5/one mark too many", "\"00000000000000ff\",\n", "\"00000000000000ff\",\n\"00000000000000ff\",\n", total}, {"M-5/no marks", "[\n\"00000000000000ff\",\n\"fedcba9876543210\"\n]", "[]", total}, {"M-5/larger chunks, so fewer", `"size":4096,"marks"`, `"size":8192,"marks"`, total},
		{"M-5/more chunks than there may be", `"size":12`, `"size":70368744173568`, field},
		{"M-6/another digest", hexElevens, strings.Repeat("5", 64), sums}, {"M-6/another path", `"n/a"`, `"n/A"`, sums},
	} {
		t.Run(row.name, func(t *testing.T) {
			text := goldenText()
			if !strings.Contains(text, row.old) {
				t.Fatalf("the golden manifest holds no %s", row.old)
			}
			text = strings.Replace(text, row.old, row.new, 1)
			if row.want != sums {
				text = fixSums(text)
			}
			m, err := ParseManifest(strings.NewReader(text), Limits{})
			if got := ruleOf(err); got != row.want || m != nil {
				t.Errorf("%s (%v), want %s", got, err, row.want)
			}
			if err != nil && len(err.Error()) > maxDetail+maxListed*2*maxShown {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

func TestManifestsAtTheirLimitsPass(t *testing.T) {
	for _, row := range []struct{ name, old, new string }{
		{"nothing changed", "", ""}, {"M-1/no labels", `{"k":"v","l":"a \"b\" \\"}`, `{}`}, {"M-2/labels of all sizes", `"k":"v"`, `"` + strings.Repeat("k", MaxLabelKey) + `":"` + strings.Repeat("v", MaxLabelValue) + `"`}, {"M-2/label with no value", `"v"`, `""`},
		{"M-2/label with a family", `"v"`, `"👨‍👩‍👧‍👦 été 中文"`}, {"M-2/largest sequence", `"sequence":7`, `"sequence":9007199254740991`}, {"M-2/created at the end", "2026-01-31T23:59:59Z", "9999-12-31T23:59:59Z"}, {"M-2/created at the beginning", "2026-01-31T23:59:59Z", "1970-01-01T00:00:00Z"}, {"M-2/created on a leap day", "2026-01-31", "2028-02-29"},
		{"M-4/all modes", `"0600"`, `"0000"`}, {"M-4/latest", `"mtime":-1,`, `"mtime":1099511627776,`}, {"M-4/earliest", `"mtime":-1,`, `"mtime":-1099511627776,`}, {"N-2/a family", `"n/a"`, `"n/A👨‍👩‍👧‍👦"`}, {"N-1/longest name", `"n/a"`, `"n/` + strings.Repeat("a", 255) + `"`},
		{"N-1/longest path of quotes", `"n/a"`, `"n/` + strings.Repeat(`\"`, 255) + `"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			text := fixSums(strings.Replace(goldenText(), row.old, row.new, 1))
			m, err := parseString(text)
			if err != nil {
				t.Fatal(err)
			}
			if again := writeT(t, m); again != text {
				t.Errorf("it is written as\n%s\nnot as\n%s", again, text)
			}
		})
	}
}

func TestAReceiversOwnLimits(t *testing.T) {
	text := goldenText()
	for name, row := range map[string]struct {
		limits Limits
		want   string
	}{
		"exact":           {Limits{Manifest: int64(len(text)), Files: 2, Dirs: 2, Bytes: 4108}, "<nil>"},
		"M-2/bytes":       {Limits{Bytes: 4107}, "limit M-2"},
		"M-2/files":       {Limits{Files: 1}, "limit M-2"},
		"M-2/directories": {Limits{Dirs: 1}, "limit M-2"},
		"M-2/text":        {Limits{Manifest: int64(len(text)) - 1}, "limit M-2"},
		"M-2/most of all": {Limits{Manifest: 1 << 62, Files: 1 << 62, Dirs: 1 << 62, Bytes: 1 << 62}, "<nil>"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ParseManifest(strings.NewReader(text), row.limits); ruleOf(err) != row.want {
				t.Errorf("%v, want %s", err, row.want)
			}
		})
	}
	if all := (Limits{Manifest: 1 << 62, Files: 1 << 62, Dirs: 1 << 62, Bytes: 1 << 62}).filled(); all != (Limits{}).filled() || all.Files != MaxFiles || all.Manifest != MaxManifest {
		t.Errorf("limits above SPEC.md's are taken: %+v", all)
	}
}

// endless repeats a piece for ever; served counts what was asked of it.
type endless struct {
	head, piece string
	served      int64
}

func (e *endless) Read(b []byte) (int, error) {
	n := copy(b, e.head)
	e.head = e.head[n:]
	for n < len(b) {
		n += copy(b[n:], e.piece)
	}
	e.served += int64(n)
	return n, nil
}

// What a hostile text may cost does not depend on how long it goes on: the parser stops, and holds its 64 KiB.
func TestHostileTextIsCheap(t *testing.T) {
	text := goldenText()
	before := func(s string) string { return text[:strings.Index(text, s)] }
	for name, row := range map[string]struct{ head, piece string }{
		"M-1/nothing but zeroes":       {"", "\x00"},
		"M-1/nothing but digits":       {"", "9"},
		"M-1/nothing but line feeds":   {"", "\n"},
		"M-1/deep arrays":              {before(`{"k"`), "["},
		"M-1/deep objects":             {"", `{"format":`},
		"M-1/a string without end":     {before("ctie-low"), "a"},
		"M-1/escapes without end":      {before("ctie-low"), `\\`},
		"M-1/sequence of endless nine": {before(`7,`), "9"},
		"M-1/size of endless zeroes":   {before(`12,"mode":"0600"`), "0"},
		"M-1/path without end":         {before("n/a"), "n/a"},
		"M-1/labels without end":       {before(`"k":"v"`), `"k":"v",`},
		"M-1/marks without end":        {before(`"00000000000000ff"`), "\"00000000000000ff\",\n"},
		"M-1/files without end":        {before(`{"path":"n/a"`), `{"path":"n/a","size":12,"mode":"0600","mtime":1767225599,"sha256":"` + hexElevens + "\"},\n"},
	} {
		t.Run(name, func(t *testing.T) {
			source := &endless{head: row.head, piece: row.piece}
			allocated := allocatedBy(func() {
				if _, err := ParseManifest(source, Limits{}); err == nil {
					t.Error("it is taken")
				} else if _, ok := ReasonOf(err); !ok {
					t.Error(err)
				}
			})
			if allocated > 4*maxLine || source.served > 4*maxLine {
				t.Errorf("%d bytes allocated, %d read", allocated, source.served)
			}
		})
	}
}

// A manifest of one line that claims the largest bundle has not yet made its reader allocate for it.
func TestClaimsAreNotBelieved(t *testing.T) {
	text := strings.Replace(goldenText(), `"size":12`, `"size":70368744173000`, 1)
	text = strings.Replace(text, `"size":4096,"marks"`, `"size":4194304,"marks"`, 1)
	allocated := allocatedBy(func() {
		if _, err := parseString(text); ruleOf(err) != "manifest-total M-5" {
			t.Errorf("M-5: %v", err)
		}
	})
	if allocated > 2*maxLine {
		t.Errorf("%d bytes allocated", allocated)
	}
}

// allocatedBy gives the bytes that f allocates in all, whatever is freed meanwhile: an upper bound of what it holds.
func allocatedBy(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

func TestUnfitManifestsAreNotWritten(t *testing.T) {
	for name, row := range map[string]struct {
		change func(m *Manifest)
		want   string
	}{
		"I-1/no bundle":          {func(m *Manifest) { m.Bundle = ID{} }, "manifest-field I-1"},
		"I-1/no epoch":           {func(m *Manifest) { m.Epoch = Epoch{} }, "manifest-field I-1"},
		"I-2/no sender":          {func(m *Manifest) { m.Sender = "" }, "manifest-field I-2"},
		"I-2/bad tenant":         {func(m *Manifest) { m.Tenant = "a\n" }, "manifest-field I-2"},
		"M-2/sequence 0":         {func(m *Manifest) { m.Sequence = 0 }, "manifest-field M-2"},
		"M-2/sequence too large": {func(m *Manifest) { m.Sequence = MaxSequence + 1 }, "manifest-field M-2"},
		"M-2/no previous":        {func(m *Manifest) { m.Previous = Digest{} }, "manifest-field M-2"},
		"M-2/created too early":  {func(m *Manifest) { m.Created = -1 }, "manifest-field M-2"},
		"M-2/created too late":   {func(m *Manifest) { m.Created = MaxCreated + 1 }, "manifest-field M-2"},
		"N-1/bad name":           {func(m *Manifest) { m.Name = "a/b" }, "path-syntax N-1"},
		"M-3/another name":       {func(m *Manifest) { m.Name = "m" }, "manifest-tree M-3"},
		"M-1/labels swapped":     {func(m *Manifest) { m.Labels = []Label{{"b", ""}, {"a", ""}} }, "manifest-syntax M-1"},
		"M-2/label not UTF-8":    {func(m *Manifest) { m.Labels = []Label{{"b", "\xff"}} }, "manifest-field M-2"},
		"M-2/chunk size":         {func(m *Manifest) { m.ChunkSize = 5000 }, "manifest-field M-2"},
		"M-5/a mark missing":     {func(m *Manifest) { m.Marks = m.Marks[1:] }, "manifest-total M-5"},
		"no digest":              {func(m *Manifest) { m.Table.SetDigest(1, Digest{}) }, "write manifest: file 1 has no digest"},
	} {
		t.Run(name, func(t *testing.T) {
			m := golden(t)
			row.change(m)
			if err := WriteManifest(noWriter{t}, m); ruleOf(err) != row.want {
				t.Errorf("%v, want %s", err, row.want)
			}
		})
	}
}

// noWriter fails the test when anything reaches it.
type noWriter struct{ t *testing.T }

func (w noWriter) Write(b []byte) (int, error) {
	w.t.Errorf("%q was written", b)
	return 0, io.ErrClosedPipe
}

func TestAgreement(t *testing.T) {
	m := golden(t)
	writeT(t, m)
	good := Claim{Bundle: m.Bundle, Tenant: "cssf", Epoch: m.Epoch, Sequence: 7, Previous: m.Previous, Files: 2, Dirs: 2, Bytes: 4108, Chunks: 2, ChunkSize: 4096,
		Name: "n", Created: m.Created, ManifestSize: uint64(m.Size), ManifestDigest: m.Digest}
	if err := m.AgreesWith(good); err != nil {
		t.Fatalf("M-7: %v", err)
	}
	for name, row := range map[string]struct {
		change func(c *Claim)
		want   string
	}{
		"bundle":      {func(c *Claim) { c.Bundle[15]++ }, "manifest-mismatch M-7"},
		"tenant":      {func(c *Claim) { c.Tenant = "cssf2" }, "manifest-mismatch M-7"},
		"epoch":       {func(c *Claim) { c.Epoch[0]++ }, "manifest-mismatch M-7"},
		"sequence":    {func(c *Claim) { c.Sequence++ }, "manifest-mismatch M-7"},
		"previous":    {func(c *Claim) { c.Previous[0]++ }, "manifest-mismatch M-7"},
		"files":       {func(c *Claim) { c.Files++ }, "manifest-mismatch M-7"},
		"directories": {func(c *Claim) { c.Dirs-- }, "manifest-mismatch M-7"},
		"bytes":       {func(c *Claim) { c.Bytes++ }, "manifest-mismatch M-7"},
		"chunks":      {func(c *Claim) { c.Chunks++ }, "manifest-mismatch M-7"},
		"chunk size":  {func(c *Claim) { c.ChunkSize *= 2 }, "manifest-mismatch M-7"},
		"name":        {func(c *Claim) { c.Name = "N" }, "manifest-mismatch M-7"},
		"created":     {func(c *Claim) { c.Created++ }, "manifest-mismatch M-7"},
		"size":        {func(c *Claim) { c.ManifestSize++ }, "manifest-digest M-7"},
		"digest":      {func(c *Claim) { c.ManifestDigest[31]++ }, "manifest-digest M-7"},
	} {
		t.Run("M-7/"+name, func(t *testing.T) {
			claim := good
			row.change(&claim)
			err := m.AgreesWith(claim)
			if ruleOf(err) != row.want || row.want == "manifest-mismatch M-7" && !strings.Contains(err.Error(), "the "+name+" of") {
				t.Errorf("%v, want %s", err, row.want)
			}
		})
	}
}
