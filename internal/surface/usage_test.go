package surface

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// verbs are the commands of both programs.
var verbs = map[string][]string{
	"sender":   {"init", "pair", "renew", "run", "send", "list", "show", "resend", "dismiss", "status", "usage", "plan", "doctor", "version"},
	"receiver": {"init", "pair", "renew", "run", "list", "show", "verify", "approve", "reject", "deliver", "status", "usage", "anchor", "doctor", "version"},
}

func TestHelpOfEveryCommandShowsAnExampleAndTheExitCodes(t *testing.T) {
	for kind, list := range verbs {
		s := newSide(t, kind, t.TempDir())
		for _, verb := range append([]string{""}, list...) {
			args := []string{"--help"}
			if verb != "" {
				args = []string{verb, "--help"}
			}
			r := s.run(args...)
			r.check(t, kind+" "+verb+" --help", 0, "Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 no such thing, 4 refused")
			if !regexp.MustCompile(`(?m)^Examples?:\n  ecluse-`+kind+` `+verb).MatchString(r.out) || r.err != "" {
				t.Errorf("%s %s --help shows no example on stdout: %s%s", kind, verb, r.out, r.err)
			}
			if verb != "" && verb != "init" && verb != "version" && !regexp.MustCompile(`--config FILE .*default "/etc/ecluse/`+kind+`\.yaml"`).MatchString(r.out) {
				t.Errorf("%s %s --help does not show --config with its default:\n%s", kind, verb, r.out)
			}
			if verb != "" && verb != "init" && verb != "pair" && verb != "run" && !strings.Contains(r.out, "--json") {
				t.Errorf("%s %s takes no --json", kind, verb)
			}
		}
	}
}

func TestWhatIsNoCommandEndsWithUsage(t *testing.T) {
	for kind, list := range verbs {
		s := newSide(t, kind, t.TempDir())
		s.run().check(t, kind, 2, "Usage:")
		s.run("lisst").check(t, kind+" lisst", 2, "did you mean list")
		s.run("--nonsense").check(t, kind+" --nonsense", 2, "nonsense")
		for _, verb := range list {
			r := s.run(verb, "--nonsense")
			r.check(t, kind+" "+verb+" --nonsense", 2, "unknown flag: --nonsense")
			if r.out != "" || !strings.Contains(r.err, "hint: ecluse-"+kind+" "+verb+" --help") {
				t.Errorf("%s %s --nonsense: stdout %q, stderr %q", kind, verb, r.out, r.err)
			}
			if verb == "show" || verb == "verify" || verb == "approve" || verb == "reject" || verb == "resend" || verb == "dismiss" || verb == "send" || verb == "pair" || verb == "renew" {
				s.run(verb).check(t, kind+" "+verb+" of nothing", 2, "arg")
			}
		}
	}
}

func TestWithoutAConfigurationEveryCommandSaysWhereItLooked(t *testing.T) {
	for kind, list := range verbs {
		s := newSide(t, kind, t.TempDir())
		for _, verb := range list {
			if verb == "init" || verb == "version" {
				continue
			}
			path := filepath.Join(s.dir, "none.yaml")
			args := []string{verb, "--config", path}
			switch verb {
			case "show", "verify", "approve", "reject", "resend", "dismiss", "deliver":
				args = append(args, "abcdefg")
			case "renew":
				args = append(args, "--key")
			case "send", "pair":
				args = append(args, path)
			}
			s.run(args...).check(t, kind+" "+verb, 2, path)
			if _, err := os.Stat("/etc/ecluse/" + kind + ".yaml"); err != nil {
				s.run(append([]string{verb}, args[3:]...)...).check(t, kind+" "+verb+" without --config", 2, "/etc/ecluse/"+kind+".yaml")
			}
		}
	}
}

func TestAWrongConfigurationEndsEveryCommandAndEveryFaultIsNamed(t *testing.T) {
	low, high := sides(t)
	for s, faults := range map[*side]map[string]string{
		low: {"mtu: 1500": "mtu: large", "rate: 900Mbit": "rates: 900Mbit", "weight: 1": "weight: 0", "count: 1": "count: 1\n  count: 2", "settle: 2s": "settle:"},
		high: {"senders: []": "senders: [{tenants: [none]}]", "release: one": "release: three", "  - name: default": "  - nmae: default",
			"- directory:": "- clash: never\n        directory:"},
	} {
		for old, new := range faults {
			s.edit(old, new)
		}
		want := []string{"links[0].mtu: ", "links[0].rates: unknown key (did you mean rate?)", "tenants[0].weight: ", "passes.count: is given twice", "settle: has no value"}
		if s == high {
			want = []string{"senders[0].name: is missing", "senders[0].tenants[0]: ", "tenants[0].release: ", "tenants[0].nmae: unknown key (did you mean name?)", "tenants[0].name: is missing",
				"tenants[0].deliver[0].clash: "}
		}
		for _, verb := range []string{"run", "list", "status"} {
			r := s.ends(2, "", verb)
			for _, text := range want {
				if !regexp.MustCompile(`(?m)` + regexp.QuoteMeta(s.config) + `:[0-9]+: ` + regexp.QuoteMeta(text)).MatchString(r.err) {
					t.Errorf("%s %s does not tell %s with its line:\n%s", s.kind, verb, text, r.err)
				}
			}
			if n := strings.Count(r.err, s.config); n != len(want) || r.out != "" {
				t.Errorf("%s %s tells %d faults, not %d:\n%s%s", s.kind, verb, n, len(want), r.err, r.out)
			}
		}
	}
}

func TestTheEnvironmentOverridesTheConfiguration(t *testing.T) {
	low, high := paired(t)
	for _, s := range []*side{low, high} {
		state := filepath.Join(t.TempDir(), "elsewhere")
		s.env = []string{"ECLUSE_STATE=" + state, "ECLUSE_STAET=" + state}
		var findings []struct{ What, Is, Text string }
		s.value(&findings, 1, "doctor")
		found, warned := false, false
		for _, f := range findings {
			found = found || f.What == "state "+state
			warned = warned || f.What == "environment" && strings.Contains(f.Text, "ECLUSE_STAET")
		}
		if !found || !warned {
			t.Errorf("ecluse-%s does not look at ECLUSE_STATE, or passes ECLUSE_STAET in silence: %v", s.kind, findings)
		}
		s.env = []string{"ECLUSE_STATE=relative", "ECLUSE_LOG=loud"}
		r := s.ends(2, `ECLUSE_STATE: state: "relative" is not an absolute path`, "run")
		if !strings.Contains(r.err, `ECLUSE_LOG: log: "loud" is none of`) {
			t.Errorf("not all is told: %s", r.err)
		}
	}
}

func TestVersionSaysWhatItIs(t *testing.T) {
	for kind := range verbs {
		s := newSide(t, kind, t.TempDir())
		s.run("version").check(t, "version", 0, "ecluse-"+kind+" v0-surface\n")
		var v map[string]string
		s.value(&v, 0, "version")
		if v["program"] != "ecluse-"+kind || v["version"] != "v0-surface" {
			t.Errorf("%v", v)
		}
	}
}

func TestCompletionsAreShellThatHolds(t *testing.T) {
	for kind := range verbs {
		s := newSide(t, kind, t.TempDir())
		for _, shell := range []string{"bash", "zsh", "fish"} {
			r := s.run("completion", shell)
			r.check(t, kind+" completion "+shell, 0, "ecluse-"+kind)
			if path, err := exec.LookPath(shell); err == nil {
				c := exec.Command(path, "-n")
				c.Stdin = strings.NewReader(r.out)
				if out, err := c.CombinedOutput(); err != nil {
					t.Errorf("%s -n: %v: %s", shell, err, out)
				}
			}
		}
		r := s.run("__complete", "list", "--state", "")
		r.check(t, "complete list --state", 0, "")
		for _, state := range map[string][]string{"sender": {"waiting", "sending", "sent", "confirmed", "failed"}, "receiver": {"receiving", "quarantined", "approved", "imported",
			"missing", "rejected", "damaged", "abandoned", "refused"}}[kind] {
			if !strings.Contains(r.out, state+"\n") {
				t.Errorf("ecluse-%s list --state does not know %s:\n%s", kind, state, r.out)
			}
		}
	}
}

func TestPlanSaysWhatTheFactsCost(t *testing.T) {
	low, _ := sides(t)
	var plans []map[string]any
	low.value(&plans, 0, "plan")
	if len(plans) != 1 || plans[0]["link"] != "a" || plans[0]["k"].(float64) < 1 || plans[0]["m"].(float64) < 1 || plans[0]["transfer_failure"].(float64) > 1e-9 {
		t.Errorf("%v", plans)
	}
	s := newSide(t, "sender", t.TempDir())
	s.run("plan", "--mtu", "9000", "--rate", "9Gbit", "--loss", "3%", "--burst", "20ms").check(t, "plan of flags", 0, "9.00 Gbit/s")
	s.run("plan", "--loss", "45%", "--burst", "10s").check(t, "plan of what cannot be", 2, "link flags")
}
