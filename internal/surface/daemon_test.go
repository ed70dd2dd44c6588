package surface

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestTheDaemonTellsSystemdThatItIsReadyAliveAndEnding(t *testing.T) {
	low, high := paired(t)
	for _, s := range []*side{high, low} {
		d := s.start("WATCHDOG_USEC=400000")
		if len(d.told) == 0 || !strings.Contains(d.told[len(d.told)-1], "READY=1") {
			t.Errorf("ecluse-%s told %q", s.kind, d.told)
		}
		fed := 0
		for end := time.Now().Add(3 * time.Second); fed < 4 && time.Now().Before(end); {
			if d.hear() == "WATCHDOG=1" {
				fed++
			}
		}
		if fed < 4 {
			t.Errorf("ecluse-%s fed the watchdog %d times in 3 s, with 0.4 s allowed", s.kind, fed)
		}
		d.stop()
		stopping := false
		for text := d.hear(); text != ""; text = d.hear() {
			stopping = stopping || text == "STOPPING=1"
		}
		if !stopping {
			t.Errorf("ecluse-%s did not tell that it ends", s.kind)
		}
	}
}

func TestLogsAreOneObjectALineOnStderr(t *testing.T) {
	low, high := paired(t)
	for _, s := range []*side{high, low} {
		d := s.start()
		d.stop()
		lines := 0
		for line := range strings.Lines(d.said()) {
			var entry map[string]any
			if err := json.Unmarshal([]byte(line), &entry); err != nil {
				t.Errorf("ecluse-%s: %v: %q", s.kind, err, line)
				continue
			}
			at, _ := entry["time"].(string)
			if parsed, err := time.Parse(time.RFC3339Nano, at); err != nil || !strings.HasSuffix(at, "Z") || time.Since(parsed) > time.Minute || entry["level"] == nil || entry["message"] == nil {
				t.Errorf("ecluse-%s: %s", s.kind, line)
			}
			lines++
		}
		if lines < 2 {
			t.Errorf("ecluse-%s says nothing", s.kind)
		}
	}
}

func TestEverySignalToEndIsObeyedAtOnce(t *testing.T) {
	low, high := paired(t)
	for _, s := range []*side{high, low} {
		d := s.start()
		if err := d.cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-d.ended:
			if err != nil {
				t.Errorf("ecluse-%s: %v", s.kind, err)
			}
			d.cmd = nil
		case <-time.After(5 * time.Second):
			t.Errorf("ecluse-%s goes on after SIGINT", s.kind)
		}
	}
}

func TestASecondDaemonIsRefused(t *testing.T) {
	low, high := paired(t)
	for _, s := range []*side{high, low} {
		d := s.start()
		if r := s.ends(1, "another process is running on it", "run"); r.out != "" || !strings.Contains(r.err, fmt.Sprintf("(pid %d)", d.cmd.Process.Pid)) {
			t.Errorf("the first is pid %d; stdout: %s, stderr: %s", d.cmd.Process.Pid, r.out, r.err)
		}
		var status struct{ Running bool }
		if r := s.try("status", "--json"); json.Unmarshal([]byte(r.out), &status) != nil || !status.Running {
			t.Errorf("the first does not answer any more: %s%s", r.out, r.err)
		}
	}
}

func TestAStateThatANewerProgramWroteIsRefused(t *testing.T) {
	t.Parallel()
	low, high := paired(t)
	for _, s := range []*side{high, low} {
		d := s.start()
		d.stop()
		path := filepath.Join(s.dir, "state", "version")
		if _, err := os.Stat(path); err != nil {
			t.Fatal(err)
		}
		write(t, path, "999\n")
		before := contents(t, s.dir)
		r := s.ends(1, "a newer program wrote it", "run")
		if !strings.Contains(r.err, "999") {
			t.Errorf("it does not say which: %s", r.err)
		}
		if contents(t, s.dir) != before {
			t.Errorf("ecluse-%s changed a state that it does not know", s.kind)
		}
		verb := map[string]string{"sender": "resend", "receiver": "approve"}[s.kind]
		s.ends(1, "a newer program wrote it", verb, "abcdefghijklmnopqrstuvwxya")
	}
}

func TestRunSaysWhatItLacks(t *testing.T) {
	low, high := sides(t)
	low.ends(2, "no receiver is paired", "run")
	for s, file := range map[*side]string{low: "sender_ed25519", high: "receiver.key"} {
		if err := os.Remove(filepath.Join(s.dir, file)); err != nil {
			t.Fatal(err)
		}
		s.ends(2, file, "run")
	}
	low, _ = paired(t)
	if err := os.RemoveAll(filepath.Join(low.dir, "state", "epoch")); err != nil {
		t.Fatal(err)
	}
	low.ends(2, "has no epoch", "run")
}

func TestStatusWithoutADaemonIsAnAlarm(t *testing.T) {
	low, high := paired(t)
	for _, s := range []*side{low, high} {
		r := s.ends(1, "ALARM stopped: ", "status")
		if strings.Count(r.out, "ALARM") != 1 || !strings.HasPrefix(r.out, "ALARM") {
			t.Errorf("alarms are not one a line: %s", r.out)
		}
		var status map[string]any
		s.value(&status, 1, "status")
		for _, key := range []string{"links", "alarms", "bundles", "version", "running"} {
			if status[key] == nil {
				t.Errorf("ecluse-%s status --json at rest: %s is %v", s.kind, key, status[key])
			}
		}
		var list []any
		s.value(&list, 0, "list")
		if list == nil || len(list) > 0 {
			t.Errorf("a list of nothing is %v", list)
		}
	}
}

// A socket that somebody removed: no command calls the daemon stopped, or works beside it.
func TestADaemonWhoseSocketWasRemoved(t *testing.T) {
	low, high := paired(t)
	for _, s := range []*side{low, high} {
		s.start()
		if err := os.Remove(filepath.Join(s.dir, "state/control.sock")); err != nil {
			t.Fatal(err)
		}
		s.ends(1, "ALARM unreachable", "status")
		if out := s.try("doctor").out; !strings.Contains(out, "does not answer") || strings.Contains(out, "is not running") {
			t.Errorf("ecluse-%s doctor says:\n%s", s.kind, out)
		}
	}
	high.ends(1, "the daemon is running", "renew", "--key")
	high.ends(1, "stop it, then", "approve", "aaaaaa")
	low.ends(1, "stop it, then", "send", "--wait", write(t, filepath.Join(low.dir, "work/x"), "x"))
	low.ends(1, "does not answer", "dismiss", "aaaaaa")
}

func TestRootRunsNoDaemonOnAnothersState(t *testing.T) {
	if os.Geteuid() != 0 {
		lacking(t, "A DAEMON THAT ROOT STARTS ON ANOTHER'S STATE IS NOT TESTED")
	}
	low, high := paired(t)
	for _, s := range []*side{low, high} {
		if err := os.Chown(filepath.Join(s.dir, "state"), 65534, 65534); err != nil {
			t.Fatal(err)
		}
		s.ends(1, "setpriv --reuid=65534", "run")
	}
}

// A key that was taken out of allowed_signers a moment ago releases nothing.
func TestAKeyThatWasJustRevokedReleasesNothing(t *testing.T) {
	low, high := paired(t)
	high.start()
	low.start()
	low.ends(0, "", "send", write(t, filepath.Join(low.dir, "work/x"), "x"))
	high.reach("x", "quarantined")
	write(t, filepath.Join(high.dir, "allowed_signers"), "# nobody\n")
	high.ends(4, "signer-revoked", "approve", "--reason", "x", high.find("x").text("bundle"))
	if r := high.find("x"); r.text("state") != "quarantined" {
		t.Errorf("%s", r)
	}
}
