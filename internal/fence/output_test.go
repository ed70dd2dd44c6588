package fence

import (
	"io"
	"testing"
)

func TestOutputKeepsTheBeginningAndTakesAll(t *testing.T) {
	o := &Output{Most: 8}
	if o.Said() != "" || o.Over() {
		t.Errorf("of nothing: %q, %v", o.Said(), o.Over())
	}
	for _, text := range []string{"one\n", "two\n"} {
		if n, err := io.WriteString(o, text); n != len(text) || err != nil {
			t.Errorf("%q: %d, %v", text, n, err)
		}
	}
	if string(o.Bytes()) != "one\ntwo\n" || o.Over() || o.Said() != ": two" {
		t.Errorf("what fits is %q, over %v, said %q", o.Bytes(), o.Over(), o.Said())
	}
	if n, err := io.WriteString(o, "three\n"); n != 6 || err != nil {
		t.Errorf("what does not fit holds the child up: %d, %v", n, err)
	}
	if string(o.Bytes()) != "one\ntwo\n" || !o.Over() {
		t.Errorf("of more than fits %q is kept, over %v", o.Bytes(), o.Over())
	}
}
