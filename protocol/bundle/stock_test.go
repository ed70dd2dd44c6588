package bundle

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// The security team needs none of our programs: these tests call the stock ones.

func sum256(s string) string {
	d := sha256.Sum256([]byte(s))
	return string(d[:])
}

// need gives the path of a program; under CI it must be there.
func need(t *testing.T, program string) string {
	t.Helper()
	p, err := exec.LookPath(program)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not installed, so what a third party does is not checked", program)
		}
		t.Skipf("%s IS NOT INSTALLED: what a third party does is not checked", program)
	}
	return p
}

// run gives what a program prints, and its error with all it said.
func run(t *testing.T, dir, stdin, program string, args ...string) (string, error) {
	t.Helper()
	c := exec.Command(program, args...)
	c.Dir, c.Stdin = dir, strings.NewReader(stdin)
	c.Env = append(os.Environ(), "LC_ALL=C")
	out, err := c.CombinedOutput()
	return string(out), err
}

func putFile(dir, name, content string, t *testing.T) {
	t.Helper()
	p := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// stockBundle writes files with the names of people, their manifest and SHA256SUMS as a quarantine holds them.
func stockBundle(t *testing.T, dir string) (text string, m *Manifest) {
	t.Helper()
	var paths []Path
	seen := map[string]bool{}
	f := newFormer(Linux)
	for _, s := range append(slices.Clone(goodPaths), `a\nb`, `\`, `\\`, ` \ `, `tail\`, "*star", "# hash") {
		if p := Path("n/" + s); !strings.Contains(s, "/") && !seen[f.form(p)] {
			seen[f.form(p)] = true
			paths = append(paths, p)
		}
	}
	slices.SortFunc(paths, Compare)
	m = golden(t)
	m.Table, m.ChunkSize = new(Table), 4096
	addDirT(t, m.Table, "n", 0o700, 0)
	for _, p := range paths {
		content := "content of " + string(p)
		putFile(dir, "files/"+string(p), content, t)
		addFileT(t, m.Table, string(p), int64(len(content)), 0o600, 0, Digest([]byte(sum256(content))))
	}
	m.Marks = make([]Mark, ChunkCount(m.Table, m.ChunkSize))
	text = writeT(t, m)
	putFile(dir, "manifest.json", text, t)
	var sums strings.Builder
	if err := WriteSums(&sums, m.Table); err != nil {
		t.Fatal(err)
	}
	putFile(dir, "SHA256SUMS", sums.String(), t)
	return text, m
}

func TestStockToolsVerifyABundle(t *testing.T) {
	sha256sum, jq := need(t, "sha256sum"), need(t, "jq")
	dir := t.TempDir()
	_, m := stockBundle(t, dir)
	sums, err := run(t, dir, "", jq, "-r", ".sums", "manifest.json")
	if err != nil || sums != m.Sums.String()+"\n" {
		t.Fatalf("jq: %q, %v", sums, err)
	}
	if out, err := run(t, dir, strings.TrimSuffix(sums, "\n")+"  SHA256SUMS\n", sha256sum, "-c"); err != nil || out != "SHA256SUMS: OK\n" {
		t.Errorf("M-6: %s, %v", out, err)
	}
	out, err := run(t, dir, "", sha256sum, "--strict", "-c", "SHA256SUMS")
	if err != nil || strings.Count(out, ": OK\n") != m.Table.Files() || m.Table.Files() < 100 {
		t.Errorf("M-6: of %d files: %v\n%s", m.Table.Files(), err, out)
	}
	// What coreutils writes for these files is what M-6 says, byte for byte.
	var names []string
	for number := 1; number <= m.Table.Files(); number++ {
		names = append(names, "files/"+string(m.Table.File(number).Path))
	}
	theirs, err := run(t, dir, "", sha256sum, append([]string{"--"}, names...)...)
	ours, errOurs := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
	if err != nil || errOurs != nil || theirs != string(ours) {
		t.Errorf("M-6: sha256sum writes\n%s\nwe write\n%s", theirs, ours)
	}
	putFile(dir, "files/"+string(m.Table.File(1).Path), "other content", t)
	if out, err := run(t, dir, "", sha256sum, "-c", "SHA256SUMS"); err == nil {
		t.Errorf("M-6: sha256sum takes changed content: %s", out)
	}
	paths, err := run(t, dir, "", jq, "-r", ".files[].path", "manifest.json")
	if err != nil || strings.Count(paths, "\n") != m.Table.Files() || !strings.Contains(paths, "👨‍👩‍👧‍👦") {
		t.Errorf("jq reads other paths: %v\n%s", err, paths)
	}
}

// keygen makes a key with ssh-keygen and gives its file and its public key.
func keygen(t *testing.T, program, dir string, args ...string) (file string, key ssh.PublicKey) {
	t.Helper()
	file = filepath.Join(dir, "key")
	if out, err := run(t, dir, "", program, append([]string{"-q", "-N", "", "-C", "", "-f", file}, args...)...); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	text, err := os.ReadFile(file + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	key, _, _, _, err = ssh.ParseAuthorizedKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return file, key
}

// stockKeys are the kinds of key that ssh-keygen makes without a token.
var stockKeys = [][]string{{"-t", "ed25519"}, {"-t", "ecdsa", "-b", "256"}, {"-t", "ecdsa", "-b", "384"}, {"-t", "ecdsa", "-b", "521"}, {"-t", "rsa", "-b", "2048"}, {"-t", "rsa", "-b", "3072"}}

func TestWeTakeWhatSSHKeygenSigns(t *testing.T) {
	program := need(t, "ssh-keygen")
	for _, kind := range stockKeys {
		t.Run(strings.Join(kind, " "), func(t *testing.T) {
			dir := t.TempDir()
			text, _ := stockBundle(t, dir)
			file, key := keygen(t, program, dir, kind...)
			if out, err := run(t, dir, "", program, "-q", "-Y", "sign", "-f", file, "-n", NamespaceBundle, "manifest.json"); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			armored, err := os.ReadFile(filepath.Join(dir, "manifest.json.sig"))
			if err != nil {
				t.Fatal(err)
			}
			blob, err := Unarmor(armored)
			if err != nil {
				t.Fatalf("G-1: %v\n%s", err, armored)
			}
			s, err := ParseSignature(blob, NamespaceBundle)
			if err != nil {
				t.Fatalf("G-1: %v", err)
			}
			if err := s.Verify(sha512.Sum512([]byte(text))); err != nil || !bytes.Equal(s.PublicKey, key.Marshal()) {
				t.Errorf("G-1: %v", err)
			}
			if err := s.Verify(sha512.Sum512([]byte(text + "x"))); ruleOf(err) != "signature-invalid G-1" {
				t.Errorf("G-1: %v", err)
			}
			if _, err := ParseSignature(blob, NamespaceSession); ruleOf(err) != "signature-format G-1" {
				t.Errorf("G-3: %v", err)
			}
		})
	}
}

func TestSSHKeygenTakesWhatWeSign(t *testing.T) {
	program := need(t, "ssh-keygen")
	signers := otherSigners(t)
	signers["ed25519"] = testSigner(t, 1)
	for name, signer := range signers {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			text, _ := stockBundle(t, dir)
			putFile(dir, "allowed_signers", "ctie-low namespaces=\""+NamespaceBundle+"\" "+string(ssh.MarshalAuthorizedKey(signer.PublicKey())), t)
			putFile(dir, "manifest.json.sig", string(Armor(sign(t, signer, NamespaceBundle, text))), t)
			verify := func(namespace, message string) (string, error) {
				return run(t, dir, message, program, "-Y", "verify", "-f", "allowed_signers", "-I", "ctie-low", "-n", namespace, "-s", "manifest.json.sig")
			}
			if out, err := verify(NamespaceBundle, text); err != nil || !strings.HasPrefix(out, "Good \"bundle@ecluse\" signature for ctie-low") {
				t.Errorf("G-1: %v\n%s", err, out)
			}
			if out, err := verify(NamespaceBundle, text+" "); err == nil {
				t.Errorf("G-1: another text is good:\n%s", out)
			}
			if out, err := verify(NamespaceSession, text); err == nil {
				t.Errorf("G-3: another namespace is good:\n%s", out)
			}
		})
	}
}

// The armor is PEM with other columns; ours and pem's say the same.
func TestArmorIsPEM(t *testing.T) {
	blob := sign(t, testSigner(t, 1), NamespaceBundle, "m")
	block, rest := pem.Decode(Armor(blob))
	if block == nil || block.Type != "SSH SIGNATURE" || len(rest) != 0 || !bytes.Equal(block.Bytes, blob) {
		t.Errorf("G-1: %v", block)
	}
}
