package config

import (
	"strings"
	"testing"
)

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
