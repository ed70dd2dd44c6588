package audit

import (
	"bytes"
	"testing"
)

func FuzzParse(f *testing.F) {
	e := some(1)
	line, err := e.Line()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(line)
	f.Add([]byte(`{"n":0,"at":"2026-01-31T12:00:00Z","event":"begun"}`))
	f.Add([]byte(`{"n":0,"at":"2026-01-31T12:00:00Z","event":"begun","data":{"a":[1,"\u2028<"]}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := Parse(line)
		if err != nil {
			return
		}
		again, err := e.Line()
		if err != nil || !bytes.Equal(again, line) {
			t.Fatalf("%q is taken, and written as %q, %v", line, again, err)
		}
		if bytes.ContainsRune(line, '\n') {
			t.Fatalf("%q is taken as one line", line)
		}
	})
}
