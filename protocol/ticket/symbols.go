package ticket

import (
	"slices"
	"strconv"
	"strings"

	"ecluse/protocol/bundle"
)

// alphabet is Crockford's: no I, L, O and U (T-1). A symbol is a place in it.
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

const (
	groupSize = 6             // symbols of a group
	groupData = groupSize - 1 // of which are content
	minGroups = 6
	maxGroups = 18

	// MaxLength is the most characters of a code as it is printed.
	MaxLength = maxGroups*(groupSize+1) - 1

	// maxTyped is what is looked at of something that was typed: every character of a code with white space around it.
	maxTyped = 1024
)

// symbolOf reads one character, or gives -1.
func symbolOf(c byte) int {
	switch c {
	case 'i', 'I', 'l', 'L':
		return 1
	case 'o', 'O':
		return 0
	}
	if c >= 'a' && c <= 'z' {
		c -= 'a' - 'A'
	}
	return strings.IndexByte(alphabet, c)
}

func separates(c byte) bool { return c == '-' || c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// double multiplies an element of GF(2)[x] modulo x^5 + x^2 + 1 by x.
func double(s byte) byte {
	s <<= 1
	if s&32 != 0 {
		s ^= 32 | 5
	}
	return s
}

// check gives the check of the group of that place, counted from 1 (T-2). Horner's rule from the last symbol makes the weights x, x^2 ... x^5.
func check(place int, data []byte) (sum byte) {
	for _, d := range slices.Backward(data) {
		sum = double(sum ^ d)
	}
	return sum ^ byte(place)
}

// spell writes content, whose symbols are whole groups.
func spell(content []byte) string {
	if len(content)%groupData != 0 || len(content) > maxGroups*groupData {
		panic("ticket: internal error: content that is no whole groups")
	}
	var b strings.Builder
	for at := 0; at < len(content); at += groupData {
		if at > 0 {
			b.WriteByte('-')
		}
		group := content[at : at+groupData]
		for _, s := range group {
			b.WriteByte(alphabet[s])
		}
		b.WriteByte(alphabet[check(at/groupData+1, group)])
	}
	return b.String()
}

// Mistyped is a code whose groups do not hold.
type Mistyped struct {
	*bundle.Rejection
	Groups []int // counted from 1; none where it cannot be told
}

func (m *Mistyped) Unwrap() error { return m.Rejection }

func mistyped(rule string, groups []int, format string, args ...any) error {
	return &Mistyped{bundle.Reject(bundle.ReasonTicketCode, rule, format, args...), groups}
}

// read gives the content of what was typed. Refused, with the groups named: ticket-code (T-1, T-2).
func read(text string) ([]byte, error) {
	if len(text) > maxTyped {
		return nil, mistyped("T-1", nil, "a code has at most %d characters", MaxLength)
	}
	var symbols []byte
	for i := range len(text) {
		if separates(text[i]) {
			continue
		}
		s := symbolOf(text[i])
		if s < 0 {
			group := len(symbols)/groupSize + 1
			return nil, mistyped("T-1", []int{group}, "group %d holds %s, which no code has", group, strconv.QuoteRune([]rune(text[i:])[0]))
		}
		symbols = append(symbols, byte(s))
	}
	data, err := content(symbols)
	if group, have := uneven(text); err != nil && group > 0 && len(symbols)%groupSize != 0 {
		return nil, mistyped("T-2", []int{group}, "group %d has %d characters, and every group has %d", group, have, groupSize)
	}
	return data, err
}

// uneven finds the one group, of those that were typed apart, that has another length than all others: a character was left out or doubled there. 0 is none.
func uneven(text string) (group, have int) {
	pieces := strings.FieldsFunc(text, func(r rune) bool { return r < 0x80 && separates(byte(r)) })
	for i, p := range pieces {
		if len(p) == groupSize {
			continue
		}
		if group > 0 || len(pieces) < minGroups {
			return 0, 0 // typed in pieces of one's own: the checks tell
		}
		group, have = i+1, len(p)
	}
	return group, have
}

// content takes the checks out of symbols, when all hold.
func content(symbols []byte) (data []byte, err error) {
	var wrong []int
	for at := 0; at < len(symbols); at += groupSize {
		group, place := symbols[at:min(at+groupSize, len(symbols))], at/groupSize+1
		if len(group) < groupSize || check(place, group[:groupData]) != group[groupData] {
			wrong = append(wrong, place)
			continue
		}
		data = append(data, group[:groupData]...)
	}
	if over := len(symbols) % groupSize; over != 0 {
		return nil, mistyped("T-2", wrong[:1], "a character is missing or too many in group %d (%s), or before it", wrong[0], shown(symbols, wrong[0]))
	}
	if len(wrong) > 0 {
		names := make([]string, len(wrong))
		for i, n := range wrong {
			names[i] = strconv.Itoa(n) + " (" + shown(symbols, n) + ")"
		}
		if len(wrong) == 1 {
			return nil, mistyped("T-2", wrong, "group %s was mistyped", names[0])
		}
		return nil, mistyped("T-2", wrong, "groups %s were mistyped, or stand in each other's place", strings.Join(names, ", "))
	}
	return data, nil
}

// shown writes a group as it was read.
func shown(symbols []byte, place int) string {
	var b strings.Builder
	for _, s := range symbols[(place-1)*groupSize : min(place*groupSize, len(symbols))] {
		b.WriteByte(alphabet[s])
	}
	return b.String()
}
