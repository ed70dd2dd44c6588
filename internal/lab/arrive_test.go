package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// output runs a command that has to succeed.
func output(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// sizes scale the matrix: reduced in every CI run, full in the soak.
type scale struct {
	random, compressible int64
	source               []string // parts of Go's source; nil for all of it
	limit                time.Duration
}

var reduced = scale{random: 24 << 20, compressible: 8 << 20, source: []string{"crypto", "net", "strings"}, limit: 60 * time.Second}
var full = scale{random: 1 << 30, compressible: 200 << 20, limit: 5 * time.Minute}

// matrix sends everything through one lab, and compares all of it.
func matrix(t *testing.T, o options, s scale) {
	l := up(t, o)
	l.startBoth()
	w := l.work()
	makers := map[string]func(path string){
		"random.bin": func(p string) { random(t, p, 7, s.random) },
		"text.log":   func(p string) { compressible(t, p, s.compressible) },
		"empty.file": func(p string) { write(t, p, nil) },
		"empty dir": func(p string) {
			if err := os.Mkdir(p, 0o755); err != nil {
				t.Fatal(err)
			}
		},
		"Namen – noms – 名字 👨‍👩‍👧": func(p string) { names(t, p) },
		"src": func(p string) { source(t, p, s.source...) },
	}
	want := map[string]map[string]entry{}
	for name, make := range makers {
		p := filepath.Join(w, name)
		make(p)
		want[name] = survey(t, p)
		l.drop(p)
	}
	for name := range makers {
		r := l.high.reach(s.limit, name, "imported")
		if r.Verdict == nil || *r.Verdict != "clean" || r.Reason == nil || *r.Reason != "not-inspected" {
			t.Errorf("%q: verdict and reason are not clean, not-inspected", name)
		}
		same(t, want[name], survey(t, filepath.Join(l.imports(), name)))
		l.low.reach(s.limit, name, "sent")
	}
}

func TestEverythingArrivesAsItWas(t *testing.T) {
	for _, mtu := range []int{1500, 9000} {
		for _, loss := range []string{"0", "1", "3"} {
			t.Run(fmt.Sprintf("MTU %d, loss %s%%", mtu, loss), func(t *testing.T) {
				matrix(t, options{mtu: mtu, loss: loss, stated: "3%"}, reduced)
			})
		}
	}
}

func TestWhatStockToolsAcceptAndWhatTheyRefuse(t *testing.T) {
	t.Parallel()
	l := up(t, options{release: "one"})
	l.startBoth()
	p := filepath.Join(l.work(), "register")
	write(t, filepath.Join(p, "a.txt"), []byte("first\n"))
	write(t, filepath.Join(p, "sub", "b.txt"), []byte("second\n"))
	l.drop(p)
	r := l.high.reach(20*time.Second, "register", "quarantined")
	dir := filepath.Join(l.high.dir, "state", "quarantine", "default", r.Bundle)

	stock := func() error {
		script := `set -e
			ssh-keygen -Y verify -f "$1/allowed_signers" -I "$2" -n bundle@ecluse -s manifest.json.sig < manifest.json
			echo "$(jq -r .sums manifest.json)  SHA256SUMS" | sha256sum -c --quiet
			sha256sum -c --quiet SHA256SUMS`
		c := exec.Command("bash", "-c", script, "bash", l.high.dir, r.Sender)
		c.Dir = dir
		out, err := c.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	if err := stock(); err != nil {
		t.Fatal("stock tools refuse what is good:", err)
	}
	l.high.ask("verify", r.Bundle)

	flip := func(name string) func() {
		path := filepath.Join(dir, name)
		old, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		bad := append([]byte(nil), old...)
		bad[len(bad)/2] ^= 1
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := os.WriteFile(path, old, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range []string{"manifest.json", "manifest.json.sig", "SHA256SUMS", "files/register/a.txt", "files/register/sub/b.txt"} {
		undo := flip(name)
		if stock() == nil {
			t.Errorf("%s was changed, and stock tools accept it", name)
		}
		if _, _, code := l.high.try("verify", r.Bundle); code != 4 {
			t.Errorf("%s was changed: verify gives %d, want 4", name, code)
		}
		undo()
	}
	extra := filepath.Join(dir, "files", "register", "extra")
	write(t, extra, []byte("not signed"))
	if _, _, code := l.high.try("verify", r.Bundle); code != 4 {
		t.Errorf("a file was added: verify gives %d, want 4", code)
	}
	if err := os.Remove(extra); err != nil {
		t.Fatal(err)
	}
	// SHA256SUMS rewritten to fit changed content.
	a := filepath.Join(dir, "files/register/a.txt")
	undoA, undoSums := flip("files/register/a.txt"), flip("SHA256SUMS")
	c := exec.Command("bash", "-c", `sha256sum files/register/a.txt files/register/sub/b.txt > SHA256SUMS`)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	if stock() == nil {
		t.Error("content and SHA256SUMS were changed together, and stock tools accept it")
	}
	if _, _, code := l.high.try("verify", r.Bundle); code != 4 {
		t.Errorf("content and SHA256SUMS were changed together: verify gives %d, want 4", code)
	}
	undoA()
	undoSums()
	l.high.ask("verify", r.Bundle)

	// Changed, it cannot be approved; and what was found wrong is not approved later either.
	if err := os.WriteFile(a, []byte("fIrst\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, code := l.high.try("approve", r.Bundle); code != 4 {
		t.Errorf("approve of changed content gives %d, want 4", code)
	}
	if _, err := os.Stat(filepath.Join(l.imports(), "register")); err == nil {
		t.Error("changed content was imported")
	}
}

func TestAPersonReleasesOrRejects(t *testing.T) {
	t.Parallel()
	l := up(t, options{release: "one"})
	l.startBoth()
	for _, name := range []string{"good", "bad"} {
		p := filepath.Join(l.work(), name)
		write(t, p, []byte(name))
		l.drop(p)
	}
	good := l.high.reach(20*time.Second, "good", "quarantined")
	bad := l.high.reach(20*time.Second, "bad", "quarantined")
	if _, _, code := l.high.try("approve", "aaaaaaaaaaaaaaaaaaaaaaaaaa"); code != 3 {
		t.Errorf("approve of nothing gives %d, want 3", code)
	}
	l.high.ask("approve", "--reason", "as ordered", good.Bundle[:8])
	l.high.ask("reject", "--reason", "not ordered", bad.Bundle)
	l.high.reach(20*time.Second, "good", "imported")
	if r := l.high.reach(20*time.Second, "bad", "rejected"); r.Reason == nil {
		t.Error("rejected without a reason")
	}
	if _, _, code := l.high.try("approve", bad.Bundle); code != 4 {
		t.Errorf("approve of what was rejected gives %d, want 4", code)
	}
	if _, err := os.Stat(filepath.Join(l.imports(), "bad")); err == nil {
		t.Error("what was rejected was imported")
	}
}

func TestANameThatIsTakenIsKeptBoth(t *testing.T) {
	t.Parallel()
	l := up(t, options{})
	l.startBoth()
	for i := range 2 {
		p := filepath.Join(l.work(), "report")
		write(t, p, fmt.Appendf(nil, "version %d", i))
		l.drop(p)
		l.within(20*time.Second, "the import", func() bool {
			names, _ := os.ReadDir(l.imports())
			return len(names) == i+1
		})
	}
	first, _ := os.ReadFile(filepath.Join(l.imports(), "report"))
	second, err := os.ReadFile(filepath.Join(l.imports(), "report~2"))
	if string(first) != "version 0" || string(second) != "version 1" {
		t.Errorf("%q and %q stand there, %v", first, second, err)
	}
}

func TestAnUrgentFileOvertakes(t *testing.T) { overtakes(t, 600<<20) }

// overtakes drops an urgent file of 1 MiB during a transfer at 500 Mbit/s.
func overtakes(t *testing.T, size int64) {
	l := up(t, options{rate: "500Mbit", release: "automatic", offload: true})
	l.startBoth()
	big := filepath.Join(l.work(), "big")
	if err := os.WriteFile(big, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	random(t, big, 3, size)
	l.drop(big)
	l.within(20*time.Second, "the large transfer", func() bool { r := l.high.find("big"); return r != nil })
	time.Sleep(2 * time.Second)
	urgent := filepath.Join(l.work(), "urgent")
	random(t, urgent, 4, 1<<20)
	began := time.Now()
	l.low.ask("send", "--tenant", "default", "--priority", "urgent", urgent)
	l.within(10*time.Second, "the urgent file", func() bool { _, err := os.Stat(filepath.Join(l.imports(), "urgent")); return err == nil })
	took := time.Since(began)
	if r := l.high.find("big"); r.State != "receiving" {
		t.Fatalf("the large transfer is %s: nothing was overtaken", r.State)
	}
	t.Logf("urgent 1 MiB in %v beside a transfer at 500 Mbit/s", took)
	if took > 2*time.Second {
		t.Errorf("the urgent file took %v, want 2 s at most", took)
	}
}

func TestSendWaitsUntilItIsOut(t *testing.T) {
	t.Parallel()
	l := up(t, options{passes: 2, apart: "1s"})
	l.startBoth()
	p := filepath.Join(l.work(), "thing")
	random(t, p, 5, 1<<20)
	l.low.ask("send", "--wait", p)
	if r := l.low.find("thing"); r == nil || r.State != "sent" || r.PassesDone == nil || *r.PassesDone != 2 {
		t.Errorf("after send --wait: %+v", r)
	}
	if _, err := os.Stat(p); err != nil {
		t.Error("send took the original away:", err)
	}
	l.high.reach(10*time.Second, "thing", "imported")
}

func TestMemoryOfBothSides(t *testing.T) {
	for mtu := range memoryBounds {
		t.Run(fmt.Sprint(mtu), func(t *testing.T) { memory(t, mtu, func(p string) { random(t, p, 6, 1<<30) }) })
	}
}

// memoryBounds are what a side may take, by MTU, in MiB. The codes for small packets have tables of 75.
var memoryBounds = map[int]int64{9000: 300, 1500: 340}

// memory sends one item with the defaults, and holds both sides to the bound.
func memory(t *testing.T, mtu int, make func(path string)) {
	l := up(t, options{mtu: mtu, offload: true}) // with the defaults
	l.startBoth()
	p := filepath.Join(l.work(), "large")
	make(p)
	l.drop(p)
	l.high.reach(15*time.Minute, "large", "imported")
	for _, s := range []*side{l.low, l.high} {
		if peak := s.peak(); peak > memoryBounds[mtu]<<20 {
			t.Errorf("%s took %d MiB", s.binary, peak>>20)
		} else {
			t.Logf("%s: %d MiB at the most", s.binary, peak>>20)
		}
	}
}

func TestBothSidesRestartInTheMiddle(t *testing.T) {
	l := up(t, options{rate: "200Mbit", passes: 2, apart: "1s"})
	l.startBoth()
	p := filepath.Join(l.work(), "large")
	random(t, p, 8, 60<<20)
	want := survey(t, p)
	l.drop(p)
	l.within(20*time.Second, "the transfer", func() bool { r := l.high.find("large"); return r != nil })
	time.Sleep(1500 * time.Millisecond)
	l.high.kill()
	l.high.start()
	time.Sleep(500 * time.Millisecond)
	l.low.kill()
	l.low.start()
	l.high.reach(60*time.Second, "large", "imported")
	same(t, want, survey(t, filepath.Join(l.imports(), "large")))
	if rows := l.high.list(); len(rows) != 1 {
		t.Errorf("%d bundles are known, one was sent", len(rows))
	}
}

func TestNothingLeavesWhenTheReceiverIsDead(t *testing.T) {
	l := up(t, options{})
	l.low.start()
	p := filepath.Join(l.work(), "into the void")
	random(t, p, 9, 1<<20)
	l.drop(p)
	l.low.reach(20*time.Second, "into the void", "sent")
	// The end of every test counts what came back.
}

func TestTheDiodesRulesHold(t *testing.T) {
	l := up(t, options{})
	c := exec.Command("ip", "netns", "exec", l.high.ns, "bash", "-c", "echo leak > /dev/udp/10.77.0.1/4600; ping -c 1 -W 1 10.77.0.1")
	_ = c.Run()
	out := l.script(nil, "returned")
	if !strings.HasPrefix(out, "returned 0 ") || strings.HasSuffix(strings.TrimSpace(out), "tried 0") {
		t.Errorf("a host that talks: %q, want nothing returned and something tried", out)
	}
	l.loud = true // from here on
	for _, s := range []*side{l.low, l.high} {
		const told = "nothing keeps this host from talking by it"
		if out, _, _ := s.try("doctor"); strings.Contains(out, told) {
			t.Errorf("with its rules %s doctor says:\n%s", s.binary, out)
		}
		output(t, "ip", "netns", "exec", s.ns, "nft", "delete", "table", "netdev", strings.Replace(s.binary, "-", "_", 1))
		if out, _, _ := s.try("doctor"); !strings.Contains(out, told) {
			t.Errorf("without them %s doctor says:\n%s", s.binary, out)
		}
	}
}
