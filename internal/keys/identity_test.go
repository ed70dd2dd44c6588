package keys

import (
	"bytes"
	"crypto/sha512"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"ecluse/protocol/bundle"
)

const message = "the exact bytes of a manifest"

// identity makes a key in a directory of its own.
func identity(t *testing.T) (path string, i *Identity) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "sender_ed25519")
	key, err := GenerateIdentity(path, "low side")
	if err != nil {
		t.Fatal(err)
	}
	i, err = LoadIdentity(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(i.Public().Marshal(), key.Marshal()) {
		t.Fatal("another key is loaded than was made")
	}
	return path, i
}

func TestAnIdentityIsWrittenForItsOwnerAlone(t *testing.T) {
	path, _ := identity(t)
	for name, want := range map[string]os.FileMode{path: 0o600, path + ".pub": 0o644} {
		info, err := os.Stat(name)
		if err != nil || info.Mode() != want {
			t.Errorf("%s: mode %v, %v, want %v", name, info.Mode(), err, want)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 2 {
		t.Errorf("%d files stand there, want 2: %v", len(entries), err)
	}
}

func TestAnIdentityIsNeverOverwritten(t *testing.T) {
	path, _ := identity(t)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := GenerateIdentity(path, ""); !errors.Is(err, os.ErrExist) {
		t.Errorf("over both files: %v", err)
	}
	if err := os.Remove(path + ".pub"); err != nil {
		t.Fatal(err)
	}
	if _, err := GenerateIdentity(path, ""); !errors.Is(err, os.ErrExist) {
		t.Errorf("over the private file: %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the private file has changed: %v", err)
	}
	other := filepath.Join(t.TempDir(), "key")
	write(t, other+".pub", "something", 0o644)
	if _, err := GenerateIdentity(other, ""); !errors.Is(err, os.ErrExist) {
		t.Errorf("over a public file: %v", err)
	}
	if _, err := os.Lstat(other); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half a pair of keys was left: %v", err)
	}
	if err := create(path, []byte("x"), 0o600); !errors.Is(err, os.ErrExist) {
		t.Errorf("create over a file: %v", err)
	}
}

func TestACommentCannotEndItsLine(t *testing.T) {
	for _, comment := range []string{"a\nb", "a\x00", "\u202eabc", "\xff", strings.Repeat("a", 1025)} {
		if _, err := GenerateIdentity(filepath.Join(t.TempDir(), "key"), comment); err == nil {
			t.Errorf("the comment %q is taken", comment)
		}
	}
}

func TestSSHKeygenReadsOurKey(t *testing.T) {
	program := need(t, "ssh-keygen")
	path, i := identity(t)
	out, err := run(t, nil, "", program, "-y", "-f", path)
	public, errRead := os.ReadFile(path + ".pub")
	if err != nil || errRead != nil || out != string(public) || out != keyText(i.Public())+" low side\n" {
		t.Errorf("ssh-keygen -y: %q, %v; the file says %q, %v", out, err, public, errRead)
	}
	out, err = run(t, nil, "", program, "-l", "-f", path)
	if err != nil || !strings.HasPrefix(out, "256 "+Fingerprint(i.Public())+" low side (ED25519)") {
		t.Errorf("ssh-keygen -l: %q, %v", out, err)
	}
}

func TestSSHKeygenVerifiesWhatWeSign(t *testing.T) {
	program := need(t, "ssh-keygen")
	path, i := identity(t)
	for _, namespace := range []string{bundle.NamespaceBundle, bundle.NamespaceSession, bundle.NamespaceAbandon} {
		blob, err := i.Sign(namespace, []byte(message))
		if err != nil {
			t.Fatal(err)
		}
		again, err := i.SignReader(namespace, iotest.OneByteReader(strings.NewReader(message)))
		if err != nil || !bytes.Equal(blob, again) {
			t.Errorf("%s: a reader gives another signature: %v", namespace, err)
		}
		trust := write(t, path+".allowed", "low "+keyText(i.Public())+"\n", 0o644)
		signature := write(t, path+".sig", string(bundle.Armor(blob)), 0o644)
		out, err := run(t, nil, message, program, "-Y", "verify", "-f", trust, "-I", "low", "-n", namespace, "-s", signature)
		if err != nil || !strings.Contains(out, "Good") {
			t.Errorf("%s: %v: %s", namespace, err, out)
		}
		if out, err := run(t, nil, message+"!", program, "-Y", "verify", "-f", trust, "-I", "low", "-n", namespace, "-s", signature); err == nil {
			t.Errorf("%s: another message verifies: %s", namespace, out)
		}
	}
}

func TestWeVerifyWhatSSHKeygenSignsWithOurKey(t *testing.T) {
	program := need(t, "ssh-keygen")
	path, _ := identity(t)
	out, err := run(t, nil, message, program, "-q", "-Y", "sign", "-f", path, "-n", bundle.NamespaceBundle)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	blob, err := bundle.Unarmor([]byte(out[strings.Index(out, "-----BEGIN"):]))
	if err != nil {
		t.Fatal(err)
	}
	s, err := bundle.ParseSignature(blob, bundle.NamespaceBundle)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(sha512.Sum512([]byte(message))); err != nil {
		t.Error(err)
	}
}

func TestAReaderThatFailsIsNotSigned(t *testing.T) {
	_, i := identity(t)
	wrong := errors.New("the disk is gone")
	if blob, err := i.SignReader("bundle@ecluse", iotest.ErrReader(wrong)); !errors.Is(err, wrong) || blob != nil {
		t.Errorf("%x, %v", blob, err)
	}
}

func TestAnIdentityThatCannotBeUsedSaysWhy(t *testing.T) {
	path, i := identity(t)
	private, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	load := func(what, content string, mode os.FileMode, words ...string) {
		t.Helper()
		_, err := LoadIdentity(write(t, filepath.Join(t.TempDir(), "key"), content, mode))
		wantError(t, what, err, append(words, "load identity")...)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o644, 0o620, 0o610} {
		load(mode.String(), string(private), mode, "open to others", "chmod 600")
	}
	load("an empty file", "", 0o600, "neither")
	load("half a key", string(private[:len(private)/2]), 0o600, "not an OpenSSH private key")
	load("a larger file", strings.Repeat("-----BEGIN", maxKeyFile), 0o600, "more than")
	t.Setenv("SSH_AUTH_SOCK", "")
	load("a public key without an agent", keyText(i.Public()), 0o644, "SSH_AUTH_SOCK", "not set")
	load("two public keys", keyText(i.Public())+"\n"+keyText(testKey(t, 9))+"\n", 0o644, "more than one")
	t.Setenv("SSH_AUTH_SOCK", filepath.Join(t.TempDir(), "none"))
	load("a public key and an agent that is gone", keyText(i.Public()), 0o644, "reach the ssh-agent")
	_, err = LoadIdentity(t.TempDir())
	wantError(t, "a directory", err, "not a regular file")
	_, err = LoadIdentity(filepath.Join(t.TempDir(), "none"))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestAnIdentityOfAnotherKindSaysWhy(t *testing.T) {
	program := need(t, "ssh-keygen")
	for _, c := range []struct {
		name  string
		args  []string
		words []string
	}{
		{"encrypted", []string{"-t", "ed25519", "-N", "correct horse"}, []string{"is encrypted", "ssh-agent", ".pub"}},
		{"ecdsa", []string{"-t", "ecdsa", "-N", ""}, []string{"ecdsa-sha2-nistp256", "only ssh-ed25519"}},
		{"rsa", []string{"-t", "rsa", "-b", "2048", "-N", ""}, []string{"ssh-rsa", "only ssh-ed25519"}},
	} {
		path := filepath.Join(t.TempDir(), "key")
		if out, err := run(t, nil, "", program, append(c.args, "-q", "-f", path)...); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		_, err := LoadIdentity(path)
		wantError(t, c.name, err, c.words...)
	}
}

// realAgent starts a stock agent and gives its socket.
func realAgent(t *testing.T) string {
	t.Helper()
	program := need(t, "ssh-agent")
	dir, err := os.MkdirTemp("", "agent") // a socket's path has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	c := exec.Command(program, "-D", "-a", socket)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	for range 500 {
		if conn, err := net.Dial("unix", socket); err == nil {
			conn.Close()
			return socket
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the agent does not answer")
	return ""
}

func TestAnAgentSignsForAPublicKey(t *testing.T) {
	add := need(t, "ssh-add")
	socket := realAgent(t)
	t.Setenv("SSH_AUTH_SOCK", socket)
	path, fromFile := identity(t)
	_, err := LoadIdentity(path + ".pub")
	wantError(t, "an empty agent", err, "holds 0 keys", Fingerprint(fromFile.Public()), "ssh-add")
	if out, err := run(t, nil, "", add, "-q", path); err != nil {
		t.Fatalf("ssh-add: %v: %s", err, out)
	}
	inAgent, err := LoadIdentity(path + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	ours, err := fromFile.Sign(bundle.NamespaceSession, []byte(message))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := inAgent.Sign(bundle.NamespaceSession, []byte(message))
	if err != nil || !bytes.Equal(ours, theirs) {
		t.Errorf("the agent signs otherwise than the file: %v", err)
	}
	if out, err := run(t, nil, "", add, "-q", "-D"); err != nil {
		t.Fatalf("ssh-add -D: %v: %s", err, out)
	}
	if _, err := inAgent.Sign(bundle.NamespaceSession, []byte(message)); err == nil {
		t.Error("an agent that lost the key still signs")
	}
}

// liar is an agent whose signatures are of something else.
type liar struct{ agent.Agent }

func (l liar) Sign(key ssh.PublicKey, data []byte) (*ssh.Signature, error) {
	return l.Agent.Sign(key, append([]byte("not "), data...))
}

func TestAnAgentThatSignsSomethingElseIsFoundOut(t *testing.T) {
	path, i := identity(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	private, err := ssh.ParseRawPrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { agent.ServeAgent(liar{ring}, c); c.Close() }()
		}
	}()
	t.Setenv("SSH_AUTH_SOCK", filepath.Join(dir, "s"))
	inAgent, err := LoadIdentity(path + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	_, err = inAgent.Sign(bundle.NamespaceBundle, []byte(message))
	wantError(t, "a liar", err, "does not verify", Fingerprint(i.Public()))
}
