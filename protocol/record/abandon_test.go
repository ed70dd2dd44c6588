package record

import (
	"strings"
	"testing"
)

func TestAnyTextBecomesAReasonThatRule_R3_Takes(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"plain", "it changed: été", "it changed: été"},
		{"empty", "", "?"},
		{"controls", "a\x1b[31m\nb", "a?[31m?b"},
		{"no UTF-8", "a\xffb", "a?b"},
		{"cut between runes", strings.Repeat("é", 200), strings.Repeat("é", 127)},
	} {
		got := AbandonReason(c.text)
		if got != c.want || !printable(got) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
