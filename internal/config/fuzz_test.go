package config

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// FuzzParse holds that no text ends the program, that faults are lines that name the file, and that a text without a fault means the same each time.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		full, "", "---\n", "links:\n  - name: a\n", "? [a]\n: 3\n", "&a {state: *a}\n", "a: &a [*a]\n", "<<: {state: /x}\n", "state: /x\n---\n", "\xff", "\t", "state: !!binary aGk=\n",
		strings.Repeat("[", 200), strings.Repeat("{a: ", 200), "state: |\n  a\n  b\n", "count: 1\ncount: 2\n", "\"\\u202e\": 1\n", "%YAML 1.1\n---\nstate: /x\n",
		"a: &a [x,x,x]\nb: &b [*a,*a,*a]\nc: [*b,*b,*b]\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := Parse("f", data, houseDefaults())
		if err == nil {
			again, err := Parse("f", data, houseDefaults())
			if err != nil || !reflect.DeepEqual(first, again) {
				t.Errorf("the second time: %v\n%+v\n%+v", err, first, again)
			}
			return
		}
		var faults *Error
		if !errors.As(err, &faults) || len(faults.Faults) == 0 || len(faults.Faults) > maxFaults {
			t.Fatalf("no faults, but %v", err)
		}
		for _, fault := range faults.Faults {
			if fault.Text == "" || fault.Line < 0 || fault.Line > len(data)+1 || len(fault.Path) > len(data)+100 {
				t.Errorf("a fault that leads nowhere: %+v", fault)
			}
		}
		if !reflect.DeepEqual(first, houseDefaults()) {
			t.Errorf("faulty, and not the defaults: %+v", first)
		}
	})
}
