package keys

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"ecluse/protocol/bundle"
	"ecluse/protocol/packet"
)

var senderNamespaces = []string{bundle.NamespaceBundle, bundle.NamespaceSession, bundle.NamespaceAbandon}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPairingAddsOneLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "allowed_signers")
	key := testKey(t, 1)
	want := "ctie-low namespaces=\"bundle@ecluse,session@ecluse,abandon@ecluse\" " + keyText(key) + " paired 2026\n"
	for i, wantChanged := range []bool{true, false, false} {
		changed, err := AppendSigner(path, "ctie-low", senderNamespaces, key, "paired 2026")
		if err != nil || changed != wantChanged {
			t.Errorf("time %d: %v, %v", i, changed, err)
		}
		if got := read(t, path); got != want {
			t.Errorf("time %d:\n%s\nwant\n%s", i, got, want)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o644 {
		t.Errorf("mode %v, %v: the security team reads it as well", info.Mode(), err)
	}
	a, err := LoadAllowedSigners(path)
	if err != nil {
		t.Fatal(err)
	}
	wantReason(t, "the new sender", a.MayOpen(packet.KeyID(key.Marshal()), instant(t, "2026-01-01T00:00:00Z")), "", "")
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("%d files stand there, want 1: %v", len(entries), err)
	}
}

func TestSSHKeygenBelievesWhatPairingWrites(t *testing.T) {
	program := need(t, "ssh-keygen")
	_, i := identity(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "allowed_signers")
	if _, err := AppendSigner(path, "low", senderNamespaces, i.Public(), "a comment"); err != nil {
		t.Fatal(err)
	}
	for _, namespace := range append([]string{"file"}, senderNamespaces...) {
		blob, err := i.Sign(namespace, []byte(message))
		if err != nil {
			t.Fatal(err)
		}
		signature := write(t, filepath.Join(dir, "sig"), string(bundle.Armor(blob)), 0o600)
		out, err := run(t, nil, message, program, "-Y", "verify", "-f", path, "-I", "low", "-n", namespace, "-s", signature)
		if (err == nil) != (namespace != "file") {
			t.Errorf("%s: %v: %s", namespace, err, out)
		}
	}
}

func TestPairingKeepsWhatStands(t *testing.T) {
	dir := t.TempDir()
	real := write(t, filepath.Join(dir, "real"), "# ours\r\n\n  other "+keyText(testKey(t, 2))+" kept", 0o640)
	path := filepath.Join(dir, "allowed_signers")
	if err := os.Symlink("real", path); err != nil {
		t.Fatal(err)
	}
	before := read(t, real)
	if changed, err := AppendSigner(path, "low", senderNamespaces, testKey(t, 1), ""); err != nil || !changed {
		t.Fatalf("%v, %v", changed, err)
	}
	after := read(t, real)
	if !strings.HasPrefix(after, before+"\nlow namespaces=") || strings.Count(after, "\n") != strings.Count(before, "\n")+2 {
		t.Errorf("\n%q\nbecame\n%q", before, after)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link became %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(real); err != nil || info.Mode() != 0o640 {
		t.Errorf("the mode became %v, %v", info.Mode(), err)
	}
}

func TestPairingKeepsTheOwnerOfTheFile(t *testing.T) {
	if os.Getuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("ONLY ROOT CAN GIVE FILES AWAY: the owner is not checked")
		}
		t.Skip("ONLY ROOT CAN GIVE FILES AWAY: the owner is not checked")
	}
	path := write(t, filepath.Join(t.TempDir(), "allowed_signers"), "", 0o640)
	if err := os.Chown(path, 4321, 1234); err != nil {
		t.Fatal(err)
	}
	if _, err := AppendSigner(path, "low", senderNamespaces, testKey(t, 1), ""); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); st.Uid != 4321 || st.Gid != 1234 || info.Mode() != 0o640 {
		t.Errorf("owner %d:%d, mode %v", st.Uid, st.Gid, info.Mode())
	}
}

func TestPairingLiftsNoEnd(t *testing.T) {
	key := keyText(testKey(t, 1))
	for _, c := range []struct {
		name, text string
		changed    bool
	}{
		{"an end that somebody set", "low valid-before=\"20200101Z\" " + key + "\n", false},
		{"every namespace", "low " + key + "\n", false},
		{"one namespace of three", "low namespaces=\"bundle@ecluse\" " + key + "\n", true},
		{"the namespaces in two lines", "low namespaces=\"bundle@ecluse\" " + key + "\nlow namespaces=\"!bundle@ecluse,*\" " + key + "\n", false},
		{"a pattern that names nobody", "l* " + key + "\n", true},
		{"another key of this name", "low " + keyText(testKey(t, 2)) + "\n", true},
	} {
		path := write(t, filepath.Join(t.TempDir(), "allowed_signers"), c.text, 0o644)
		changed, err := AppendSigner(path, "low", senderNamespaces, testKey(t, 1), "")
		if err != nil || changed != c.changed || (read(t, path) != c.text) != c.changed {
			t.Errorf("%s: %v, %v:\n%s", c.name, changed, err, read(t, path))
		}
	}
}

func TestPairingThatCannotBeLeavesTheFile(t *testing.T) {
	key := keyText(testKey(t, 1))
	for _, c := range []struct{ name, text, says string }{
		{"the key of another sender", "other " + key + "\n", "one name"},
		{"a file that does not parse", "low " + key + "\nbad\n", "line 2"},
		{"a full file", "#" + strings.Repeat("x", MaxSigners-1), "more than"},
	} {
		path := write(t, filepath.Join(t.TempDir(), "allowed_signers"), c.text, 0o644)
		changed, err := AppendSigner(path, "low", senderNamespaces, testKey(t, 1), "")
		wantError(t, c.name, err, c.says)
		if changed || read(t, path) != c.text {
			t.Errorf("%s: the file has changed", c.name)
		}
	}
	path := filepath.Join(t.TempDir(), "allowed_signers")
	for what, err := range map[string]error{
		"a name":        second(AppendSigner(path, "Low *", senderNamespaces, testKey(t, 1), "")),
		"no namespaces": second(AppendSigner(path, "low", nil, testKey(t, 1), "")),
		"a pattern":     second(AppendSigner(path, "low", []string{"*"}, testKey(t, 1), "")),
		"a quote":       second(AppendSigner(path, "low", []string{`a"`}, testKey(t, 1), "")),
		"a comment":     second(AppendSigner(path, "low", senderNamespaces, testKey(t, 1), "a\nb ssh-ed25519")),
	} {
		if err == nil {
			t.Errorf("%s that cannot stand there is taken", what)
		}
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a file of trust was made for nothing")
	}
}

func TestPairingsAtOnceLoseNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "allowed_signers")
	var all sync.WaitGroup
	const n = 12
	for i := range n {
		all.Go(func() {
			if _, err := AppendSigner(path, bundle.Name(fmt.Sprintf("low-%d", i)), senderNamespaces, testKey(t, byte(i+1)), ""); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := strings.Count(read(t, path), "\n"); got != n {
		t.Errorf("%d of %d lines stand there", got, n)
	}
}
