package keys

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse/protocol/bundle"
)

func publicText(t *testing.T, public any) string {
	t.Helper()
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(key)), "\n")
}

// skKey is a security key's public half, made by hand: no token is here.
func skKey(t *testing.T) string {
	t.Helper()
	point := [32]byte{0x58, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66}
	wire := ssh.Marshal(struct {
		Name        string
		Key         []byte
		Application string
	}{ssh.KeyAlgoSKED25519, point[:], "ssh:"})
	return ssh.KeyAlgoSKED25519 + " " + base64.StdEncoding.EncodeToString(wire)
}

func TestAFileOfPeopleIsTakenWholeOrNotAtAll(t *testing.T) {
	small := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 1023, 1), E: 65537}
	large, _ := rsa.GenerateKey(rand.Reader, 2048)
	curve, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	edwards, err := GenerateIdentity(filepath.Join(t.TempDir(), "k"), "")
	if err != nil {
		t.Fatal(err)
	}
	ed := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(edwards)))
	good := "# people\nalice " + ed + "\nalice namespaces=\"release@ecluse\" " + publicText(t, &curve.PublicKey) + "\n\nbob@example.org " + publicText(t, &large.PublicKey) + " home\ncarol " + skKey(t) + "\n"
	p, err := ParsePeople([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if names := p.Names(); !slices.Equal(names, []string{"alice", "bob@example.org", "carol"}) || len(p.Fingerprints("alice")) != 2 {
		t.Errorf("%q", names)
	}
	if name, err := p.Person(edwards, "release@ecluse", time.Now()); name != "alice" || err != nil {
		t.Errorf("%q, %v", name, err)
	}
	ecKey, _ := ssh.NewPublicKey(&curve.PublicKey)
	var no *NotEnrolled
	if _, err := p.Person(ecKey, "file", time.Now()); !errors.As(err, &no) {
		t.Errorf("a key signs for a namespace that it does not have: %v", err)
	}
	if now := time.Now(); !p.Stands("alice", Fingerprint(ecKey), "release@ecluse", now) || p.Stands("carol", Fingerprint(ecKey), "release@ecluse", now) || p.Stands("alice", Fingerprint(ecKey), "file", now) {
		t.Error("whose key it is, and what it may sign")
	}
	for name, line := range map[string]string{
		"one key, two people": "mallory " + ed, "a pattern": "a* " + publicText(t, &curve.PublicKey), "two names": "a,b " + publicText(t, &curve.PublicKey), "a certificate authority": "x cert-authority " + ed,
		"a small key": "mallory " + publicText(t, small), "another kind than it says": "mallory ssh-rsa " + strings.Fields(ed)[1], "half a key": "mallory " + ed[:40], "no option": "mallory nonsense " + ed,
	} {
		if _, err := ParsePeople([]byte(good + line + "\n")); err == nil || !strings.Contains(err.Error(), "line 7") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParseAllowedSigners([]byte("bob " + publicText(t, &large.PublicKey) + "\n")); err == nil {
		t.Error("a sender has an RSA key")
	}
}

// Every kind of key that ssh-keygen makes without a token signs for us what it signs for itself, and is read with and without a passphrase.
func TestPeoplesKeysSignAsSSHKeygenDoes(t *testing.T) {
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("ssh-keygen is not here: make needs")
		}
		t.Skip("PEOPLE'S KEYS ARE NOT TESTED: no ssh-keygen")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "people")
	for _, kind := range [][]string{{"ed25519"}, {"ecdsa", "-b", "256"}, {"ecdsa", "-b", "384"}, {"ecdsa", "-b", "521"}, {"rsa", "-b", "2048"}, {"ed25519", "secret"}} {
		path, phrase := filepath.Join(dir, strings.Join(kind, "")), ""
		args := append([]string{"-q", "-f", path, "-t"}, kind...)
		if kind[len(kind)-1] == "secret" {
			args, phrase = args[:len(args)-1], "open sesame"
		}
		if out, err := exec.Command("ssh-keygen", append(args, "-N", phrase)...).CombinedOutput(); err != nil {
			t.Fatalf("%s", out)
		}
		name := "p" + strings.ReplaceAll(filepath.Base(path), "-", "")
		key, comment, err := ReadPublicKey(path + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []bool{true, false} {
			if changed, err := AppendPerson(file, name, bundle.NamespaceRelease, key, comment); err != nil || changed != want {
				t.Fatalf("%s: changed %v, %v", name, changed, err)
			}
		}
		if _, err := AppendPerson(file, name+"x", bundle.NamespaceRelease, key, ""); err == nil {
			t.Errorf("%s has two names", name)
		}
		if phrase != "" {
			if _, err := LoadPerson(path, nil); err == nil || !strings.Contains(err.Error(), "ssh-agent") {
				t.Errorf("%v", err)
			}
		}
		who, err := LoadPerson(path, func(string) ([]byte, error) { return []byte(phrase), nil })
		if err != nil {
			t.Fatal(err)
		}
		text := []byte("what is decided\n")
		blob, err := who.Sign(bundle.NamespaceRelease, text)
		if err != nil {
			t.Fatal(err)
		}
		people, err := LoadPeople(file)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := people.VerifyPerson(bundle.Armor(blob), bundle.NamespaceRelease, sha512.Sum512(text), time.Now())
		if got != name || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if _, _, err := people.VerifyPerson(bundle.Armor(blob), bundle.NamespaceRelease, sha512.Sum512(text[1:]), time.Now()); err == nil {
			t.Errorf("%s has signed something else", name)
		}
		signature := filepath.Join(dir, "sig")
		if err := os.WriteFile(signature, pem.EncodeToMemory(&pem.Block{Type: "SSH SIGNATURE", Bytes: blob}), 0o600); err != nil {
			t.Fatal(err)
		}
		c := exec.Command("ssh-keygen", "-Y", "verify", "-f", file, "-I", name, "-n", bundle.NamespaceRelease, "-s", signature)
		c.Stdin = strings.NewReader(string(text))
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%s: ssh-keygen says %s", name, out)
		}
	}
}
