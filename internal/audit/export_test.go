package audit

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// long makes a log of several files, an entry of some KB each hour, and of which the last are not signed.
func long(t *testing.T, dir string) (l *Log, now time.Time, all int) {
	t.Helper()
	now = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	o := options(dir)
	o.Now = func() time.Time { return now }
	l, err := Open(o)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	const entries = 70 * 24
	for range entries {
		now = now.Add(time.Hour)
		e := some(1)
		e.Text = strings.Repeat("x", 10_000)
		must(t, l.Append(e))
	}
	must(t, l.Settle())
	must(t, l.Append(some(2), some(3)))
	return l, now, entries + 1
}

func TestAnExportHoldsByItselfAndHasNoMoreThanIsSigned(t *testing.T) {
	dir, to := t.TempDir(), filepath.Join(t.TempDir(), "deep", "copy")
	l, _, all := long(t, dir)
	c, err := reader(dir).Export(to)
	must(t, err)
	if firsts, _ := segments(l.o.Disk, to); len(firsts) < 3 {
		t.Fatalf("%v: this test wants several files", firsts)
	}
	r, err := Verify(reader(to), []byte(l.Checkpoint().Text), l.Public(), nil)
	must(t, err)
	if len(r.Faults)+len(r.Notes) > 0 || r.OwnKey || r.Entries != uint64(all) || c.Size != r.Entries || r.Signed != r.Entries {
		t.Errorf("%+v", r)
	}
	for kept, want := range map[string]bool{"": true, l.Checkpoint().Text: false} {
		var checkpoint []byte
		if kept != "" {
			checkpoint = []byte(kept)
		}
		if r, err := Verify(reader(to), checkpoint, "", nil); err != nil || len(r.Faults) > 0 || r.OwnKey != want {
			t.Errorf("by its own key, with the checkpoint %q: %+v, %v", kept, r, err)
		}
	}
	if _, err := reader(to).Prove(700, nil, l.Public()); err != nil {
		t.Error(err)
	}
	private := bytes.TrimSpace(read(t, dir, keyName))
	must(t, filepath.Walk(to, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() && bytes.Contains(read(t, path), private) {
			t.Errorf("the private key is in %s", path)
		}
		return err
	}))
	if _, err := reader(dir).Export(to); !errors.Is(err, ErrTaken) {
		t.Errorf("where something is already: %v", err)
	}
	if _, err := reader(t.TempDir()).Export(filepath.Join(t.TempDir(), "x")); !errors.Is(err, ErrNone) {
		t.Errorf("where there is no log: %v", err)
	}
	must(t, os.Remove(segmentPath(to, 0))) // and nothing takes this for old entries that were let go
	if f := faults(t, to); len(f) == 0 {
		t.Error("a file of an export is gone, and it holds")
	}
}

func TestTheGrowthIsThatOfTheLastThirtyDays(t *testing.T) {
	dir := t.TempDir()
	l, now, _ := long(t, dir)
	g, err := reader(dir).Growth(now, 1<<30)
	must(t, err)
	if want := 24 * 10_500.0; g.PerDay == nil || *g.PerDay < 0.95*want || *g.PerDay > 1.05*want {
		t.Errorf("%v, not %.0f a day", &g, want)
	}
	if g.Bytes < 16<<20 || g.Bytes > 18<<20 || *g.Lasts < 4000 || *g.Lasts > 4500 {
		t.Errorf("%v", &g)
	}
	// Then nothing comes for 29 days, and then one entry: all but the last day of what was before counts no more.
	o := l.o
	must(t, l.Close())
	o.Now = func() time.Time { return now.Add(29 * 24 * time.Hour) }
	l, err = Open(o)
	must(t, err)
	defer l.Close()
	must(t, l.Append(some(1)))
	g, err = reader(dir).Growth(o.Now(), 1000)
	must(t, err)
	if g.PerDay == nil || *g.PerDay < 5000 || *g.PerDay > 10_500 || *g.Lasts > 1 {
		t.Errorf("of a month with one busy day: %v", &g)
	}
	if g, err = reader(dir).Growth(o.Now(), -1000); err != nil || *g.Lasts != 0 || !strings.Contains(g.String(), "0 days") {
		t.Errorf("of a disk that is full: %v %v", &g, err)
	}
}

func TestAYoungLogHasNoGrowthYet(t *testing.T) {
	dir := t.TempDir()
	l := written(t, dir, 10)
	g, err := reader(dir).Growth(l.o.Now(), 1<<30)
	must(t, err)
	if g.PerDay != nil || g.Lasts != nil || g.Bytes == 0 {
		t.Errorf("%+v", g)
	}
	if _, err := reader(t.TempDir()).Growth(time.Now(), 1); err == nil {
		t.Error("there is no log")
	}
}
