package bundle

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestIDsHaveOneText(t *testing.T) {
	id := ID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	if id.String() != testID || Epoch(id).String() != testID {
		t.Errorf("I-1: %s, want %s", id, testID)
	}
	got, err := ParseID(testID)
	epoch, errEpoch := ParseEpoch(testID)
	if got != id || err != nil || epoch != Epoch(id) || errEpoch != nil || got.IsZero() {
		t.Errorf("I-1: parsed %v, %v and %v, %v", got, err, epoch, errEpoch)
	}
	for name, text := range map[string]string{
		"I-1/empty": "", "I-1/short": testID[:25], "I-1/long": testID + "a", "I-1/upper case": strings.ToUpper(testID),
		"I-1/one upper": "A" + testID[1:], "I-1/digit 1": "1" + testID[1:], "I-1/digit 0": "0" + testID[1:], "I-1/digit 8": "8" + testID[1:],
		"I-1/padding": testID[:25] + "=", "I-1/line feed inside": testID[:10] + "\n" + testID[11:], "I-1/carriage return": testID[:25] + "\r",
		"I-1/low bit set": testID[:25] + "b", "I-1/high bit set": testID[:25] + "c", "I-1/both bits set": testID[:25] + "d",
		"I-1/all zero": strings.Repeat("a", 26), "I-1/space": " " + testID[1:], "I-1/NUL": "\x00" + testID[1:],
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := ParseID(text); ruleOf(err) != "manifest-field I-1" || !got.IsZero() {
				t.Errorf("ParseID(%q) = %v, %v", text, got, err)
			}
			if got, err := ParseEpoch(text); ruleOf(err) != "manifest-field I-1" || !got.IsZero() {
				t.Errorf("ParseEpoch(%q) = %v, %v", text, got, err)
			}
		})
	}
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "0": true, "cssf": true, "ctie-low": true, "a.b_c-d": true, "a..b": true, "9-": true, "a_": true, strings.Repeat("a", 64): true, "con": true,
		"": false, ".": false, "..": false, ".a": false, "-a": false, "_a": false, "a.": false, "A": false, "aB": false, "a b": false, "a/b": false,
		`a\b`: false, "é": false, "a\x00": false, "a\n": false, "a:b": false, "a@b": false, strings.Repeat("a", 65): false, "\xff": false, "ａ": false,
	} {
		t.Run("I-2/"+name, func(t *testing.T) {
			got, err := ParseName(name)
			if ok && (err != nil || got.String() != name) {
				t.Errorf("ParseName(%q) = %q, %v", name, got, err)
			}
			if !ok && (ruleOf(err) != "manifest-field I-2" || got != "") {
				t.Errorf("ParseName(%q) = %q, %v, want a refusal", name, got, err)
			}
		})
	}
}

func TestDigestsAndMarks(t *testing.T) {
	text := "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1dfeff"
	d, err := ParseDigest(text)
	if err != nil || d.String() != text || d[0] != 0 || d[1] != 1 || d[31] != 0xff || d.IsZero() {
		t.Errorf("I-3: %v, %v", d, err)
	}
	m, err := ParseMark("00000000deadbeef")
	if err != nil || m != 0xdeadbeef || m.String() != "00000000deadbeef" {
		t.Errorf("I-4: %v, %v", m, err)
	}
	for name, text := range map[string]string{"empty": "", "short": text[:63], "odd": text[:61], "long": text + "0", "upper case": text[:62] + "FF",
		"letter g": text[:63] + "g", "space": " " + text[1:], "slash": "/" + text[1:], "colon": ":" + text[1:], "backtick": "`" + text[1:], "two bytes": "é" + text[2:]} {
		t.Run("I-3/"+name, func(t *testing.T) {
			if d, err := ParseDigest(text); ruleOf(err) != "manifest-field I-3" || !d.IsZero() {
				t.Errorf("ParseDigest(%q) = %v, %v", text, d, err)
			}
		})
		mark := text[max(0, len(text)-17):] // the tail keeps the fault, or the length
		t.Run("I-4/"+name, func(t *testing.T) {
			if m, err := ParseMark(mark); ruleOf(err) != "manifest-field I-4" || m != 0 {
				t.Errorf("ParseMark(%q) = %v, %v", mark, m, err)
			}
		})
	}
}

func TestValuesGoThroughJSON(t *testing.T) {
	type all struct {
		ID     ID
		Epoch  Epoch
		Digest Digest
		Name   Name
	}
	in := all{ID{1}, Epoch{2}, Digest{3}, "n"}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out all
	if err := json.Unmarshal(text, &out); err != nil || out != in {
		t.Errorf("%s gives %+v, %v", text, out, err)
	}
	if text, err := json.Marshal(all{Epoch: in.Epoch}); err == nil {
		t.Errorf("I-1: the zero id is written as %s", text)
	}
	if text, err := json.Marshal(all{ID: in.ID}); err == nil {
		t.Errorf("I-1: the zero epoch is written as %s", text)
	}
	for _, bad := range []string{`{"ID":""}`, `{"Epoch":"x"}`, `{"Digest":"00"}`, `{"ID":"aaaaaaaaaaaaaaaaaaaaaaaaaa"}`} {
		if json.Unmarshal([]byte(bad), &out) == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

func TestClassesAndPoliciesHaveOneWordEach(t *testing.T) {
	for c, word := range map[Class]string{Urgent: "urgent", Normal: "normal", Bulk: "bulk"} {
		if got, err := ParseClass(word); got != c || err != nil || c.String() != word {
			t.Errorf("class %q: %v, %v", word, got, err)
		}
	}
	for p, word := range map[NamePolicy]string{Linux: "linux", Portable: "portable"} {
		if got, err := ParseNamePolicy(word); got != p || err != nil || p.String() != word {
			t.Errorf("policy %q: %v, %v", word, got, err)
		}
	}
	for _, word := range []string{"", "Urgent", "class(0)", "Linux", "bulk "} {
		if c, err := ParseClass(word); err == nil {
			t.Errorf("%q is class %v", word, c)
		}
		if p, err := ParseNamePolicy(word); err == nil {
			t.Errorf("%q is policy %v", word, p)
		}
	}
	if Class(0).String() != "class(0)" || Urgent != 1 || Bulk != 3 {
		t.Error("the classes have other numbers than an offer's")
	}
}
