package ledger

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"ecluse/internal/catalog"
	"ecluse/internal/disk"
	"ecluse/internal/usage"
)

const keptFor = 24 * time.Hour

func accountOf(dir string) catalog.Account {
	return Usage(dir, 0, keptFor)
}

func monthOf(t testing.TB, s string) usage.Month {
	t.Helper()
	m, err := usage.ParseMonth(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func figures(t testing.TB, dir, month string, now time.Time) map[string]usage.Figures {
	t.Helper()
	f, err := accountOf(dir).Figures(t.Context(), monthOf(t, month), now)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// timed is a book by a clock that the test sets.
func timed(t *testing.T, dir string, now *time.Time) *book {
	t.Helper()
	b := &book{t: t, disk: &watched{Disk: disk.New()}, dir: dir, ended: make(chan error, 1)}
	l, err := Open(t.Context(), dir, b.disk, func() time.Time { return *now })
	if err != nil {
		t.Fatal(err)
	}
	b.Ledger = l
	b.run()
	return b
}

// sized is accept for a bundle of so many bytes.
func (b *book) sized(n int, bytes int64) {
	b.t.Helper()
	b.accept(n, "t", paired, uint64(n))
	err := b.Change(b.t.Context(), id(n), func(r *Record) error { r.Bytes = &bytes; return nil })
	if err != nil {
		b.t.Fatal(err)
	}
}

// What counts is what was quarantined, in the month in which it was, once, whatever becomes of it; it is stored until its end, and for as long as keep: says then.
func TestWhatATenantUsesIsWhatIsOnRecord(t *testing.T) {
	dir, day := t.TempDir(), 24*time.Hour
	now := time.Date(2027, 12, 30, 0, 0, 0, 0, time.UTC)
	b := timed(t, dir, &now)
	if err := b.Pair(t.Context(), "s", paired); err != nil {
		t.Fatal(err)
	}
	b.sized(1, 4<<40) // imported on the same day
	b.goes(1, Approved, Imported)
	b.sized(2, 1000) // rejected after three days, in the next year
	b.sized(3, 10)   // stays
	b.goes(4, Refused)
	b.goes(5, Receiving)
	now = now.Add(3 * day)
	b.goes(2, Rejected)
	b.sized(6, 1)
	end := time.Date(2028, 3, 1, 0, 0, 0, 0, time.UTC)
	december := map[string]usage.Figures{"t": {Bundles: 3, Files: 9, Bytes: 4<<40 + 1010, ByteDays: 2 * 1010}}
	january := map[string]usage.Figures{"t": {Bundles: 1, Files: 3, Bytes: 1, ByteDays: (1+1)*1000 + 31*10 + 30}}
	leap := map[string]usage.Figures{"t": {ByteDays: 29 * 11}}
	check := func(what string) {
		t.Helper()
		for month, want := range map[string]map[string]usage.Figures{"2027-12": december, "2028-01": january, "2028-02": leap} {
			if got := figures(t, dir, month, end); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %s is %+v, want %+v", what, month, got, want)
			}
		}
	}
	check("as it came")
	if got := figures(t, dir, "2028-01", time.Date(2028, 1, 2, 0, 0, 0, 0, time.UTC)); got["t"].ByteDays != 1010 {
		t.Errorf("after a day of the month %d byte-days", got["t"].ByteDays)
	}
	if n := b.Counted("t"); n != 4*1000 {
		t.Errorf("%d bytes began to count, and their offers said 1000 each", n)
	}
	b.end(false)
	b = timed(t, dir, &now)
	check("made again from the records")
	if b.Counted("t") != 0 {
		t.Error("what counted in an earlier life counts since this start")
	}
	b.end(true)
	if at, ok, err := accountOf(dir).First(t.Context()); err != nil || !ok || !at.Equal(time.Date(2027, 12, 30, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("it began at %v, %v, %v", at, ok, err)
	}
}

func TestAStateWithoutACatalogHasUsedNothing(t *testing.T) {
	if f := figures(t, t.TempDir(), "2026-01", start); len(f) != 0 {
		t.Errorf("%+v", f)
	}
	if _, ok, err := accountOf(t.TempDir()).First(context.Background()); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
}

func TestNothingIsNotedInAMonthThatIsClosed(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC)
	b := timed(t, dir, &now)
	if err := b.Pair(t.Context(), "s", paired); err != nil {
		t.Fatal(err)
	}
	b.CloseUntil(monthOf(t, "2026-10").End())
	now = time.Date(2026, 10, 20, 0, 0, 0, 0, time.UTC) // a clock that was set back
	b.sized(1, 5)
	b.end(true)
	if october, november := figures(t, dir, "2026-10", now), figures(t, dir, "2026-11", now.AddDate(0, 1, 0)); len(october) != 0 || november["t"].Bundles != 1 {
		t.Errorf("October has %+v, November %+v", october, november)
	}
}

// A state of a program that had no account is read, and counts from what it knows, whether the catalog is migrated or made again.
func TestRecordsOfOldCountFromWhatTheyKnow(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	if err := b.Pair(t.Context(), "s", paired); err != nil {
		t.Fatal(err)
	}
	b.sized(1, 1000)
	b.goes(1, Approved, Imported)
	b.sized(2, 50)
	b.goes(3, Refused)
	b.end(true)
	old := func(n int) {
		text, _ := os.ReadFile(RecordPath(dir, id(n)))
		var r map[string]any
		if err := json.NewDecoder(bytes.NewReader(text)).Decode(&r); err != nil {
			t.Fatal(err)
		}
		delete(r, "quarantined")
		delete(r, "ended")
		text, _ = json.Marshal(r)
		if err := os.WriteFile(RecordPath(dir, id(n)), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 3 {
		old(n + 1)
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec(`DROP INDEX bundles_by_quarantine; DROP INDEX bundles_by_end; ALTER TABLE bundles DROP COLUMN quarantined; ALTER TABLE bundles DROP COLUMN ended; ALTER TABLE absent DROP COLUMN told; DROP INDEX bundles_by_begun; ALTER TABLE bundles DROP COLUMN begun; DELETE FROM goose_db_version WHERE version_id >= 3`)
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	want := map[string]usage.Figures{"t": {Bundles: 2, Files: 6, Bytes: 1050, ByteDays: 50 * 28}}
	january := usage.Figures{Bundles: 2, Files: 6, Bytes: 1050}
	for _, how := range []string{"migrated", "made again"} {
		open(t, dir).end(how == "migrated")
		open(t, dir).end(true)
		got := figures(t, dir, "2026-01", start.AddDate(1, 0, 0))["t"]
		got.ByteDays = 0
		if february := figures(t, dir, "2026-02", start.AddDate(1, 0, 0)); got != january || february["t"].ByteDays != want["t"].ByteDays {
			t.Errorf("%s: January %+v, February %+v", how, got, february)
		}
	}
}

// A month is summed up by the rows that it needs, however many there are.
func TestAMonthIsSummedUpByIndexes(t *testing.T) {
	b := fresh(t)
	for name, query := range map[string]string{"counted": countedIn, "stored": storedIn} {
		rows, err := b.catalog.DB().Query(`EXPLAIN QUERY PLAN `+query, []any{1, 2, 3, 4}[:map[string]int{"counted": 2, "stored": 4}[name]]...)
		if err != nil {
			t.Fatal(err)
		}
		searches := 0
		for rows.Next() {
			var a, b, c int
			var what string
			if err := rows.Scan(&a, &b, &c, &what); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(what, "SCAN bundles") {
				t.Errorf("%s: %s", name, what)
			}
			if strings.Contains(what, "SEARCH bundles USING INDEX") {
				searches++
			}
		}
		if err := rows.Close(); err != nil || searches == 0 {
			t.Errorf("%s: %d searches, %v", name, searches, err)
		}
	}
}

// A month of a hundred thousand rows, the last of twelve.
func BenchmarkAMonthOfManyRows(b *testing.B) {
	dir := b.TempDir()
	book := open(b, dir)
	const many = 100_000
	first := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	_, err := book.catalog.DB().Exec(`WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ? - 1)
		INSERT INTO bundles (bundle, tenant, sender, epoch, state, files, bytes, changed, held, quarantined, ended)
		SELECT printf('%026d', i), 't' || (i % 100), 's', 'e', 'imported', 2, 1 << 40, 0, 1, ? + i * 300000000000, ? + i * 300000000000 + 3600000000000 FROM n`, many, first.UnixNano(), first.UnixNano())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if f := figures(b, dir, "2026-12", first.AddDate(1, 0, 0)); f["t1"].Bundles == 0 {
			b.Fatal("nothing is counted")
		}
	}
	book.end(true)
}
