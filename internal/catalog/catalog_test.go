package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"ecluse/internal/usage"
	"ecluse/protocol/bundle"
)

var (
	first = fstest.MapFS{"00001_one.sql": {Data: []byte("-- +goose Up\nCREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT);\n-- +goose Down\nDROP TABLE t;\n")}}
	both  = fstest.MapFS{
		"00001_one.sql": first["00001_one.sql"],
		"00002_two.sql": {Data: []byte("-- +goose Up\nALTER TABLE t ADD COLUMN c TEXT;\n-- +goose Down\nSELECT 1;\n")},
	}
)

func create(t *testing.T, path string, migrations fs.FS) *Catalog {
	t.Helper()
	c, err := Create(context.Background(), path, migrations)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func insert(t *testing.T, c *Catalog, a int) {
	t.Helper()
	err := c.Write(context.Background(), func(tx *sql.Tx) error {
		_, err := tx.Exec("INSERT INTO t (a, b) VALUES (?, 'x')", a)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDirtyUntilClosedInOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	c := create(t, path, first)
	if !c.Dirty() {
		t.Error("a new catalog is not dirty")
	}
	insert(t, c, 1)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = create(t, path, first)
	if c.Dirty() {
		t.Error("dirty after a close in order")
	}
	if err := c.Abort(); err != nil {
		t.Fatal(err)
	}
	c = create(t, path, first)
	if !c.Dirty() {
		t.Error("not dirty after an abort")
	}
	_ = c.Close()
}

func TestMigratesAndRefusesTheFuture(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	_ = create(t, path, first).Close()
	c := create(t, path, both)
	if _, err := c.DB().Exec("INSERT INTO t (a, b, c) VALUES (1, 'x', 'y')"); err != nil {
		t.Error("the second migration did not run:", err)
	}
	_ = c.Close()
	if _, err := Create(context.Background(), path, first); !errors.Is(err, ErrNewer) {
		t.Errorf("an older program on newer tables got %v, want ErrNewer", err)
	}
}

func TestReaderSeesWhatIsCommittedAndCannotWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a ? b#c%20.db") // a path that a careless URL would mangle
	c := create(t, path, first)
	defer c.Close()
	insert(t, c, 7)
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	r, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var a int
	if err := r.QueryRow("SELECT a FROM t").Scan(&a); err != nil || a != 7 {
		t.Errorf("read %d, %v", a, err)
	}
	if _, err := r.Exec("DELETE FROM t"); err == nil {
		t.Error("a reader could delete")
	}
}

func TestReadOfNothing(t *testing.T) {
	if _, err := Read(filepath.Join(t.TempDir(), "none.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}

func TestNotADatabaseIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	if err := os.WriteFile(path, []byte("this is no database, whatever its name says; it is long enough to look at\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(context.Background(), path, first); err == nil || !strings.Contains(err.Error(), "move "+path) {
		t.Errorf("%v, want what can be done about it", err)
	}
}

func TestFailedTransactionLeavesNothing(t *testing.T) {
	c := create(t, filepath.Join(t.TempDir(), "catalog.db"), first)
	defer c.Close()
	boom := errors.New("boom")
	err := c.Write(context.Background(), func(tx *sql.Tx) error {
		if _, err := tx.Exec("INSERT INTO t (a) VALUES (1)"); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatal(err)
	}
	var n int
	if err := c.DB().QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d rows, %v", n, err)
	}
}

func TestOlder(t *testing.T) {
	for _, row := range []struct {
		a, b string
		want bool
	}{
		{"3.51.2", "3.51.3", true}, {"3.51.3", "3.51.3", false}, {"3.52.0", "3.51.3", false},
		{"3.9.10", "3.51.3", true}, {"4.0", "3.51.3", false}, {"x", "3.51.3", true},
	} {
		if got := older(row.a, row.b); got != row.want {
			t.Errorf("older(%s, %s) = %v", row.a, row.b, got)
		}
	}
}

func TestAColumnThatIsNotTheTextOfAValueIsAnError(t *testing.T) {
	c := create(t, filepath.Join(t.TempDir(), "catalog.db"), first)
	defer c.Close()
	var id bundle.ID
	if err := c.DB().QueryRow(`SELECT ?`, bundle.ID{7}.String()).Scan(Text(&id)); err != nil || id != (bundle.ID{7}) {
		t.Errorf("%v, %v", id, err)
	}
	for name, query := range map[string]string{"of another alphabet": `SELECT 'AAAAAAAAAAAAAAAAAAAAAAAAAA'`, "a number": `SELECT 7`, "nothing": `SELECT NULL`} {
		if err := c.DB().QueryRow(query).Scan(Text(&id)); err == nil {
			t.Errorf("%s: taken as %v", name, id)
		}
	}
}

// A statement stays prepared, and works outside a transaction and within one.
func TestPrepared(t *testing.T) {
	c := create(t, filepath.Join(t.TempDir(), "catalog.db"), first)
	defer c.Abort()
	for a := range 3 {
		put, err := c.Prepared(t.Context(), "INSERT INTO t (a, b) VALUES (?, 'x')")
		if err != nil {
			t.Fatal(err)
		}
		err = c.Write(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.Stmt(put).Exec(a)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		ask, err := c.Prepared(t.Context(), "SELECT count(*) FROM t")
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if err := ask.QueryRow().Scan(&n); err != nil || n != a+1 {
			t.Errorf("%d rows, %v", n, err)
		}
	}
	if len(c.prepared) != 2 {
		t.Errorf("%d statements are prepared", len(c.prepared))
	}
	if _, err := c.Prepared(t.Context(), "SELECT nothing FROM nowhere"); err == nil {
		t.Error("what is no statement is prepared")
	}
}

func TestTheNewestAreGivenFromTheOldestOn(t *testing.T) {
	c := create(t, filepath.Join(t.TempDir(), "catalog.db"), first)
	defer c.Abort()
	for a := range 4 {
		insert(t, c, a)
	}
	scan := func(rows *sql.Rows) (a int, err error) { err = rows.Scan(&a); return a, err }
	for limit, want := range map[int]string{0: "[1 2 3]", 2: "[2 3]", 9: "[1 2 3]"} {
		got, err := Newest(t.Context(), c.DB(), limit, scan, `SELECT a FROM t WHERE a > ? ORDER BY a DESC`, 0)
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("of %d: %v, %v, want %s", limit, got, err, want)
		}
	}
	if got, err := Newest(t.Context(), c.DB(), 0, scan, `SELECT a FROM t WHERE a > 7`); err != nil || got == nil || len(got) > 0 {
		t.Errorf("of none: %#v, %v; a list is never null", got, err)
	}
}

func TestSumsOfATenant(t *testing.T) {
	c := create(t, filepath.Join(t.TempDir(), "catalog.db"), first)
	defer c.Abort()
	for a := range 3 {
		insert(t, c, a)
	}
	got := map[string][3]int64{}
	if err := Sums(t.Context(), c.DB(), func(tenant string, n [3]int64) { got[tenant] = n }, 2, `SELECT b, count(*), sum(a) FROM t WHERE a >= ? GROUP BY b`, 1); err != nil || got["x"] != [3]int64{2, 3} {
		t.Errorf("%v, %v", got, err)
	}
	if err := Sums(t.Context(), c.DB(), nil, 1, `SELECT b, sum(c) FROM t`); err == nil || !strings.Contains(err.Error(), "restart the daemon") {
		t.Errorf("a column of a newer version: %v", err)
	}
	if at, ok, err := First(t.Context(), c.DB(), `SELECT max(a) FROM t`); err != nil || !ok || at.UnixNano() != 2 {
		t.Errorf("%v, %v, %v", at, ok, err)
	}
	if _, ok, err := First(t.Context(), c.DB(), `SELECT max(a) FROM t WHERE a > 7`); err != nil || ok {
		t.Errorf("the first of nothing: %v, %v", ok, err)
	}
}

// What usage.KeptSums has SQLite sum up, and what usage.ByteDays makes of it, split bytes at the same bit.
func TestSumsOfWhatIsKeptAreByteDays(t *testing.T) {
	c := create(t, filepath.Join(t.TempDir(), "catalog.db"), first)
	defer c.Abort()
	for _, bytes := range []int64{1, 1<<20 - 1, 1 << 20, 3<<40 + 1<<19 + 7, 1 << 60} {
		got := int64(-1)
		err := Sums(t.Context(), c.DB(), func(_ string, n [3]int64) { got = usage.ByteDays(n[0], n[1]) }, 2,
			`WITH kept AS (SELECT 't' AS tenant, ? AS bytes, 86400 AS since, 4 * 86400 AS until) `+usage.KeptSums, bytes)
		if err != nil || got != 3*bytes {
			t.Errorf("%d bytes for 3 days are %d, %v", bytes, got, err)
		}
	}
}
