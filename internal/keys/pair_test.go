package keys

import (
	"bytes"
	"crypto/hpke"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"ecluse/protocol/bundle"
	"ecluse/protocol/packet"
)

// fixedReceiver gives a key pair that follows from one byte.
func fixedReceiver(t testing.TB, seed byte) *ReceiverKey {
	t.Helper()
	private, err := hpke.MLKEM768X25519().NewPrivateKey(bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return newReceiverKey(private)
}

func pairs(t testing.TB) (sender, receiver *Pair) {
	t.Helper()
	sender, err := NewSenderPair("ctie-low", bundle.Epoch{1, 2, 3}, testKey(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	public, err := ParseReceiverPublic(fixedReceiver(t, 2).Public())
	if err != nil {
		t.Fatal(err)
	}
	receiver, err = NewReceiverPair("ctie-high", public)
	if err != nil {
		t.Fatal(err)
	}
	return sender, receiver
}

func TestAReceiverKeyComesBackFromItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "receiver.key")
	k, err := GenerateReceiverKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	again, err := LoadReceiverKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(k.Public(), again.Public()) || k.ID() != again.ID() || k.ID() != packet.KeyID(k.Public()) {
		t.Error("another key is loaded than was made")
	}
	if _, err := GenerateReceiverKey(path); !errors.Is(err, os.ErrExist) {
		t.Errorf("a key was overwritten: %v", err)
	}
	if _, err := LoadReceiverKey(path); err != nil {
		t.Errorf("after a second init: %v", err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	_, err = LoadReceiverKey(path)
	wantError(t, "a file that a group may read", err, "open to others")
}

func TestADamagedReceiverKeyIsNotAnotherKey(t *testing.T) {
	text, err := fixedReceiver(t, 5).marshal()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseReceiverKey(text); err != nil {
		t.Fatal(err)
	}
	for i := range text {
		if _, err := parseReceiverKey(text[:i]); err == nil {
			t.Errorf("the first %d bytes are taken", i)
		}
		damaged := bytes.Clone(text)
		damaged[i] ^= 1
		if _, err := parseReceiverKey(damaged); err == nil {
			t.Errorf("a bit of byte %d is wrong, and the key is taken", i)
		}
	}
	if _, err := parseReceiverKey(append(bytes.Clone(text), '\n')); err == nil {
		t.Error("a line too many is taken")
	}
}

func TestTheErrorsOfAReceiverKeyKeepItsSecret(t *testing.T) {
	text, err := fixedReceiver(t, 5).marshal()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	secret := strings.TrimPrefix(lines[2], kemName+" ")
	for _, bad := range []string{
		strings.Replace(string(text), secret, secret+"*", 1),
		strings.Replace(string(text), kemName, "other", 1),
		strings.Replace(string(text), "id ", "id 0", 1),
		lines[2] + "\n" + lines[0] + "\n" + lines[1] + "\n",
	} {
		if _, err := parseReceiverKey([]byte(bad)); err == nil || strings.Contains(err.Error(), secret[:8]) {
			t.Errorf("%v", err)
		}
	}
}

func TestBothSidesExportTheSameSecrets(t *testing.T) {
	k := fixedReceiver(t, 3)
	p, err := ParseReceiverPublic(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	if p.ID() != k.ID() || !bytes.Equal(p.Bytes(), k.Public()) {
		t.Error("the public half is another key")
	}
	enc, sender, err := p.Encapsulate([]byte("info"))
	if err != nil || len(enc) != packet.EncapsulationSize {
		t.Fatalf("%d bytes, %v", len(enc), err)
	}
	export := func(info string) []byte {
		recipient, err := hpke.NewRecipient(enc, k.Private(), hpke.HKDFSHA256(), hpke.ExportOnly(), []byte(info))
		if err != nil {
			t.Fatal(err)
		}
		secret, err := recipient.Export(packet.KeyContext(0), packet.KeyExport)
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}
	ours, err := sender.Export(packet.KeyContext(0), packet.KeyExport)
	if err != nil || !bytes.Equal(ours, export("info")) || bytes.Equal(ours, export("other")) {
		t.Errorf("the secrets differ, or do not depend on info: %v", err)
	}
}

func TestAReceiversKeyThatNothingCanBeSentToIsRefused(t *testing.T) {
	good := fixedReceiver(t, 3).Public()
	for _, n := range []int{0, 1, 32, len(good) - 1} {
		if _, err := ParseReceiverPublic(good[:n]); err == nil {
			t.Errorf("%d bytes are taken", n)
		}
	}
	if _, err := ParseReceiverPublic(append(bytes.Clone(good), 0)); err == nil {
		t.Error("a byte too many is taken")
	}
	zero := bytes.Clone(good)
	clear(zero[len(zero)-32:])
	if _, err := ParseReceiverPublic(zero); err == nil {
		t.Error("an X25519 key of small order is taken")
	}
	unreduced := bytes.Clone(good)
	for i := range 3 {
		unreduced[i] = 0xff
	}
	if _, err := ParseReceiverPublic(unreduced); err == nil {
		t.Error("ML-KEM coefficients that are not reduced are taken")
	}
}

func TestThePairOfASenderHasTheseBytes(t *testing.T) {
	sender, _ := pairs(t)
	want := "ecluse-pair-1\nkind sender\nname ctie-low\nepoch " + bundle.Epoch{1, 2, 3}.String() +
		"\nkey ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c\n"
	if got := string(sender.Marshal()); got != want {
		t.Errorf("\n%s\nwant\n%s", got, want)
	}
}

func TestAPairComesBackAsItWas(t *testing.T) {
	sender, receiver := pairs(t)
	for _, p := range []*Pair{sender, receiver} {
		path := filepath.Join(t.TempDir(), "x.pair")
		if err := WritePair(path, p); err != nil {
			t.Fatal(err)
		}
		if err := WritePair(path, p); !errors.Is(err, os.ErrExist) {
			t.Errorf("%s: overwritten: %v", p.Kind, err)
		}
		got, err := ReadPair(path)
		if err != nil {
			t.Fatal(err)
		}
		if got.Kind != p.Kind || got.Name != p.Name || got.Epoch != p.Epoch || !bytes.Equal(got.Marshal(), p.Marshal()) || got.Fingerprint() != p.Fingerprint() {
			t.Errorf("%s: %+v", p.Kind, got)
		}
		if p.Kind == PairSender && !bytes.Equal(got.Signer.Marshal(), p.Signer.Marshal()) {
			t.Error("another key")
		}
		if p.Kind == PairReceiver && got.Receiver.ID() != p.Receiver.ID() {
			t.Error("another key")
		}
	}
}

func TestTheFingerprintOfAPairCoversAllOfIt(t *testing.T) {
	sender, receiver := pairs(t)
	seen := map[string]string{}
	note := func(what string, p *Pair) {
		f := p.Fingerprint()
		if !strings.HasPrefix(f, "SHA256:") || len(f) != 7+43 {
			t.Errorf("%s: %q is no fingerprint", what, f)
		}
		if other, taken := seen[f]; taken {
			t.Errorf("%s has the fingerprint of %s", what, other)
		}
		seen[f] = what
	}
	note("the sender", sender)
	note("the receiver", receiver)
	changed := *sender
	changed.Name = "ctie-lov"
	note("another name", &changed)
	changed = *sender
	changed.Epoch[15] = 1
	note("another epoch", &changed)
	changed = *sender
	changed.Signer = testKey(t, 2)
	note("another key", &changed)
	changed = *receiver
	changed.Name = "x"
	note("another receiver's name", &changed)
}

func TestAPairHasOneForm(t *testing.T) {
	sender, receiver := pairs(t)
	for _, p := range []*Pair{sender, receiver} {
		text := string(p.Marshal())
		for i := range text {
			if _, err := ParsePair([]byte(text[:i])); err == nil {
				t.Errorf("%s: the first %d bytes are taken", p.Kind, i)
			}
		}
		lines := strings.SplitAfter(text, "\n")
		for what, bad := range map[string]string{
			"CR LF":           strings.ReplaceAll(text, "\n", "\r\n"),
			"a line more":     text + "key x\n",
			"a blank line":    text + "\n",
			"a BOM":           "\ufeff" + text,
			"a space":         strings.Replace(text, "name ", "name  ", 1),
			"a space behind":  strings.TrimSuffix(text, "\n") + " \n",
			"capitals":        strings.Replace(text, "name ctie", "name CTIE", 1),
			"another version": strings.Replace(text, "-1\n", "-2\n", 1),
			"another kind":    strings.Replace(text, "kind ", "kind x", 1),
			"a line twice":    strings.Replace(text, lines[2], lines[2]+lines[2], 1),
			"lines exchanged": lines[0] + lines[2] + lines[1] + strings.Join(lines[3:], ""),
			"no name":         strings.Replace(text, lines[2], "name \n", 1),
			"a climbing name": strings.Replace(text, lines[2], "name ../x\n", 1),
			"a longer file":   text + strings.Repeat("x", MaxPair),
			"a comment":       strings.TrimSuffix(text, "\n") + " comment\n",
			"no padding":      strings.TrimRight(text, "=\n") + "\n",
			"base64 in two":   strings.Replace(text, "AAAA", "AA\rAA", 1),
		} {
			if bad == text {
				continue // the key of a sender has no padding
			}
			if _, err := ParsePair([]byte(bad)); err == nil {
				t.Errorf("%s: %s is taken", p.Kind, what)
			}
		}
	}
	text := string(sender.Marshal())
	epoch := sender.Epoch.String()
	for _, bad := range []string{strings.Repeat("a", len(epoch)), strings.ToUpper(epoch), epoch[1:], ""} {
		if _, err := ParsePair([]byte(strings.Replace(text, epoch, bad, 1))); err == nil {
			t.Errorf("the epoch %q is taken", bad)
		}
	}
}

func TestAPairThatCannotBeIsNotMade(t *testing.T) {
	_, receiver := pairs(t)
	for what, err := range map[string]error{
		"a sender without an epoch": second(NewSenderPair("low", bundle.Epoch{}, testKey(t, 1))),
		"a sender's bad name":       second(NewSenderPair("Low", bundle.Epoch{1}, testKey(t, 1))),
		"a receiver's bad name":     second(NewReceiverPair("a/b", receiver.Receiver)),
		"a receiver without a key":  second(NewReceiverPair("high", nil)),
	} {
		if err == nil {
			t.Errorf("%s is made", what)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// allocated gives the bytes that f allocates. What the run of the tests allocates beside it comes and goes, so it is the least of three times.
func allocated(f func()) uint64 {
	least := ^uint64(0)
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

func FuzzParsePair(f *testing.F) {
	sender, receiver := pairs(f)
	f.Add(sender.Marshal())
	f.Add(receiver.Marshal())
	f.Add([]byte(fmt.Sprintf("%s\nkind sender\nname a\nepoch \nkey ssh-ed25519 \n", pairFormat)))
	f.Fuzz(func(t *testing.T, text []byte) {
		var p *Pair
		var err error
		if n, most := allocated(func() { p, err = ParsePair(text) }), uint64(64<<10+16*len(text)); n > most {
			t.Fatalf("%d bytes of text: %d bytes were allocated, at most %d may be", len(text), n, most)
		}
		if err != nil {
			return
		}
		if !bytes.Equal(p.Marshal(), text) {
			t.Errorf("%q is taken, and its form is %q", text, p.Marshal())
		}
	})
}
