package surface

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ecluse/internal/scanners"
)

// A real clamd, a gateway and a command of the site, from the configuration to the alarm: what all of them let pass goes by itself, a virus does not, and one that is known only after its delivery is told.
func TestAVirusIsFlaggedOnItsWayThroughTheChamber(t *testing.T) {
	low, high := paired(t)
	clamd, rules := inspected(t, high)
	daemon := high.start()
	low.start()
	inspectorsJudge(t, low, high)
	flaggedAfterDelivery(t, high, rules)
	absentHolds(t, low, high, clamd)
	daemon.stop()
	inspectAtRest(t, high, rules)
}

// inspected has three inspectors look at what comes: clamd, c-icap in front of it, and a script that looks for the word in the file rules.
func inspected(t *testing.T, high *side) (clamd *scanners.Clamd, rules string) {
	t.Helper()
	clamd = scanners.StartClamd(t)
	gateway := scanners.StartICAP(t, clamd)
	rules = write(t, filepath.Join(high.dir, "work/rules"), "rules 1 badword")
	script := write(t, filepath.Join(high.dir, "work/check"), `#!/bin/sh
read word version bad < `+rules+`
if found=$(grep -rl "$bad" "$1"); then
	printf '{"verdict": "flagged", "version": "%s", "findings": [{"path": "%s", "text": "it has a bad word"}]}' "$version" "$(basename "$found")"
else
	printf '{"verdict": "clean", "version": "%s"}' "$version"
fi
`)
	for _, path := range []string{script, rules} {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	high.edit("    release: one", "    release: automatic\n    policy: {inspectors: [own, antivirus, gateway]}")
	high.edit("\ntenants:", fmt.Sprintf(`
keep: {imported: 1d}
inspectors:
  - {name: antivirus, clamd: %s, timeout: 1m}
  - {name: gateway, icap: "%s", timeout: 1m}
  - {name: own, command: [%s], read: [%s], timeout: 1m}
tenants:`, clamd.Socket, gateway, script, rules))
	return clamd, rules
}

// inspectorsJudge sends what is clean, what each of them flags, and what none knows yet.
func inspectorsJudge(t *testing.T, low, high *side) {
	t.Helper()
	low.ends(0, "", "send", write(t, filepath.Join(low.dir, "work/good.txt"), "words"))
	low.ends(0, "", "send", write(t, filepath.Join(low.dir, "work/virus.com"), string(scanners.TestVirus())))
	low.ends(0, "", "send", write(t, filepath.Join(low.dir, "work/bad.txt"), "a badword"))
	low.ends(0, "", "send", write(t, filepath.Join(low.dir, "work/later.txt"), "a worseword"))
	high.reach("good.txt", "imported")
	high.reach("later.txt", "imported")
	for name, reason := range map[string]string{"virus.com": "malware", "bad.txt": "inspector-finding"} {
		high.within(20*time.Second, "a verdict on "+name, func() bool { return high.find(name).text("verdict") == "flagged" })
		if r := high.find(name); r.text("state") != "quarantined" || r.text("reason") != reason {
			t.Errorf("%s", r)
		}
		high.ends(4, "flagged", "approve", high.find(name).text("bundle"))
	}
	if out := high.try("show", high.find("good.txt").text("bundle")).out; !strings.Contains(out, "by antivirus (ClamAV ") || !strings.Contains(out, "by gateway (C-ICAP") || !strings.Contains(out, "by own (1)") {
		t.Errorf("show says:\n%s", out)
	}
	if names := below(t, filepath.Join(high.dir, "import/default")); len(names) != 2 {
		t.Errorf("imported are %v", names)
	}
	if out := high.try("doctor").out; !strings.Contains(out, "inspector antivirus: ClamAV") || !strings.Contains(out, "inspector gateway: C-ICAP") || !strings.Contains(out, "inspector own: 1") {
		t.Errorf("doctor says:\n%s", out)
	}
}

// flaggedAfterDelivery has newer rules flag what is delivered: an alarm stands until somebody has seen it.
func flaggedAfterDelivery(t *testing.T, high *side, rules string) {
	t.Helper()
	later, good := high.find("later.txt").text("bundle"), high.find("good.txt").text("bundle")
	high.ends(0, "nothing is newer", "inspect", later)
	write(t, rules, "rules 2 worseword")
	high.ends(0, "clean  imported  good.txt  (by own)", "inspect", good)
	var all []struct{ Bundle, State, Verdict, Reason string }
	high.value(&all, 4, "inspect", "--all")
	if len(all) != 4 {
		t.Errorf("inspected: %+v", all)
	}
	high.within(10*time.Second, "an alarm", func() bool { return strings.Contains(high.try("status").out, "inspect --seen") })
	high.ends(4, "nobody has seen", "inspect", "--seen", good)
	high.ends(0, "seen", "inspect", "--seen", later)
	high.within(10*time.Second, "no alarm", func() bool { return !strings.Contains(high.try("status").out, "inspect --seen") })
	if out := high.try("show", later).out; !strings.Contains(out, "seen by ") {
		t.Errorf("show says:\n%s", out)
	}
	high.ends(0, "clean  imported  good.txt  (by policy, antivirus, gateway, own)", "inspect", "--force", good)
	high.ends(3, "no such bundle", "inspect", "aaaaaaaa")
	high.ends(2, "", "inspect")
	high.ends(2, "", "inspect", "--all", good)
}

// absentHolds stops clamd: what comes is held, and told, until it is back.
func absentHolds(t *testing.T, low, high *side, clamd *scanners.Clamd) {
	t.Helper()
	clamd.Stop()
	low.ends(0, "", "send", write(t, filepath.Join(low.dir, "work/next.txt"), "words"))
	high.within(20*time.Second, "it is held", func() bool { return high.find("next.txt").text("reason") == "inspector" })
	high.ends(4, "held: inspector", "approve", high.find("next.txt").text("bundle"))
	if out := high.try("status").out; !strings.Contains(out, "what looks into them failed") {
		t.Errorf("status says:\n%s", out)
	}
	if out := high.try("doctor").out; !strings.Contains(out, "fault    inspector antivirus: connect:") {
		t.Errorf("doctor says:\n%s", out)
	}
	clamd.Again(t)
	high.ends(0, "clean", "inspect", high.find("next.txt").text("bundle"))
	high.reach("next.txt", "imported")
}

// inspectAtRest has the command look by itself, where no daemon runs.
func inspectAtRest(t *testing.T, high *side, rules string) {
	t.Helper()
	good := high.find("good.txt").text("bundle")
	write(t, rules, "rules 3 words")
	high.ends(4, "flagged: inspector-finding", "inspect", good)
	high.ends(0, "seen", "inspect", "--seen", good)
	write(t, rules, "rules 4 otherword")
	var all []any
	high.value(&all, 4, "inspect", "--all") // the virus, in quarantine
	high.ends(0, "", "reject", "--reason", "a virus", high.find("virus.com").text("bundle"))
	write(t, rules, "rules 5 words")
	high.ends(4, "flagged: inspector-finding", "inspect", good)
	high.ends(0, "seen", "inspect", "--seen", good)
	high.ends(4, "flagged", "inspect", good)
	high.ends(4, "next.txt", "inspect", "--all") // it has the word as well
	high.ends(0, "seen", "inspect", "--seen", high.find("next.txt").text("bundle"))
	high.ends(0, "flagged  imported  good.txt  (nothing is newer)", "inspect", "--all")
}

func TestInspectorsAreConfiguredStrictly(t *testing.T) {
	_, high := paired(t)
	high.edit("\ntenants:", `
inspectors:
  - {name: none}
  - {name: policy, clamd: /x}
  - {name: both, clamd: /x, icap: "icap://h/s"}
  - {name: rel, clamd: x}
  - {name: http, icap: "http://h/s"}
  - {name: cmd, command: [check], timeout: 1ms, read: [x]}
  - {name: net, clamd: /x, network: true}
tenants:`)
	high.edit("    release: one", "    release: one\n    policy: {inspectors: [rel, away, rel]}")
	out := high.try("run").err
	for _, says := range []string{"inspectors[0]", "inspectors[1].name", "inspectors[2]", "inspectors[3].clamd", "inspectors[4].icap", "inspectors[5].command", "inspectors[5].timeout", "inspectors[5].read", "inspectors[6].command",
		`no inspector "away"`, `"rel" stands twice`} {
		if !strings.Contains(out, says) {
			t.Errorf("it does not speak of %s:\n%s", says, out)
		}
	}
}
