package catalog

import (
	"context"
	"database/sql"
	"encoding"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
)

// Both houses keep a table bundles, which has a column bundle, the text of its name, and a column state. What follows asks no more of it.

// ErrNotFound is returned for a bundle of which nothing is known.
var ErrNotFound = errors.New("no such bundle")

// ErrAmbiguous is returned for a prefix that several bundles share.
var ErrAmbiguous = errors.New("several bundles begin like this")

// leastPrefix is the shortest prefix of a bundle's name that is taken for it.
const leastPrefix = 6

// Find returns the bundle whose text is s, or begins with s where that is unique. It returns ErrNotFound, or ErrAmbiguous.
func Find(ctx context.Context, db *sql.DB, s string) (bundle.ID, error) {
	if len(s) < leastPrefix || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz234567") != "" {
		return bundle.ID{}, fmt.Errorf("%w: %q is neither a bundle nor at least %d characters of one", ErrNotFound, s, leastPrefix)
	}
	found, err := IDs(ctx, db, `SELECT bundle FROM bundles WHERE bundle >= ? AND bundle < ? LIMIT 2`, s, s+"~")
	switch {
	case err != nil:
		return bundle.ID{}, err
	case len(found) == 0:
		return bundle.ID{}, fmt.Errorf("%w: %s", ErrNotFound, s)
	case len(found) > 1:
		return bundle.ID{}, fmt.Errorf("%w: %s", ErrAmbiguous, s)
	}
	return found[0], nil
}

// IDs runs a query for bundles.
func IDs(ctx context.Context, db *sql.DB, query string, args ...any) (list []bundle.ID, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("ask the catalog: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id bundle.ID
		if err := rows.Scan(Text(&id)); err != nil {
			return nil, fmt.Errorf("ask the catalog: %w", err)
		}
		list = append(list, id)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("ask the catalog: %w", err)
	}
	return list, nil
}

// Newest runs a query whose rows stand from the newest on, takes so many, 0 for all, and gives them from the oldest on.
func Newest[T any](ctx context.Context, db *sql.DB, limit int, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	if limit <= 0 {
		limit = -1
	}
	rows, err := db.QueryContext(ctx, query+` LIMIT ?`, append(args, limit)...)
	if err != nil {
		return nil, fmt.Errorf("list bundles: %w", err)
	}
	defer rows.Close()
	list := []T{}
	for rows.Next() {
		r, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("list bundles: %w", err)
		}
		list = append(list, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list bundles: %w", err)
	}
	slices.Reverse(list)
	return list, nil
}

// Counts returns how many bundles are in each state.
func Counts[S ~string](ctx context.Context, db *sql.DB) (map[S]int64, error) {
	rows, err := db.QueryContext(ctx, `SELECT state, count(*) FROM bundles GROUP BY state`)
	if err != nil {
		return nil, fmt.Errorf("count bundles: %w", err)
	}
	defer rows.Close()
	m := make(map[S]int64)
	for rows.Next() {
		var s S
		var n int64
		if err := rows.Scan(&s, &n); err != nil {
			return nil, fmt.Errorf("count bundles: %w", err)
		}
		m[s] = n
	}
	return m, rows.Err()
}

// Migrations are the files of an embedded directory of that name.
func Migrations(embedded fs.FS) fs.FS {
	sub, err := fs.Sub(embedded, "migrations")
	if err != nil {
		panic("catalog: internal error: " + err.Error())
	}
	return sub
}

// Text reads a column that holds the text of an id, an epoch, a digest: what is not one is an error of the row.
func Text(into encoding.TextUnmarshaler) sql.Scanner { return text{into} }

type text struct{ into encoding.TextUnmarshaler }

// Scan implements sql.Scanner.
func (t text) Scan(column any) error {
	s, ok := column.(string)
	if !ok {
		return fmt.Errorf("%T stands there, and no text", column)
	}
	return t.into.UnmarshalText([]byte(s))
}

// NoRoom says that something failed because the disk is full, in the words of the system or of the database: that passes.
func NoRoom(err error) bool {
	return disk.NoRoom(err) || err != nil && strings.Contains(err.Error(), "database or disk is full")
}
