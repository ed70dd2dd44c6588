package bundle

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxDetail  = 300 // bytes of Detail: one line of a log
	maxListed  = 10  // names that a refusal lists
	maxExcerpt = 80  // bytes of a peer's value that are worth quoting
	maxShown   = 120 // bytes of one listed name in Error
)

// Rejection says why something that a peer sent, or an operator dropped, is not taken. It is never fatal to the process.
type Rejection struct {
	Reason Reason
	Rule   string   // of SPEC.md, such as "M-3"
	Detail string   // for a person: printable, at most 300 bytes
	Names  []string // the first ten names it is about, as they are: quote them before showing them
}

// Reject makes a Rejection. What is not printable in the detail is escaped, and what is too long is cut. The reason must be one of Reasons.
func Reject(reason Reason, rule, format string, args ...any) *Rejection {
	if reason.Where() == "" {
		panic("bundle: internal error: no such reason: " + string(reason))
	}
	return &Rejection{Reason: reason, Rule: rule, Detail: printable(fmt.Sprintf(format, args...), maxDetail)}
}

// Error gives reason, rule, detail and the names, quoted and each cut to 120 bytes.
func (r *Rejection) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s): %s", r.Reason, r.Rule, r.Detail)
	separator := ": "
	for _, name := range r.Names {
		b.WriteString(separator + strconv.Quote(shorten(name)))
		separator = ", "
	}
	return b.String()
}

// ReasonOf finds the reason of a Rejection anywhere in a chain of errors.
func ReasonOf(err error) (Reason, bool) {
	var r *Rejection
	if errors.As(err, &r) {
		return r.Reason, true
	}
	return "", false
}

// printable escapes what could draw on a terminal and cuts to limit bytes.
func printable(s string, limit int) string {
	var b strings.Builder
	for i, r := range s {
		if r == utf8.RuneError || !strconv.IsPrint(r) {
			_, size := utf8.DecodeRuneInString(s[i:])
			quoted := strconv.Quote(s[i : i+size])
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteRune(r)
		}
		if b.Len() > limit {
			return cut(b.String(), limit-len("...")) + "..."
		}
	}
	return b.String()
}

// cut gives at most n bytes of s, whole characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// shorten keeps the start and the end of a long name: it is mostly the end that differs.
func shorten(name string) string {
	if len(name) <= maxShown {
		return name
	}
	end := len(name) - maxShown/2
	for end < len(name) && !utf8.RuneStart(name[end]) {
		end++
	}
	return cut(name, maxShown/2-len("...")) + "..." + name[end:]
}

// excerpt gives the beginning of a value for a detail.
func excerpt[T string | []byte](s T) string {
	return cut(string(s[:min(len(s), maxExcerpt+utf8.UTFMax)]), maxExcerpt)
}
