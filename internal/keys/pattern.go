package keys

import "strings"

// maxPattern is the longest pattern in a list that ssh-keygen takes; with a longer one the whole list matches nothing.
const maxPattern = 1022

// matchList tells whether a text matches a list of patterns as ssh-keygen has it (ssh_config(5), PATTERNS): one must match, and none that
// begins with '!'.
func matchList(text, list string) bool {
	positive := false
	for more := list != ""; more; {
		var pattern string
		pattern, list, more = strings.Cut(list, ",")
		more = more && list != "" // ssh-keygen sees no empty pattern behind the last comma
		pattern, negated := strings.CutPrefix(pattern, "!")
		if len(pattern) > maxPattern {
			return false
		}
		if match(text, pattern) {
			if negated {
				return false
			}
			positive = true
		}
	}
	return positive
}

// match knows '*' for any bytes and '?' for one. It goes back to the last star alone, so its time is the product of the lengths at most.
func match(text, pattern string) bool {
	star, mark := -1, 0
	t, p := 0, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			t, p = t+1, p+1
		case star >= 0:
			mark++
			t, p = mark, star+1
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
