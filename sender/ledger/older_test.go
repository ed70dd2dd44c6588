package ledger

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"ecluse/protocol/bundle"
)

// A record that has rotted is named, and what is old beside it is purged all the same.
func TestOneUnreadableRecordKeepsNoOtherFromBeingPurged(t *testing.T) {
	dir := t.TempDir()
	b := library(t, dir)
	_, err := b.sign(4) // so that bundle 3 is the end of the chain no longer
	must(t, err)
	b.mu.Lock()
	clear(b.live) // as after a start: what has ended is read from its file
	b.mu.Unlock()
	must(t, os.WriteFile(filepath.Join(dir, "bundles", id(0).String(), claimName), []byte("rotten"), 0o600))
	list, err := b.Older(t.Context(), Sent, start.Add(24*time.Hour))
	if err == nil || !slices.Equal(list, []bundle.ID{id(3)}) {
		t.Errorf("got %v, %v", list, err)
	}
	must(t, b.end(false))
}
