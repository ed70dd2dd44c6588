package bundle

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"ecluse/protocol/racing"
)

const (
	testID     = "aebagbafaydqqcikbmga2dqpca" // bytes 1 to 16
	testEpoch  = "caaqcaibaeaqcaibaeaqcaibae" // 16, then ones
	hexElevens = "1111111111111111111111111111111111111111111111111111111111111111"
)

// goldenText is the small manifest as SPEC.md section 10 draws it, with what its SHA256SUMS comes to.
func goldenText() string {
	lines := hexElevens + "  files/n/a\n\\" + strings.Repeat("2", 64) + `  files/n/b\\"é` + "\n"
	return fmt.Sprintf(goldenForm, sha256.Sum256([]byte(lines)))
}

const goldenForm = `{"format":"ecluse-manifest-1",
"bundle":"aebagbafaydqqcikbmga2dqpca",
"sender":"ctie-low",
"receiver":"2222222222222222222222222222222222222222222222222222222222222222",
"tenant":"cssf",
"epoch":"caaqcaibaeaqcaibaeaqcaibae",
"sequence":7,
"previous":"3333333333333333333333333333333333333333333333333333333333333333",
"created":"2026-01-31T23:59:59Z",
"name":"n",
"labels":{"k":"v","l":"a \"b\" \\"},
"sums":"%x",
"files":[
{"path":"n/a","size":12,"mode":"0600","mtime":1767225599,"sha256":"1111111111111111111111111111111111111111111111111111111111111111"},
{"path":"n/b\\\"é","size":4096,"mode":"0700","mtime":-1,"sha256":"2222222222222222222222222222222222222222222222222222222222222222"}
],
"dirs":[
{"path":"n","mode":"0700","mtime":1767225599},
{"path":"n/empty","mode":"0500","mtime":0}
],
"chunks":{"size":4096,"marks":[
"00000000000000ff",
"fedcba9876543210"
]},
"total":4108}
`

// golden is the value that goldenText stands for, before it was written.
func golden(t testing.TB) *Manifest {
	table := new(Table)
	addFileT(t, table, "n/a", 12, 0o600, 1767225599, repeated(0x11))
	addFileT(t, table, `n/b\"é`, 4096, 0o700, -1, repeated(0x22))
	addDirT(t, table, "n", 0o700, 1767225599)
	addDirT(t, table, "n/empty", 0o500, 0)
	id, err := ParseID(testID)
	if err != nil {
		t.Fatal(err)
	}
	epoch, err := ParseEpoch(testEpoch)
	if err != nil {
		t.Fatal(err)
	}
	return &Manifest{
		Header: Header{Bundle: id, Sender: "ctie-low", Receiver: repeated(0x22), Tenant: "cssf", Epoch: epoch, Sequence: 7,
			Previous: repeated(0x33), Created: 1769903999, Name: "n", Labels: []Label{{"k", "v"}, {"l", `a "b" \`}}},
		Table: table, ChunkSize: 4096, Marks: []Mark{0xff, 0xfedcba9876543210},
	}
}

func repeated(b byte) Digest { return Digest(bytes.Repeat([]byte{b}, 32)) }

func addFileT(t testing.TB, table *Table, p string, size int64, mode uint32, mtime int64, d Digest) {
	t.Helper()
	number, err := table.AddFile(Path(p), size, mode, mtime)
	if err != nil {
		t.Fatal(err)
	}
	table.SetDigest(number, d)
}

func addDirT(t testing.TB, table *Table, p string, mode uint32, mtime int64) {
	t.Helper()
	if err := table.AddDir(Path(p), mode, mtime); err != nil {
		t.Fatal(err)
	}
}

// writeT writes a manifest that must be fit to be written.
func writeT(t testing.TB, m *Manifest) string {
	t.Helper()
	var b bytes.Buffer
	if err := WriteManifest(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func parseString(s string) (*Manifest, error) {
	return ParseManifest(strings.NewReader(s), Limits{Manifest: max(1, int64(len(s)))})
}

// value gives everything a manifest says, without how it lies in memory.
type value struct {
	Header
	Files     []File
	Dirs      []Dir
	ChunkSize int
	Marks     []Mark
	Total     int64
}

func valueOf(m *Manifest) value {
	v := value{Header: m.Header, ChunkSize: m.ChunkSize, Marks: m.Marks, Total: m.Table.Total()}
	for number := 1; number <= m.Table.Files(); number++ {
		v.Files = append(v.Files, m.Table.File(number))
	}
	for i := range m.Table.Dirs() {
		v.Dirs = append(v.Dirs, m.Table.Dir(i))
	}
	if len(v.Marks) == 0 {
		v.Marks = nil
	}
	if len(v.Labels) == 0 {
		v.Labels = nil
	}
	return v
}

// ruleOf gives "reason rule" of a refusal, or the error as it is.
func ruleOf(err error) string {
	var r *Rejection
	if errors.As(err, &r) {
		return string(r.Reason) + " " + r.Rule
	}
	return fmt.Sprint(err)
}

func TestManifestHasExactlyTheBytesOfTheForm(t *testing.T) {
	m := golden(t)
	length := m.Length()
	got := writeT(t, m)
	if want := goldenText(); got != want {
		t.Fatalf("wrote\n%s\nwant\n%s", got, want)
	}
	if m.Size != int64(len(got)) || m.Digest != Digest(sha256.Sum256([]byte(got))) || length != m.Size {
		t.Errorf("size %d, length %d, digest %s do not describe the %d bytes written", m.Size, length, m.Digest, len(got))
	}
	parsed, err := parseString(got)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(valueOf(parsed), valueOf(m)) || parsed.Size != m.Size || parsed.Digest != m.Digest {
		t.Errorf("parsed %+v, want %+v", valueOf(parsed), valueOf(m))
	}
}

func TestEveryShorterManifestIsRefused(t *testing.T) {
	text := goldenText()
	for n := range text {
		_, err := parseString(text[:n])
		if got := ruleOf(err); got != "manifest-syntax M-1" {
			t.Fatalf("the first %d bytes: %v, want manifest-syntax", n, err)
		}
		if want := fmt.Sprintf("byte %d:", n); !strings.Contains(err.Error(), want) {
			t.Fatalf("the first %d bytes: %v does not name the byte", n, err)
		}
	}
}

func TestNoMutationOfAManifestMeansTheSame(t *testing.T) {
	text := []byte(goldenText())
	original, err := parseString(string(text))
	if err != nil {
		t.Fatal(err)
	}
	same := valueOf(original)
	refused := 0
	for i, old := range text {
		for b := 0; b < 256; b += racing.Step {
			if text[i] = byte(b); byte(b) == old {
				continue
			}
			m, err := ParseManifest(bytes.NewReader(text), Limits{Manifest: int64(len(text))})
			if _, rejected := ReasonOf(err); err != nil && !rejected {
				t.Fatalf("byte %d as %#x: %v is no rejection", i, b, err)
			}
			if err != nil {
				refused++
			} else if reflect.DeepEqual(valueOf(m), same) {
				t.Fatalf("byte %d as %#x instead of %#x means the same", i, b, old)
			} else if again := writeT(t, m); again != string(text) {
				t.Fatalf("byte %d as %#x parses, and is written otherwise:\n%s", i, b, again)
			}
		}
		text[i] = old
	}
	if refused < 200*len(text)/racing.Step {
		t.Errorf("only %d of %d mutations were refused", refused, 255*len(text)/racing.Step)
	}
}

func TestNoInsertionOrDeletionMeansTheSame(t *testing.T) {
	text := goldenText()
	original, _ := parseString(text)
	same := valueOf(original)
	try := func(what, s string) {
		if m, err := parseString(s); err == nil && reflect.DeepEqual(valueOf(m), same) {
			t.Fatalf("%s means the same", what)
		}
	}
	for i := 0; i <= len(text); i += racing.Step {
		for _, add := range []string{" ", "\n", "\r", "\t", "0", "-", "+", ",", `"`, `\`, "\x00", "a", "}", "]", "\ufeff"} {
			if i < len(text) || add != "" {
				try(fmt.Sprintf("%q at byte %d", add, i), text[:i]+add+text[i:])
			}
		}
		if i < len(text) && text[max(0, i-1)] != text[i] {
			try(fmt.Sprintf("without byte %d", i), text[:i]+text[i+1:])
		}
	}
}

func TestSingleFileBundle(t *testing.T) {
	m := golden(t)
	m.Table = new(Table)
	m.Labels = nil
	m.Name = "data.bin"
	addFileT(t, m.Table, "data.bin", 0, 0, MinMtime, repeated(1))
	m.Marks = nil
	text := writeT(t, m)
	for _, want := range []string{`"labels":{},` + "\n", `"dirs":[],` + "\n", `"marks":[]},` + "\n", `"mode":"0000"`, `"mtime":-1099511627776`} {
		if !strings.Contains(text, want) {
			t.Errorf("the manifest\n%s\ndoes not hold %q", text, want)
		}
	}
	parsed, err := parseString(text)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(valueOf(parsed), valueOf(m)) {
		t.Errorf("parsed %+v, want %+v", valueOf(parsed), valueOf(m))
	}
	if m.Length() != m.Size {
		t.Errorf("length %d of %d bytes", m.Length(), m.Size)
	}
}

func TestBundleOfEmptyDirectoriesOnly(t *testing.T) {
	m := golden(t)
	m.Table = new(Table)
	addDirT(t, m.Table, "n", 0o700, 1)
	addDirT(t, m.Table, "n/a", 0o700, 1)
	m.Marks = nil
	text := writeT(t, m)
	if !strings.Contains(text, `"files":[],`+"\n") {
		t.Errorf("no empty list of files in\n%s", text)
	}
	parsed, err := parseString(text)
	if err != nil || parsed.Table.Files() != 0 || parsed.Table.Dirs() != 2 || m.Length() != m.Size {
		t.Errorf("parsed %v, %v; length %d of %d", parsed, err, m.Length(), m.Size)
	}
}

func TestParsingGivesTheReadersOwnError(t *testing.T) {
	broken := errors.New("the disk is on fire")
	text := goldenText()
	for _, n := range []int{0, 1, 100, 600, len(text) - 1, len(text)} {
		_, err := ParseManifest(io.MultiReader(strings.NewReader(text[:n]), iotest.ErrReader(broken)), Limits{})
		if _, rejected := ReasonOf(err); !errors.Is(err, broken) || rejected {
			t.Errorf("after %d bytes: %v, want the reader's error", n, err)
		}
	}
}

func TestParsingDoesNotDependOnHowTheReaderCuts(t *testing.T) {
	text := goldenText()
	for name, r := range map[string]io.Reader{"one byte": iotest.OneByteReader(strings.NewReader(text)), "half": iotest.HalfReader(strings.NewReader(text)),
		"data with EOF": iotest.DataErrReader(strings.NewReader(text))} {
		m, err := ParseManifest(r, Limits{})
		if err != nil || m.Digest != Digest(sha256.Sum256([]byte(text))) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
}

type failingWriter struct{ room int }

func (w *failingWriter) Write(b []byte) (int, error) {
	if w.room -= len(b); w.room < 0 {
		return 0, io.ErrShortWrite
	}
	return len(b), nil
}

func TestWritingGivesTheWritersOwnError(t *testing.T) {
	if err := WriteManifest(&failingWriter{100}, golden(t)); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("%v, want the writer's error", err)
	}
	if err := WriteSums(&failingWriter{100}, golden(t).Table); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("%v, want the writer's error", err)
	}
}
