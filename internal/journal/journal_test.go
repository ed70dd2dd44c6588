package journal

import (
	"encoding/json"
	"errors"
	"testing"
)

// parse is what every reader of such a file does: a whole JSON value, and nothing behind it.
func parse(file []byte) (string, error) {
	text, _, err := Open(file)
	if err != nil {
		return "", err
	}
	var s struct{ A string }
	err = json.Unmarshal(text, &s)
	return s.A, err
}

var text = []byte(`{"A":"some words, and a number: 1234567"}`)

func TestWhatIsSealedComesBack(t *testing.T) {
	for _, given := range []string{"", "x", "a\nb", string(text), string(text) + "\n"} {
		got, sealed, err := Open(Seal([]byte(given)))
		if want := given; err != nil || !sealed || string(got) != want && string(got)+"\n" != want {
			t.Errorf("%q came back as %q, sealed %v, %v", given, got, sealed, err)
		}
	}
	if s, err := parse(text); err != nil || s == "" {
		t.Errorf("a file without a seal: %q, %v", s, err)
	}
}

func TestNoFlippedBitAndNoCutIsTakenForWhatWasWritten(t *testing.T) {
	file := Seal(text)
	want, err := parse(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range file {
		for bit := range 8 {
			file[i] ^= 1 << bit
			if got, err := parse(file); err == nil && got != want {
				t.Errorf("bit %d of byte %d flipped: %q", bit, i, got)
			} else if err == nil {
				t.Errorf("bit %d of byte %d flipped: nobody sees it", bit, i)
			}
			file[i] ^= 1 << bit
		}
	}
	for n := range len(file) {
		if got, err := parse(file[:n]); err == nil && got != want {
			t.Errorf("cut to %d bytes: %q", n, got)
		}
	}
}

func TestADamagedSealIsNamed(t *testing.T) {
	file := Seal(text)
	file[3] ^= 1
	if _, _, err := Open(file); !errors.Is(err, ErrDamaged) {
		t.Errorf("%v, want that the checksum does not hold", err)
	}
}
