package policy

import (
	"fmt"
	"strconv"
	"strings"
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
	if q := strconv.Quote(s); q != `"`+s+`"` {
		return q
	}
	return s
}
