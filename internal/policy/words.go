package policy

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// wordsMost is how many findings are said in words: whoever wants all of them tries the item by hand.
const wordsMost = 10

// Words says what was found, one finding a line; more are those beyond the list.
func Words(findings []Finding, more int) string {
	var lines []string
	for i, f := range findings {
		if i == wordsMost {
			more += len(findings) - i
			break
		}
		lines = append(lines, fmt.Sprintf("%s: %s (%s)", plain(Cut(f.Path, 400)), plain(Cut(f.Text, 400)), f.Reason))
	}
	if more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "\n")
}

// plain is a text as it is where nothing in it draws on a terminal, and quoted otherwise: names in archives are whatever somebody has put there.
func plain(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	return strconv.Quote(s)
}
