package cli

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ecluse/internal/catalog"
	"ecluse/internal/control"
)

// Reader reads a state for a command: from the catalog where it may, and by the daemon's mouth otherwise.
type Reader struct {
	State   string
	Service Service
}

// BundleRequest names one bundle to the daemon, by its text or a prefix of it.
type BundleRequest struct {
	Bundle string `json:"bundle"`
}

// Open opens the catalog for reading; fs.ErrNotExist where there is none yet.
func (r Reader) Open() (*sql.DB, error) {
	return catalog.Read(catalog.Path(r.State))
}

// NoDaemon says what somebody without rights on the disk can do where nobody answers.
func (r Reader) NoDaemon(err error) error {
	if errors.Is(err, control.ErrNoDaemon) {
		return WithHint(fmt.Errorf("%s may be read by the daemon's user only, and %w", r.State, err), "%s, or ask its administrator", r.Service.Start())
	}
	return err
}

// AtRest reads the catalog for somebody who was told already that no daemon runs. Where there is none yet, nothing is read.
func (r Reader) AtRest(read func(*sql.DB) error) error {
	db, err := r.Open()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, fs.ErrPermission):
		return r.NoDaemon(control.ErrNoDaemon)
	case err != nil:
		return err
	}
	defer db.Close()
	return read(db)
}

// PageMost is how many rows the daemon gives at once.
const PageMost = 1000

// List reads a list. ask gives the daemon's question for so many rows before one, nil for the newest.
func List[T any](ctx context.Context, r Reader, limit int, read func(*sql.DB) ([]T, error), ask func(limit int, before *T) any) ([]T, error) {
	db, err := r.Open()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []T{}, nil
	case errors.Is(err, fs.ErrPermission):
		rows, err := pages(limit, PageMost, func(page int, newer []T) (rows []T, err error) {
			var before *T
			if len(newer) > 0 {
				before = &newer[0]
			}
			return rows, control.Call(ctx, r.State, "list", ask(page, before), &rows)
		})
		return rows, r.NoDaemon(err)
	case err != nil:
		return nil, err
	}
	defer db.Close()
	return read(db)
}

// Page is the daemon's answer to List: bounded, and not read over the connection that writes.
func Page[T any](r Reader, limit int, read func(db *sql.DB, limit int) ([]T, error)) ([]T, error) {
	if limit <= 0 || limit > PageMost {
		limit = PageMost
	}
	db, err := r.Open()
	if err != nil {
		return nil, err
	}
	defer db.Close()
	return read(db, limit)
}

// One reads the record of one bundle.
func One[T any](ctx context.Context, r Reader, text string, read func(*sql.DB) (*T, error)) (*T, error) {
	db, err := r.Open()
	switch {
	case errors.Is(err, fs.ErrPermission):
		v := new(T)
		err := control.Call(ctx, r.State, "show", BundleRequest{text}, v)
		return v, r.NoDaemon(err)
	case errors.Is(err, fs.ErrNotExist):
		return nil, Fail(NotFound, "no bundle begins with %q: nothing is on record yet", text)
	case err != nil:
		return nil, err
	}
	defer db.Close()
	return read(db)
}

// Complete completes bundles for a shell: list gives those that there are, each with a tab and words about it.
func Complete(list func(context.Context) ([]string, error)) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(c *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		all, err := list(c.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return slices.DeleteFunc(all, func(s string) bool { return !strings.HasPrefix(s, typed) }), cobra.ShellCompDirectiveNoFileComp
	}
}

// pages gathers a list whose newest rows come first in asking and last in what is given: ask gets how many rows are wanted and the older of the rows that are there, and gives those
// before them. limit 0 is all.
func pages[T any](limit, page int, ask func(page int, newer []T) ([]T, error)) ([]T, error) {
	var all [][]T
	var newer []T
	for have := 0; limit == 0 || have < limit; have += len(newer) {
		want := page
		if limit > 0 {
			want = min(page, limit-have)
		}
		rows, err := ask(want, newer)
		if err != nil {
			return nil, err
		}
		newer, all = rows, append(all, rows)
		if len(rows) < want {
			break
		}
	}
	slices.Reverse(all)
	return append([]T{}, slices.Concat(all...)...), nil
}
