package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"ecluse/internal/config"
)

// Quote shows a name that came from elsewhere: as it is where it cannot be mistaken for anything else, otherwise in quotes with what cannot be printed escaped.
// Spaces inside are left alone; joiners and variation selectors are what families and flags are written with.
func Quote(s string) string {
	plain := s != "" && utf8.ValidString(s) && s == strings.TrimSpace(s) && !strings.ContainsAny(s[:1], `"'`)
	for _, r := range s {
		plain = plain && (unicode.IsPrint(r) || r == '\u200c' || r == '\u200d' || unicode.Is(unicode.Variation_Selector, r))
	}
	if plain {
		return s
	}
	return strconv.Quote(s)
}

// Clean lets a text of several lines through to a terminal, without what could draw on it.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) || r == '\u200c' || r == '\u200d' || unicode.Is(unicode.Variation_Selector, r) {
			return r
		}
		return '\ufffd'
	}, s)
}

// PrintJSON prints one value, and nothing else.
func PrintJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	return nil
}

// Table prints rows of columns; the first is the head.
func Table(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(t, strings.Join(r, "\t"))
	}
	return t.Flush()
}

// Local shows a time to people: local, with its offset.
func Local(t *time.Time) string {
	if t == nil || t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05 -07:00")
}

// Size shows an amount of bytes, or - where it is not known.
func Size(n *int64) string {
	if n == nil {
		return "-"
	}
	return config.FormatBytes(*n)
}

// Or shows a text, or - where it is not known.
func Or[T ~string](s *T) string {
	if s == nil || *s == "" {
		return "-"
	}
	return Quote(string(*s))
}

// Number shows a number, or - where it is not known.
func Number[T int64 | uint64](n *T) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}

// Since reads a point in time: an age (24h, 7d) or an RFC 3339 time. Nothing stands for the beginning.
func Since(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if age, err := config.ParseDuration(s); err == nil {
		return now.Add(-age.Std()), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if last := time.Unix(0, math.MaxInt64); t.After(last) { // a catalog counts nanoseconds
		t = last
	}
	if err != nil {
		return t, Fail(Usage, "--since %q is neither an age (24h, 7d) nor a time (2026-01-31T08:00:00Z)", s)
	}
	return t, nil
}
