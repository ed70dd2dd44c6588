package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"ecluse/internal/usage"
)

// Path is where a state's catalog stands.
func Path(state string) string { return filepath.Join(state, "catalog.db") }

// Account are the rows that the account of a house is made of, by queries of its own. It is what package meter asks for.
type Account struct {
	Path    string
	Oldest  string // the time of the oldest thing that counts, in nanoseconds
	Counted string // bundles, files and bytes of each tenant, from a beginning to an end in nanoseconds
	Stored  string // of usage.KeptSums, from a beginning to an end in seconds, and by Keep
	Keep    []time.Duration
	// Beside adds what this house counts besides; may be nil.
	Beside func(ctx context.Context, db *sql.DB, m usage.Month, all map[string]usage.Figures) error
}

// First is the time of the oldest thing that counts; ok is false where there is none.
func (a Account) First(ctx context.Context) (at time.Time, ok bool, err error) {
	err = a.read(func(db *sql.DB) (err error) {
		at, ok, err = First(ctx, db, a.Oldest)
		return err
	})
	return at, ok, err
}

func (a Account) read(do func(*sql.DB) error) error {
	db, err := Read(a.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing is on record yet
	}
	if err != nil {
		return err
	}
	defer db.Close()
	return do(db)
}

// Figures are what each tenant has used in a month, as far as now.
func (a Account) Figures(ctx context.Context, m usage.Month, now time.Time) (map[string]usage.Figures, error) {
	all := make(map[string]usage.Figures)
	err := a.read(func(db *sql.DB) error {
		err := Sums(ctx, db, func(tenant string, n [3]int64) {
			all[tenant] = usage.Figures{Bundles: n[0], Files: n[1], Bytes: n[2]}
		}, 3, a.Counted, m.Start().UnixNano(), m.End().UnixNano())
		if err != nil {
			return err
		}
		to := m.End()
		if now.Before(to) {
			to = now
		}
		args := []any{m.Start().Unix(), to.Unix()}
		for _, k := range a.Keep {
			args = append(args, int64(k/time.Second))
		}
		err = Sums(ctx, db, func(tenant string, n [3]int64) {
			all[tenant] = all[tenant].Plus(usage.Figures{ByteDays: usage.ByteDays(n[0], n[1])})
		}, 2, a.Stored, args...)
		if err != nil || a.Beside == nil {
			return err
		}
		return a.Beside(ctx, db, m, all)
	})
	if err != nil {
		return nil, fmt.Errorf("sum up %v: %w", m, err)
	}
	return all, nil
}
