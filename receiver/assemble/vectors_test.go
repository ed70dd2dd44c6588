package assemble

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
)

// vector is one row of a file of protocol/vectors that is held by this room.
type vector[I, V any] struct {
	Name, Rule, What, Field, Expect, Reason string

	Input  I
	Values V
}

// vectors reads a family, and fails where there is none.
func vectors[I, V any](t *testing.T, family string) []vector[I, V] {
	t.Helper()
	text, err := os.ReadFile("../../protocol/vectors/" + family + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		About   string
		Vectors []vector[I, V]
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil || len(file.Vectors) == 0 {
		t.Fatalf("%d vectors: %v", len(file.Vectors), err)
	}
	return file.Vectors
}

// vectorBytes reads hexadecimal digits in which {xx*n} stands for the bytes xx, n times.
func vectorBytes(t *testing.T, text string) (out []byte) {
	t.Helper()
	for text != "" {
		plain, rest, runs := strings.Cut(text, "{")
		b, err := hex.DecodeString(plain)
		if err != nil {
			t.Fatal(err)
		}
		out, text = append(out, b...), ""
		if runs {
			run, after, _ := strings.Cut(rest, "}")
			unit, times, _ := strings.Cut(run, "*")
			n, err := strconv.Atoi(times)
			if err != nil {
				t.Fatal(err)
			}
			out, text = append(out, bytes.Repeat(vectorBytes(t, unit), n)...), after
		}
	}
	return out
}

// R-7 as the second writer understands it.
func TestFramesOfSection7(t *testing.T) {
	type input struct {
		Frame string
		Raw   int
	}
	d := newDecoder()
	for _, v := range vectors[input, struct{ Content string }](t, "frames") {
		t.Run(v.Name, func(t *testing.T) {
			out, err := decode(d, vectorBytes(t, v.Input.Frame), make([]byte, 0, v.Input.Raw))
			if err == nil {
				err = runsFit(&frame{bundle: &incoming{}, raw: uint32(v.Input.Raw)}, out)
			}
			if reason, _ := bundle.ReasonOf(err); string(reason) != v.Reason || (err == nil) != (v.Expect == "accept") {
				t.Errorf("%s: %v, should be %s %s (%s)", v.Rule, err, v.Expect, v.Reason, v.What)
			}
			if err == nil && !bytes.Equal(out, vectorBytes(t, v.Values.Content)) {
				t.Errorf("the content is %x", out)
			}
		})
	}
}

// as the second writer understands them: what records say together.
func TestConflictsOfSection7(t *testing.T) {
	for _, v := range vectors[struct{ Blocks []string }, struct{}](t, "conflicts") {
		t.Run(v.Name, func(t *testing.T) {
			r := newRoom(t, t.TempDir())
			start(t, r)
			for i, b := range v.Input.Blocks {
				reader, err := record.ReadBlock([][]byte{vectorBytes(t, b)}, uint32(i))
				if err != nil {
					t.Fatal(err)
				}
				r.Block(from, reader)
				until(t, func() bool { return r.idle() })
			}
			r.mu2(func() {
				want := map[bundle.Reason]uint64{}
				if v.Expect == "refuse" {
					want[bundle.Reason(v.Reason)] = 1
				}
				for reason, n := range r.counts {
					if n != want[reason] {
						t.Errorf("%s: %s counted %d times (%s)", v.Rule, reason, n, v.What)
					}
				}
				if v.Expect == "refuse" && r.counts[bundle.Reason(v.Reason)] != 1 {
					t.Errorf("%s: counted %v, should be %s once (%s)", v.Rule, r.counts, v.Reason, v.What)
				}
			})
		})
	}
}
