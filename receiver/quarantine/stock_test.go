package quarantine

import (
	"fmt"
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
			t.Fatalf("%s is not installed, so what a third party does is not checked", program)
		}
		t.Skipf("%s IS NOT INSTALLED: what a third party does is not checked", program)
	}
	return p
}

func run(t *testing.T, dir, stdin, program string, args ...string) (string, error) {
	t.Helper()
	c := exec.Command(program, args...)
	c.Dir, c.Stdin = dir, strings.NewReader(stdin)
	c.Env = append(os.Environ(), "LC_ALL=C")
	out, err := c.CombinedOutput()
	return string(out), err
}

// The security team needs none of our programs for what stands in quarantine, and sees what we see.
func TestStockToolsAcceptWhatBuildMade(t *testing.T) {
	keygen, sha256sum := need(t, "ssh-keygen"), need(t, "sha256sum")
	p := pack(t, order{})
	dir := quarantined(t, p)
	signers := filepath.Join(t.TempDir(), "allowed_signers")
	put(t, signers, []byte(fmt.Sprintf("low namespaces=%q %s", bundle.NamespaceBundle, ssh.MarshalAuthorizedKey(p.signer.PublicKey()))))
	verify := func() (string, error) {
		text, err := os.ReadFile(filepath.Join(dir, ManifestName))
		if err != nil {
			t.Fatal(err)
		}
		return run(t, dir, string(text), keygen, "-Y", "verify", "-f", signers, "-I", "low", "-n", bundle.NamespaceBundle, "-s", SignatureName)
	}
	sums := func() (string, error) {
		return run(t, dir, p.m.Sums.String()+"  "+SumsName+"\n", sha256sum, "-c")
	}
	files := func() (string, error) { return run(t, dir, "", sha256sum, "--strict", "-c", SumsName) }
	if out, err := verify(); err != nil || !strings.HasPrefix(out, `Good "bundle@ecluse" signature for low`) {
		t.Errorf("G-1: %v\n%s", err, out)
	}
	if out, err := sums(); err != nil || out != "SHA256SUMS: OK\n" {
		t.Errorf("M-6: %v\n%s", err, out)
	}
	if out, err := files(); err != nil || strings.Count(out, ": OK\n") != len(p.paths) {
		t.Errorf("M-6: %v\n%s", err, out)
	}
	flip(t, filepath.Join(dir, "files/n/a"), 1)
	if out, err := files(); err == nil {
		t.Errorf("M-6: changed content is taken:\n%s", out)
	}
	flip(t, filepath.Join(dir, SumsName), 1)
	if out, err := sums(); err == nil {
		t.Errorf("M-6: changed sums are taken:\n%s", out)
	}
	flip(t, filepath.Join(dir, ManifestName), 100)
	if out, err := verify(); err == nil {
		t.Errorf("G-1: a changed manifest is taken:\n%s", out)
	}
}
