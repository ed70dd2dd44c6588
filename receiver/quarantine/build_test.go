package quarantine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/receiver/assemble"
)

// renames are what Build does, in order, as pairs of names below the staging directory.
func (p *parcel) renames() (list [][2]string) {
	for n := 1; n <= p.m.Table.Files(); n++ {
		if p.m.Table.Size(n) > 0 {
			list = append(list, [2]string{stagedName(n), filepath.Join("whole/files", string(p.m.Table.File(n).Path))})
		}
	}
	return append(list, [2]string{stagedName(0), "whole/manifest.json"})
}

// begin does the first n renames of Build, as a life does that is killed then.
func (p *parcel) begin(t *testing.T, s *assemble.Staged, n int) {
	t.Helper()
	for _, d := range append([]bundle.Path{""}, p.dirs...) {
		if err := os.MkdirAll(filepath.Join(s.Dir, "whole/files", string(d)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range p.renames()[:n] {
		if err := os.Rename(filepath.Join(s.Dir, r[0]), filepath.Join(s.Dir, r[1])); err != nil {
			t.Fatal(err)
		}
	}
}

// finish verifies and builds, and compares.
func (p *parcel) finish(t *testing.T, s *assemble.Staged) {
	t.Helper()
	signed, err := Verify(disk.New(), s, trust(t))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := Build(disk.New(), s, signed)
	if err != nil {
		t.Fatal(err)
	}
	holdsParcel(t, dir, p)
	if _, err := Check(disk.New(), dir, trust(t)); err != nil {
		t.Error(err)
	}
}

func TestABuildGoesOnWhereAnEarlierLifeWasKilled(t *testing.T) {
	for n := range len(pack(t, order{}).renames()) + 1 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			p := pack(t, order{})
			s := p.stage(t)
			p.begin(t, s, n)
			p.finish(t, s)
			p.finish(t, s) // and once more, killed before the move into quarantine
		})
	}
}

func TestHalfWrittenPapersAreWrittenAgain(t *testing.T) {
	p := pack(t, order{})
	s := p.stage(t)
	p.begin(t, s, 3)
	put(t, filepath.Join(s.Dir, "whole/SHA256SUMS"), bytes.Repeat([]byte("x"), 1<<17))
	put(t, filepath.Join(s.Dir, "whole/manifest.json.sig"), []byte("-----"))
	put(t, filepath.Join(s.Dir, "whole/files/n/b"), []byte("not empty"))
	p.finish(t, s)
}

// written counts the bytes that are written to each file.
type written struct {
	mu    sync.Mutex
	bytes map[string]int64
}

func (w *written) Before(*disk.Op) error { return nil }

func (w *written) After(op *disk.Op, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if op.Kind == disk.Write && err == nil {
		w.bytes[op.Path] += int64(op.Len)
	}
}

// What an earlier life had put together may be the page cache's alone, where a sync of that life failed. It is written again, so that the next sync makes it durable or says that
// it cannot.
func TestWhatAnEarlierLifePutTogetherIsWrittenAgain(t *testing.T) {
	p := pack(t, order{})
	s := p.stage(t)
	p.finish(t, s)
	dir := filepath.Join(s.Dir, wholeName)
	w := &written{bytes: make(map[string]int64)}
	signed, err := Verify(disk.Watched(w), s, trust(t))
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= signed.Manifest.Table.Files(); n++ {
		f := signed.Manifest.Table.File(n)
		if got := w.bytes[filepath.Join(dir, FilesName, string(f.Path))]; got != f.Size {
			t.Errorf("%d of %d bytes of %s were written again", got, f.Size, f.Path)
		}
	}
	if got := w.bytes[filepath.Join(dir, ManifestName)]; got != int64(len(p.text)) {
		t.Errorf("%d of %d bytes of the manifest were written again", got, len(p.text))
	}
	p.finish(t, s)
}

// Chunks that the earlier life did not remember come again, by number, beside what it had moved.
func TestWhatCameAgainDoesNotReplaceWhatIsRight(t *testing.T) {
	p := pack(t, order{})
	s := p.stage(t)
	all := len(p.renames())
	p.begin(t, s, all)
	p.repair(t, s, []uint32{1, 4, 5}) // the middle of n/a, the ends of others, the manifest
	flip(t, assemble.StagedPath(s.Dir, 0), 3)
	p.finish(t, s)
}

// What was moved and is wrong goes back to where repairs are written.
func TestWhatWasMovedAndIsWrongIsRepaired(t *testing.T) {
	p := pack(t, order{})
	s := p.stage(t)
	p.begin(t, s, len(p.renames()))
	flip(t, filepath.Join(s.Dir, "whole/files/n/a"), 5000)
	if err := os.Remove(filepath.Join(s.Dir, `whole/files/n/z\é`)); err != nil {
		t.Fatal(err)
	}
	_, err := Verify(disk.New(), s, trust(t))
	var wrong *WrongContent
	if !errors.As(err, &wrong) || fmt.Sprint(wrong.Chunks, wrong.Files) != "[1 4] [1 6]" {
		t.Fatalf("%v: %+v", err, wrong)
	}
	p.repair(t, s, wrong.Chunks)
	p.finish(t, s)

	p = pack(t, order{})
	s = p.stage(t)
	p.begin(t, s, len(p.renames()))
	flip(t, filepath.Join(s.Dir, "whole/manifest.json"), 5)
	if _, err := Verify(disk.New(), s, trust(t)); !errors.As(err, &wrong) || fmt.Sprint(wrong.Chunks, wrong.Files) != "[5] [0]" {
		t.Fatalf("%v: %+v", err, wrong)
	}
	p.repair(t, s, wrong.Chunks)
	p.finish(t, s)
}

func TestWhatDoesNotBelongToABundleIsNotBuiltInto(t *testing.T) {
	for _, stray := range []string{"whole/files/n/stray", "whole/files/n/void/stray", "whole/files/m", "whole/stray"} {
		p := pack(t, order{})
		s := p.stage(t)
		p.begin(t, s, 2)
		put(t, filepath.Join(s.Dir, stray), []byte("x"))
		signed, err := Verify(disk.New(), s, trust(t))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Build(disk.New(), s, signed); verdict(err) != "content-mismatch M-6" {
			t.Errorf("%s: %v", stray, err)
		}
	}
}

// os.Root keeps every path inside, whoever puts a link in its way.
func TestNothingIsBuiltThroughALinkThatLeadsOut(t *testing.T) {
	p := pack(t, order{})
	s := p.stage(t)
	outside := t.TempDir()
	signed, err := Verify(disk.New(), s, trust(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(s.Dir, "whole/files"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(s.Dir, "whole/files/n")); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(disk.New(), s, signed); err == nil {
		t.Error("it was built")
	}
	if names, err := os.ReadDir(outside); err != nil || len(names) != 0 {
		t.Errorf("outside stand %v, %v", names, err)
	}
}

// A refusal of the papers in a bundle that was built, and of everything that can be done to its files.
func TestCheckFindsWhateverWasDone(t *testing.T) {
	at := func(name string, f func(path string) error) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := f(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	write := func(name, content string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { put(t, filepath.Join(dir, name), []byte(content)) }
	}
	flipAt := func(name string, n int) func(*testing.T, string) {
		return func(t *testing.T, dir string) { flip(t, filepath.Join(dir, name), n) }
	}
	link := func(name, to string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, name)
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(to, path); err != nil {
				t.Fatal(err)
			}
		}
	}
	replace := func(name string, f func(path string) error) func(*testing.T, string) {
		return at(name, func(path string) error { return errors.Join(os.RemoveAll(path), f(path)) })
	}
	mkdir := func(path string) error { return os.Mkdir(path, 0o700) }
	for name, c := range map[string]struct {
		do   func(t *testing.T, dir string)
		want string
	}{
		"nothing":                       {func(*testing.T, string) {}, "accepted"},
		"a file missing":                {at("files/n/c", os.Remove), "content-mismatch M-6"},
		"the first file missing":        {at("files/n/a", os.Remove), "content-mismatch M-6"},
		"the last file missing":         {at(`files/n/z\é`, os.Remove), "content-mismatch M-6"},
		"an empty file missing":         {at("files/n/b", os.Remove), "content-mismatch M-6"},
		"an empty directory missing":    {at("files/n/void", os.Remove), "content-mismatch M-6"},
		"a directory missing":           {at("files/n/sub", os.RemoveAll), "content-mismatch M-6"},
		"all files missing":             {at("files", os.RemoveAll), "content-mismatch M-6"},
		"the whole missing":             {at("", os.RemoveAll), "content-mismatch M-6"},
		"a file instead of it":          {replace("", func(p string) error { return os.WriteFile(p, nil, 0o600) }), "content-mismatch M-6"},
		"a file more":                   {write("files/n/b2", "x"), "content-mismatch M-6"},
		"a file more at the end":        {write("files/n/zz", "x"), "content-mismatch M-6"},
		"a file more beside the tree":   {write("files/m", "x"), "content-mismatch M-6"},
		"a hidden file more":            {write("files/n/void/.x", ""), "content-mismatch M-6"},
		"a file with no UTF-8 name":     {write("files/n/\xff", "x"), "content-mismatch M-6"},
		"a directory with no UTF-8":     {write("files/n/\xff/x", "x"), "content-mismatch M-6"},
		"a directory more":              {at("files/n/sub/e", mkdir), "content-mismatch M-6"},
		"something beside files":        {write("notes", "x"), "content-mismatch M-6"},
		"a link beside files":           {link("notes", "files"), "content-mismatch M-6"},
		"a link for a file, to its own": {swapped("files/n/a", "a.moved"), "content-mismatch M-6"},
		"a link for a file, outside":    {link("files/n/c", "/etc/passwd"), "content-mismatch M-6"},
		"a link for a file, to nothing": {link("files/n/c", "nowhere"), "content-mismatch M-6"},
		"a link for an empty file":      {link("files/n/b", "/dev/null"), "content-mismatch M-6"},
		"a link for a directory":        {swapped("files/n/sub", "sub.moved"), "content-mismatch M-6"},
		"a link for files":              {swapped("files", "files.moved"), "content-mismatch M-6"},
		"a link for the whole":          {swapped("", "moved"), "content-mismatch M-6"},
		"a link for the manifest":       {swapped("manifest.json", "m"), "content-mismatch M-6"},
		"a link for the signature":      {swapped("manifest.json.sig", "m"), "content-mismatch M-6"},
		"a link for the sums":           {swapped("SHA256SUMS", "m"), "content-mismatch M-6"},
		"a directory for a file":        {replace("files/n/c", mkdir), "content-mismatch M-6"},
		"a directory for an empty file": {replace("files/n/b", mkdir), "content-mismatch M-6"},
		"a file for a directory":        {replace("files/n/void", func(p string) error { return os.WriteFile(p, nil, 0o600) }), "content-mismatch M-6"},
		"a file for files":              {replace("files", func(p string) error { return os.WriteFile(p, nil, 0o600) }), "content-mismatch M-6"},
		"a directory for the manifest":  {replace("manifest.json", mkdir), "content-mismatch M-6"},
		"a pipe for a file":             {replace("files/n/c", pipe), "content-mismatch M-6"},
		"a pipe for the manifest":       {replace("manifest.json", pipe), "content-mismatch M-6"},
		"a byte changed":                {flipAt("files/n/sub/d", 4999), "content-mismatch M-6"},
		"a byte changed, one size":      {flipAt("files/n/a", 0), "content-mismatch M-6"},
		"a byte appended":               {write("files/n/a b", string(noise(2, 100))+"x"), "content-mismatch M-6"},
		"a byte cut off":                {write("files/n/a b", string(noise(2, 99))), "content-mismatch M-6"},
		"an empty file filled":          {write("files/n/b", "x"), "content-mismatch M-6"},
		"SHA256SUMS changed":            {flipAt("SHA256SUMS", 3), "content-mismatch M-6"},
		"SHA256SUMS missing":            {at("SHA256SUMS", os.Remove), "content-mismatch M-6"},
		"SHA256SUMS longer":             {appended("SHA256SUMS", "\n"), "content-mismatch M-6"},
		"a byte and SHA256SUMS to fit":  {fitted, "content-mismatch M-6"},
		"the manifest changed":          {flipAt("manifest.json", 300), "signature-invalid G-1"},
		"the manifest longer":           {appended("manifest.json", "\n"), "signature-invalid G-1"},
		"the manifest missing":          {at("manifest.json", os.Remove), "content-mismatch M-6"},
		"the signature changed":         {flipAt("manifest.json.sig", 200), "signature-"},
		"the signature missing":         {at("manifest.json.sig", os.Remove), "content-mismatch M-6"},
		"the signature empty":           {write("manifest.json.sig", ""), "signature-format G-1"},
		"the signature huge":            {write("manifest.json.sig", strings.Repeat("A", 1<<20)), "signature-format G-1"},
		"another's signature":           {write("manifest.json.sig", string(bundle.Armor(sign(t, signer(t, 2), bundle.NamespaceBundle, pack(t, order{}).text)))), "signer-other G-2"},
		"all of it, signed by nobody":   {resigned, "signer-unknown G-2"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := quarantined(t, pack(t, order{}))
			c.do(t, dir)
			signed, err := Check(disk.New(), dir, trust(t))
			if !strings.HasPrefix(verdict(err), c.want) || err == nil && signed == nil {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

// swapped moves something aside, out of the bundle, and puts a link to it in its place: every byte is still found there.
func swapped(name, aside string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		moved := filepath.Join(filepath.Dir(dir), filepath.Base(aside))
		if err := os.Rename(filepath.Join(dir, name), moved); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(moved, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func pipe(path string) error { return unix.Mkfifo(path, 0o600) }

func appended(name, more string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, name), append(content, more...))
	}
}

// fitted changes a byte, and the line of SHA256SUMS with it: sha256sum says that all is well.
func fitted(t *testing.T, dir string) {
	p := pack(t, order{})
	i := slices.Index(p.paths, "n/c")
	p.data[i][7] ^= 1
	other := pack(t, order{tree: p.entries})
	put(t, filepath.Join(dir, "files/n/c"), p.data[i])
	var sums bytes.Buffer
	if err := bundle.WriteSums(&sums, other.m.Table); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "SHA256SUMS"), sums.Bytes())
}

// resigned replaces everything by a bundle that fits in itself.
func resigned(t *testing.T, dir string) {
	p := pack(t, order{signer: signer(t, 3), header: func(h *bundle.Header) { h.Sequence = 3 }})
	put(t, filepath.Join(dir, "manifest.json"), p.text)
	put(t, filepath.Join(dir, "manifest.json.sig"), bundle.Armor(p.close.Signature))
}

// The papers alone are read where content was moved on, and are held against themselves.
func TestPapersAreReadWithoutContent(t *testing.T) {
	dir := quarantined(t, pack(t, order{}))
	if err := os.RemoveAll(filepath.Join(dir, "files")); err != nil {
		t.Fatal(err)
	}
	if signed, err := ReadSigned(disk.New(), dir, trust(t)); err != nil || signed.Manifest.Name != "n" {
		t.Errorf("%v", err)
	}
	flip(t, filepath.Join(dir, "SHA256SUMS"), 0)
	if _, err := ReadSigned(disk.New(), dir, trust(t)); verdict(err) != "content-mismatch M-6" {
		t.Errorf("%v", err)
	}
}

// A link to another file of the same bundle stays inside os.Root: it is refused all the same, also where the other file has the same bytes.
func TestALinkWithinABundleIsNoFile(t *testing.T) {
	e := &entries{dirs: []bundle.Path{"n"}}
	e.file("n/a", []byte("same"))
	e.file("n/b", []byte("same"))
	p := pack(t, order{tree: e})
	dir := quarantined(t, p)
	if err := os.Remove(filepath.Join(dir, "files/n/b")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a", filepath.Join(dir, "files/n/b")); err != nil {
		t.Fatal(err)
	}
	root, err := disk.New().OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for name, err := range map[string]error{"CheckTree": CheckTree(root, FilesName, p.m.Table), "CheckFiles": CheckFiles(root, FilesName, p.m.Table)} {
		if verdict(err) != "content-mismatch M-6" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
