package vectors_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"ecluse/protocol/bundle"
)

// vector is one row of a file of vectors: something that a peer may send, and what SPEC.md says of it.
type vector struct {
	Name   string          `json:"name"`
	Rule   string          `json:"rule"`
	What   string          `json:"what"`
	Input  json.RawMessage `json:"input"`
	Expect string          `json:"expect"`
	Values json.RawMessage `json:"values"`
	Reason string          `json:"reason"`
	Field  string          `json:"field"` // where the fault is
	Also   []string        `json:"also"`  // further rules that it holds
}

// load reads a family of vectors. It fails when there are none: a test that holds nothing against nothing passes.
func load(t *testing.T, family string) []vector {
	t.Helper()
	text, err := os.ReadFile(family + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		About   string   `json:"about"`
		Vectors []vector `json:"vectors"`
	}
	strictly(t, text, &file)
	if len(file.Vectors) == 0 {
		t.Fatalf("%s.json holds no vector", family)
	}
	return file.Vectors
}

// families gives the names of the files of vectors that are here, and fails when there are none.
func families(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob("*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no file of vectors", err)
	}
	for _, file := range files {
		names = append(names, strings.TrimSuffix(file, ".json"))
	}
	return names
}

// strictly decodes JSON and fails on a key that nobody reads: it would be a value that nobody holds against anything.
func strictly(t *testing.T, text []byte, into any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatalf("%v in %.200s", err, text)
	}
}

// each runs every vector of a family as a test of its own, with its input decoded.
func each[I any](t *testing.T, family string, run func(t *testing.T, v vector, in I)) {
	t.Helper()
	for _, v := range load(t, family) {
		t.Run(v.Name, func(t *testing.T) {
			var in I
			strictly(t, v.Input, &in)
			run(t, v, in)
			if t.Failed() {
				t.Logf("%s: %s", v.Rule, v.What)
			}
		})
	}
}

// values decodes what a vector says comes out.
func values[V any](t *testing.T, v vector) (out V) {
	t.Helper()
	strictly(t, v.Values, &out)
	return out
}

// judged holds a verdict against the vector's. It is true for what is accepted as it should be: then the values are to be compared.
func judged(t *testing.T, v vector, err error) bool {
	t.Helper()
	reason, is := bundle.ReasonOf(err)
	switch {
	case err != nil && !is:
		t.Errorf("an error that is no refusal: %v", err)
	case v.Expect == "accept" && err != nil:
		t.Errorf("refused: %v", err)
	case v.Expect == "refuse" && err == nil:
		t.Errorf("accepted, should be %s", v.Reason)
	case v.Expect == "refuse" && string(reason) != v.Reason:
		t.Errorf("refused as %v, should be %s", err, v.Reason)
	}
	return v.Expect == "accept" && err == nil
}

// unhex reads hexadecimal digits in which {xx*n} stands for the bytes xx, n times.
func unhex(t *testing.T, text string) (out []byte) {
	t.Helper()
	for text != "" {
		plain, rest, runs := strings.Cut(text, "{")
		b, err := hex.DecodeString(plain)
		if err != nil {
			t.Fatal(err)
		}
		if out = append(out, b...); !runs {
			break
		}
		run, after, closed := strings.Cut(rest, "}")
		unit, times, starred := strings.Cut(run, "*")
		n, err := strconv.Atoi(times)
		if !closed || !starred || err != nil {
			t.Fatalf("no run of bytes: %.40q", rest)
		}
		out = append(out, bytes.Repeat(unhex(t, unit), n)...)
		text = after
	}
	return out
}

// same compares two slices of bytes and shows where they part.
func same(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	t.Errorf("%s: %d bytes, should be %d; they part at byte %d: %x, should be %x", what, len(got), len(want), at,
		got[at:min(at+16, len(got))], want[at:min(at+16, len(want))])
}

func TestRunsOfBytesAreRead(t *testing.T) {
	same(t, "runs", unhex(t, "01{ab*3}02{0c0d*2}"), []byte{1, 0xab, 0xab, 0xab, 2, 12, 13, 12, 13})
}
