package deliver

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
)

// small makes n quarantined bundles of one file each, below dir. names gives the item's name.
func small(t testing.TB, dir string, n int, names func(int) string) []Job {
	jobs := make([]Job, n)
	for i := range jobs {
		jobs[i] = makeQuarantined(t, filepath.Join(dir, "q", fmt.Sprint(i)), []entry{{names(i), 0o600, 1_000_000_000, fmt.Sprintf("content of %d", i)}})
		jobs[i].ID = bundle.ID{byte(i), byte(i >> 8), 1}
		jobs[i].Sequence = uint64(i + 1)
	}
	return jobs
}

// TestABatchDecidesEachForItself has among many that are well one of each that is not, and names that are equal.
func TestABatchDecidesEachForItself(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprintf("keep %v", keep), func(t *testing.T) {
			dir := scratch(t)
			to := filepath.Join(dir, "to")
			must(t, os.Mkdir(to, 0o755))
			jobs := small(t, dir, 8, func(i int) string { return []string{"a", "b", "a", "bad", "bad", "rejected", "a", "c"}[i] })
			must(t, os.WriteFile(filepath.Join(jobs[3].Dir, "files", "bad"), []byte("forged"), 0o600))
			calls := 0
			results := Batch(t.Context(), disk.New(), jobs, Options{Directory: to, FileMode: DefaultFileMode, DirMode: DefaultDirMode, Keep: keep}, func(all []Intent) []error {
				calls++
				errs := make([]error, len(all))
				for i := range all {
					if all[i].Final == "rejected" {
						errs[i] = ErrNotNoted
					}
				}
				return errs
			})
			if calls != 1 {
				t.Errorf("%d calls for intents", calls)
			}
			for i, want := range []string{"a", "b", "a~3", "", "bad", "", "a~7", "c"} {
				if r := results[i]; r.Final != want || (want == "") != (r.Err != nil) {
					t.Errorf("%d: %+v, want %q", i, r, want)
				}
				if want == "" {
					continue
				}
				text, err := os.ReadFile(filepath.Join(to, want))
				if string(text) != fmt.Sprintf("content of %d", i) {
					t.Errorf("%s holds %q, %v", want, text, err)
				}
			}
			reasonIs(t, results[3].Err, bundle.ReasonContentMismatch)
			if names := top(t, to); len(names) != 6 {
				t.Errorf("the destination holds %v", names)
			}
		})
	}
}

// TestABatchInOrder: where each replaces the one before, the last one stands.
func TestABatchInOrder(t *testing.T) {
	dir := scratch(t)
	to := filepath.Join(dir, "to")
	must(t, os.Mkdir(to, 0o755))
	jobs := small(t, dir, 5, func(int) string { return "a" })
	for i, r := range Batch(t.Context(), disk.New(), jobs, Options{Directory: to, FileMode: DefaultFileMode, DirMode: DefaultDirMode, Clash: Replace}, func([]Intent) []error { return nil }) {
		if r.Err != nil || r.Final != "a" {
			t.Errorf("%d: %+v", i, r)
		}
	}
	if text, err := os.ReadFile(filepath.Join(to, "a")); string(text) != "content of 4" || len(top(t, to)) != 1 {
		t.Errorf("it holds %q, %v", text, err)
	}
}

// BenchmarkSmallBundles delivers bundles of one small file in batches of 256, and one by one, on the file system of the temporary directory.
func BenchmarkSmallBundles(b *testing.B) {
	for _, row := range []struct {
		name string
		keep bool
		size int
	}{{"moved", false, 256}, {"copied", true, 256}, {"moved one by one", false, 1}} {
		b.Run(row.name, func(b *testing.B) {
			bundles := 0
			for b.Loop() {
				b.StopTimer()
				dir := b.TempDir()
				to := filepath.Join(dir, "to")
				must(b, os.Mkdir(to, 0o755))
				jobs := small(b, dir, row.size, func(i int) string { return fmt.Sprint(i) })
				d, err := openDestination(disk.New(), to)
				must(b, err)
				must(b, d.dir.Sync())
				d.close()
				b.StartTimer()
				for _, r := range Batch(b.Context(), disk.New(), jobs, Options{Directory: to, FileMode: DefaultFileMode, DirMode: DefaultDirMode, Keep: row.keep}, func([]Intent) []error { return nil }) {
					must(b, r.Err)
				}
				bundles += row.size
			}
			b.ReportMetric(float64(bundles)/b.Elapsed().Seconds(), "bundles/s")
		})
	}
}
