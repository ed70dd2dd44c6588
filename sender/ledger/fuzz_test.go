package ledger

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
)

// The catalog is made again from whatever stands in a record file: a record that is read is shown as it is, everything else is named as damage, and no
// text takes more memory than its size allows.
func FuzzRebuild(f *testing.F) {
	of := bundle.ID{7}
	n, at := int64(3), time.Date(2026, 1, 31, 23, 0, 0, 5, time.UTC)
	sequence := uint64(7)
	for _, r := range []Record{
		{Bundle: of, Tenant: "cssf", Epoch: bundle.Epoch{1}, Name: "rapport", State: Waiting, Priority: bundle.Normal, Created: at},
		{Bundle: of, Tenant: "cssf", Epoch: bundle.Epoch{2}, Sequence: &sequence, Name: "rapport", State: Sent, Priority: bundle.Urgent, Files: &n, Bytes: &n, PassesDone: 1, Created: at, Finished: &at},
	} {
		text, err := json.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("{}"))
	real := disk.New()
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		path := filepath.Join(BundleDir(dir, of), claimName)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, text, 0o600)); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, err := ReadRecord(real, dir, of)
		runtime.ReadMemStats(&after)
		if n, most := after.TotalAlloc-before.TotalAlloc, uint64(64<<10+200*len(text)); n > most {
			t.Fatalf("%d bytes of text: %d bytes were allocated, at most %d may be", len(text), n, most)
		}
		if err != nil {
			if r != nil || !strings.Contains(err.Error(), of.String()) {
				t.Fatalf("damage that does not say where: %v", err)
			}
			return
		}
		if r.Bundle != of {
			t.Fatalf("a record of %s under the name of %s", r.Bundle, of)
		}
		l, err := Open(t.Context(), dir, real, bundle.Epoch{1}, time.Now)
		if err != nil {
			if errors.Is(err, ErrFatal) {
				t.Fatalf("%s: %v", text, err)
			}
			return // a record that contradicts its chain is damage too
		}
		got, err := l.Get(of)
		switch {
		case err != nil:
			t.Errorf("%s is read, and after the catalog was made again: %v", text, err)
		case got.Sequence == nil: // a sequence that was never sent is taken back
			got.Sequence = r.Sequence
		}
		if err == nil && !reflect.DeepEqual(got, r) {
			t.Errorf("%s is read as\n%+v, and after the catalog was made again as\n%+v", text, r, got)
		}
		if err := l.Close(true); err != nil {
			t.Error(err)
		}
	})
}
