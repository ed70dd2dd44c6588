package signatures

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse/internal/keys"
	"ecluse/protocol/bundle"
)

type person struct {
	name   string
	signer ssh.Signer
}

func newPerson(t testing.TB, name string) person {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	signer, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(seed[:]))
	if err != nil {
		t.Fatal(err)
	}
	return person{name, signer}
}

func (p person) line(options string) string {
	return fmt.Sprintf("%s %s%s", p.name, options, ssh.MarshalAuthorizedKey(p.signer.PublicKey()))
}

func (p person) sign(t testing.TB, namespace, text string) string {
	t.Helper()
	s, err := p.signer.Sign(nil, bundle.SignedData(namespace, sha512.Sum512([]byte(text))))
	if err != nil {
		t.Fatal(err)
	}
	return string(bundle.Armor(bundle.MarshalSignature(p.signer.PublicKey(), namespace, s)))
}

func sumsOf(files map[string]string) string {
	var b bytes.Buffer
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for n := range files {
			if !yield(n) {
				return
			}
		}
	}) {
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256([]byte(files[name])), name)
	}
	return b.String()
}

// Each row is an item, what is asked, and what must be said of it.
func TestAnItemIsHeldAgainstWhatPeopleHaveSigned(t *testing.T) {
	alice, bob, carol, stranger, late := newPerson(t, "alice"), newPerson(t, "bob"), newPerson(t, "carol"), newPerson(t, "stranger"), newPerson(t, "late")
	people, err := keys.ParsePeople([]byte(alice.line(`namespaces="file" `) + bob.line("") + carol.line(`namespaces="release@ecluse" `) + late.line(`valid-before="20200101Z" `)))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	one, two := Rule{Need: 1}, Rule{Need: 2}
	short := strings.NewReplacer(string(bundle.ReasonSignatureMissing), "missing", string(bundle.ReasonSignatureContent), "content")
	const tar, csv = "the tar", "the csv"
	list := sumsOf(map[string]string{"u.tar": tar, "d/x.csv": csv, "not here": "x"})
	for _, row := range []struct {
		name  string
		rule  Rule
		files map[string]string
		want  string // reason and path of each finding
		who   string
	}{
		{"signed", one, map[string]string{"i/u.tar": tar, "i/u.tar.sig": alice.sign(t, "file", tar)}, "", "alice 1"},
		{"by two", two, map[string]string{"i/u.tar": tar, "i/u.tar.sig": alice.sign(t, "file", tar), "i/u.tar.bob.sig": bob.sign(t, "file", tar)}, "", "alice 1, bob 1"},
		{"by one twice", two, map[string]string{"i/u.tar": tar, "i/u.tar.sig": alice.sign(t, "file", tar), "i/u.tar.bob.sig": alice.sign(t, "file", tar)}, "missing i/u.tar", "alice 1"},
		{"not signed", one, map[string]string{"i/u.tar": tar}, "missing i/u.tar", ""},
		{"one of two files", one, map[string]string{"i/u.tar": tar, "i/u.tar.sig": alice.sign(t, "file", tar), "i/x": "x"}, "missing i/x", "alice 1"},
		{"of another file", one, map[string]string{"i/u.tar": tar, "i/u.tar.sig": alice.sign(t, "file", csv)}, "content i/u.tar.sig, missing i/u.tar", ""},
		{"one holds, one does not", one, map[string]string{"i/u.tar": tar, "i/u.tar.sig": alice.sign(t, "file", tar), "i/u.tar.b.sig": bob.sign(t, "file", csv)}, "content i/u.tar.b.sig", "alice 1"},
		{"a stranger's", one, map[string]string{"i/u.tar": tar, "i/u.tar.sig": stranger.sign(t, "file", tar)}, "missing i/u.tar", ""},
		{"a stranger's beside hers", one, map[string]string{"i/u.tar": tar, "i/u.tar.sig": stranger.sign(t, "file", tar), "i/u.tar.alice.sig": alice.sign(t, "file", tar)}, "", "alice 1"},
		{"in another namespace", one, map[string]string{"i/u.tar": tar, "i/u.tar.sig": alice.sign(t, "git", tar)}, "missing i/u.tar, missing i/u.tar.sig", ""},
		{"by one who may sign other things", one, map[string]string{"i/u.tar": tar, "i/u.tar.sig": carol.sign(t, "file", tar)}, "missing i/u.tar", ""},
		{"by one whose time is over", one, map[string]string{"i/u.tar": tar, "i/u.tar.sig": late.sign(t, "file", tar)}, "missing i/u.tar", ""},
		{"by one who is not asked for", Rule{1, []string{"bob"}}, map[string]string{"i/u.tar": tar, "i/u.tar.sig": alice.sign(t, "file", tar)}, "missing i/u.tar", ""},
		{"a list", one, map[string]string{"i/u.tar": tar, "i/d/x.csv": csv, "i/SHA256SUMS": list, "i/SHA256SUMS.sig": bob.sign(t, "file", list)}, "", "bob 3"},
		{"a list by two", two, map[string]string{"i/u.tar": tar, "i/SHA256SUMS": list, "i/SHA256SUMS.sig": bob.sign(t, "file", list), "i/SHA256SUMS.alice.sig": alice.sign(t, "file", list)}, "", "alice 2, bob 2"},
		{"a list and a signature", two, map[string]string{"i/u.tar": tar, "i/SHA256SUMS": list, "i/SHA256SUMS.sig": bob.sign(t, "file", list), "i/u.tar.sig": alice.sign(t, "file", tar)}, "missing i/SHA256SUMS", "alice 1, bob 2"},
		{"a list that says otherwise", one, map[string]string{"i/u.tar": "another", "i/SHA256SUMS": list, "i/SHA256SUMS.sig": bob.sign(t, "file", list)}, "content i/u.tar, missing i/u.tar", "bob 1"},
		{"a list that says otherwise of what she has signed", one, map[string]string{"i/u.tar": "another", "i/u.tar.sig": alice.sign(t, "file", "another"), "i/SHA256SUMS": list, "i/SHA256SUMS.sig": bob.sign(t, "file", list)}, "content i/u.tar", "alice 1, bob 1"},
		{"a list that nobody has signed", one, map[string]string{"i/u.tar": tar, "i/SHA256SUMS": list}, "missing i/SHA256SUMS, missing i/u.tar", ""},
		{"a list in a directory speaks for it alone", one, map[string]string{"i/u.tar": tar, "i/d/u.tar": tar, "i/d/SHA256SUMS": list, "i/d/SHA256SUMS.sig": bob.sign(t, "file", list)}, "missing i/u.tar", "bob 2"},
		{"a list that leads out", one, map[string]string{"i/u.tar": tar, "i/d/SHA256SUMS": sumsOf(map[string]string{"../u.tar": tar}), "i/d/SHA256SUMS.sig": bob.sign(t, "file", sumsOf(map[string]string{"../u.tar": tar}))}, "content i/d/SHA256SUMS, missing i/u.tar", "bob 1"},
		{"a list that is none", one, map[string]string{"i/SHA256SUMS": "hello\n", "i/SHA256SUMS.sig": bob.sign(t, "file", "hello\n")}, "content i/SHA256SUMS", "bob 1"},
		{"a signature of a signature", one, map[string]string{"i/a": tar, "i/a.sig": alice.sign(t, "file", tar), "i/a.sig.sig": bob.sign(t, "file", alice.sign(t, "file", tar))}, "", "alice 1"},
		{"a signature of nothing", one, map[string]string{"i/a.sig": alice.sign(t, "file", tar)}, "missing i/a.sig", ""},
		{"one file", one, map[string]string{"i": tar}, "missing i", ""},
		{"too large for a signature", one, map[string]string{"i/a": tar, "i/a.sig": strings.Repeat("x", signatureMost+1)}, "missing i/a, missing i/a.sig", ""},
	} {
		tree := fstest.MapFS{}
		for name, text := range row.files {
			tree[name] = &fstest.MapFile{Data: []byte(text)}
		}
		r, err := Check(t.Context(), tree, "i", row.rule, people, at)
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		var found, who []string
		for _, f := range r.Findings {
			found = append(found, short.Replace(string(f.Reason))+" "+f.Path)
		}
		for _, s := range r.Signers {
			who = append(who, fmt.Sprint(s.Principal, " ", s.Files))
		}
		if got := strings.Join(found, ", "); got != row.want {
			t.Errorf("%s: found %q, want %q", row.name, got, row.want)
		}
		if got := strings.Join(who, ", "); got != row.who {
			t.Errorf("%s: signed by %q, want %q", row.name, got, row.who)
		}
	}
}

// counting counts how often each file is opened.
type counting struct {
	fs.FS
	opened map[string]int
}

func (c *counting) Open(name string) (fs.File, error) {
	c.opened[name]++
	return c.FS.Open(name)
}

// Whoever sends may put as many signatures beside a file as fit, and name it in a signed list as often: it is read once for each, or a gigabyte with ten thousand of them would take a day.
func TestAFileIsReadOnceForAllItsSignatures(t *testing.T) {
	alice, stranger := newPerson(t, "alice"), newPerson(t, "stranger")
	people, err := keys.ParsePeople([]byte(alice.line("")))
	if err != nil {
		t.Fatal(err)
	}
	const text = "large"
	list := strings.Repeat(sumsOf(map[string]string{"big": text}), 1000)
	files := map[string]string{"i/big": text, "i/big.sig": alice.sign(t, "file", text), "i/SHA256SUMS": list, "i/SHA256SUMS.sig": alice.sign(t, "file", list)}
	for n := range 1000 { // with small files of their own among them
		files[fmt.Sprintf("i/big.%d.sig", n)] = stranger.sign(t, "file", text)
		files[fmt.Sprintf("i/big.x%d", n)] = text
		files[fmt.Sprintf("i/big.x%d.sig", n)] = alice.sign(t, "file", text)
	}
	tree := fstest.MapFS{}
	for name, text := range files {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	c := &counting{tree, make(map[string]int)}
	r, err := Check(t.Context(), c, "i", Rule{Need: 1}, people, time.Now())
	if err != nil || len(r.Findings) > 0 || c.opened["i/big"] != 2 || c.opened["i/SHA256SUMS"] != 2 {
		t.Errorf("%d findings, %v; it was opened %d times, and the list %d times", len(r.Findings), err, c.opened["i/big"], c.opened["i/SHA256SUMS"])
	}
}

// Who has signed content may not release it, by whichever of her keys: all that she has signed with are told.
func TestAllKeysThatHaveSignedAreTold(t *testing.T) {
	first, second := newPerson(t, "alice"), newPerson(t, "alice at home")
	second.name = "alice"
	people, err := keys.ParsePeople([]byte(first.line("") + second.line("")))
	if err != nil {
		t.Fatal(err)
	}
	tree := fstest.MapFS{}
	for name, text := range map[string]string{"i/a": "a", "i/a.sig": first.sign(t, "file", "a"), "i/b": "b", "i/b.sig": second.sign(t, "file", "b"), "i/b.1.sig": first.sign(t, "file", "b")} {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	want := map[string]int64{ssh.FingerprintSHA256(first.signer.PublicKey()): 2, ssh.FingerprintSHA256(second.signer.PublicKey()): 1}
	r, err := Check(t.Context(), tree, "i", Rule{Need: 1}, people, time.Now())
	if err != nil || len(r.Findings) > 0 || len(r.Signers) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, s := range r.Signers {
		if s.Principal != "alice" || want[s.Key] != s.Files {
			t.Errorf("%+v", s)
		}
	}
	if r, err := Check(t.Context(), tree, "i", Rule{Need: 2}, people, time.Now()); err != nil || len(r.Findings) != 2 {
		t.Errorf("two keys are two people: %+v, %v", r, err)
	}
}

func FuzzParseSum(f *testing.F) {
	f.Add(strings.Repeat("0", 64) + "  a")
	f.Add(`\` + strings.Repeat("f", 64) + ` *a\\b\n`)
	f.Fuzz(func(t *testing.T, line string) {
		if _, name, err := parseSum(line); err == nil && (name == "" || name[0] == '/' || slices.Contains(strings.Split(name, "/"), "..")) {
			t.Errorf("%q gives %q", line, name)
		}
	})
}

// Who has signed for another purpose is told so: the file would else look signed to whoever looks at its directory.
func TestASignatureForAnotherPurposeSaysSo(t *testing.T) {
	alice := newPerson(t, "alice")
	people, err := keys.ParsePeople([]byte(alice.line("")))
	if err != nil {
		t.Fatal(err)
	}
	tree := fstest.MapFS{"i/u.tar": {Data: []byte("the tar")}, "i/u.tar.sig": {Data: []byte(alice.sign(t, "git", "the tar"))}}
	r, err := Check(t.Context(), tree, "i", Rule{Need: 1}, people, time.Now())
	if err != nil || len(r.Findings) != 2 || !strings.Contains(r.Findings[1].Text, `made for "git", not for "file"; ssh-keygen -Y sign -n file makes`) {
		t.Errorf("%+v, %v", r, err)
	}
}
