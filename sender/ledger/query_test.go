package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ecluse/internal/catalog"
	"ecluse/protocol/bundle"
)

func reader(t testing.TB, dir string) *sql.DB {
	t.Helper()
	db, err := catalog.Read(filepath.Join(dir, "catalog.db"))
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// library is a book of six bundles in all states, signed where that is due.
func library(t testing.TB, dir string) *book {
	t.Helper()
	b := open(t, dir)
	for n := range 6 {
		must(t, b.claim(n))
	}
	for n := range 4 {
		_, err := b.sign(n)
		must(t, err)
	}
	b.become(0, Sending, Sent)
	b.become(1, Sending, Sent, Confirmed)
	b.become(2, Sending)
	b.become(3, Sending, Sent)
	b.become(5, Failed)
	return b
}

func numbers(list []Record) (numbers []int) {
	for _, r := range list {
		for n := range 10 {
			if r.Bundle == id(n) {
				numbers = append(numbers, n)
			}
		}
	}
	return numbers
}

func TestListSelects(t *testing.T) {
	dir := t.TempDir()
	b := library(t, dir)
	db := reader(t, dir)
	for name, row := range map[string]struct {
		q    Query
		want []int
	}{
		"everything":         {Query{}, []int{0, 1, 2, 3, 4, 5}},
		"a state":            {Query{State: Sent}, []int{0, 3}},
		"a tenant":           {Query{Tenant: "default"}, []int{0, 1, 2, 3, 4, 5}},
		"another tenant":     {Query{Tenant: "other"}, nil},
		"since":              {Query{Since: start.Add(3 * time.Second)}, []int{3, 4, 5}},
		"the newest":         {Query{Limit: 2}, []int{4, 5}},
		"the newest of some": {Query{State: Sent, Limit: 1}, []int{3}},
		"more than there is": {Query{Limit: 100}, []int{0, 1, 2, 3, 4, 5}},
		"a prefix":           {Query{Prefix: id(2).String()[:6]}, []int{2}},
	} {
		list, err := List(t.Context(), db, row.q)
		must(t, err)
		if got := numbers(list); !slices.Equal(got, row.want) {
			t.Errorf("%s: got %v, want %v", name, got, row.want)
		}
	}
	must(t, b.end(true))
}

func TestPagesOfAListAreTheList(t *testing.T) {
	dir := t.TempDir()
	b := library(t, dir)
	db := reader(t, dir)
	for size := 1; size < 6; size++ {
		var got []Record
		for q := (Query{Limit: size}); ; q.Before = &got[0] {
			rows, err := List(t.Context(), db, q)
			must(t, err)
			if got = append(rows, got...); len(rows) < size {
				break
			}
		}
		if want := []int{0, 1, 2, 3, 4, 5}; !slices.Equal(numbers(got), want) {
			t.Errorf("in pages of %d: %v, want %v", size, numbers(got), want)
		}
	}
	must(t, b.end(true))
}

// TestListShowsWhatTheRecordsSay holds the catalog against the disk.
func TestListShowsWhatTheRecordsSay(t *testing.T) {
	dir := t.TempDir()
	b := library(t, dir)
	list, err := List(t.Context(), reader(t, dir), Query{})
	must(t, err)
	for _, r := range list {
		kept, err := ReadRecord(b.disk, dir, r.Bundle)
		must(t, err)
		kept.Counted, kept.Cleared = nil, nil // the account's
		got, _ := json.Marshal(r)
		want, _ := json.Marshal(kept)
		if string(got) != string(want) {
			t.Errorf("the catalog says %s, the disk %s", got, want)
		}
	}
	if len(list) != 6 {
		t.Errorf("%d bundles", len(list))
	}
	must(t, b.end(true))
}

func TestAnEmptyListIsAList(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	list, err := List(t.Context(), reader(t, dir), Query{})
	must(t, err)
	if text, _ := json.Marshal(list); string(text) != "[]" {
		t.Errorf("got %s", text)
	}
	must(t, b.end(true))
}

func TestEveryKeyIsThereAndUnknownIsNull(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	must(t, b.claim(1))
	list, err := List(t.Context(), reader(t, dir), Query{})
	must(t, err)
	text, err := json.Marshal(list)
	must(t, err)
	want := fmt.Sprintf(`[{"bundle":"%s","tenant":"default","epoch":"%s","sequence":null,"name":"item","state":"waiting","reason":null,"priority":"bulk",`+
		`"files":null,"bytes":null,"sent_bytes":0,"passes_done":0,"created":"2026-01-31T23:00:01Z","finished":null}]`, id(1), thisEpoch)
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	must(t, b.end(true))
}

func TestTimesAreKeptInUTC(t *testing.T) {
	b := open(t, t.TempDir())
	there := time.FixedZone("there", 3*3600)
	must(t, b.Change(t.Context(), id(1), func(r *Record) error {
		*r = Record{Bundle: id(1), Tenant: "default", Epoch: thisEpoch, State: Waiting, Created: start.In(there)}
		return nil
	}))
	r, err := b.Get(id(1))
	must(t, err)
	if text, _ := json.Marshal(r); !strings.Contains(string(text), `"created":"2026-01-31T23:00:00Z"`) || r.Priority != bundle.Normal {
		t.Errorf("got %s", text)
	}
	must(t, b.end(true))
}

func TestFindTakesAUniquePrefix(t *testing.T) {
	dir := t.TempDir()
	b := library(t, dir)
	twin := id(0)
	twin[15] ^= 0xff // differs only in its last characters
	must(t, b.Change(t.Context(), twin, func(r *Record) error {
		*r = Record{Bundle: twin, Tenant: "default", Epoch: thisEpoch, State: Waiting, Created: start}
		return nil
	}))
	db := reader(t, dir)
	for name, row := range map[string]struct {
		text string
		want bundle.ID
		err  error
	}{
		"the whole":              {id(3).String(), id(3), nil},
		"six characters":         {id(3).String()[:6], id(3), nil},
		"five characters":        {id(3).String()[:5], bundle.ID{}, ErrNotFound},
		"none":                   {"", bundle.ID{}, ErrNotFound},
		"upper case":             {strings.ToUpper(id(3).String()[:8]), bundle.ID{}, ErrNotFound},
		"a pattern":              {id(3).String()[:6] + "%", bundle.ID{}, ErrNotFound},
		"an unknown bundle":      {id(77).String(), bundle.ID{}, ErrNotFound},
		"an unknown prefix":      {id(77).String()[:6], bundle.ID{}, ErrNotFound},
		"one too many":           {id(3).String() + "a", bundle.ID{}, ErrNotFound},
		"what two begin with":    {twin.String()[:20], bundle.ID{}, catalog.ErrAmbiguous},
		"the whole, with a twin": {id(0).String(), id(0), nil},
	} {
		got, err := catalog.Find(t.Context(), db, row.text)
		if got != row.want || !errors.Is(err, row.err) {
			t.Errorf("%s: got %s, %v", name, got, err)
		}
	}
	must(t, b.end(true))
}

func TestCounts(t *testing.T) {
	dir := t.TempDir()
	b := library(t, dir)
	got, err := catalog.Counts[State](t.Context(), reader(t, dir))
	must(t, err)
	if want := (map[State]int64{Sent: 2, Confirmed: 1, Sending: 1, Waiting: 1, Failed: 1}); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	must(t, b.end(true))
}

func TestTheCatalogIsMadeAgain(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"missing": func(dir string) error { return removeCatalog(dir) },
		"dirty":   func(string) error { return nil },
		"older": func(dir string) error {
			return os.Rename(filepath.Join(dir, "older"), filepath.Join(dir, "catalog.db"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, open(t, dir).end(true))
			empty, err := os.ReadFile(filepath.Join(dir, "catalog.db")) // it was closed in order, and says so
			must(t, err)
			must(t, os.WriteFile(filepath.Join(dir, "older"), empty, 0o600))
			b := library(t, dir)
			before, err := List(t.Context(), b.catalog.DB(), Query{})
			must(t, err)
			if name == "dirty" {
				_, err = b.catalog.DB().Exec(`DELETE FROM bundles; INSERT INTO bundles (` + columns + `) SELECT 'stray', '', '', 1, '', '', '', '', 1, 1, 1, 1, 1, 1`)
				must(t, err)
			}
			must(t, b.end(name != "dirty"))
			must(t, spoil(dir))
			b = open(t, dir)
			after, err := List(t.Context(), reader(t, dir), Query{})
			must(t, err)
			one, _ := json.Marshal(before)
			two, _ := json.Marshal(after)
			if string(one) != string(two) || len(after) != 6 {
				t.Errorf("before %s\nafter  %s", one, two)
			}
			must(t, b.end(true))
		})
	}
}

func removeCatalog(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "catalog.db*"))
	if err != nil || len(names) == 0 {
		return errors.Join(err, fs.ErrNotExist)
	}
	for _, n := range names {
		err = errors.Join(err, os.Remove(n))
	}
	return err
}

func TestOlderAndPurge(t *testing.T) {
	dir := t.TempDir()
	b := library(t, dir)
	late := start.Add(24 * time.Hour)
	older := func(s State, before time.Time) []int {
		list, err := b.Older(t.Context(), s, before)
		must(t, err)
		var records []Record
		for _, id := range list {
			records = append(records, Record{Bundle: id})
		}
		return numbers(records)
	}
	for name, row := range map[string]struct {
		got, want []int
	}{
		"sent, but the end of the chain": {older(Sent, late), []int{0}},
		"confirmed":                      {older(Confirmed, late), []int{1}},
		"failed":                         {older(Failed, late), []int{5}},
		"before anything ended":          {older(Failed, start), nil},
		"what has not ended":             {older(Sending, late), nil},
	} {
		if !slices.Equal(row.got, row.want) {
			t.Errorf("%s: got %v, want %v", name, row.got, row.want)
		}
	}
	must(t, b.Purge(t.Context(), []bundle.ID{id(0), id(1), id(2), id(3), id(4), id(5), id(99)}))
	must(t, b.Purge(t.Context(), nil))
	for i, want := range []State{"", "", Sending, Sent, Waiting, ""} {
		if got := b.state(i); got != want {
			t.Errorf("bundle %d is %q after the purge, want %q", i, got, want)
		}
	}
	list, err := List(t.Context(), reader(t, dir), Query{})
	must(t, err)
	if got := numbers(list); !slices.Equal(got, []int{2, 3, 4}) {
		t.Errorf("the catalog has %v after the purge", got)
	}
	must(t, b.end(false))
	b = open(t, dir) // the catalog is made again: what was purged stays away, and the chain goes on
	s, err := b.sign(4)
	must(t, err)
	if b.state(0) != "" || s.Sequence != 5 {
		t.Errorf("after a start bundle 0 is %q and the next sequence %d", b.state(0), s.Sequence)
	}
	must(t, b.end(true))
}

// A purge that an error of the medium cuts short, after the record and before the rest, is finished by the next one.
func TestAPurgeThatWasCutShortIsFinished(t *testing.T) {
	dir := t.TempDir()
	b := library(t, dir)
	late := start.Add(24 * time.Hour)
	must(t, os.Remove(filepath.Join(dir, "bundles", id(0).String(), claimName)))
	must(t, b.end(true))
	b = open(t, dir)
	list, err := b.Older(t.Context(), Sent, late)
	must(t, err)
	must(t, b.Purge(t.Context(), list))
	rows, err := List(t.Context(), reader(t, dir), Query{})
	must(t, err)
	if got := numbers(rows); slices.Contains(got, 0) {
		t.Errorf("the catalog has %v after the purge", got)
	}
	if _, err := os.Lstat(filepath.Join(dir, "bundles", id(0).String())); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something of it is still there: %v", err)
	}
	must(t, b.end(true))
}

func TestAChainIsFoundAgainAfterAPurge(t *testing.T) {
	dir := t.TempDir()
	b := library(t, dir)
	head := b.Head("default")
	must(t, b.Purge(t.Context(), []bundle.ID{id(0), id(1), id(3)}))
	must(t, b.end(true))
	tear(t, dir, "chain", "default.json")
	b = open(t, dir)
	if got := b.Head("default"); got != head {
		t.Errorf("got %+v, want %+v", got, head)
	}
	must(t, b.end(true))
}

func TestUnfinishedIsOldestFirst(t *testing.T) {
	b := library(t, t.TempDir())
	list, err := b.Unfinished(context.Background())
	must(t, err)
	var got []Record
	for _, r := range list {
		got = append(got, *r)
	}
	if !slices.Equal(numbers(got), []int{2, 4}) {
		t.Errorf("got %v", numbers(got))
	}
	must(t, b.end(true))
}
