package audit

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ecluse/internal/disk"
)

// clock is a clock that goes on by a second each time that it is asked.
func clock() func() time.Time {
	t := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	return func() time.Time { t = t.Add(time.Second); return t }
}

func options(dir string) Options {
	return Options{Dir: dir, Disk: disk.New(), Origin: "ecluse-test", Now: clock()}
}

func open(t testing.TB, dir string) *Log {
	t.Helper()
	l, err := Open(options(dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// must fails a test on an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// some is the i-th of many entries, no two alike.
func some(i int) Entry {
	record := fmt.Sprintf("%x", sha256.Sum256([]byte{byte(i), byte(i >> 8)}))
	data, _ := json.Marshal(map[string]int{"number": i})
	return Entry{Event: "quarantined", Bundle: fmt.Sprintf("bundle%020d", i%50), Tenant: "cssf", Sender: "ctie-low", State: "quarantined", Record: record, Data: data}
}

// written makes a log of n entries, with the one of its beginning, and settles it.
func written(t testing.TB, dir string, n int) *Log {
	t.Helper()
	l := open(t, dir)
	for i := 1; i < n; i++ {
		must(t, l.Append(some(i)))
	}
	must(t, l.Settle())
	return l
}

func reader(dir string) Reader { return Reader{disk.New(), dir} }

// faults verifies a log, and says what does not hold.
func faults(t testing.TB, dir string) []Fault {
	t.Helper()
	r, err := Verify(reader(dir), nil, "", nil)
	if err != nil {
		return []Fault{{Text: err.Error()}}
	}
	return r.Faults
}

func read(t testing.TB, path ...string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	must(t, err)
	return text
}

func write(t testing.TB, text []byte, path ...string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(path...), text, 0o600))
}
