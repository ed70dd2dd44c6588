package config

import (
	"strings"
	"testing"
)

func TestAScalarIsReadAsItWasMeant(t *testing.T) {
	for text, plain := range map[string]bool{
		"/etc/ecluse/low": true, "10.77.0.2:4600": true, "[fd00::2]:4600": false, "null": false, "NULL": false, "~": false, "": false, "no": true, "012": true, "/a b": false, "/a #b": false,
		"/it's": false, "/a: b": false, "/a:": false, "&a": false, "*a": false, "!a": false, "{dir}": false, "/été": false, "/a\tb\n\x1b\u202e\u2028\U0001f600": false, "- a": false, "%a": false,
		"\"a\"": false, "/a\\b": false, "<<": false, "---": false,
	} {
		written := Scalar(text)
		got, err := Parse("f", []byte("state: "+written+"\nlinks:\n  - name: x\n    to: 10.0.0.1:1\n    doors:\n      - path: "+written+"\n"), houseDefaults())
		if text == "" && err != nil { // it is read, and house wants one
			continue
		}
		if err != nil || got.State != text || got.Links[0].Doors[0].Path != text || (written == text) != plain {
			t.Errorf("%q is written %s: %v, %q", text, written, err, got.State)
		}
	}
}

func TestAddEntryChangesNothingElse(t *testing.T) {
	const entry = "name: b\ntenants:\n  - x"
	for _, row := range []struct{ name, text, want string }{
		{"no list", "state: /s\n", "state: /s\n\nlist:\n  - name: b\n    tenants:\n      - x\n"},
		{"no newline at the end", "state: /s", "state: /s\n\nlist:\n  - name: b\n    tenants:\n      - x\n"},
		{"an empty list", "list: []\nstate: /s\n", "list:\n  - name: b\n    tenants:\n      - x\nstate: /s\n"},
		{"a key without a value", "list:\nstate: /s\n", "list:\n  - name: b\n    tenants:\n      - x\nstate: /s\n"},
		{"one before it", "list:\n  - name: a\n    tenants: [y] # why\n# after\nstate: /s\n", "list:\n  - name: a\n    tenants: [y] # why\n  - name: b\n    tenants:\n      - x\n# after\nstate: /s\n"},
		{"not indented", "list:\n- name: a\nstate: /s\n", "list:\n- name: a\n- name: b\n  tenants:\n    - x\nstate: /s\n"},
	} {
		got, err := AddEntry([]byte(row.text), "list", entry)
		if err != nil || string(got) != row.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", row.name, err, got, row.want)
		}
	}
	if _, err := AddEntry([]byte("list: [{name: a}]\n"), "list", entry); err == nil || !strings.Contains(err.Error(), "- name: b") {
		t.Errorf("flow style: %v", err)
	}
}
