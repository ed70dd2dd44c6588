package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// house is a configuration with one of everything that this package serves.
type house struct {
	State string   `yaml:"state"`
	Count int      `yaml:"count"`
	Small uint8    `yaml:"small"`
	Part  float64  `yaml:"part"`
	On    bool     `yaml:"on"`
	Bytes Bytes    `yaml:"bytes"`
	Rate  Rate     `yaml:"rate"`
	Loss  Percent  `yaml:"loss"`
	Keep  Duration `yaml:"keep"`
	Mode  Mode     `yaml:"mode"`
	To    AddrPort `yaml:"to"`
	Disk  diskPart `yaml:"disk"`
	Links []link   `yaml:"links"`
	Words []string `yaml:"words"`
	Skip  string   `yaml:"-"`
}

type diskPart struct {
	Reserve Size `yaml:"reserve"`
	Files   int  `yaml:"files"`
}

type link struct {
	Name   string   `yaml:"name"`
	To     AddrPort `yaml:"to"`
	Weight int      `yaml:"weight"`
	Doors  []door   `yaml:"doors"`
}

type door struct {
	Path string `yaml:"path"`
	Mode Mode   `yaml:"mode"`
}

func (l *link) SetDefaults() { *l = link{Weight: 7} }

// Validate implements Validator.
func (h *house) Validate(f *Faults) {
	if h.State == "" {
		f.Add("state", "is missing")
	}
	for i, l := range h.Links {
		in := f.In("links[%d]", i)
		if !l.To.IsValid() {
			in.Add("to", "is missing")
		}
		if l.Weight < 1 {
			in.Add("weight", "%d is below 1", l.Weight)
		}
	}
	if h.Disk.Files < 0 {
		f.Add("disk.files", "%d is below 0", h.Disk.Files)
	}
}

func houseDefaults() house {
	return house{State: "/default", Count: 3, Links: []link{{Name: "default", To: must(ParseAddrPort("10.0.0.1:1")), Weight: 1}}, Disk: diskPart{Files: 5}}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// faultsOf parses a text that has to be faulty.
func faultsOf(t *testing.T, text string) []string {
	t.Helper()
	_, err := Parse("f", []byte(text), houseDefaults())
	var faults *Error
	if !errors.As(err, &faults) {
		t.Fatalf("%q: %v, not faults", text, err)
	}
	return strings.Split(err.Error(), "\n")
}

func TestEveryFaultIsToldWithItsPathAndItsLine(t *testing.T) {
	for _, row := range []struct{ name, text, want string }{
		{"an unknown key near a known one", "\nstaet: /x\n", "f:2: staet: unknown key (did you mean state?)"},
		{"an unknown key in another case", "State: /x\n", "f:1: State: unknown key (did you mean state?)"},
		{"an unknown key far from all", "disk:\n  zzzzzz: 1\n", "f:2: disk.zzzzzz: unknown key (known here: files, reserve)"},
		{"an unknown key in a list", "links:\n  - name: a\n    to: 10.0.0.1:1\n    wieght: 2\n", "f:4: links[0].wieght: unknown key (did you mean weight?)"},
		{"a key with a point in it", "disk.files: 3\n", "f:1: disk.files: unknown key"},
		{"a key that could draw", "\"a\\e[31m\": 1\n", `f:1: "a\x1b[31m": unknown key`},
		{"an empty key", "\"\": 1\n", `f:1: "": unknown key`},
		{"a field that is none of the file's", "Skip: x\n", "f:1: Skip: unknown key"},
		{"a key given twice", "count: 1\nstate: /x\ncount: 2\n", "f:3: count: is given twice, first on line 1"},
		{"a key given twice in a list", "links:\n  - name: a\n    to: 10.0.0.1:1\n    name: b\n", "f:4: links[0].name: is given twice, first on line 2"},
		{"no value", "count:\n", "f:1: count: has no value"},
		{"null", "state: null\n", "f:1: state: has no value"},
		{"~", "links: ~\n", "f:1: links: has no value"},
		{"an entry without a value", "words:\n  - a\n  -\n", "f:3: words[1]: has no value"},
		{"words for a number", "count: many\n", `f:1: count: "many" is no whole number`},
		{"an octal number", "count: 010\n", `f:1: count: "010" is no whole number`},
		{"a hexadecimal number", "count: 0x10\n", `f:1: count: "0x10" is no whole number`},
		{"a fraction", "count: 1.5\n", `f:1: count: "1.5" is no whole number`},
		{"too large", "small: 256\n", `f:1: small: "256" is no whole number from 0`},
		{"below 0", "small: -1\n", `f:1: small: "-1" is no whole number from 0`},
		{"no number", "part: .nan\n", `f:1: part: ".nan" is no number`},
		{"not a number", "part: NaN\n", `f:1: part: "NaN" is no number`},
		{"yes", "on: yes\n", `f:1: on: "yes" is neither true nor false`},
		{"bytes", "bytes: 12 parsecs\n", `f:1: bytes: "12 parsecs" is no amount of bytes`},
		{"a rate", "rate: 900\n", `f:1: rate: "900" is no rate`},
		{"a percentage", "loss: 101%\n", `f:1: loss: "101%" is more than the whole`},
		{"a percentage that may be a fraction", "loss: 1\n", `f:1: loss: "1" could be a percentage or a fraction: write 1% where that is meant`},
		{"a length of time", "keep: 10\n", `f:1: keep: "10" is no length of time`},
		{"a mode", "mode: 0o640\n", `f:1: mode: "0o640" is no mode`},
		{"an address without a port", "to: 10.0.0.1\n", `f:1: to: "10.0.0.1" is no address: write an IP address and a port`},
		{"a name for an address", "to: localhost:1\n", `f:1: to: "localhost:1" is no address: "localhost" is no IP address, and names are not looked up`},
		{"a port too far", "to: 10.0.0.1:65536\n", `f:1: to: "10.0.0.1:65536" is no address: "65536" is no port`},
		{"a size", "disk:\n  reserve: much\n", `f:2: disk.reserve: "much" is neither an amount of bytes (10GB) nor a part of the disk (5%)`},
		{"a value deep in lists", "links:\n  - name: a\n    to: 10.0.0.1:1\n    doors:\n      - path: /x\n      - path: /y\n        mode: rw\n", `f:7: links[0].doors[1].mode: "rw" is no mode`},
		{"a list for a value", "state: [a]\n", "f:1: state: wants one value, not a list"},
		{"keys for a value", "state: {a: b}\n", "f:1: state: wants one value, not a group of keys"},
		{"a value for keys", "disk: 3\n", "f:1: disk: wants keys with values, not a single value"},
		{"a list for keys", "disk: [3]\n", "f:1: disk: wants keys with values, not a list"},
		{"keys for a list", "links: {a: {to: 10.0.0.1:1}}\n", "f:1: links: wants a list"},
		{"a value for a list", "links: a\n", "f:1: links: wants a list"},
		{"a value for an entry", "links: [a]\n", "f:1: links[0]: wants keys with values"},
		{"keys for a word", "words: [{a: b}]\n", "f:1: words[0]: wants one value"},
		{"a list for a document", "- a\n", "f:1: wants keys with values, not a list"},
		{"a value for a document", "hello\n", "f:1: wants keys with values, not a single value"},
		{"an entry without a name", "links:\n  - to: 10.0.0.1:1\n", "f:2: links[0].name: is missing"},
		{"an entry with an empty name", "links:\n  - name: \"\"\n    to: 10.0.0.1:1\n", "f:2: links[0].name: is missing"},
		{"one name twice", "links:\n  - {name: a, to: 10.0.0.1:1}\n  - {name: b, to: 10.0.0.1:1}\n  - {name: a, to: 10.0.0.1:1}\n", `f:4: links[2].name: "a" is the name of links[0] already`},
		{"an anchor", "state: &a /x\n", "f:1: state: anchors and aliases are not taken here"},
		{"an anchor on a key", "&a state: /x\n", "f:1: state: anchors and aliases are not taken here"},
		{"an anchor on everything", "&a\nstate: /x\n", "f:1: anchors and aliases are not taken here"},
		{"a merge key", "links:\n  - <<: {weight: 3}\n    name: a\n    to: 10.0.0.1:1\n", "f:2: links[0].<<: merge keys are not taken here"},
		{"a tag", "count: !!int 3\n", "f:1: count: tags such as !!int are not taken here"},
		{"a tag of one's own", "disk: !mine {files: 3}\n", "f:1: disk: tags such as !mine are not taken here"},
		{"a tag on a key", "!!str state: /x\n", "f:1: state: tags such as !!str are not taken here"},
		{"a list for a key", "? [a]\n: 3\n", "f:1: a key is a plain word"},
		{"a second document", "state: /x\n---\nstate: /y\n", "f:2: a second document begins here"},
		{"a second document that is empty", "state: /x\n---\n", "f:2: a second document begins here"},
		{"a tab", "disk:\n\tfiles: 3\n", "f:2: not YAML: "},
		{"no YAML", "state: [\n", "f:1: not YAML: "},
		{"an alias of nothing", "state: *nothing\n", "f: not YAML: unknown anchor 'nothing'"},
		{"not UTF-8", "state: /x\nwords: [\"\xff\"]\n", "f:2: the text is not UTF-8"},
		{"UTF-16", "\xff\xfes\x00t\x00", "f:1: the text is not UTF-8"},
		{"NUL", "state: \"a\x00\"\n", "f: not YAML: control characters are not allowed"},
		{"what Validate finds", "state: \"\"\n", "f:1: state: is missing"},
		{"what Validate finds of a key that is not there", "count: 3\nlinks:\n  - name: a\n", "f:3: links[0].to: is missing"},
		{"what Validate finds of a value", "\ndisk:\n  files: -2\n", "f:3: disk.files: -2 is below 0"},
	} {
		got := faultsOf(t, row.text)
		if len(got) != 1 || !strings.HasPrefix(got[0], row.want) {
			t.Errorf("%s:\ngot  %s\nwant %s", row.name, strings.Join(got, "\n     "), row.want)
		}
	}
}

func TestAllFaultsAreToldAtOnceInTheOrderOfTheFile(t *testing.T) {
	const text = `state: [a]
cuont: 1
part: x
part: 4
rate: fast
links:
  - to: 10.0.0.1:1
  - name: b
    to: nowhere
    weight: 0
  - name: b
    mtu: 9
words: {a: b}
`
	t.Setenv("ECLUSE_DISK_FILES", "-7")
	t.Setenv("ECLUSE_MODE", "rw")
	want := []string{
		`f:1: state: wants one value, not a list`,
		`f:2: cuont: unknown key (did you mean count?)`,
		`f:4: part: is given twice, first on line 3`,
		`f:5: rate: "fast" is no rate: write bits a second, as 900Mbit or 9Gbit`,
		`f:7: links[0].name: is missing`,
		`f:9: links[1].to: "nowhere" is no address: write an IP address and a port, as 10.77.0.2:4600 or [fd00::2]:4600`,
		`f:10: links[1].weight: 0 is below 1`,
		`f:11: links[2].name: "b" is the name of links[1] already`,
		`f:11: links[2].to: is missing`,
		`f:12: links[2].mtu: unknown key (known here: doors, name, to, weight)`,
		`f:13: words: wants a list: entries that begin with -, or [a, b]`,
		`ECLUSE_MODE: mode: "rw" is no mode: write octal digits, as 0640`,
		`ECLUSE_DISK_FILES: disk.files: -7 is below 0`,
	}
	got := faultsOf(t, text)
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAnAliasIsRefusedWhereItStands(t *testing.T) {
	got := strings.Join(faultsOf(t, "state: &a count\nwords: [*a]\n*a : 3\n"), "\n")
	want := "f:1: state: anchors and aliases are not taken here: write the value out\nf:2: words[0]: anchors and aliases are not taken here: write the value out\n" +
		"f:3: anchors and aliases are not taken here: write the value out"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestAThingWithoutAFaultIsNotBlamedForThatOfAnother(t *testing.T) {
	got := faultsOf(t, "links:\n  -\n  - name: b\n    to: 10.0.0.1:1\n  - 7\n")
	want := []string{"f:2: links[0]: has no value; leave the key out to have its default", "f:5: links[2]: wants keys with values, not a single value"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestFaultsWithoutNumberAreToldUpToABound(t *testing.T) {
	var b strings.Builder
	for i := range maxFaults + 23 {
		fmt.Fprintf(&b, "zzz%d: 1\n", i)
	}
	got := faultsOf(t, b.String())
	if len(got) != maxFaults+1 || got[maxFaults] != "f: and 23 more" {
		t.Errorf("%d lines, the last %q", len(got), got[len(got)-1])
	}
}

func TestALongKeyCostsNothingAndIsToldShort(t *testing.T) {
	got := faultsOf(t, "? "+strings.Repeat("k", 1<<19)+"\n: 1\n")
	if len(got) != 1 || len(got[0]) > 400 || !strings.Contains(got[0], "unknown key") {
		t.Errorf("%d lines, %d bytes", len(got), len(got[0]))
	}
}

func TestAFileThatCannotBeReadIsToldWithItsPath(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large.yaml")
	if err := os.WriteFile(large, []byte("#"+strings.Repeat("x", maxFile)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none.yaml"): "no such file or directory (run init, or give --config FILE)",
		large:                           "it is larger than 1048576 bytes",
		dir:                             "is a directory",
	} {
		_, err := Load(path, houseDefaults())
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
	exact := filepath.Join(dir, "exact.yaml")
	if err := os.WriteFile(exact, []byte("#"+strings.Repeat("x", maxFile-1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(exact, houseDefaults()); err != nil {
		t.Errorf("of exactly the largest size: %v", err)
	}
}
