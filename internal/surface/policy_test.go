package surface

import (
	"os"
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
