package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// sumsMost is how many sums Sums takes.
const sumsMost = 3

// Sums runs a query whose rows are a tenant and so many sums, and gives each.
func Sums(ctx context.Context, db *sql.DB, each func(tenant string, sums [sumsMost]int64), sums int, query string, args ...any) error {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return outdated(err)
	}
	defer rows.Close()
	for rows.Next() {
		var tenant string
		var n [sumsMost]int64
		if err := rows.Scan([]any{&tenant, &n[0], &n[1], &n[2]}[:1+sums]...); err != nil {
			return fmt.Errorf("ask the catalog: %w", err)
		}
		each(tenant, n)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("ask the catalog: %w", err)
	}
	return nil
}

// First runs a query for one time, in nanoseconds. ok is false where there is none.
func First(ctx context.Context, db *sql.DB, query string) (at time.Time, ok bool, err error) {
	var n *int64
	if err := db.QueryRowContext(ctx, query).Scan(&n); err != nil {
		return at, false, outdated(err)
	}
	if n == nil {
		return at, false, nil
	}
	return time.Unix(0, *n).UTC(), true, nil
}

// outdated says what can be done where a daemon of an older version keeps the catalog: the next start brings its tables up to date.
func outdated(err error) error {
	for _, text := range []string{"no such column", "no such table"} {
		if strings.Contains(err.Error(), text) {
			return fmt.Errorf("ask the catalog: its tables are of an older version: restart the daemon (%w)", err)
		}
	}
	return fmt.Errorf("ask the catalog: %w", err)
}
