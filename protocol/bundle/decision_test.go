package bundle

import (
	"bytes"
	"strings"
	"testing"
)

func aDecision() *Decision {
	id, digest, sequence := ID{1}, Digest{2}, uint64(17)
	return &Decision{Verb: VerbApprove, Bundle: &id, Manifest: &digest, Sender: "ctie-low", Tenant: "cssf", Epoch: Epoch{3}, Sequence: &sequence, Reason: "ticket 4711"}
}

// D-1: the exact bytes.
func TestTheTextOfADecision(t *testing.T) {
	want := `{"format":"ecluse-decision-1",
"decision":"approve",
"bundle":"aeaaaaaaaaaaaaaaaaaaaaaaaa",
"manifest":"0200000000000000000000000000000000000000000000000000000000000000",
"sender":"ctie-low",
"tenant":"cssf",
"epoch":"amaaaaaaaaaaaaaaaaaaaaaaaa",
"sequence":17,
"override":null,
"reason":"ticket 4711"}
`
	if got := string(aDecision().Append(nil)); got != want {
		t.Errorf("%s", got)
	}
	d := Decision{Verb: VerbGiveUp, Sender: "a", Tenant: "b", Override: "malware", Reason: "\"\\\nü"}
	if got := string(d.Append(nil)); !strings.Contains(got, `"bundle":null`) || !strings.Contains(got, `"sequence":null`) || !strings.Contains(got, `"override":"malware"`) || !strings.HasSuffix(got, "\"reason\":\"\\\"\\\\\\nü\"}\n") {
		t.Errorf("%s", got)
	}
}

// D-2: both ways, and nothing else: every prefix, every byte changed or taken out, and every known way to say the same otherwise.
func TestADecisionIsReadInItsOneFormAlone(t *testing.T) {
	for _, d := range []*Decision{aDecision(), {Verb: VerbGiveUp, Sender: "a", Tenant: "b", Epoch: Epoch{1}, Override: "malware", Reason: "\"\\\nü"}} {
		text := d.Append(nil)
		back, err := ParseDecision(text)
		if err != nil || !bytes.Equal(back.Append(nil), text) {
			t.Fatalf("%v: %s", err, text)
		}
		for n := range text {
			if _, err := ParseDecision(text[:n]); err == nil {
				t.Errorf("the first %d bytes are taken", n)
			}
			if back, err := ParseDecision(append(bytes.Clone(text[:n]), text[n+1:]...)); err == nil && bytes.Equal(back.Append(nil), text) {
				t.Errorf("without byte %d it is the same decision", n)
			}
		}
	}
	text := string(aDecision().Append(nil))
	for name, other := range map[string]string{
		"another format": strings.Replace(text, "decision-1", "decision-2", 1), "another verb": strings.Replace(text, "approve", "bless", 1), "white space": strings.Replace(text, ":17", ": 17", 1),
		"an unknown key": strings.Replace(text, "{", `{"x":1,`, 1), "a key twice": strings.Replace(text, `"sequence":17,`, "\"sequence\":17,\n\"sequence\":17,", 1), "a float": strings.Replace(text, ":17", ":17.0", 1),
		"an escape": strings.Replace(text, "ticket", `\u0074icket`, 1), "something behind": text + " ", "two": text + text, "a byte order mark": "\ufeff" + text, "other letters": strings.Replace(text, "aeaaa", "AEAAA", 1),
		"no UTF-8": strings.Replace(text, "ticket", "\xff", 1), "too long": strings.Replace(text, "4711", strings.Repeat("x", MaxDecision), 1), "another order": strings.Replace(text, `"sender":"ctie-low",
"tenant":"cssf",`, `"tenant":"cssf",
"sender":"ctie-low",`, 1),
	} {
		_, err := ParseDecision([]byte(other))
		if reason, _ := ReasonOf(err); reason != ReasonDecisionSyntax {
			t.Errorf("%s: %v", name, err)
		}
	}
}
