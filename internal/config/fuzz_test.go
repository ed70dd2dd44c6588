package config

import (
	"errors"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// allocated gives the bytes that f allocates. What the run of the tests allocates beside it comes and goes, so it is the least of three times.
func allocated(f func()) uint64 {
	least := ^uint64(0)
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

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
		var first house
		var err error
		if n, most := allocated(func() { first, err = Parse("f", data, houseDefaults()) }), uint64(1<<20+2000*len(data)); n > most {
			t.Fatalf("%d bytes of text: %d bytes were allocated, at most %d may be", len(data), n, most)
		}
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
