package bundle

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"ecluse/protocol/racing"
)

// testSigner makes the same Ed25519 key each time.
func testSigner(t testing.TB, seed byte) ssh.Signer {
	t.Helper()
	s, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sign makes a blob as a sender does.
func sign(t testing.TB, s ssh.Signer, namespace, message string) []byte {
	t.Helper()
	data := SignedData(namespace, sha512.Sum512([]byte(message)))
	var signature *ssh.Signature
	var err error
	if a, ok := s.(ssh.AlgorithmSigner); ok && s.PublicKey().Type() == ssh.KeyAlgoRSA {
		signature, err = a.SignWithAlgorithm(rand.Reader, data, ssh.KeyAlgoRSASHA512)
	} else {
		signature, err = s.Sign(rand.Reader, data)
	}
	if err != nil {
		t.Fatal(err)
	}
	return MarshalSignature(s.PublicKey(), namespace, signature)
}

// otherSigners are one of each kind of key but Ed25519.
func otherSigners(t testing.TB) map[string]ssh.Signer {
	t.Helper()
	all := map[string]ssh.Signer{}
	for name, curve := range map[string]elliptic.Curve{"ecdsa-256": elliptic.P256(), "ecdsa-384": elliptic.P384(), "ecdsa-521": elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		all[name], err = ssh.NewSignerFromKey(key)
		if err != nil {
			t.Fatal(err)
		}
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	all["rsa-2048"], err = ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestASignatureVerifiesOverItsMessageOnly(t *testing.T) {
	signers := otherSigners(t)
	signers["ed25519"] = testSigner(t, 1)
	for name, signer := range signers {
		t.Run(name, func(t *testing.T) {
			blob := sign(t, signer, NamespaceBundle, "manifest")
			s, err := ParseSignature(blob, NamespaceBundle)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(s.PublicKey, signer.PublicKey().Marshal()) || !bytes.Equal(s.Key().Marshal(), s.PublicKey) || s.Namespace != NamespaceBundle || s.Hash != "sha512" || !bytes.Equal(s.Blob, blob) {
				t.Errorf("G-1: parsed %+v", s)
			}
			if err := s.Verify(sha512.Sum512([]byte("manifest"))); err != nil {
				t.Errorf("G-1: %v", err)
			}
			if err := s.Verify(sha512.Sum512([]byte("manifesto"))); ruleOf(err) != "signature-invalid G-1" {
				t.Errorf("G-1: another message: %v", err)
			}
		})
	}
	if n := len(sign(t, testSigner(t, 1), NamespaceBundle, "x")); n != 183 && n != 184 {
		t.Logf("an Ed25519 blob has %d bytes", n)
	}
}

func TestTheBlobIsCopied(t *testing.T) {
	blob := sign(t, testSigner(t, 1), NamespaceBundle, "m")
	s, err := ParseSignature(blob, NamespaceBundle)
	if err != nil {
		t.Fatal(err)
	}
	clear(blob)
	if err := s.Verify(sha512.Sum512([]byte("m"))); err != nil || bytes.Equal(s.Blob, blob) {
		t.Errorf("the signature lies in its caller's memory: %v", err)
	}
}

// Each kind of signed thing shown as each other one.
func TestASignatureSignsOneKindOfThing(t *testing.T) {
	kinds := []string{NamespaceBundle, NamespaceSession, NamespaceAbandon, NamespaceRelease}
	signer := testSigner(t, 1)
	for _, made := range kinds {
		blob := sign(t, signer, made, "m")
		for _, shown := range kinds {
			_, err := ParseSignature(blob, shown)
			if want := map[bool]string{true: "<nil>", false: "signature-format G-1"}[made == shown]; ruleOf(err) != want {
				t.Errorf("G-3: made for %s, shown as %s: %v, want %s", made, shown, err, want)
			}
			if made == shown {
				continue
			}
			// Writing another namespace over it does not help: the key signed it.
			forged := MarshalSignature(signer.PublicKey(), shown, &ssh.Signature{Format: ssh.KeyAlgoED25519, Blob: blob[len(blob)-64:]})
			s, err := ParseSignature(forged, shown)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Verify(sha512.Sum512([]byte("m"))); ruleOf(err) != "signature-invalid G-1" {
				t.Errorf("G-3: made for %s, written as %s: %v", made, shown, err)
			}
		}
	}
}

// Another implementation of the envelope takes ours, and we take its.
func TestTheEnvelopeIsTheOneOfSSHSIG(t *testing.T) {
	signer := testSigner(t, 1)
	ours, err := sshsig.ParseSignature(sign(t, signer, NamespaceBundle, "m"))
	if err != nil {
		t.Fatal(err)
	}
	if err := sshsig.Verify(strings.NewReader("m"), ours, signer.PublicKey(), sshsig.HashSHA512, NamespaceBundle); err != nil {
		t.Errorf("G-1: %v", err)
	}
	theirs, err := sshsig.Sign(strings.NewReader("m"), signer, sshsig.HashSHA512, NamespaceBundle)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseSignature(theirs.Marshal(), NamespaceBundle)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(sha512.Sum512([]byte("m"))); err != nil {
		t.Errorf("G-1: %v", err)
	}
}

func TestEveryShorterOrMutatedSignatureIsRefused(t *testing.T) {
	blob := sign(t, testSigner(t, 1), NamespaceBundle, "m")
	digest := sha512.Sum512([]byte("m"))
	for n := range blob {
		if _, err := ParseSignature(blob[:n], NamespaceBundle); ruleOf(err) != "signature-format G-1" {
			t.Fatalf("the first %d bytes: %v", n, err)
		}
	}
	for i, old := range blob {
		for b := 0; b < 256; b += racing.Step {
			if blob[i] = byte(b); byte(b) == old {
				continue
			}
			s, err := ParseSignature(blob, NamespaceBundle)
			if err == nil {
				err = s.Verify(digest)
			}
			if reason, _ := ReasonOf(err); reason != ReasonSignatureFormat && reason != ReasonSignatureInvalid {
				t.Fatalf("byte %d as %#x: %v", i, b, err)
			}
		}
		blob[i] = old
	}
}

func TestSignaturesAreRefused(t *testing.T) {
	signer := testSigner(t, 1)
	key := signer.PublicKey()
	good := ssh.Signature{Format: ssh.KeyAlgoED25519, Blob: make([]byte, 64)}
	with := func(change func(e *envelope)) []byte {
		e := envelope{[6]byte([]byte("SSHSIG")), 1, key.Marshal(), NamespaceBundle, "", "sha512", ssh.Marshal(good)}
		change(&e)
		return ssh.Marshal(e)
	}
	rsaKey := otherSigners(t)["rsa-2048"].PublicKey()
	nonCanonical := ssh.Marshal(struct {
		Name string
		E, N []byte
	}{"ssh-rsa", []byte{0, 1, 0, 1}, append([]byte{0, 0, 0x80}, make([]byte, 255)...)})
	if _, err := ParseSignature(with(func(*envelope) {}), NamespaceBundle); err != nil {
		t.Fatal(err)
	}
	for name, blob := range map[string][]byte{
		"empty":                nil,
		"too long":             make([]byte, MaxSignature+1),
		"bytes left over":      append(with(func(*envelope) {}), 0),
		"another preamble":     with(func(e *envelope) { e.Preamble[5] = 'H' }),
		"version 0":            with(func(e *envelope) { e.Version = 0 }),
		"version 2":            with(func(e *envelope) { e.Version = 2 }),
		"reserved":             with(func(e *envelope) { e.Reserved = "x" }),
		"no namespace":         with(func(e *envelope) { e.Namespace = "" }),
		"namespace file":       with(func(e *envelope) { e.Namespace = "file" }),
		"namespace with a NUL": with(func(e *envelope) { e.Namespace = NamespaceBundle + "\x00" }),
		"hash sha256":          with(func(e *envelope) { e.Hash = "sha256" }),
		"hash SHA512":          with(func(e *envelope) { e.Hash = "SHA512" }),
		"hash none":            with(func(e *envelope) { e.Hash = "" }),
		"no key":               with(func(e *envelope) { e.PublicKey = nil }),
		"half a key":           with(func(e *envelope) { e.PublicKey = e.PublicKey[:30] }),
		"key with more":        with(func(e *envelope) { e.PublicKey = append(e.PublicKey, 0) }),
		"key in another form":  with(func(e *envelope) { e.PublicKey = nonCanonical }),
		"key of no kind":       with(func(e *envelope) { e.PublicKey = ssh.Marshal(struct{ A, B string }{"ssh-x", "y"}) }),
		"no signature":         with(func(e *envelope) { e.Signature = nil }),
		"signature with more":  with(func(e *envelope) { e.Signature = append(e.Signature, 0) }),
		"signature of a token": with(func(e *envelope) { e.Signature = append(e.Signature, 1, 0, 0, 0, 9) }),
		"another algorithm": with(func(e *envelope) {
			e.Signature = ssh.Marshal(ssh.Signature{Format: ssh.KeyAlgoECDSA256, Blob: good.Blob})
		}),
		"RSA with SHA-1": with(func(e *envelope) {
			e.PublicKey = rsaKey.Marshal()
			e.Signature = ssh.Marshal(ssh.Signature{Format: "ssh-rsa", Blob: make([]byte, 256)})
		}),
		"RSA with another's": with(func(e *envelope) { e.PublicKey = rsaKey.Marshal() }),
		"token without counter": with(func(e *envelope) {
			e.PublicKey, e.Signature = skKey(t), ssh.Marshal(ssh.Signature{Format: ssh.KeyAlgoSKED25519, Blob: make([]byte, 64), Rest: []byte{1}})
		}),
		"DSA": with(func(e *envelope) {
			e.PublicKey, e.Signature = dsaKey(), ssh.Marshal(ssh.Signature{Format: ssh.InsecureKeyAlgoDSA, Blob: make([]byte, 40)})
		}),
		"certificate":            with(func(e *envelope) { e.PublicKey = certificate(t, signer) }),
		"armored":                Armor(with(func(*envelope) {})),
		"length that overflows":  append([]byte("SSHSIG\x00\x00\x00\x01\xff\xff\xff\xff"), make([]byte, 100)...),
		"length of 2 GiB":        append([]byte("SSHSIG\x00\x00\x00\x01\x7f\xff\xff\xff"), make([]byte, 100)...),
		"signature of no length": with(func(e *envelope) { e.Signature = []byte{0, 0, 0, 11} }),
	} {
		t.Run("G-1/"+name, func(t *testing.T) {
			if s, err := ParseSignature(blob, NamespaceBundle); ruleOf(err) != "signature-format G-1" || s != nil {
				t.Errorf("%v, want signature-format", err)
			}
		})
	}
	for name, n := range map[string]int{"short": 63, "long": 65, "empty": 0} {
		blob := with(func(e *envelope) {
			e.Signature = ssh.Marshal(ssh.Signature{Format: ssh.KeyAlgoED25519, Blob: make([]byte, n)})
		})
		s, err := ParseSignature(blob, NamespaceBundle)
		if err == nil {
			err = s.Verify([64]byte{})
		}
		if ruleOf(err) != "signature-invalid G-1" {
			t.Errorf("G-1/%s signature: %v", name, err)
		}
	}
}

func skKey(t testing.TB) []byte {
	t.Helper()
	return ssh.Marshal(struct {
		Name        string
		Key         []byte
		Application string
	}{ssh.KeyAlgoSKED25519, testSigner(t, 1).PublicKey().(ssh.CryptoPublicKey).CryptoPublicKey().(ed25519.PublicKey), "ssh:"})
}

func dsaKey() []byte {
	number := func(bits uint) *big.Int {
		return new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), bits-1), big.NewInt(1))
	}
	return ssh.Marshal(struct {
		Name       string
		P, Q, G, Y *big.Int
	}{ssh.InsecureKeyAlgoDSA, number(1024), number(160), big.NewInt(2), big.NewInt(4)})
}

func certificate(t testing.TB, signer ssh.Signer) []byte {
	t.Helper()
	c := &ssh.Certificate{Key: signer.PublicKey(), CertType: ssh.UserCert, ValidBefore: ssh.CertTimeInfinity}
	if err := c.SignCert(rand.Reader, signer); err != nil {
		t.Fatal(err)
	}
	return c.Marshal()
}

// A security key signs over its own words, with flags and a counter behind the signature.
func TestSecurityKeysSign(t *testing.T) {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	wire := skKey(t)
	key, err := ssh.ParsePublicKey(wire)
	if err != nil {
		t.Fatal(err)
	}
	message := sha512.Sum512([]byte("m"))
	signed := skMessage(SignedData(NamespaceBundle, message))
	blob := MarshalSignature(key, NamespaceBundle, &ssh.Signature{Format: ssh.KeyAlgoSKED25519, Blob: ed25519.Sign(private, signed), Rest: []byte{1, 0, 0, 0, 9}})
	s, err := ParseSignature(blob, NamespaceBundle)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(message); err != nil {
		t.Errorf("G-1: %v", err)
	}
	if err := s.Verify(sha512.Sum512(nil)); ruleOf(err) != "signature-invalid G-1" {
		t.Errorf("G-1: %v", err)
	}
}

func TestArmor(t *testing.T) {
	for n := range 400 {
		blob := bytes.Repeat([]byte{byte(n)}, n)
		text := Armor(blob)
		got, err := Unarmor(text)
		if err != nil || !bytes.Equal(got, blob) {
			t.Fatalf("G-1: %d bytes: %v", n, err)
		}
		for _, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
			if len(line) > 70 || line == "" {
				t.Fatalf("G-1: a line of %d columns for %d bytes", len(line), n)
			}
		}
	}
	largest := Armor(make([]byte, MaxSignature))
	if _, err := Unarmor(largest); err != nil {
		t.Errorf("G-1: the largest: %v", err)
	}
	blob := sign(t, testSigner(t, 1), NamespaceBundle, "m")
	text := string(Armor(blob))
	body := text[len(armorBegin) : len(text)-len(armorEnd)]
	wrap := func(columns int) string {
		flat, out := strings.ReplaceAll(body, "\n", ""), ""
		for len(flat) > columns {
			out, flat = out+flat[:columns]+"\n", flat[columns:]
		}
		return armorBegin + out + flat + "\n" + armorEnd
	}
	for name, other := range map[string]string{
		"empty": "", "nothing inside, no line": strings.TrimSuffix(armorBegin, "\n") + armorEnd, "no begin": text[1:], "no end": strings.TrimSuffix(text, "\n"), "carriage returns": strings.ReplaceAll(text, "\n", "\r\n"),
		"trailing line feed": text + "\n", "leading line feed": "\n" + text, "trailing text": text + "x", "twice": text + text, "64 columns": wrap(64), "76 columns": wrap(76), "one line": wrap(4000),
		"space in a line": strings.Replace(text, body[:5], body[:5]+" ", 1), "empty line": strings.Replace(text, "\n", "\n\n", 1), "another type": strings.ReplaceAll(text, "SSH SIGNATURE", "PGP SIGNATURE"),
		"header": strings.Replace(text, armorBegin, armorBegin+"Comment: x\n\n", 1), "URL alphabet": armorBegin + base64.URLEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, 30)) + "\n" + armorEnd, "padding missing": armorBegin + "AA\n" + armorEnd,
		"padding in the middle": armorBegin + "AA==AA==\n" + armorEnd, "stray bits": armorBegin + "AB==\n" + armorEnd, "too long": string(Armor(make([]byte, MaxSignature+100))), "endless": armorBegin + strings.Repeat("A", 1<<20),
	} {
		t.Run("G-1/"+name, func(t *testing.T) {
			if got, err := Unarmor([]byte(other)); ruleOf(err) != "signature-format G-1" || got != nil {
				t.Errorf("%v, want signature-format", err)
			}
		})
	}
	mutated := []byte(text)
	for i, old := range mutated {
		for b := range 256 {
			if mutated[i] = byte(b); byte(b) == old {
				continue
			}
			if got, err := Unarmor(mutated); err == nil && bytes.Equal(got, blob) {
				t.Fatalf("G-1: byte %d as %#x means the same", i, b)
			}
		}
		mutated[i] = old
	}
}

func FuzzParseSignature(f *testing.F) {
	ed := sign(f, testSigner(f, 1), NamespaceBundle, "m")
	f.Add(ed)
	f.Add(sign(f, testSigner(f, 2), NamespaceSession, ""))
	f.Add(Armor(ed))
	for _, s := range otherSigners(f) {
		f.Add(sign(f, s, NamespaceBundle, "m"))
	}
	f.Add([]byte("SSHSIG\x00\x00\x00\x01\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if blob, err := Unarmor(data); err == nil {
			if !bytes.Equal(Armor(blob), data) {
				t.Fatalf("%q is unarmored and armored otherwise", data)
			}
			data = blob
		}
		var s *Signature
		var err error
		if n, most := allocated(func() { s, err = ParseSignature(data, NamespaceBundle) }), uint64(16<<10+16*min(len(data), MaxSignature)); n > most {
			t.Fatalf("%d bytes: %d bytes were allocated, at most %d may be", len(data), n, most)
		}
		if err != nil {
			if wellKnown(t, err) != ReasonSignatureFormat {
				t.Fatalf("%x: %v", data, err)
			}
			return
		}
		if !bytes.Equal(MarshalSignature(s.Key(), s.Namespace, &s.signature), data) {
			t.Fatalf("%x is parsed and marshalled otherwise", data)
		}
		if err := s.Verify([64]byte{}); ruleOf(err) != "signature-invalid G-1" {
			t.Fatalf("%x verifies over nothing: %v", data, err)
		}
	})
}

// skMessage gives what a security key signs for data, with its user present and counter 9.
func skMessage(data []byte) []byte {
	return fmt.Appendf(nil, "%s\x01\x00\x00\x00\x09%s", sum256("ssh:"), sum256(string(data)))
}
