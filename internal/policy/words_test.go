package policy

import "testing"

// Findings are read by people, in a text file and on a terminal: they stand as they are, unless something in them could draw there.
func TestWordsAreAsTheyWereFound(t *testing.T) {
	found := []Finding{
		{Path: "a/b.exe", Reason: "policy-name", Text: `its name is like "*.exe", which is denied`},
		{Path: `quo"te\`, Reason: "policy-name", Text: "été"},
		{Path: "a\x1b[2J", Reason: "policy-type", Text: "two\nlines"},
	}
	const want = `a/b.exe: its name is like "*.exe", which is denied (policy-name)
quo"te\: été (policy-name)
"a\x1b[2J": "two\nlines" (policy-type)
and 3 more`
	if got := Words(found, 3); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
