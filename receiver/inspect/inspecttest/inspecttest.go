// Package inspecttest is what the tests of inspectors share: an item to be looked at, and an answer in short.
package inspecttest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ecluse/receiver/inspect"
)

// Must ends a test at an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Item is a directory of files.
func Item(t testing.TB, files map[string][]byte) inspect.Item {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		at := filepath.Join(dir, "item", name)
		Must(t, os.MkdirAll(filepath.Dir(at), 0o700))
		Must(t, os.WriteFile(at, content, 0o600))
	}
	return inspect.Item{Dir: dir, Name: "item", Files: os.DirFS(dir)}
}

// Says is an answer in short.
func Says(a *inspect.Answer, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	var all []string
	for _, f := range a.Findings {
		all = append(all, fmt.Sprintf("%s %s", f.Reason, f.Path))
	}
	return fmt.Sprintf("%d files: %s", a.Files, strings.Join(all, ", "))
}
