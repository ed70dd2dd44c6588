package policy

import (
	"bytes"
	"testing"
	"unicode/utf8"
)

func TestAllLettersThatNobodySeesAndAllCapitalsAreKnown(t *testing.T) {
	var all []byte
	for r := range rune(utf8.MaxRune) {
		all = utf8.AppendRune(all, r)
		if text := string(r); visible(r) < 0 && !marks[text[0]] {
			t.Errorf("%U begins with a byte that is none of the marks", r)
		}
	}
	all = append(all, "\xe2\x80A\xff"...)
	if !bytes.Equal(lowered(nil, all), bytes.ToLower(all)) {
		t.Error("capitals are made small otherwise than by the library")
	}
}
