package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"ecluse/internal/cli"
)

// Who edits the configuration after it was read and before the daemon follows it is heard at the first look.
func TestAnEditBeforeTheDaemonFollowsIsFollowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "receiver.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(documented)
	c, err := load(path)
	if err != nil {
		t.Fatal(err)
	}
	if read := stampsRead(c); !slices.Equal(read, stampsOf(c)) || read[0] == (cli.Stamp{}) {
		t.Fatalf("nobody has edited it, and %v were read of %v", read, stampsOf(c))
	}
	write(documented + "\n")
	if slices.Equal(stampsRead(c), stampsOf(c)) {
		t.Error("an edit is not seen")
	}
}
