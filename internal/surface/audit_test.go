package surface

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// audit runs a verb of audit and holds it to its exit code and to what it says.
func (s *side) audit(code int, says, verb string, args ...string) string {
	s.t.Helper()
	r := s.run(append([]string{"audit", verb, "--config", s.config}, args...)...)
	r.check(s.t, fmt.Sprintf("ecluse-%s audit %s %v", s.kind, verb, args), code, says)
	return r.out
}

// events are what the log says of a bundle, or of everything.
func (s *side) events(args ...string) (events []string) {
	s.t.Helper()
	var entries []struct{ Event, Who string }
	if err := json.Unmarshal([]byte(s.audit(0, "", "list", append([]string{"--json"}, args...)...)), &entries); err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		events = append(events, e.Event)
	}
	return events
}

func TestTheLogOfBothSidesTellsOfEverything(t *testing.T) {
	low, high := paired(t)
	kept := filepath.Join(low.dir, "elsewhere")
	if err := os.Mkdir(kept, 0o755); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(low.config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, low.config, string(text)+fmt.Sprintf("\naudit: {checkpoints: [\"file:%s\"], every: 10s}\n", filepath.Join(kept, "checkpoint")))
	down, up := low.start(), high.start()
	low.ends(0, "", "send", "--wait", write(t, filepath.Join(low.dir, "work/a.txt"), "a"))
	b := high.reach("a.txt", "quarantined").text("bundle")
	high.ends(0, "approved", "approve", "--reason", "ticket 4711", b)
	high.reach("a.txt", "imported")
	high.ends(4, "imported", "reject", "--reason", "too late", b)
	want := "receiving quarantined decided approved delivering delivered imported decision-refused"
	if got := strings.Join(high.events("--bundle", b[:8]), " "); got != want {
		t.Errorf("the high side's log says %q of it, not %q", got, want)
	}
	low.within(5*time.Second, "the low side to say that it was sent", func() bool {
		return strings.Join(low.events("--bundle", b), " ") == "asked waiting sending signed passed sent"
	})
	if out := high.audit(0, "ticket 4711", "show", b); !strings.Contains(out, "receiving") {
		t.Errorf("show says\n%s", out)
	}
	for _, s := range []*side{low, high} { // beside the running daemons
		s.audit(0, "entries hold", "verify")
		s.audit(3, "no entry 999999", "show", "999999")
		s.audit(3, "no entry is of", "show", "zzzzzz")
	}
	down.stop()
	up.stop()
	for _, s := range []*side{low, high} {
		s.audit(0, "1 records agree", "verify")
		if all := strings.Join(s.events(), " "); !strings.HasPrefix(all, "begun ") || !strings.Contains(all, "started changed") || !strings.HasSuffix(all, "stopped") {
			t.Errorf("the log is %q", all)
		}
	}
	low.audit(0, "entries hold", "verify", "--checkpoint", filepath.Join(kept, "checkpoint"))
	if !strings.Contains(fileText(t, filepath.Join(kept, "checkpoint")), "ecluse-sender\n") {
		t.Error("no copy of a checkpoint")
	}
	proves(t, low, high)
	exports(t, low, high, b)
	forged(t, high)
}

func fileText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// proves has an entry of one side proved where only its key is known.
func proves(t *testing.T, low, high *side) {
	t.Helper()
	proof := write(t, filepath.Join(low.dir, "proof.json"), high.audit(0, "", "prove", "4"))
	key := strings.TrimSpace(high.audit(0, "ecluse-receiver+", "key"))
	low.audit(0, "the entry is in the log of ecluse-receiver", "verify", "--proof", proof, "--key", key)
	low.audit(4, "not signed by the key", "verify", "--proof", proof) // its own
	low.audit(4, "does not hold", "verify", "--proof", write(t, proof, strings.Replace(fileText(t, proof), "default", "another", 1)), "--key", key)
	low.audit(2, "no number", "prove", "x")
	low.audit(2, "neither a key nor a file", "verify", "--key", "x")
	high.audit(0, "ecluse-receiver\n", "checkpoint")
}

// exports has a log copied, and checked where only its key is known; and holds each side to the room that the README says a bundle takes of it.
func exports(t *testing.T, low, high *side, b string) {
	t.Helper()
	to, key := filepath.Join(low.dir, "copy"), strings.TrimSpace(high.audit(0, "", "key"))
	high.audit(0, "entries are in "+to, "export", to)
	high.audit(2, "not empty", "export", to)
	low.audit(0, "entries hold", "verify", "--dir", to, "--key", key)
	low.audit(0, "note: only the copy's own key was used", "verify", "--dir", to)
	if out := low.audit(0, `"own_key": false`, "verify", "--dir", to, "--json", "--checkpoint", write(t, filepath.Join(low.dir, "kept"), high.audit(0, "", "checkpoint"))); strings.Contains(out, "own key") {
		t.Errorf("by a checkpoint:\n%s", out)
	}
	low.audit(4, "not signed by the key", "verify", "--dir", to, "--key", strings.TrimSpace(low.audit(0, "", "key")))
	low.audit(2, "one of them", "verify", "--dir", to, "--proof", to)
	copied := filepath.Join(to, "entries/0000000000000000")
	write(t, copied, strings.Replace(fileText(t, copied), "4711", "4712", 1))
	low.audit(4, "does not hold", "verify", "--dir", to, "--key", key)
	for _, s := range []*side{low, high} {
		bytes, entries := 0, 0
		for line := range strings.Lines(fileText(t, filepath.Join(s.dir, "state/audit/entries/0000000000000000"))) {
			if strings.Contains(line, b) {
				bytes, entries = bytes+len(line)+2*32, entries+1 // and its hashes
			}
		}
		t.Logf("the %s side's log took %d bytes for %d entries of a bundle", s.kind, bytes, entries)
		if want := map[*side]int{low: 1600, high: 4000}[s]; bytes < want*3/4 || bytes > want*5/4 {
			t.Errorf("the %s side's log took %d bytes for a bundle, and the README says %d", s.kind, bytes, want)
		}
		if out := s.run("status", "--config", s.config).out; !strings.Contains(out, "audit log: ") {
			t.Errorf("status says\n%s", out)
		}
		if out := s.run("doctor", "--config", s.config).out; !strings.Contains(out, "ok       audit: audit log: ") {
			t.Errorf("doctor says\n%s", out)
		}
	}
}

// forged has somebody edit an entry: verify names it, the next start sets the log aside, and the alarm stands until that was moved away.
func forged(t *testing.T, high *side) {
	t.Helper()
	entries := filepath.Join(high.dir, "state/audit/entries/0000000000000000")
	text, err := os.ReadFile(entries)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(entries, bytes.Replace(text, []byte("ticket 4711"), []byte("ticket 4712"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	high.audit(4, "is not the one that was hashed", "verify")
	up := high.start()
	high.within(5*time.Second, "an alarm", func() bool { return strings.Contains(high.try("status").out, "ALARM audit: ") })
	high.audit(0, "damaged-1 was set aside", "verify")
	high.audit(0, "it is entry", "show", "0")
	if err := os.Rename(filepath.Join(high.dir, "state/audit/damaged-1"), filepath.Join(high.dir, "looked-at")); err != nil {
		t.Fatal(err)
	}
	high.within(5*time.Second, "the alarm to end", func() bool { return !strings.Contains(high.try("status").out, "ALARM audit") })
	up.stop()
}
