package keys

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"ecluse/protocol/bundle"
)

// need gives the path of a program; under CI it must be there.
func need(t *testing.T, program string) string {
	t.Helper()
	p, err := exec.LookPath(program)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not installed, so agreement with OpenSSH is not checked", program)
		}
		t.Skipf("%s IS NOT INSTALLED: agreement with OpenSSH is not checked", program)
	}
	return p
}

// run gives what a program prints on both outputs.
func run(t *testing.T, env []string, stdin string, program string, args ...string) (string, error) {
	t.Helper()
	c := exec.Command(program, args...)
	c.Stdin = strings.NewReader(stdin)
	c.Env = append(append(os.Environ(), "LC_ALL=C"), env...)
	out, err := c.CombinedOutput()
	return string(out), err
}

func write(t *testing.T, path, content string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// testKey gives a key that follows from one byte.
func testKey(t testing.TB, seed byte) ssh.PublicKey {
	t.Helper()
	key, err := ssh.NewPublicKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32)).Public())
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func keyText(key ssh.PublicKey) string { return strings.TrimSuffix(string(publicLine(key, "")), "\n") }

// wantReason fails unless an error is a rejection for that reason and rule; an empty reason wants no error.
func wantReason(t *testing.T, what string, err error, reason bundle.Reason, rule string) {
	t.Helper()
	if reason == "" {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		return
	}
	r, ok := errors.AsType[*bundle.Rejection](err)
	if !ok || r.Reason != reason || r.Rule != rule {
		t.Errorf("%s: %v, want %s by %s", what, err, reason, rule)
	}
}

// wantError fails unless an error says all of that.
func wantError(t *testing.T, what string, err error, words ...string) {
	t.Helper()
	for _, word := range words {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v does not say %q", what, err, word)
		}
	}
}

// point is on the curve, for a check of the constants that owes nothing to the code under test.
type point struct{ x, y *big.Int }

func mod(x *big.Int) *big.Int { return x.Mod(x, fieldPrime) }

func (a point) add(b point) point {
	product := func(f ...*big.Int) *big.Int {
		r := big.NewInt(1)
		for _, x := range f {
			mod(r.Mul(r, x))
		}
		return r
	}
	one := big.NewInt(1)
	k := product(curveD, a.x, b.x, a.y, b.y)
	quotient := func(over, under *big.Int) *big.Int {
		return product(mod(over), new(big.Int).ModInverse(mod(under), fieldPrime))
	}
	return point{
		quotient(new(big.Int).Add(product(a.x, b.y), product(a.y, b.x)), new(big.Int).Add(one, k)),
		quotient(new(big.Int).Add(product(a.y, b.y), product(a.x, b.x)), new(big.Int).Sub(one, k)),
	}
}

// points gives those of a y.
func points(t *testing.T, y *big.Int) []point {
	t.Helper()
	y2 := mod(new(big.Int).Mul(y, y))
	under := mod(new(big.Int).Add(new(big.Int).Mul(curveD, y2), big.NewInt(1)))
	x2 := mod(new(big.Int).Mul(new(big.Int).Sub(y2, big.NewInt(1)), new(big.Int).ModInverse(under, fieldPrime)))
	x := new(big.Int).ModSqrt(x2, fieldPrime)
	if x == nil {
		t.Fatalf("y = %x is on no point of the curve", y)
	}
	if x.Sign() == 0 {
		return []point{{x, y}}
	}
	return []point{{x, y}, {new(big.Int).Sub(fieldPrime, x), y}}
}

func TestTheListOfSmallOrderIsTheWholeOne(t *testing.T) {
	count := 0
	for _, y := range smallOrder {
		for _, p := range points(t, y) {
			for range 3 {
				p = p.add(p)
			}
			if p.x.Sign() != 0 || p.y.Cmp(big.NewInt(1)) != 0 {
				t.Errorf("eight times the point with y = %x is not the neutral element", y)
			}
			count++
		}
	}
	if count != 8 {
		t.Errorf("%d points, and the curve has 8 of an order that divides 8", count)
	}
}

// weak are encodings that must not stand for a sender: small order, each in every encoding that decoders take, and y that are not reduced.
var weak = []string{
	"0100000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000080",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // p
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // p + 1
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // p + 3: a point of large order, not reduced
	"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"0200000000000000000000000000000000000000000000000000000000000000", // no point of the curve
}

func weakKey(t *testing.T, encoding string) ssh.PublicKey {
	t.Helper()
	raw, err := hex.DecodeString(encoding)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(ed25519.PublicKey(raw))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestAKeyThatAnyoneCanSignForIsNoSender(t *testing.T) {
	// The danger is real: R of small order and S = 0 verify under such a key, for a message in eight at least.
	forged := false
	for m := range byte(64) {
		signature := append(make([]byte, 0, 64), weakKeyBytes(t, weak[0])...)
		forged = forged || ed25519.Verify(weakKeyBytes(t, weak[0]), []byte{m}, append(signature, make([]byte, 32)...))
	}
	if !forged {
		t.Error("the forgery that this test is about does not work")
	}
	path := filepath.Join(t.TempDir(), "allowed_signers")
	for _, encoding := range weak {
		key := weakKey(t, encoding)
		if err := CheckKey(key); err == nil {
			t.Errorf("%s is taken", encoding)
		}
		if _, err := ParseAllowedSigners([]byte("low " + keyText(key) + "\n")); err == nil {
			t.Errorf("%s is enrolled", encoding)
		}
		if _, err := AppendSigner(path, "low", []string{"bundle@ecluse"}, key, ""); err == nil {
			t.Errorf("%s is appended", encoding)
		}
		if _, err := NewSenderPair("low", bundle.Epoch{1}, key); err == nil {
			t.Errorf("%s is paired", encoding)
		}
		honest, err := NewSenderPair("low", bundle.Epoch{1}, testKey(t, 1))
		if err != nil {
			t.Fatal(err)
		}
		text := bytes.Replace(honest.Marshal(), []byte(keyText(testKey(t, 1))), []byte(keyText(key)), 1)
		if _, err := ParsePair(text); err == nil {
			t.Errorf("%s comes in a .pair", encoding)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file of trust was made for nothing: %v", err)
	}
}

func weakKeyBytes(t *testing.T, encoding string) ed25519.PublicKey {
	return weakKey(t, encoding).(ssh.CryptoPublicKey).CryptoPublicKey().(ed25519.PublicKey)
}

func TestEveryHonestKeyIsTaken(t *testing.T) {
	for seed := range byte(200) {
		if err := CheckKey(testKey(t, seed)); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

func TestAKeyOfAnotherKindIsRefusedByItsName(t *testing.T) {
	sk := ssh.Marshal(struct {
		Name        string
		Key         []byte
		Application string
	}{ssh.KeyAlgoSKED25519, bytes.Repeat([]byte{7}, 32), "ssh:"})
	key, err := ssh.ParsePublicKey(sk)
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, "a security key", CheckKey(key), ssh.KeyAlgoSKED25519, "only ssh-ed25519")
	_, err = ParseAllowedSigners([]byte("low " + keyText(key) + "\n"))
	wantError(t, "a security key in allowed_signers", err, "line 1", ssh.KeyAlgoSKED25519)
}
