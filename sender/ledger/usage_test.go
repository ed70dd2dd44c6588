package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"ecluse/internal/catalog"
	"ecluse/internal/disk"
	"ecluse/internal/usage"
	"ecluse/protocol/bundle"
)

const sentFor = 7 * 24 * time.Hour

func accountOf(dir string) catalog.Account {
	return Usage(dir, sentFor)
}

func figures(t testing.TB, dir, month string, now time.Time) map[string]usage.Figures {
	t.Helper()
	m, err := usage.ParseMonth(month)
	must(t, err)
	f, err := accountOf(dir).Figures(t.Context(), m, now)
	must(t, err)
	return f
}

// timed is a book by a clock that the test sets.
func timed(t *testing.T, dir string, now *time.Time) *book {
	t.Helper()
	b := &book{t: t, disk: &faulty{Disk: disk.New()}, ended: make(chan error, 1)}
	l, err := Open(context.Background(), dir, b.disk, thisEpoch, func() time.Time { return *now })
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	b.Ledger, b.stop = l, stop
	go func() { b.ended <- b.Run(ctx) }()
	return b
}

// out ends a pass that took so many bytes of a wire of a gigabyte a second.
func (b *book) out(n int, bytes, wire int64, state State) {
	b.t.Helper()
	must(b.t, b.Change(b.t.Context(), id(n), func(r *Record) error {
		now := b.now()
		files := int64(2)
		r.Files, r.Bytes = &files, &bytes
		if r.State == Waiting {
			r.Created = now
		}
		r.Took(b.Countable(now), wire, 8e9)
		r.State, r.Finished = state, &now
		r.PassesDone++
		return nil
	}))
}

// A bundle counts once, when its first passes are out, and each pass and repair counts for the link in the month in which it was out.
func TestWhatATenantUsesIsWhatIsOnRecord(t *testing.T) {
	dir, day := t.TempDir(), 24*time.Hour
	now := time.Date(2027, 12, 30, 0, 0, 0, 0, time.UTC)
	b := timed(t, dir, &now)
	for n := range 4 {
		must(t, b.claim(n))
		b.become(n, Sending)
	}
	set := func(n int, bytes, wire int64, state State) {
		t.Helper()
		must(t, b.Change(t.Context(), id(n), func(r *Record) error { r.Created = now; return nil }))
		b.out(n, bytes, wire, state)
	}
	set(0, 100, 1_500_000_000, Sent)   // sent again in January, and confirmed then
	set(1, 10, 500_000_000, Sending)   // whose second pass is out in January
	set(2, 1<<40, 250_000_000, Failed) // no bundle, and yet it took the link
	set(3, 7, 0, Sent)                 // by a program that counted no wire, stored for keep.sent
	now = now.Add(3 * day)
	b.become(0, Sending)
	b.out(0, 100, 1_000_000_000, Sent)
	b.out(1, 10, 500_000_001, Sent)
	now = now.Add(day)
	b.become(0, Confirmed)
	must(t, b.end(false))
	seconds := func(n usage.LinkTime) *usage.LinkTime { return &n }
	december := map[string]usage.Figures{"default": {Bundles: 2, Files: 4, Bytes: 107, Link: seconds(2_250_000_000), ByteDays: 2 * 117}}
	january := map[string]usage.Figures{"default": {Bundles: 1, Files: 2, Bytes: 10, Link: seconds(1_500_000_001), ByteDays: 2*100 + 8*10 + 5*7}}
	for _, how := range []string{"made again from the records", "closed in order"} {
		b = timed(t, dir, &now)
		for month, want := range map[string]map[string]usage.Figures{"2027-12": december, "2028-01": january, "2028-02": {}} {
			if got := figures(t, dir, month, time.Date(2028, 3, 1, 0, 0, 0, 0, time.UTC)); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %s is %+v, want %+v", how, month, got, want)
			}
		}
		must(t, b.end(true))
	}
}

func TestNothingIsNotedInAMonthThatIsClosed(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 10, 20, 0, 0, 0, 0, time.UTC)
	b := timed(t, dir, &now)
	must(t, b.claim(1))
	b.CloseUntil(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC))
	b.become(1, Sending)
	b.out(1, 5, 8, Sent)
	must(t, b.end(true))
	if october, november := figures(t, dir, "2026-10", now), figures(t, dir, "2026-11", now.AddDate(0, 1, 0)); october["default"].Bundles != 0 || *november["default"].Link != 8 || november["default"].Bundles != 1 {
		t.Errorf("October has %+v, November %+v", october, november)
	}
}

// A record that another program wrote counts from its end, and what passes took goes with the row.
func TestRecordsOfOldCountFromTheirEnd(t *testing.T) {
	dir := t.TempDir()
	b := library(t, dir)
	must(t, b.end(false))
	b = open(t, dir)
	must(t, b.end(true))
	before := figures(t, dir, "2026-01", start.AddDate(1, 0, 0))
	paths, err := filepath.Glob(filepath.Join(dir, "bundles", "*", claimName))
	must(t, err)
	for _, p := range paths {
		text, err := os.ReadFile(p)
		must(t, err)
		must(t, os.WriteFile(p, withoutKeys(t, text, "counted", "cleared", "link"), 0o600))
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "catalog.db"))
	must(t, err)
	_, err = db.Exec(`DROP TABLE link; DROP INDEX bundles_by_counted; ALTER TABLE bundles DROP COLUMN counted; ALTER TABLE bundles DROP COLUMN cleared; DELETE FROM goose_db_version WHERE version_id = 2`)
	must(t, errors.Join(err, db.Close()))
	for _, how := range []string{"migrated", "made again"} {
		must(t, open(t, dir).end(how == "migrated"))
		must(t, open(t, dir).end(true))
		february := figures(t, dir, "2026-02", start.AddDate(1, 0, 0)) // when they ended, by library
		if february["default"].Bundles != 3 || before["default"].Bundles != 3 {
			t.Errorf("%s: %+v, and before %+v", how, february, before)
		}
	}
}

func TestWhatPassesTookGoesWithTheRow(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 10, 20, 0, 0, 0, 0, time.UTC)
	b := timed(t, dir, &now)
	for n := range 2 { // the second is the end of no chain either
		must(t, b.claim(n))
		b.become(n, Sending)
		b.out(n, 5, 8, Sent)
	}
	must(t, b.Purge(t.Context(), nil))
	must(t, b.ask(t.Context(), &request{purge: ids(0), done: make(chan error, 1)}))
	var n int
	must(t, b.catalog.DB().QueryRow(`SELECT count(*) FROM link`).Scan(&n))
	if n != 1 {
		t.Errorf("%d rows of two are left", n)
	}
	must(t, b.end(true))
}

func ids(n int) []bundle.ID { return []bundle.ID{id(n)} }

// withoutKeys takes keys off a JSON object.
func withoutKeys(t *testing.T, text []byte, keys ...string) []byte {
	t.Helper()
	var r map[string]any
	must(t, json.Unmarshal(text, &r))
	for _, k := range keys {
		delete(r, k)
	}
	text, err := json.Marshal(r)
	must(t, err)
	return text
}

// A month is summed up by the rows that it needs, however many there are.
func TestAMonthIsSummedUpByIndexes(t *testing.T) {
	b := open(t, t.TempDir())
	for query, args := range map[string][]any{countedIn: {1, 2}, linkIn: {"2026-01"}, storedIn: {1, 2, 3}} {
		rows, err := b.catalog.DB().Query(`EXPLAIN QUERY PLAN `+query, args...)
		must(t, err)
		searches := 0
		for rows.Next() {
			var a, b, c int
			var what string
			must(t, rows.Scan(&a, &b, &c, &what))
			if strings.Contains(what, "SCAN bundles") || strings.Contains(what, "SCAN link") {
				t.Errorf("%s: %s", query, what)
			}
			if strings.Contains(what, "SEARCH ") {
				searches++
			}
		}
		must(t, rows.Close())
		if searches == 0 {
			t.Errorf("%s: it searches nothing", query)
		}
	}
	must(t, b.end(true))
}
