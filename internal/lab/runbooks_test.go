package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ecluse/internal/journal"
)

var runbooks = []struct {
	what string
	run  func(t *testing.T)
}{
	{"an outage was longer than the burst", outageRunbook},
	{"the sender was restored from a backup", senderRestored},
	{"the receiver was restored from a backup", receiverRestored},
	{"the receiver's state is gone", receiverGone},
	{"the sender's key rotates", senderKeyRotates},
	{"the sender's key is in other hands", senderKeyStolen},
	{"the receiver's key is lost", receiverKeyLost},
	{"two senders with one identity", twoSenders},
	{"the clock was far ahead", clockAhead},
}

// TestSoakRunbooks goes through what the README says to type, command by command, and holds it to what it says will happen. Each case first sees that without the commands nothing
// wrong is released.
func TestSoakRunbooks(t *testing.T) {
	rounds := soak(t, "ECLUSE_SOAK_RUNBOOKS")
	for n := range rounds {
		ok := t.Run(fmt.Sprintf("round %d", n+1), func(t *testing.T) {
			for _, b := range runbooks {
				t.Run(b.what, func(t *testing.T) {
					t.Parallel()
					b.run(t)
				})
			}
		})
		if !ok {
			t.FailNow()
		}
	}
	t.Logf("soak runbooks: %d done", rounds)
}

// commands are the lines that the README gives below a heading in bold.
func commands(t *testing.T, heading string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	must(t, err)
	_, rest, ok := strings.Cut(string(text), "\n**"+heading)
	if !ok {
		t.Fatalf("the README has no runbook %q", heading)
	}
	_, rest, ok = strings.Cut(rest, "\n```\n")
	block, _, closed := strings.Cut(rest, "\n```\n")
	if !ok || !closed {
		t.Fatalf("the README's runbook %q has no commands", heading)
	}
	return strings.Split(block, "\n")
}

// follow types commands of the README: systemctl starts and stops them, pair finds the other side's card where it was
// carried to, and has had its fingerprint compared.
func (l *lab) follow(lines []string) {
	l.t.Helper()
	s := l.low // a line that names neither program is typed where the one before it was
	states := strings.NewReplacer("/var/lib/ecluse-sender", filepath.Join(l.low.dir, "state"), "/var/lib/ecluse-receiver", filepath.Join(l.high.dir, "state"))
	for _, line := range lines {
		switch {
		case strings.Contains(line, "ecluse-receiver"):
			s = l.high
		case strings.Contains(line, "ecluse-sender"):
			s = l.low
		}
		if before, unit, ok := strings.Cut(line, "systemctl "); ok {
			if strings.TrimSpace(before) != "" {
				l.typed(s, before)
			}
			verb, _, _ := strings.Cut(unit, " ")
			if verb != "start" {
				s.stop()
			}
			if verb != "stop" {
				s.start()
				s.running()
			}
			continue
		}
		l.typed(s, states.Replace(line))
	}
}

// typed runs one line in a shell of a side.
func (l *lab) typed(s *side, line string) {
	l.t.Helper()
	shell := filepath.Join(l.dir, "shell")
	home := filepath.Join(l.dir, "home", s.binary) // /root of that machine
	must(l.t, os.MkdirAll(shell, 0o755))
	must(l.t, os.MkdirAll(home, 0o700))
	program := fmt.Sprintf("#!/bin/sh\nverb=$1; shift\ncase $verb in\ninit) exec %[1]s init \"$@\" ;;\npair) exec %[1]s pair --yes --config %[2]s \"$@\" ;;\n*) exec %[1]s $verb --config %[2]s \"$@\" ;;\nesac\n",
		filepath.Join(programs, s.binary), s.config)
	must(l.t, os.WriteFile(filepath.Join(shell, s.binary), []byte(program), 0o755))
	l.carry()
	c := exec.Command("ip", "netns", "exec", s.ns, "bash", "-ec", line)
	c.Dir = home
	c.Env = append(os.Environ(), "PATH="+shell+":"+os.Getenv("PATH"))
	if out, err := c.CombinedOutput(); err != nil {
		l.t.Fatalf("%s: %v\n%s", line, err, out)
	}
}

// carry brings each side's cards to the other.
func (l *lab) carry() {
	l.t.Helper()
	for _, s := range []*side{l.low, l.high} {
		other := filepath.Join(l.dir, "home", map[*side]*side{l.low: l.high, l.high: l.low}[s].binary)
		must(l.t, os.MkdirAll(other, 0o700))
		cards, err := filepath.Glob(filepath.Join(s.dir, strings.TrimPrefix(s.binary, "ecluse-")+"*.pair"))
		must(l.t, err)
		for _, path := range cards {
			card, err := os.ReadFile(path)
			must(l.t, err)
			must(l.t, os.WriteFile(filepath.Join(other, filepath.Base(path)), card, 0o600))
		}
	}
}

// backup copies a side's directory, and restore puts the copy back.
func (s *side) backup() (restore func()) {
	s.lab.t.Helper()
	copied := s.dir + ".backup"
	output(s.lab.t, "cp", "-a", s.dir, copied)
	return func() {
		s.lab.t.Helper()
		output(s.lab.t, "rm", "-r", s.dir)
		output(s.lab.t, "cp", "-a", copied, s.dir)
	}
}

// item drops a small thing whose content is its name.
func (l *lab) item(name string) {
	l.t.Helper()
	p := filepath.Join(l.dir, "made", name)
	write(l.t, p, []byte(name))
	l.low.ask("send", p)
}

// holds waits until an item is in quarantine and nobody holds it back.
func (l *lab) holds(name string) *row {
	l.t.Helper()
	return l.becomes(name, "quarantined", "not-inspected")
}

// becomes waits for a state and a reason.
func (l *lab) becomes(name, state, reason string) *row {
	l.t.Helper()
	var r *row
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if r = l.high.find(name); r != nil && r.State == state && r.Reason != nil && *r.Reason == reason {
			return r
		}
	}
	l.t.Fatalf("%q is not %s, %s, but %+v", name, state, reason, r)
	return nil
}

// releases approves an item, and sees what is imported: its name and content.
func (l *lab) releases(name string) {
	l.t.Helper()
	l.high.ask("approve", l.holds(name).Bundle)
	l.high.reach(20*time.Second, name, "imported")
	text, err := os.ReadFile(filepath.Join(l.imports(), name))
	if err != nil || string(text) != name {
		l.t.Errorf("%q is imported as %q, %v", name, text, err)
	}
}

// alarmed waits until an alarm stands, or stands no longer.
func (l *lab) alarmed(name string, stands bool) {
	l.t.Helper()
	l.within(30*time.Second, fmt.Sprintf("alarm %s to be %v", name, stands), func() bool { return slices.Contains(l.high.alarms(), name) == stands })
}

// only holds that these names are imported, and nothing else.
func (l *lab) only(names ...string) {
	l.t.Helper()
	entries, err := os.ReadDir(l.imports())
	must(l.t, err)
	var have []string
	for _, e := range entries {
		have = append(have, e.Name())
	}
	slices.Sort(names)
	if !slices.Equal(have, names) {
		l.t.Errorf("imported are %q, want %q", have, names)
	}
}

// outageRunbook: "An outage was longer than the burst".
func outageRunbook(t *testing.T) {
	l := up(t, options{rate: "40Mbit"})
	l.startBoth()
	half := filepath.Join(l.work(), "half of it")
	random(t, half, 1, 10<<20)
	l.drop(half)
	l.within(20*time.Second, "the transfer", func() bool { return l.high.find("half of it") != nil })
	time.Sleep(500 * time.Millisecond)
	l.script(nil, "outage", "on")
	l.low.reach(20*time.Second, "half of it", "sent")
	l.item("none of it")
	l.low.reach(20*time.Second, "none of it", "sent")
	l.script(nil, "outage", "off")
	l.alarmed("damaged", true)
	l.alarmed("missing", true)
	lost := l.high.list("--state", "missing")
	if len(lost) != 1 || len(l.high.list("--state", "damaged")) != 1 {
		t.Fatalf("missing are %+v, of two items", lost)
	}
	for _, r := range l.low.list() {
		if *r.Name == "half of it" || *r.Sequence == *lost[0].Sequence {
			l.low.ask("resend", r.Bundle)
		}
	}
	l.high.reach(20*time.Second, "half of it", "imported")
	l.high.reach(20*time.Second, "none of it", "imported")
	l.alarmed("damaged", false)
	l.alarmed("missing", false)
}

// senderRestored: "The sender was restored from a backup". Without the commands its first sequence is one that is known, and what has it is refused.
func senderRestored(t *testing.T) {
	l := up(t, options{release: "one"})
	l.startBoth()
	l.item("first")
	l.releases("first")
	l.low.reach(20*time.Second, "first", "sent")
	l.low.stop()
	restore := l.low.backup()
	l.low.start()
	l.low.running()
	l.item("second")
	second := l.holds("second")
	l.item("third")
	l.holds("third")
	l.low.stop()

	restore()
	l.low.start()
	l.low.running()
	l.item("another second")
	r := l.becomes("another second", "refused", "sequence-fork")
	if *r.Sequence != *second.Sequence {
		t.Errorf("the fork has sequence %d, want %d", *r.Sequence, *second.Sequence)
	}
	l.alarmed("sequence-fork", true)
	if _, _, code := l.high.try("approve", r.Bundle); code != 4 {
		t.Errorf("approve of a fork ends with %d, want 4", code)
	}

	l.follow(commands(t, "The sender was restored from a backup"))
	l.item("fourth")
	held := l.becomes("fourth", "quarantined", "epoch-new")
	l.alarmed("epoch-new", true)
	if _, _, code := l.high.try("approve", held.Bundle); code != 4 {
		t.Errorf("approve of what is held ends with %d, want 4", code)
	}
	l.only("first")
	l.follow([]string{"ecluse-receiver pair sender.pair"})
	l.releases("fourth")
	l.alarmed("epoch-new", false)
	l.releases("second")
	l.releases("third")

	// The former epoch is never accepted again.
	l.low.stop()
	restore()
	l.low.start()
	l.low.running()
	l.item("too late")
	l.becomes("too late", "refused", "sequence-rollback")
	l.alarmed("sequence-rollback", true)
	if _, _, code := l.high.try("pair", "--yes", filepath.Join(l.low.dir, "sender.pair")); code == 0 {
		t.Error("the former epoch was paired again")
	}
	l.only("first", "second", "third", "fourth")
}

// receiverRestored: "The receiver was restored from a backup".
func receiverRestored(t *testing.T) {
	l := up(t, options{release: "one"})
	l.startBoth()
	l.item("first")
	l.releases("first")
	l.item("second")
	l.holds("second")
	l.high.stop()
	state := filepath.Join(l.high.dir, "state")
	output(t, "cp", "-a", state, state+".backup")
	l.high.start()
	l.open()
	l.releases("second")
	l.item("third")
	l.releases("third")
	l.item("fourth")
	l.holds("fourth")
	l.high.stop()

	output(t, "rm", "-r", state)
	output(t, "cp", "-a", state+".backup", state)
	l.high.start()
	l.open()
	l.within(20*time.Second, "two to be missing", func() bool { return len(l.high.list("--state", "missing")) == 2 })
	l.alarmed("missing", true)
	for _, lost := range l.high.list("--state", "missing") {
		for _, r := range l.low.list("--state", "sent") {
			if *r.Sequence == *lost.Sequence {
				l.low.ask("resend", r.Bundle)
			}
		}
	}
	l.holds("third") // a second time: nobody has approved it in this life
	l.releases("fourth")
	l.high.ask("reject", "--reason", "imported before", l.holds("second").Bundle)
	l.high.ask("reject", "--reason", "imported before", l.holds("third").Bundle)
	l.alarmed("missing", false)
	l.item("fifth")
	l.releases("fifth")
	l.only("first", "second", "third", "fourth", "fifth")
}

// receiverGone: "The receiver's state is gone, and no backup is there".
func receiverGone(t *testing.T) {
	l := up(t, options{release: "one"})
	l.startBoth()
	l.item("first")
	l.releases("first")
	l.item("second")
	l.holds("second")
	l.high.stop()
	state := filepath.Join(l.high.dir, "state")
	output(t, "find", state, "-mindepth", "1", "-delete")
	l.high.start()
	l.high.running()
	l.follow([]string{"ecluse-receiver pair sender.pair"})
	l.within(20*time.Second, "both to be missing", func() bool { return len(l.high.list("--state", "missing")) == 2 })
	for _, r := range l.low.list("--state", "sent") {
		if *r.Name == "second" {
			l.low.ask("resend", r.Bundle)
		}
	}
	l.releases("second")
	l.item("third")
	l.releases("third")
	l.only("first", "second", "third")
}

// edited rewrites the lines of allowed_signers that have this key.
func (l *lab) edited(key string, f func(line string) string) {
	l.t.Helper()
	path := filepath.Join(l.high.dir, "allowed_signers")
	text, err := os.ReadFile(path)
	must(l.t, err)
	var out strings.Builder
	found := false
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, key) {
			line, found = f(line), true
		}
		out.WriteString(line)
	}
	if !found {
		l.t.Fatalf("key %s is not in\n%s", key, text)
	}
	must(l.t, os.WriteFile(path, []byte(out.String()), 0o644))
}

// key is the public key of the sender, as allowed_signers has it.
func (l *lab) key() string {
	l.t.Helper()
	text, err := os.ReadFile(filepath.Join(l.low.dir, "sender_ed25519.pub"))
	must(l.t, err)
	return strings.Fields(string(text))[1]
}

// senderKeyRotates: "The sender's key rotates".
func senderKeyRotates(t *testing.T) {
	l := up(t, options{release: "one"})
	l.startBoth()
	l.item("by the old key")
	l.holds("by the old key")
	old := l.key()
	l.low.stop()
	restore := l.low.backup()
	l.low.start()
	l.low.running()
	l.follow(commands(t, "The sender's key rotates."))
	if l.key() == old {
		t.Fatal("the key is the old one")
	}
	l.item("by the new key")
	if r := l.holds("by the new key"); *r.Sequence != 2 {
		t.Errorf("it has sequence %d: the chain does not go on", *r.Sequence)
	}
	time.Sleep(1100 * time.Millisecond) // whole seconds
	end := time.Now().UTC().Format("20060102150405Z")
	l.edited(old, func(line string) string {
		return strings.Replace(line, "namespaces=", `valid-before="`+end+`",namespaces=`, 1)
	})
	time.Sleep(7 * time.Second) // within seconds, it is promised
	l.releases("by the old key")
	l.releases("by the new key")

	// Whoever still has the old key cannot open a session with it.
	l.low.stop()
	restore()
	l.low.start()
	l.low.running()
	l.within(20*time.Second, "the old key's session to be refused", func() bool {
		for _, s := range l.high.sessions() {
			if s.Reason != nil && *s.Reason == "session-key-expired" {
				return true
			}
		}
		return false
	})
	l.only("by the old key", "by the new key")
}

// senderKeyStolen: "The sender's key is lost. ... Where it may be in other hands".
func senderKeyStolen(t *testing.T) {
	l := up(t, options{release: "one"})
	l.startBoth()
	l.item("before")
	before := l.holds("before")
	l.edited(l.key(), func(string) string { return "" })
	l.becomes("before", "quarantined", "signer-revoked")
	l.alarmed("signer-revoked", true)
	if _, _, code := l.high.try("approve", before.Bundle); code != 4 {
		t.Errorf("approve of what is held ends with %d, want 4", code)
	}
	l.item("by the thief")
	l.low.reach(20*time.Second, "by the thief", "sent")
	time.Sleep(2 * time.Second)
	if r := l.high.find("by the thief"); r != nil && r.State != "refused" && (r.State != "quarantined" || *r.Reason != "signer-revoked") {
		t.Errorf("by a key that is not trusted any more: %+v", r)
	}
	l.follow(commands(t, "The sender's key rotates."))
	l.item("after")
	l.releases("after")
	l.becomes("before", "quarantined", "signer-revoked")
	l.item("before, dropped again")
	l.releases("before, dropped again")
	l.only("after", "before, dropped again")
}

// receiverKeyLost: "The receiver's key is lost, or must change".
func receiverKeyLost(t *testing.T) {
	l := up(t, options{release: "one"})
	l.startBoth()
	l.item("before")
	l.holds("before")
	l.follow(commands(t, "The receiver's key is lost,"))
	l.within(20*time.Second, "the session for the old key to be refused", func() bool {
		for _, s := range l.high.sessions() {
			if s.Reason != nil && *s.Reason == "session-receiver-other" && s.State == "refused" {
				return true
			}
		}
		return false
	})
	l.releases("before")
	l.item("in between")
	l.low.reach(20*time.Second, "in between", "sent")
	l.follow([]string{"ecluse-sender pair receiver.pair", "systemctl restart ecluse-sender"})
	l.open()
	l.item("after")
	l.releases("after")
	l.item("in between, dropped again")
	l.releases("in between, dropped again")
	l.only("before", "after", "in between, dropped again")
}

// twoSenders is a clone: the same key, the same epoch, and both send. What is first at a place of the chain stands, the other is refused, named and alarmed; nothing is mixed.
func twoSenders(t *testing.T) {
	l := up(t, options{release: "one"})
	l.startBoth()
	l.item("first")
	l.releases("first")
	l.low.reach(20*time.Second, "first", "sent")
	l.low.stop()
	clone := &side{lab: l, ns: l.low.ns, dir: l.low.dir + "-clone", binary: l.low.binary}
	clone.config = filepath.Join(clone.dir, "sender.yaml")
	output(t, "cp", "-a", l.low.dir, clone.dir)
	text, err := os.ReadFile(clone.config)
	must(t, err)
	must(t, os.WriteFile(clone.config, []byte(strings.ReplaceAll(string(text), l.low.dir, clone.dir)), 0o600))
	l.low.start()
	l.low.running()
	t.Cleanup(func() { clone.stop() })
	clone.start()
	clone.running()
	for i := range 4 {
		for _, s := range []*side{l.low, clone} {
			p := filepath.Join(l.dir, "made", fmt.Sprintf("%d by %s", i, filepath.Base(s.dir)))
			random(t, p, byte(i), 300_000)
			s.ask("send", p)
			s.reach(20*time.Second, filepath.Base(p), "sent")
		}
	}
	l.alarmed("sequence-fork", true)
	time.Sleep(2 * time.Second)
	places := map[uint64]string{}
	forks := 0
	for _, r := range l.high.list() {
		switch {
		case r.State == "quarantined" || r.State == "imported":
			if other, taken := places[*r.Sequence]; taken {
				t.Errorf("%q and %q are both held at sequence %d", *r.Name, other, *r.Sequence)
			}
			places[*r.Sequence] = *r.Name
		case r.State == "refused" && *r.Reason == "sequence-fork":
			forks++
		case r.State != "missing" && r.State != "damaged" && r.State != "receiving":
			t.Errorf("%+v", r)
		}
	}
	t.Logf("%d held, %d forks", len(places), forks)
	if forks == 0 {
		t.Error("no fork is named")
	}
	l.only("first")
}

// clockAhead: "The machine's clock was far ahead for a while". A state that has seen that time keeps a route closed whose end lies before it.
func clockAhead(t *testing.T) {
	l := up(t, options{release: "one"})
	text, err := os.ReadFile(l.low.config)
	must(t, err)
	day := func(days int) string { return time.Now().UTC().AddDate(0, 0, days).Format(time.DateOnly) }
	write(t, l.low.config, []byte(strings.Replace(string(text), "    weight: 1", "    weight: 1\n    expires: "+day(40), 1)))
	l.startBoth()
	l.item("before")
	l.releases("before")
	l.low.reach(20*time.Second, "before", "sent")
	l.low.stop()
	write(t, filepath.Join(l.low.dir, "state", "clock"), journal.Seal([]byte(time.Now().UTC().AddDate(0, 0, 45).Format(time.RFC3339))))
	l.low.start()
	l.low.running()
	l.within(10*time.Second, "the alarms", func() bool {
		all := l.low.alarms()
		return slices.Contains(all, "clock") && slices.Contains(all, "route-expired")
	})
	waits := filepath.Join(l.work(), "waits")
	write(t, waits, []byte("waits"))
	l.drop(waits)
	time.Sleep(2 * time.Second)
	if r := l.high.find("waits"); r != nil {
		t.Errorf("it went while its route was closed: %+v", r)
	}

	l.follow(commands(t, "The machine's clock was far ahead for a while."))
	l.releases("waits")
	if all := l.low.alarms(); len(all) > 0 {
		t.Errorf("alarms stand: %q", all)
	}
	l.only("before", "waits")
}
