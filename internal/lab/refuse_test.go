package lab

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// session is one line of status --json.
type session struct {
	Sender  string
	Session uint64
	State   string
	Reason  *string
	Count   uint64
}

func (s *side) sessions() []session {
	s.lab.t.Helper()
	var status struct{ Sessions []session }
	out, _, _ := s.try("status", "--json")
	if err := json.Unmarshal([]byte(out), &status); err != nil {
		s.lab.t.Fatalf("status --json: %v\n%s", err, out)
	}
	return status.Sessions
}

// refused waits for a refused session with a reason.
func (l *lab) refused(reason string) {
	l.t.Helper()
	l.within(20*time.Second, "a session refused for "+reason, func() bool {
		for _, s := range l.high.sessions() {
			if s.Reason != nil && *s.Reason == reason && s.Count > 0 {
				return true
			}
		}
		return false
	})
	if rows := l.high.list(); len(rows) != 0 {
		l.t.Errorf("%d bundles are known of a refused session", len(rows))
	}
	if found, _ := filepath.Glob(filepath.Join(l.high.dir, "state", "quarantine", "*", "*")); len(found) > 0 {
		l.t.Errorf("in quarantine: %v", found)
	}
}

func TestAnUnknownSenderIsRefused(t *testing.T) {
	t.Parallel()
	l := up(t, options{})
	if err := os.WriteFile(filepath.Join(l.high.dir, "allowed_signers"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(l.outbox(), "x"), []byte("x"))
	l.high.start()
	l.low.start()
	l.refused("session-sender-unknown")
}

func TestAnExpiredKeyIsRefused(t *testing.T) {
	t.Parallel()
	l := up(t, options{})
	path := filepath.Join(l.high.dir, "allowed_signers")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var changed []string
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "namespaces=") && !strings.HasPrefix(line, "#") {
			line = strings.Replace(line, "namespaces=", `valid-before="20200101",namespaces=`, 1)
		}
		changed = append(changed, line)
	}
	if err := os.WriteFile(path, []byte(strings.Join(changed, "")), 0o644); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(l.outbox(), "x"), []byte("x"))
	l.high.start()
	l.low.start()
	l.refused("session-key-expired")
}

func TestASessionForAnotherReceiverIsRefused(t *testing.T) {
	t.Parallel()
	l := up(t, options{})
	other := filepath.Join(l.dir, "other")
	l.high.must("init", "--dir", other, "--listen", "10.77.0.2:4601")
	l.low.must("pair", "--config", l.low.config, "--yes", filepath.Join(other, "receiver.pair"))
	write(t, filepath.Join(l.outbox(), "x"), []byte("x"))
	l.high.start()
	l.low.start()
	l.refused("session-receiver-other")
}

func TestATenantThatTheSenderMayNotUseIsRefused(t *testing.T) {
	t.Parallel()
	l := up(t, options{})
	text, err := os.ReadFile(l.high.config)
	if err != nil {
		t.Fatal(err)
	}
	// The tenant stays; the sender may no longer use it.
	changed := strings.Replace(string(text), "tenants:\n      - default", "tenants:\n      - other", 1)
	if changed == string(text) {
		changed = strings.Replace(string(text), "tenants: [default]", "tenants: [other]", 1)
	}
	if changed == string(text) {
		t.Fatalf("no list of a sender's tenants in:\n%s", text)
	}
	changed += "\n"
	changed = strings.Replace(changed, "\ntenants:\n", "\ntenants:\n  - name: other\n    release: one\n", 1)
	if err := os.WriteFile(l.high.config, []byte(changed), 0o640); err != nil {
		t.Fatal(err)
	}
	l.startBoth()
	p := filepath.Join(l.work(), "x")
	write(t, p, []byte("x"))
	l.drop(p)
	if r := l.high.reach(20*time.Second, "x", "refused"); r.Reason == nil || *r.Reason != "tenant-not-allowed" {
		t.Errorf("refused for %v", r.Reason)
	}
	if found, _ := filepath.Glob(filepath.Join(l.high.dir, "state", "quarantine", "*", "*")); len(found) > 0 {
		t.Errorf("in quarantine: %v", found)
	}
}

func TestItemsThatCannotTravelFailWithAReason(t *testing.T) {
	t.Parallel()
	l := up(t, options{})
	l.startBoth()
	w := l.work()
	make := map[string]func(dir string){
		"symlink": func(dir string) { must(t, os.Symlink("/etc/shadow", filepath.Join(dir, "link"))) },
		"socket": func(dir string) {
			s, err := net.Listen("unix", filepath.Join(dir, "s"))
			must(t, err)
			s.(*net.UnixListener).SetUnlinkOnClose(false)
			s.Close()
		},
		"device": func(dir string) { must(t, syscall.Mknod(filepath.Join(dir, "null"), syscall.S_IFCHR|0o666, 1<<8|3)) },
		"fifo":   func(dir string) { must(t, syscall.Mkfifo(filepath.Join(dir, "f"), 0o644)) },
		"two links": func(dir string) {
			write(t, filepath.Join(dir, "a"), []byte("a"))
			must(t, os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "b")))
		},
		"control": func(dir string) { write(t, filepath.Join(dir, "line\nfeed"), []byte("x")) },
		"bidi":    func(dir string) { write(t, filepath.Join(dir, "a\u202etxt.exe"), []byte("x")) },
		"not utf": func(dir string) { write(t, filepath.Join(dir, "\xff\xfe"), []byte("x")) },
	}
	for name, f := range make {
		dir := filepath.Join(w, name)
		must(t, os.Mkdir(dir, 0o755))
		f(dir)
		l.drop(dir)
	}
	good := filepath.Join(w, "good")
	write(t, good, []byte("good"))
	l.drop(good)
	l.high.reach(20*time.Second, "good", "imported")
	for name := range make {
		r := l.low.reach(20*time.Second, name, "failed")
		if r.Reason == nil || len(*r.Reason) < 10 {
			t.Errorf("%q failed without words", name)
		} else {
			t.Logf("%s: %s", name, *r.Reason)
		}
		if _, err := os.Lstat(filepath.Join(l.outbox(), name)); err == nil {
			t.Errorf("%q is still in the outbox", name)
		}
	}
	found, err := filepath.Glob(filepath.Join(l.outbox(), ".ecluse", "failed", "*", "REASON.txt"))
	if err != nil || len(found) != len(make) {
		t.Errorf("%d reasons stand beside %d failed items, %v", len(found), len(make), err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAFileThatGrowsIsNeverTakenForWhole(t *testing.T) {
	l := up(t, options{rate: "50Mbit"})
	l.startBoth()
	p := filepath.Join(l.work(), "growing")
	random(t, p, 1, 30<<20)
	f, err := os.OpenFile(p, os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	defer f.Close()
	l.drop(p) // renamed in while a writer still has it open
	time.Sleep(500 * time.Millisecond)
	_, err = f.WriteString("one line more")
	must(t, err)
	r := l.low.reach(30*time.Second, "growing", "failed")
	if r.Reason == nil || !strings.Contains(*r.Reason, "chang") && !strings.Contains(*r.Reason, "grew") {
		t.Errorf("failed for %v", r.Reason)
	}
	l.within(20*time.Second, "the abandon", func() bool {
		h := l.high.find("growing")
		return h != nil && h.State == "abandoned"
	})
	if _, err := os.Stat(filepath.Join(l.imports(), "growing")); err == nil {
		t.Error("it was imported")
	}
}

func TestBadCommandsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	need(t)
	l := up(t, options{})
	for _, row := range []struct {
		name string
		side *side
		args []string
		code int
		says string
	}{
		{"an unknown command", l.low, []string{"frobnicate"}, 2, "frobnicate"},
		{"an unknown flag", l.high, []string{"list", "--nonsense"}, 2, "nonsense"},
		{"no configuration", l.low, []string{"run", "--config", "/nonexistent.yaml"}, 2, "/nonexistent.yaml"},
		{"no such bundle", l.high, []string{"show", "--config", l.high.config, "zzzzzzzz"}, 3, "zzzzzzzz"},
		{"a directory with keys", l.high, []string{"init", "--dir", l.high.dir, "--listen", "10.77.0.2:1"}, 2, "keys"},
		{"a file that is no card", l.low, []string{"pair", "--config", l.low.config, "--yes", l.low.config}, 2, "pair"},
		{"a state that does not exist", l.high, []string{"list", "--config", l.high.config, "--state", "lost"}, 2, "lost"},
	} {
		t.Run(row.name, func(t *testing.T) {
			out, errs, code := row.side.run(row.args...)
			if code != row.code || !strings.Contains(errs, row.says) {
				t.Errorf("exit %d, %q, %q; want exit %d and a word of %q", code, out, errs, row.code, row.says)
			}
		})
	}
}

func TestAWrongConfigurationNamesEveryFault(t *testing.T) {
	t.Parallel()
	l := up(t, options{})
	text, err := os.ReadFile(l.low.config)
	must(t, err)
	bad := string(text) + "\nwieght: 3\n"
	bad = strings.Replace(bad, "settle:", "setle:", 1)
	must(t, os.WriteFile(l.low.config, []byte(bad), 0o640))
	_, errs, code := l.low.try("run")
	if code != 2 || !strings.Contains(errs, "wieght") {
		t.Errorf("exit %d, %s", code, errs)
	}
}

// The second daemon on a state refuses, and says who holds it. The first goes on.
func TestTwoDaemonsOnOneStateDirectory(t *testing.T) {
	t.Parallel()
	l := up(t, options{})
	l.startBoth()
	for _, s := range []*side{l.low, l.high} {
		_, errs, code := s.try("run")
		if code != 1 || !strings.Contains(errs, fmt.Sprintf("pid %d", s.daemon.Process.Pid)) {
			t.Errorf("a second %s ends with %d, and says %s; the first is pid %d", s.binary, code, errs, s.daemon.Process.Pid)
		}
	}
	p := filepath.Join(l.work(), "after")
	write(t, p, []byte("they go on"))
	l.drop(p)
	l.high.reach(20*time.Second, "after", "imported")
}

// A key is taken out of allowed_signers while a bundle of it waits.
func TestARevokedKeyHoldsWhatIsNotReleased(t *testing.T) {
	t.Parallel()
	l := up(t, options{release: "one"})
	l.startBoth()
	p := filepath.Join(l.work(), "register")
	write(t, p, []byte("signed by a key that is lost"))
	l.drop(p)
	r := l.high.reach(20*time.Second, "register", "quarantined")
	trust := filepath.Join(l.high.dir, "allowed_signers")
	text, err := os.ReadFile(trust)
	must(t, err)
	must(t, os.WriteFile(trust, []byte("# revoked\n"), 0o644))
	l.within(20*time.Second, "the hold", func() bool {
		h := l.high.find("register")
		return h.Reason != nil && *h.Reason == "signer-revoked"
	})
	if _, errs, code := l.high.try("approve", r.Bundle); code != 4 {
		t.Errorf("approve of a held bundle: exit %d, %s", code, errs)
	}
	must(t, os.WriteFile(trust, text, 0o644))
	l.within(20*time.Second, "the end of the hold", func() bool {
		h := l.high.find("register")
		return h.Reason != nil && *h.Reason == "not-inspected"
	})
	l.high.ask("approve", r.Bundle)
	l.high.reach(20*time.Second, "register", "imported")
}
