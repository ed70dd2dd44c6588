package keys

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse/protocol/bundle"
	"ecluse/protocol/packet"
)

// AllowedSigners is what the rooms of the high house ask whom to believe.
var _ interface {
	Sender(keyID [32]byte) (name bundle.Name, key ssh.PublicKey, ok bool)
	MayOpen(keyID [32]byte, at time.Time) error
	Principal(key ssh.PublicKey, namespace string, at time.Time) (bundle.Name, error)
} = (*AllowedSigners)(nil)

func mustParse(t testing.TB, text string) *AllowedSigners {
	t.Helper()
	a, err := parseAllowedSigners([]byte(text), time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func instant(t testing.TB, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestAKeySpeaksForTheNameOfItsLine(t *testing.T) {
	low, other := testKey(t, 1), testKey(t, 2)
	a := mustParse(t, "# trust\n\nctie-low "+keyText(low)+" a comment\nalice@example.org,bob "+keyText(other)+"\n")
	now := instant(t, "2026-01-01T00:00:00Z")
	id := packet.KeyID(low.Marshal())
	name, key, ok := a.Sender(id)
	if !ok || name != "ctie-low" || Fingerprint(key) != Fingerprint(low) {
		t.Errorf("%q, %v, %v", name, key, ok)
	}
	if err := a.MayOpen(id, now); err != nil {
		t.Error(err)
	}
	if name, err := a.Principal(low, bundle.NamespaceBundle, now); err != nil || name != "ctie-low" {
		t.Errorf("%q, %v", name, err)
	}
	for what, key := range map[string]ssh.PublicKey{"a key whose line names several": other, "a key of no line": testKey(t, 3)} {
		id := packet.KeyID(key.Marshal())
		if _, _, ok := a.Sender(id); ok {
			t.Errorf("%s is a sender", what)
		}
		wantReason(t, what, a.MayOpen(id, now), bundle.ReasonSessionSenderUnknown, "S-3")
		wantReason(t, what, second(a.Principal(key, bundle.NamespaceBundle, now)), bundle.ReasonSignerUnknown, "G-2")
	}
}

func TestOnlyOneLiteralNameIsASender(t *testing.T) {
	key := testKey(t, 1)
	for _, principals := range []string{"*", "ctie-*", "ctie-lo?", "a,b", "!low", "low,", ",low", "Low", "low.", "low@example.org", `"a b"`, "-low"} {
		a := mustParse(t, principals+" "+keyText(key)+"\n")
		if name, _, ok := a.Sender(packet.KeyID(key.Marshal())); ok {
			t.Errorf("the line of %s gives the name %q", principals, name)
		}
	}
	for _, principals := range []string{"low", `"low"`, "0"} {
		a := mustParse(t, principals+" "+keyText(key)+"\n")
		if name, _, ok := a.Sender(packet.KeyID(key.Marshal())); !ok || string(name) != strings.Trim(principals, `"`) {
			t.Errorf("the line of %s gives %q, %v", principals, name, ok)
		}
	}
}

func TestRefusalsOfAKeyHaveTheirReasons(t *testing.T) {
	key := testKey(t, 1)
	id := packet.KeyID(key.Marshal())
	line := func(options string) string { return "low " + options + " " + keyText(key) + "\n" }
	for _, c := range []struct {
		name, text, at string
		bundle         bundle.Reason
		session        bundle.Reason
	}{
		{"all", line(""), "2026-01-01T00:00:00Z", "", ""},
		{"only bundles", line(`namespaces="bundle@ecluse"`), "2026-01-01T00:00:00Z", "", bundle.ReasonSessionKeyNamespace},
		{"only sessions", line(`namespaces="session@ecluse"`), "2026-01-01T00:00:00Z", bundle.ReasonSignerNamespace, ""},
		{"none", line(`namespaces=""`), "2026-01-01T00:00:00Z", bundle.ReasonSignerNamespace, bundle.ReasonSessionKeyNamespace},
		{"before", line(`valid-after="20260101Z"`), "2025-12-31T23:59:59Z", bundle.ReasonSignerNotYetValid, bundle.ReasonSessionKeyNotYetValid},
		{"from then on", line(`valid-after="20260101Z"`), "2026-01-01T00:00:00Z", "", ""},
		{"until then", line(`valid-before="20260101Z"`), "2026-01-01T00:00:00Z", "", ""},
		{"a second later", line(`valid-before="20260101Z"`), "2026-01-01T00:00:01Z", bundle.ReasonSignerExpired, bundle.ReasonSessionKeyExpired},
		{"between two terms", line(`valid-before="20250101Z"`) + line(`valid-after="20260101Z"`), "2025-06-01T00:00:00Z",
			bundle.ReasonSignerNotYetValid, bundle.ReasonSessionKeyNotYetValid},
		{"between two terms, the other way round", line(`valid-after="20260101Z"`) + line(`valid-before="20250101Z"`), "2025-06-01T00:00:00Z",
			bundle.ReasonSignerNotYetValid, bundle.ReasonSessionKeyNotYetValid},
		{"after two terms", line(`valid-before="20240101Z"`) + line(`valid-before="20250101Z"`), "2025-06-01T00:00:00Z",
			bundle.ReasonSignerExpired, bundle.ReasonSessionKeyExpired},
		{"the second term", line(`valid-before="20240101Z"`) + line(`valid-before="20260101Z"`), "2025-06-01T00:00:00Z", "", ""},
		{"expired here, another namespace there", line(`namespaces="bundle@ecluse",valid-before="20240101Z"`) + line(`namespaces="session@ecluse"`),
			"2025-06-01T00:00:00Z", bundle.ReasonSignerExpired, ""},
		{"a pattern beside the name permits as well", line(`namespaces="session@ecluse"`) + "l* " + keyText(key) + "\n", "2025-06-01T00:00:00Z", "", ""},
		{"a pattern that excludes the name does not", line(`namespaces="session@ecluse"`) + "l*,!low " + keyText(key) + "\n", "2025-06-01T00:00:00Z",
			bundle.ReasonSignerNamespace, ""},
	} {
		a, at := mustParse(t, c.text), instant(t, c.at)
		wantReason(t, c.name+", bundle", second(a.Principal(key, bundle.NamespaceBundle, at)), c.bundle, "G-2")
		wantReason(t, c.name+", session", a.MayOpen(id, at), c.session, "S-6")
	}
}

func TestARefusalSaysTheTimesItIsAbout(t *testing.T) {
	key := testKey(t, 1)
	a := mustParse(t, fmt.Sprintf("low valid-after=\"20260101Z\",valid-before=\"20270101Z\" %s\n", keyText(key)))
	_, err := a.Principal(key, "bundle@ecluse", instant(t, "2025-06-01T00:00:00Z"))
	wantError(t, "too early", err, "2026-01-01T00:00:00Z", "2025-06-01T00:00:00Z", "low", Fingerprint(key))
	_, err = a.Principal(key, "bundle@ecluse", instant(t, "2028-06-01T00:00:00Z"))
	wantError(t, "too late", err, "2027-01-01T00:00:00Z", "2028-06-01T00:00:00Z")
}

func TestOnlyListedSendersCount(t *testing.T) {
	one, two := testKey(t, 1), testKey(t, 2)
	all := mustParse(t, "one "+keyText(one)+"\ntwo "+keyText(two)+"\n")
	now := instant(t, "2026-01-01T00:00:00Z")
	some := all.Restrict([]bundle.Name{"two", "three"})
	id := packet.KeyID(one.Marshal())
	if _, _, ok := some.Sender(id); ok {
		t.Error("a sender that is not listed counts")
	}
	wantReason(t, "not listed", some.MayOpen(id, now), bundle.ReasonSessionSenderUnknown, "S-3")
	wantReason(t, "not listed", second(some.Principal(one, "bundle@ecluse", now)), bundle.ReasonSignerUnknown, "G-2")
	wantReason(t, "listed", second(some.Principal(two, "bundle@ecluse", now)), "", "")
	wantReason(t, "without the list", second(all.Principal(one, "bundle@ecluse", now)), "", "")
	wantReason(t, "a list cannot widen", some.Restrict([]bundle.Name{"one", "two"}).MayOpen(id, now), bundle.ReasonSessionSenderUnknown, "S-3")
	wantReason(t, "no list", all.Restrict(nil).MayOpen(id, now), bundle.ReasonSessionSenderUnknown, "S-3")
}

func TestEveryBadLineIsNamedAtOnce(t *testing.T) {
	key, other := keyText(testKey(t, 1)), keyText(testKey(t, 2))
	bad := []struct{ line, says string }{
		{"low", "key is missing"},
		{"low cert-authority " + key, "cert-authority"},
		{"low CERT-AUTHORITY,namespaces=\"a\" " + key, "cert-authority"},
		{"low namespaces=\"a\",cert-authority " + key, "cert-authority"},
		{"low permit-pty " + key, "permit-pty"},
		{"low colour=\"red\" " + key, "colour"},
		{"low namespaces=a " + key, "begin with a quote"},
		{"low namespaces=\"a " + key, "quote"},
		{"low namespaces=\"a\",namespaces=\"b\" " + key, "twice"},
		{"low valid-after=\"20260101Z\",valid-after=\"20260101Z\" " + key, "twice"},
		{"low namespaces=\"a\", " + key, "neither an option"},
		{"low namespaces=\"a\"valid-after=\"20260101\" " + key, "comma"},
		{"low valid-after=\"2026\" " + key, "YYYYMMDD"},
		{"low valid-after=\"2026-1-1\" " + key, "YYYYMMDD"},
		{"low valid-after=\"20260230Z\" " + key, "there is no time"},
		{"low valid-before=\"19700101Z\" " + key, "1970"},
		{"low valid-after=\"\" " + key, "YYYYMMDD"},
		{"low valid-after=\"20270101Z\",valid-before=\"20260101Z\" " + key, "not after"},
		{"low valid-after=\"20260101Z\",valid-before=\"20260101Z\" " + key, "not after"},
		{"low ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ==", "ssh-rsa"},
		{"low sk-ssh-ed25519@openssh.com AAAA", "sk-ssh-ed25519@openssh.com"},
		{"low ecdsa-sha2-nistp256 AAAA", "ecdsa-sha2-nistp256"},
		{"low ssh-ed25519-cert-v01@openssh.com AAAA", "ssh-ed25519-cert-v01@openssh.com"},
		{"low ssh-ed25519", "does not parse"},
		{"low ssh-ed25519 !!!!", "base64"},
		{"low ssh-ed25519 AAAA", "does not parse"},
		{"low " + key[:len(key)-4], "does not parse"},
		{"low " + key + "AAAA", "does not parse"},
		{"low " + strings.Replace(key, "ssh-ed25519 ", "ssh-ed25519", 1), "not taken"},
		{"\"low " + key, "quote"},
		{"\"low\"" + key, "space"},
		{"lo\"w\" " + key, "principals"},
		{"\"\" " + key, "principals"},
		{"low\x00 " + key, "control"},
		{"low " + key + " a\rb", "control"},
		{"\ufefflow " + key, "control"},
		{"other " + other, "one name"}, // the last line gives this key to low
	}
	var text strings.Builder
	for _, b := range bad {
		text.WriteString(b.line + "\n# between\n")
	}
	text.WriteString("low " + other + "\n")
	_, err := ParseAllowedSigners([]byte(text.String()))
	if err == nil {
		t.Fatal("the file is taken")
	}
	told := strings.Split(err.Error(), "\n")
	if len(told) != len(bad) {
		t.Fatalf("%d faults are told, want %d:\n%v", len(told), len(bad), err)
	}
	for i, b := range bad[:len(bad)-1] {
		if !strings.HasPrefix(told[i], fmt.Sprintf("line %d: ", 2*i+1)) || !strings.Contains(told[i], b.says) {
			t.Errorf("%q: %q does not say %q", b.line, told[i], b.says)
		}
		if _, err := ParseAllowedSigners([]byte(b.line)); err == nil {
			t.Errorf("%q alone is taken", b.line)
		}
	}
	wantError(t, "one key for two", err, fmt.Sprintf("line %d: ", 2*len(bad)+1), fmt.Sprintf("line %d,", 2*len(bad)-1), "one name")
}

func TestAFileOfTrustHasLimits(t *testing.T) {
	key := keyText(testKey(t, 1))
	if _, err := ParseAllowedSigners([]byte(strings.Repeat("\n", MaxSignerLines-1) + "low " + key + "\n")); err != nil {
		t.Errorf("%d lines: %v", MaxSignerLines, err)
	}
	_, err := ParseAllowedSigners([]byte(strings.Repeat("\n", MaxSignerLines+1)))
	wantError(t, "a line too many", err, "10000 lines")
	full := "#" + strings.Repeat("x", MaxSigners-1)
	if _, err := ParseAllowedSigners([]byte(full)); err != nil {
		t.Errorf("%d bytes: %v", len(full), err)
	}
	_, err = ParseAllowedSigners([]byte(full + "x"))
	wantError(t, "a byte too many", err, "1048576 bytes")
	_, err = LoadAllowedSigners(write(t, filepath.Join(t.TempDir(), "a"), full+"x", 0o644))
	wantError(t, "a byte too many in a file", err, "1048576 bytes")
	_, err = ParseAllowedSigners([]byte(strings.Repeat("bad\n", MaxSignerLines)))
	wantError(t, "many bad lines", err, "line 1:", "line 50:", "and 9950 more")
}

func TestAllowedSignersAreReadFromAFile(t *testing.T) {
	key := testKey(t, 1)
	path := write(t, filepath.Join(t.TempDir(), "allowed_signers"), "low "+keyText(key)+"\n", 0o644)
	a, err := LoadAllowedSigners(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, ok := a.Sender(packet.KeyID(key.Marshal())); !ok {
		t.Error("its sender is not there")
	}
	_, err = LoadAllowedSigners(write(t, path, "low\n", 0o644))
	wantError(t, "a bad file", err, path, "line 1")
	if _, err := LoadAllowedSigners(path + ".none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func FuzzParseAllowedSigners(f *testing.F) {
	key := keyText(testKey(f, 1))
	for _, text := range []string{
		"", "# a\n\n", "low " + key + "\n", "low " + key, "low " + key + "\r\n",
		"a,b*,!c namespaces=\"x,!y\",valid-after=\"20260101\",valid-before=\"20270101Z\" " + key + " c\n",
		"\"a b\" NAMESPACES=\"\\\"\" " + key + "\n", "low cert-authority " + key + "\n",
	} {
		f.Add([]byte(text))
	}
	at := time.Unix(1_800_000_000, 0)
	f.Fuzz(func(t *testing.T, text []byte) {
		var a *AllowedSigners
		var err error
		if n, most := allocated(func() { a, err = ParseAllowedSigners(text) }), uint64(64<<10+64*len(text)); n > most {
			t.Fatalf("%d bytes of text: %d bytes were allocated, at most %d may be", len(text), n, most)
		}
		if err != nil {
			return
		}
		for _, l := range a.lines {
			name, key, ok := a.Sender(l.id)
			if !ok {
				continue
			}
			if _, err := bundle.ParseName(string(name)); err != nil {
				t.Errorf("%q is a sender: %v", name, err)
			}
			who, err := a.Principal(key, bundle.NamespaceSession, at)
			if open := a.MayOpen(l.id, at); (err == nil) != (open == nil) || err == nil && who != name {
				t.Errorf("%q may sign: %v, and open: %v", who, err, open)
			}
		}
	})
}
