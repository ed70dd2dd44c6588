package surface

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A tenant's rules, from the configuration to the import: what they let in goes by itself, what they do not waits, flagged, whoever approves it.
func TestAPolicyDecidesWhatIsReleased(t *testing.T) {
	low, high := paired(t)
	high.edit("    release: one", "    release: automatic\n    policy:\n      names: {deny: [\"*.exe\"]}\n      text: [\"top secret\"]")
	high.start()
	low.start()
	low.ends(0, "", "send", write(t, filepath.Join(low.dir, "work/good.txt"), "words"))
	low.ends(0, "", "send", write(t, filepath.Join(low.dir, "work/bad.txt"), "this is TOP SECRET"))
	low.ends(0, "", "send", write(t, filepath.Join(low.dir, "work/setup.exe"), "words"))
	high.reach("good.txt", "imported")
	for name, reason := range map[string]string{"bad.txt": "policy-text", "setup.exe": "policy-name"} {
		high.within(10*time.Second, "a verdict on "+name, func() bool { return high.find(name).text("verdict") == "flagged" })
		r := high.find(name)
		if r.text("state") != "quarantined" || r.text("reason") != reason {
			t.Errorf("%s", r)
		}
		high.ends(4, "flagged", "approve", r.text("bundle"))
		if out := high.try("show", r.text("bundle")).out; !strings.Contains(out, "inspected   by policy (rules ") || !strings.Contains(out, reason+": "+name) {
			t.Errorf("show says:\n%s", out)
		}
		high.ends(0, "rejected", "reject", "--reason", "not wanted", r.text("bundle"))
	}
	if names := below(t, filepath.Join(high.dir, "import/default")); len(names) != 1 {
		t.Errorf("imported are %v", names)
	}
	if r := high.find("good.txt"); r.text("verdict") != "clean" || r.text("reason") != "" {
		t.Errorf("%s", r)
	}
}

func TestAPolicyIsTriedOnLocalFiles(t *testing.T) {
	_, high := paired(t)
	dir := filepath.Join(high.dir, "work")
	good, bad := write(t, filepath.Join(dir, "good.txt"), "words"), write(t, filepath.Join(dir, "bad/deep/a.txt"), "Top Secret")
	high.ends(3, "has no policy", "policy", "test", good)
	high.edit("    release: one", "    release: one\n    policy: {text: [top secret], archives: {depth: 0}}")
	high.ends(0, "nothing that tenant default does not let in", "policy", "test", good)
	high.ends(4, "policy-text", "policy", "test", good, filepath.Dir(filepath.Dir(bad)))
	high.ends(3, "no such file", "policy", "test", good+"-not")
	high.ends(3, "no tenant is called", "policy", "test", "--tenant", "other", good)
	high.ends(2, "unknown command", "policy", "tset")
	var one struct {
		Findings []struct{ Reason, Path string }
	}
	high.value(&one, 4, "policy", "test", bad)
	if len(one.Findings) != 1 || one.Findings[0].Reason != "policy-text" || one.Findings[0].Path != "a.txt" {
		t.Errorf("%+v", one)
	}
	high.edit("archives: {depth: 0}", "archives: {depth: -1}")
	high.ends(2, "tenants[0].policy.archives.depth", "policy", "test", good)
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "ecluse-policy-*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// Who tries an item is told what people's signatures and inspectors would say of it, as the daemon would hear it.
func TestAPolicyTestAsksWhoElseLooks(t *testing.T) {
	t.Parallel()
	_, high := paired(t)
	dir := filepath.Join(high.dir, "work")
	script := write(t, filepath.Join(dir, "check"), `#!/bin/sh
if grep -rq slow "$1"; then sleep 60; fi
if grep -rq badword "$1"; then echo '{"verdict": "flagged", "version": "7", "findings": [{"path": "a", "text": "it has a bad word"}]}'; else echo '{"verdict": "clean", "version": "7"}'; fi
`)
	if err := os.Chmod(script, 0o755); err != nil {
		t.Fatal(err)
	}
	people := filepath.Join(high.dir, "people")
	high.edit("    release: one", "    release: one\n    policy: {inspectors: [own], signatures: {need: 1, signers: "+people+"}}")
	high.edit("\ntenants:", fmt.Sprintf("\ninspectors:\n  - {name: own, command: [%s], timeout: 2s}\ntenants:", script))
	alice := newPen(t, high, "alice")
	public, err := os.ReadFile(alice + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	sign := func(file string) {
		t.Helper()
		if out, err := exec.Command("ssh-keygen", "-Y", "sign", "-q", "-f", alice, "-n", "file", file).CombinedOutput(); err != nil {
			t.Fatalf("%s", out)
		}
	}
	good, bad, slow := write(t, filepath.Join(dir, "good.txt"), "words"), write(t, filepath.Join(dir, "tree/sub/a"), "a badword"), write(t, filepath.Join(dir, "slow.txt"), "slow")
	tree := filepath.Dir(filepath.Dir(bad))
	high.ends(2, "policy.signatures", "policy", "test", good) // nobody knows who may sign
	write(t, people, "alice "+string(public))
	high.ends(4, "signature-missing  good.txt", "policy", "test", good)
	sign(good)
	sign(slow)
	if out := high.ends(0, "not asked without --inspectors: own", "policy", "test", good).out; !strings.Contains(out, "alice has signed 1 files") || !strings.Contains(out, "signatures        clean") {
		t.Errorf("it says:\n%s", out)
	}
	sums := exec.Command("sh", "-c", "sha256sum sub/a > SHA256SUMS")
	sums.Dir = tree
	if out, err := sums.CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	sign(filepath.Join(tree, "SHA256SUMS"))
	high.ends(0, "alice has signed 2 files", "policy", "test", tree)
	high.ends(0, "own               clean (7)", "policy", "test", "--inspectors", good)
	high.ends(4, "inspector-finding  a: it has a bad word", "policy", "test", "--inspectors", good, tree)
	high.ends(1, "own               does not know: it took longer than 2s", "policy", "test", "--inspectors", slow)
	var one struct {
		Inspections []struct {
			Inspector, Version string
			Verdict, Failed    *string
			Findings           []struct{ Reason, Path string }
		}
	}
	high.value(&one, 4, "policy", "test", "--inspectors", tree)
	if n := one.Inspections; len(n) != 2 || n[0].Inspector != "signatures" || *n[0].Verdict != "clean" || n[1].Version != "7" || *n[1].Verdict != "flagged" || len(n[1].Findings) != 1 || n[1].Failed != nil {
		t.Errorf("%+v", n)
	}
	write(t, bad, "words")
	high.ends(4, "signature-content  tree/sub/a", "policy", "test", tree)
}
