package surface

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// newPen makes a person's key, and enrols it as an officer's.
func newPen(t *testing.T, high *side, name string) string {
	t.Helper()
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		lacking(t, "DECISIONS ARE NOT TESTED: no ssh-keygen")
	}
	path := filepath.Join(high.dir, name)
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path).CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	high.run("officer", "add", "--config", high.config, name, path+".pub").check(t, "officer add", 0, name)
	return path
}

// Decisions are signatures: made here or elsewhere, kept, and verified with stock tools; what is flagged is released only by people who say so.
func TestADecisionIsASignatureThatAnybodyVerifies(t *testing.T) {
	t.Parallel()
	low, high := sides(t)
	high.edit("release: one", "release: two\n    override: allow\n    policy: {names: {deny: ['*.exe']}}")
	low.pair(high)
	alice, bob := newPen(t, high, "alice"), newPen(t, high, "bob@example.org")
	high.run("officer", "add", "--config", high.config, "mallory", alice+".pub").check(t, "a key of two people", 1, "one name")
	daemon := high.start()
	low.start()
	low.ends(0, "", "send", write(t, filepath.Join(low.dir, "work/two.txt"), "two"))
	low.ends(0, "", "send", write(t, filepath.Join(low.dir, "work/setup.exe"), "exe"))
	id, exe := high.reach("two.txt", "quarantined").text("bundle"), high.reach("setup.exe", "quarantined").text("bundle")
	high.within(20*time.Second, "both are inspected", func() bool {
		return high.find("two.txt").text("verdict") == "clean" && high.find("setup.exe").text("verdict") == "flagged"
	})

	// The text is carried to the key, and the signature back.
	printed := high.ends(0, `"decision":"approve"`, "approve", "--print", "--reason", "ticket 4711", id)
	paper := write(t, filepath.Join(high.dir, "decision"), printed.out)
	if out, err := exec.Command("ssh-keygen", "-Y", "sign", "-q", "-f", alice, "-n", "release@ecluse", paper).CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	high.ends(4, "another bundle", "approve", "--signature", paper+".sig", exe)
	high.ends(4, "to approve", "reject", "--signature", paper+".sig", id)
	high.ends(0, "1 more must approve", "approve", "--signature", paper+".sig", id)
	high.ends(4, "somebody else", "approve", "--signature", paper+".sig", id)
	high.ends(2, "", "approve", "--key", filepath.Join(high.dir, "nothing"), id)
	high.ends(2, "no such file", "approve", "--signature", filepath.Join(high.dir, "nothing.sig"), id)
	stranger := filepath.Join(high.dir, "stranger")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", stranger).CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	high.ends(4, "decision-officer", "approve", "--key", stranger, id)
	high.ends(0, "", "approve", "--key", bob, "--reason", "as alice says", id)
	high.reach("two.txt", "imported")

	// An approval of what is flagged says so.
	high.ends(4, "--override", "approve", "--key", alice, "--reason", "known", exe)
	high.ends(2, "--reason", "approve", "--key", alice, "--override", exe)
	high.ends(4, "flagged for policy-name, and --override is for policy-text", "approve", "--key", alice, "--override=policy-text", "--reason", "known", exe)
	high.ends(0, "although flagged: policy-name", "approve", "--key", alice, "--override=policy-name", "--reason", "known", exe)
	high.ends(0, "", "approve", "--key", bob, "--override", "--reason", "known", exe)
	if r := high.reach("setup.exe", "imported"); r.text("verdict") != "flagged" || r.text("reason") != "policy-name" {
		t.Errorf("what was released although flagged is %s", r)
	}

	// All of it is shown, and verified by what show prints.
	shown := high.ends(0, "although flagged: policy-name", "show", exe)
	if !strings.Contains(shown.out, "alice") || !strings.Contains(shown.out, "bob@example.org") {
		t.Errorf("who decided is not shown: %s", shown.out)
	}
	verify(t, high, shown.out, 2)
	verify(t, high, high.ends(0, "", "show", id).out, 2)

	// Who is taken out decides no more, also of a file that the configuration names since the start.
	list, err := os.ReadFile(filepath.Join(high.dir, "officers"))
	if err != nil {
		t.Fatal(err)
	}
	other := write(t, filepath.Join(high.dir, "others"), string(list))
	high.edit("officers: "+filepath.Join(high.dir, "officers"), "officers: "+other)
	low.ends(0, "", "send", write(t, filepath.Join(low.dir, "work/four.txt"), "four"))
	four := high.reach("four.txt", "quarantined").text("bundle")
	high.within(20*time.Second, "it is inspected", func() bool { return high.find("four.txt").text("verdict") == "clean" })
	high.ends(0, "1 more must approve", "approve", "--key", bob, four)
	lines := strings.SplitAfter(string(list), "\n")
	write(t, other, strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "alice ") }), ""))
	high.ends(4, "decision-officer", "approve", "--key", alice, four)
	write(t, other, string(list))

	// Where no daemon runs the command signs and decides as well; a plain one with the key that init made.
	low.ends(0, "", "send", write(t, filepath.Join(low.dir, "work/three.txt"), "three"))
	high.reach("three.txt", "quarantined")
	high.within(20*time.Second, "it is inspected", func() bool { return high.find("three.txt").text("verdict") == "clean" })
	daemon.stop()
	three := high.find("three.txt").text("bundle")
	high.ends(0, "1 more must approve", "approve", three)
	high.ends(0, "rejected", "reject", "--key", bob, "--reason", "no", three)
	verify(t, high, high.ends(0, "", "show", three).out, 2)
}

// verify runs the commands that show prints for decisions, and then once more for a text of which one byte is another.
func verify(t *testing.T, high *side, shown string, decisions int) {
	t.Helper()
	_, commands, found := strings.Cut(shown, "Who decided, checked with stock tools:\n")
	if n := strings.Count(commands, "ssh-keygen"); !found || n != decisions {
		t.Errorf("%d decisions are shown with their commands, want %d: %s", n, decisions, shown)
		return
	}
	if _, err := exec.LookPath("jq"); err != nil {
		lacking(t, "WHAT SHOW PRINTS IS NOT TESTED: no jq")
	}
	dir := t.TempDir()
	program := high.command(t.Context()).Path
	script := strings.ReplaceAll(commands, "ecluse-receiver show", fmt.Sprintf("%s show --config %s", program, high.config))
	script = strings.ReplaceAll(script, "\n  ssh-keygen", " &&\n  ssh-keygen")
	run := func(script string) (string, error) {
		c := exec.Command("bash", "-ec", script)
		c.Dir = dir
		c.Env = append(os.Environ(), high.command(t.Context()).Env...)
		out, err := c.CombinedOutput()
		return string(out), err
	}
	if out, err := run(script); err != nil || strings.Count(out, "Good ") != decisions {
		t.Errorf("%v: %s\n%s", err, out, script)
	}
	if out, err := run(strings.ReplaceAll(script, " &&\n  ssh-keygen", "; sed -i s/manifest/manifesT/ decision\n  ssh-keygen")); err == nil {
		t.Errorf("a text that was changed is verified: %s", out)
	}
}

// m of n people have signed each file, with ssh-keygen; who did may not release it.
func TestContentIsSignedByPeople(t *testing.T) {
	t.Parallel()
	low, high := sides(t)
	people := filepath.Join(high.dir, "people")
	high.edit("release: one", "release: one\n    separate: true\n    policy: {signatures: {need: 2, of: [alice, bob], signers: "+people+"}}")
	alice, bob := newPen(t, high, "alice"), newPen(t, high, "bob")
	var lines strings.Builder
	for name, key := range map[string]string{"alice": alice, "bob": bob} {
		public, err := os.ReadFile(key + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&lines, "%s namespaces=\"file\" %s", name, public)
	}
	high.ends(2, "policy.signatures", "run")
	write(t, people, lines.String())
	low.pair(high)
	high.start()
	low.start()
	sign := func(key, file, as string) {
		t.Helper()
		if out, err := exec.Command("ssh-keygen", "-Y", "sign", "-q", "-f", key, "-n", "file", file).CombinedOutput(); err != nil {
			t.Fatalf("%s", out)
		}
		if err := os.Rename(file+".sig", as); err != nil {
			t.Fatal(err)
		}
	}
	item := func(name string) string {
		t.Helper()
		dir := filepath.Join(low.dir, "work", name)
		write(t, filepath.Join(dir, "a"), "a")
		write(t, filepath.Join(dir, "d/b"), "b")
		list := exec.Command("bash", "-c", "sha256sum a d/b > SHA256SUMS")
		list.Dir = dir
		if out, err := list.CombinedOutput(); err != nil {
			t.Fatalf("%s", out)
		}
		sign(alice, filepath.Join(dir, "SHA256SUMS"), filepath.Join(dir, "SHA256SUMS.alice.sig"))
		return dir
	}
	half, whole := item("half"), item("whole")
	sign(bob, filepath.Join(whole, "SHA256SUMS"), filepath.Join(whole, "SHA256SUMS.sig"))
	low.ends(0, "", "send", half)
	low.ends(0, "", "send", whole)
	high.within(20*time.Second, "both are judged", func() bool {
		return high.find("half").text("reason") == "signature-missing" && high.find("whole").text("verdict") == "clean"
	})
	id := high.find("whole").text("bundle")
	if shown := high.ends(0, "has signed 3 files", "show", id).out; !strings.Contains(shown, "alice") || !strings.Contains(shown, "bob") {
		t.Errorf("who has signed is not shown: %s", shown)
	}
	high.ends(4, "signed its content", "approve", "--key", alice, id)
	signersEdited(t, high, people, id)
	high.ends(0, "", "approve", id)
	high.reach("whole", "imported")
}

// signersEdited takes a person's key away, breaks the file of people, and puts both back while the daemon runs.
func signersEdited(t *testing.T, high *side, people, id string) {
	t.Helper()
	text, err := os.ReadFile(people)
	if err != nil {
		t.Fatal(err)
	}
	only := func(name string) (lines string) {
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, name) {
				lines += line
			}
		}
		return lines
	}
	write(t, people, only("alice"))
	high.ends(4, "", "approve", id) // what was signed with a key that was taken away a moment ago
	high.within(20*time.Second, "a signature too few", func() bool { return high.find("whole").text("reason") == "signature-missing" })
	write(t, people, string(text))
	high.within(20*time.Second, "it is clean again", func() bool { return high.find("whole").text("verdict") == "clean" })
	write(t, people, "nobody's line\n")
	high.within(20*time.Second, "it is held", func() bool { return high.find("whole").text("reason") == "inspector" })
	high.ends(4, "", "approve", id)
	if out := high.try("status").out; !strings.Contains(out, "who may sign content of tenant default cannot be read") {
		t.Errorf("status says:\n%s", out)
	}
	write(t, people, string(text))
	high.within(20*time.Second, "it is clean again", func() bool { return high.find("whole").text("verdict") == "clean" })
	if out := high.try("status").out; strings.Contains(out, "who may sign") {
		t.Errorf("status says:\n%s", out)
	}
}
