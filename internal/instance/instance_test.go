package instance

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func replace(path string, content []byte) error { return os.WriteFile(path, content, 0o600) }

func TestASecondProcessIsToldWhoHoldsTheState(t *testing.T) {
	dir := t.TempDir()
	first, err := Take(dir, 1, replace)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Take(dir, 1, replace)
	if !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "pid "+strconv.Itoa(os.Getpid())) {
		t.Errorf("the second: %v", err)
	}
	if !Held(dir) {
		t.Error("a state that is held is not seen to be")
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	if Held(dir) || Held(t.TempDir()) {
		t.Error("a state that nobody holds is seen to be held")
	}
	again, err := Take(dir, 1, replace)
	if err != nil {
		t.Fatalf("after the first has gone: %v", err)
	}
	again.Release()
}

func TestAnOlderProgramRefusesANewerState(t *testing.T) {
	dir := t.TempDir()
	for _, row := range []struct {
		content string
		version int
		want    error
		ok      bool
	}{
		{"", 1, nil, true},
		{"1\n", 1, nil, true},
		{"1\n", 2, nil, true},
		{"2\n", 1, ErrNewer, false},
		{"soon\n", 1, nil, false},
	} {
		if row.content != "" {
			if err := os.WriteFile(filepath.Join(dir, "version"), []byte(row.content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		l, err := Take(dir, row.version, replace)
		if (err == nil) != row.ok || row.want != nil && !errors.Is(err, row.want) {
			t.Errorf("form %q for a program of %d: %v", row.content, row.version, err)
		}
		if l != nil {
			l.Release()
			if b, _ := os.ReadFile(filepath.Join(dir, "version")); strings.TrimSpace(string(b)) != strconv.Itoa(row.version) {
				t.Errorf("form %q became %q", row.content, b)
			}
		}
	}
}
