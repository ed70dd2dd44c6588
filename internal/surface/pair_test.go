package surface

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// cards gives both sides, and for each the card of the other and its fingerprint as init has printed it.
func cards(t *testing.T) (both []*side, card, print map[*side]string) {
	t.Helper()
	dir := t.TempDir()
	low, high := newSide(t, "sender", filepath.Join(dir, "low")), newSide(t, "receiver", filepath.Join(dir, "high"))
	lines := func(r result) (path, print string) {
		r.check(t, "init", 0, "")
		fields := strings.Fields(r.out)
		if len(fields) != 2 {
			t.Fatalf("init printed %q", r.out)
		}
		return fields[0], fields[1]
	}
	card, print = map[*side]string{}, map[*side]string{}
	card[high], print[high] = lines(low.run("init", "--dir", low.dir, "--to", "127.0.0.1:1", "--name", "low-1"))
	card[low], print[low] = lines(high.run("init", "--dir", high.dir, "--listen", "127.0.0.1:1", "--name", "high-1"))
	return []*side{low, high}, card, print
}

func TestPairTakesTheRightCardOnly(t *testing.T) {
	both, card, print := cards(t)
	for i, s := range both {
		other := both[1-i]
		before := contents(t, s.dir)
		s.ends(4, print[s], "pair", "--fingerprint", print[other], card[s])
		s.ends(4, print[s], "pair", "--fingerprint", print[other], "--yes", card[s])
		s.ends(2, "this is a "+s.kind, "pair", "--yes", card[other])
		s.ends(2, "", "pair", "--yes", s.config)
		s.ends(2, "no such file", "pair", "--yes", filepath.Join(s.dir, "none.pair"))
		s.ends(2, "", "pair", "--yes")
		s.ends(2, "nobody is here to compare", "pair", card[s])
		s.ends(2, "nobody", "pair", "--yes", "--tenant", "nobody", card[s])
		cut, err := os.ReadFile(card[s])
		if err != nil {
			t.Fatal(err)
		}
		s.ends(2, "", "pair", "--yes", write(t, filepath.Join(t.TempDir(), "cut.pair"), string(cut[:len(cut)-9])))
		if after := contents(t, s.dir); after != before {
			t.Errorf("a pairing that was refused changed %s", s.dir)
		}
		s.ends(0, print[s], "pair", "--fingerprint", print[s], card[s])
		s.ends(0, print[s], "pair", "--yes", "--tenant", "default", card[s])
	}
	text, err := os.ReadFile(both[1].config)
	if err != nil || !strings.Contains(string(text), "senders:\n  - name: low-1\n    tenants:\n      - default\n") {
		t.Errorf("%v, the sender does not stand in the configuration once, with the only tenant:\n%s", err, text)
	}
	signers, err := os.ReadFile(filepath.Join(both[1].dir, "allowed_signers"))
	if err != nil || strings.Count(string(signers), "\nlow-1 ") != 1 {
		t.Errorf("%v, the key does not stand in allowed_signers once:\n%s", err, signers)
	}
}

func TestPairAsksOnATerminal(t *testing.T) {
	both, card, print := cards(t)
	for _, s := range both {
		for answer, code := range map[string]int{"no\n": 4, "y\n": 4, "\x04": 4, "yes\n": 0} {
			master, slave := terminal(t)
			if _, err := master.WriteString(answer); err != nil {
				t.Fatal(err)
			}
			s.stdin = slave
			r := s.ends(code, print[s], "pair", card[s])
			if r.out != "" || !strings.Contains(r.err, "Compare the fingerprint") {
				t.Errorf("it asks: %q, %q", r.out, r.err)
			}
			master.Close()
			slave.Close()
		}
	}
}

// terminal makes a pair of pseudo-terminals.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		lacking(t, fmt.Sprint("NOBODY IS ASKED ANYTHING: ", err))
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

func TestWithTwoTenantsPairIsToldWhich(t *testing.T) {
	low, high := sides(t)
	high.edit("tenants:\n", "tenants:\n  - name: other\n    release: two\n")
	card := filepath.Join(low.dir, "sender.pair")
	high.ends(2, "--tenant", "pair", "--yes", card)
	high.ends(0, "default, other", "pair", "--yes", "--tenant", "default", "--tenant", "other", card)
	high.ends(0, "default, other", "pair", "--yes", card)
}

func TestThePrivateHalfIsAnOpenSSHKey(t *testing.T) {
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		lacking(t, "NOT COMPARED WITH OPENSSH: no ssh-keygen")
	}
	low, _ := sides(t)
	out, err := exec.Command("ssh-keygen", "-y", "-f", filepath.Join(low.dir, "sender_ed25519")).Output()
	public, err2 := os.ReadFile(filepath.Join(low.dir, "sender_ed25519.pub"))
	if err != nil || err2 != nil || strings.Join(strings.Fields(string(out))[:2], " ") != strings.Join(strings.Fields(string(public))[:2], " ") {
		t.Errorf("%v, %v: %s, %s", err, err2, out, public)
	}
}
