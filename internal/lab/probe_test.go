package lab

import (
	"encoding/json"
	"math"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// probeFound is what the receiver's status says of a probe.
type probeFound struct {
	Over    bool     `json:"over"`
	Rate    int64    `json:"rate"`
	Limited bool     `json:"limited"`
	Loss    float64  `json:"loss"`
	Advice  []string `json:"advice"`
	Steps   []struct {
		Rate int64  `json:"rate"`
		Sent uint32 `json:"sent"`
		Lost uint32 `json:"lost"`
	} `json:"steps"`
}

// probe has the sender probe its link, and gives what the receiver found.
func (l *lab) probe(args ...string) (found *probeFound) {
	l.t.Helper()
	l.low.ask("doctor", append([]string{"--probe", "a"}, args...)...)
	l.within(10*time.Second, "the end of the probe", func() bool {
		stdout, _ := l.high.attempt("status", "--json")
		var s struct {
			Links []struct {
				Probe *probeFound `json:"probe"`
			} `json:"links"`
		}
		if json.Unmarshal([]byte(stdout), &s) != nil || len(s.Links) == 0 {
			return false
		}
		found = s.Links[0].Probe
		return found != nil && found.Over
	})
	return found
}

// A probe finds what a link loses at any rate, and the rate from which on it loses more; and what waits meanwhile arrives behind it.
func TestAProbeFindsWhatALinkHolds(t *testing.T) {
	const limit = 120e6 // bits a second
	l := up(t, options{loss: "1", stated: "1%", rate: "50Mbit"})
	output(t, "tc", "-n", l.low.ns, "qdisc", "add", "dev", "diode", "root", "tbf", "rate", "120mbit", "burst", "20kb", "limit", "60kb")
	l.startBoth()
	l.open()
	if found := l.probe("--each", "300ms"); found.Limited || found.Rate > 50e6 || found.Rate < 15e6 || found.Loss < 0.005 || found.Loss > 0.03 {
		t.Errorf("up to the configured rate: %+v", found)
	}
	random(t, filepath.Join(l.work(), "item"), 1, 1<<20)
	l.drop(filepath.Join(l.work(), "item"))
	found := l.probe("--up-to", "250Mbit", "--each", "400ms")
	if !found.Limited || float64(found.Rate) > 1.05*limit || float64(found.Rate) < limit-26e6 {
		t.Errorf("through a link of 120 Mbit/s: %+v", found)
	}
	for _, s := range found.Steps {
		if lost := float64(s.Lost) / float64(s.Sent); float64(s.Rate) < 0.95*limit && (lost < 0.001 || lost > 0.04) {
			t.Errorf("at %d bit/s %.2f %% were lost of a link that loses one", s.Rate, 100*lost)
		}
	}
	advice := strings.Join(found.Advice, " ")
	m := regexp.MustCompile(`^rate: (\d+)Mbit loss: ([0-9.]+)%`).FindStringSubmatch(advice)
	if m == nil {
		t.Fatalf("the advice is %q", advice)
	}
	if rate, _ := strconv.ParseFloat(m[1], 64); math.Abs(rate-float64(found.Rate)/1e6*0.95) > 1 {
		t.Errorf("the advice is %q", advice)
	}
	if text := l.high.ask("status"); !strings.Contains(text, "  rate: "+m[1]+"Mbit\n") {
		t.Errorf("status does not tell it:\n%s", text)
	}
	l.high.reach(20*time.Second, "item", "imported")
	if _, _, code := l.low.try("doctor", "--probe", "b"); code != 3 {
		t.Errorf("a link that is none: exit %d", code)
	}
}
