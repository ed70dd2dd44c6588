// Package catalog opens the SQLite file in which each house keeps what its people ask for: lists, states, sums. Of its tables it knows that one is called bundles.
//
// The catalog is a copy. What it says can be made again from the files beside it, and Dirty says when it has to be: after a crash, or when it is new.
// So it may lose the last moments before a power cut, and nothing else may be built on it. One process writes (the daemon, or a command that holds the
// state's lock), through one connection and in batches; anybody may read.
//
// It refuses a catalog that a newer program wrote, a library older than the one that corrupted write-ahead logs, and a file that is no database.
package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// oldestLibrary is the first SQLite without the write-ahead log reset corruption (fixed in 3.51.3).
const oldestLibrary = "3.51.3"

// ErrNewer is returned for a catalog whose tables are newer than this program.
var ErrNewer = errors.New("the catalog was written by a newer program")

// Catalog is an open catalog.
type Catalog struct {
	db    *sql.DB
	dirty bool

	mu       sync.Mutex
	prepared map[string]*sql.Stmt
}

// Create opens the catalog for writing, makes it if it is not there and brings its tables up to date with migrations (numbered goose .sql files in its root).
func Create(ctx context.Context, path string, migrations fs.FS) (*Catalog, error) {
	db, err := open(path, "rwc")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // the one writer
	c := &Catalog{db: db, prepared: make(map[string]*sql.Stmt)}
	if err := c.prepare(ctx, migrations); err != nil {
		return nil, errors.Join(fmt.Errorf("open catalog %s: %w%s", path, err, hint(err, path)), db.Close())
	}
	return c, nil
}

// hint says what can be done about a catalog that is no database any more.
func hint(err error, path string) string {
	for _, text := range []string{"file is not a database", "malformed"} {
		if strings.Contains(err.Error(), text) {
			return fmt.Sprintf(": it is a copy; move %s, %s-wal and %s-shm away, and it is made again from the files beside it", path, path, path)
		}
	}
	return ""
}

// Read opens the catalog for reading only. It returns fs.ErrNotExist when there is none, or none yet: Create makes the table that is looked for last; and fs.ErrPermission.
func Read(path string) (*sql.DB, error) {
	f, err := os.Open(path) // SQLite would not say what is wrong
	if err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	f.Close()
	db, err := open(path, "ro")
	if err != nil {
		return nil, err
	}
	var n int
	err = db.QueryRow(`SELECT count(*) FROM sqlite_master WHERE name = 'catalog_clean'`).Scan(&n)
	if err == nil && n == 0 {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open catalog %s: %w", path, err), db.Close())
	}
	return db, nil
}

func open(path, mode string) (*sql.DB, error) {
	query := url.Values{
		"mode":    {mode},
		"_txlock": {"immediate"},
		"_pragma": {"busy_timeout(5000)", "foreign_keys(1)"},
	}
	if mode != "ro" {
		// NORMAL in WAL mode keeps the file consistent over a power cut and may lose the newest commits: that is what Dirty is for.
		query["_pragma"] = append(query["_pragma"], "journal_mode(WAL)", "synchronous(NORMAL)")
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+query.Encode())
	if err != nil {
		return nil, fmt.Errorf("open catalog %s: %w", path, err)
	}
	return db, nil
}

// prepare checks the library, migrates, and marks the catalog as being written.
func (c *Catalog) prepare(ctx context.Context, migrations fs.FS) error {
	var version string
	if err := c.db.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version); err != nil {
		return err
	}
	if older(version, oldestLibrary) {
		return fmt.Errorf("SQLite %s is too old: its write-ahead log can lose data, %s is needed", version, oldestLibrary)
	}
	if err := migrate(ctx, c.db, migrations); err != nil {
		return err
	}
	const table = `CREATE TABLE IF NOT EXISTS catalog_clean (one INTEGER PRIMARY KEY CHECK (one = 1), clean INTEGER NOT NULL)`
	if _, err := c.db.ExecContext(ctx, table); err != nil {
		return err
	}
	var clean bool
	err := c.db.QueryRowContext(ctx, "SELECT clean FROM catalog_clean").Scan(&clean)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	c.dirty = !clean
	return c.mark(ctx, false)
}

// migrate brings the tables up to date, and refuses tables from the future.
func migrate(ctx context.Context, db *sql.DB, migrations fs.FS) error {
	p, err := goose.NewProvider(database.DialectSQLite3, db, migrations, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	have, err := p.GetDBVersion(ctx)
	if err != nil {
		return err
	}
	sources := p.ListSources()
	if know := sources[len(sources)-1].Version; have > know {
		return fmt.Errorf("%w (its tables have version %d, this program knows %d): install the newer program, or move the file away to have it made again", ErrNewer, have, know)
	}
	_, err = p.Up(ctx)
	return err
}

func (c *Catalog) mark(ctx context.Context, clean bool) error {
	_, err := c.db.ExecContext(ctx, `INSERT INTO catalog_clean (one, clean) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET clean = excluded.clean`, clean)
	return err
}

// Dirty says that the catalog is new or was not closed in order: its rows have to be made again from the disk.
func (c *Catalog) Dirty() bool { return c.dirty }

// DB is for queries. There is one connection: rows must be closed before the next statement.
func (c *Catalog) DB() *sql.DB { return c.db }

// Prepared gives a statement that stays prepared: reading SQL costs more than most of what is asked here. There is one connection: it is called before Write, whose f makes it one of the
// transaction's by tx.Stmt.
func (c *Catalog) Prepared(ctx context.Context, text string) (*sql.Stmt, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.prepared[text]; s != nil {
		return s, nil
	}
	s, err := c.db.PrepareContext(ctx, text)
	if err != nil {
		return nil, fmt.Errorf("prepare a statement: %w", err)
	}
	c.prepared[text] = s
	return s, nil
}

// Write runs f in one transaction.
func (c *Catalog) Write(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := c.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("write catalog: %w", err)
	}
	if err := f(tx); err != nil {
		return errors.Join(fmt.Errorf("write catalog: %w", err), tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("write catalog: %w", err)
	}
	return nil
}

// Close marks the catalog clean and closes it. It is called when the rows are known to agree with the disk; after an error, use Abort.
func (c *Catalog) Close() error {
	return errors.Join(c.mark(context.Background(), true), c.db.Close())
}

// Abort closes the catalog and leaves it dirty.
func (c *Catalog) Abort() error { return c.db.Close() }

// older says whether version a, of numbers and dots, is before b.
func older(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		m, errM := strconv.Atoi(x[i])
		n, errN := strconv.Atoi(y[i])
		if errM != nil || errN != nil {
			return true
		}
		if m != n {
			return m < n
		}
	}
	return len(x) < len(y)
}
