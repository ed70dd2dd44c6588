package outbox

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ecluse/internal/disk"
	"ecluse/internal/disk/diskfault"
)

// What failed is never without its reason, also when the power goes before anybody has synced the outbox.
func TestAPowerCutLeavesNothingInFailedWithoutItsReason(t *testing.T) {
	there := 0
	for seed := range uint64(200) {
		dir := filepath.Join(t.TempDir(), "outbox")
		must(t, os.Mkdir(dir, 0o700))
		m, err := diskfault.New(filepath.Dir(dir))
		must(t, err)
		b, err := Open(Options{Disk: disk.Watched(m.Begin()), Dir: dir, Tenant: "cssf"})
		must(t, err)
		must(t, b.o.Disk.SyncAll(dir))
		must(t, os.WriteFile(filepath.Join(dir, "item"), []byte("content"), 0o600))
		item, err := b.Claim(Candidate{Name: "item"}, id(1))
		must(t, err)
		must(t, b.Failed(item, "because"))
		must(t, m.Crash(rand.New(rand.NewPCG(seed, 1)), diskfault.Ordered+diskfault.Loss(seed%2)))
		failed := filepath.Join(dir, houseName, failedName, id(1).String())
		if exists(filepath.Join(failed, "item")) {
			there++
			if text, err := os.ReadFile(filepath.Join(failed, reasonFile)); err != nil && !errors.Is(err, fs.ErrNotExist) || !strings.Contains(string(text), "because") {
				t.Errorf("seed %d: the reason is %q, %v", seed, text, err)
			}
		}
		must(t, m.Close())
	}
	if there < 20 {
		t.Errorf("it had been put away %d times only", there)
	}
}
