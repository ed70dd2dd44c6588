package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"ecluse/internal/catalog"
	"ecluse/internal/cli"
	"ecluse/internal/config"
	"ecluse/internal/control"
	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
)

// listFlags are what list is told.
type listFlags struct {
	config, state, tenant, since string
	limit                        int
	json                         bool
}

func listCommand() *cobra.Command {
	var f listFlags
	c := &cobra.Command{
		Use: "list [flags]", Short: "List bundles, the oldest first", Args: cobra.NoArgs,
		Example: `  ecluse-receiver list --state quarantined
  ecluse-receiver list --tenant cssf --since 24h --json`,
		RunE: func(c *cobra.Command, _ []string) error { return listBundles(c, f) },
	}
	configFlag(c, &f.config)
	jsonFlag(c, &f.json)
	c.Flags().StringVar(&f.state, "state", "", "only this `STATE`")
	c.Flags().StringVar(&f.tenant, "tenant", "", "only this `TENANT`")
	c.Flags().StringVar(&f.since, "since", "", "only what was received since `TIME`: 24h, 7d, or an RFC 3339 time")
	c.Flags().IntVar(&f.limit, "limit", 0, "only the newest `N`; 0 for all")
	var states []string
	for _, s := range ledger.States() {
		states = append(states, string(s))
	}
	_ = c.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(states, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// query reads the flags.
func (f *listFlags) query(now time.Time) (q ledger.Query, err error) {
	if f.state != "" {
		if q.State, err = ledger.ParseState(f.state); err != nil {
			return q, &cli.Error{Code: cli.Usage, Err: err}
		}
	}
	if f.limit < 0 {
		return q, cli.Fail(cli.Usage, "--limit %d is below 0", f.limit)
	}
	q.Tenant, q.Limit = bundle.Name(f.tenant), f.limit
	q.Since, err = cli.Since(f.since, now)
	return q, err
}

func listBundles(c *cobra.Command, f listFlags) error {
	conf, err := config.Load(f.config, defaults())
	if err != nil {
		return &cli.Error{Code: cli.Usage, Err: err}
	}
	q, err := f.query(time.Now())
	if err != nil {
		return err
	}
	if !f.hasTenant(conf) {
		return cli.Fail(cli.NotFound, "there is no tenant %q", f.tenant)
	}
	rows, err := readRows(c.Context(), conf, q)
	if err != nil {
		return err
	}
	if f.json {
		return cli.PrintJSON(c.OutOrStdout(), rows)
	}
	return printRows(c.OutOrStdout(), rows)
}

func (f *listFlags) hasTenant(conf Config) bool {
	for _, t := range conf.Tenants {
		if t.Name == f.tenant {
			return true
		}
	}
	return f.tenant == ""
}

// openCatalog opens the catalog of a state for reading; fs.ErrNotExist where there is none yet.
func openCatalog(state string) (*sql.DB, error) {
	return catalog.Read(filepath.Join(state, "catalog.db"))
}

// readRows lists from the catalog, or asks the daemon for people who may not read that themselves.
func readRows(ctx context.Context, conf Config, q ledger.Query) ([]ledger.Row, error) {
	db, err := openCatalog(conf.State)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return []ledger.Row{}, nil
	case errors.Is(err, os.ErrPermission):
		rows, err := cli.Pages(q.Limit, pageMost, func(page int, newer []ledger.Row) (rows []ledger.Row, err error) {
			if q.Limit = page; len(newer) > 0 {
				q.Before = &newer[0]
			}
			return rows, control.Call(ctx, conf.State, "list", q, &rows)
		})
		return rows, noDaemon(err, conf)
	case err != nil:
		return nil, err
	}
	defer db.Close()
	return ledger.List(ctx, db, q)
}

// pageMost is how many rows the daemon gives at once.
const pageMost = 1000

// readPage is what the daemon gives of a list. It does not go through the book, whose one connection writes.
func readPage(ctx context.Context, state string, q ledger.Query) ([]ledger.Row, error) {
	if q.Limit <= 0 || q.Limit > pageMost {
		q.Limit = pageMost
	}
	db, err := openCatalog(state)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	return ledger.List(ctx, db, q)
}

// noDaemon says what somebody without rights on the disk can do where nobody answers.
func noDaemon(err error, conf Config) error {
	if errors.Is(err, control.ErrNoDaemon) {
		return cli.WithHint(fmt.Errorf("%s may be read by the daemon's user only, and %w", conf.State, err), "start ecluse-receiver, or ask its administrator")
	}
	return err
}

func printRows(w io.Writer, rows []ledger.Row) error {
	table := [][]string{{"BUNDLE", "STATE", "TENANT", "SENDER", "SEQ", "NAME", "SIZE", "MISSING", "REASON", "RECEIVED"}}
	for _, r := range rows {
		table = append(table, []string{
			cli.Or(r.Bundle), string(r.State), cli.Quote(r.Tenant), cli.Quote(r.Sender), sequences(&r), cli.Or(r.Name), cli.Size(r.Bytes), cli.Size(r.MissingBytes),
			cli.Or(r.Reason), received(&r),
		})
	}
	return cli.Table(w, table)
}

// sequences shows one, or from which to which nothing came.
func sequences(r *ledger.Row) string {
	if r.Through != nil && *r.Through > *r.Sequence {
		return fmt.Sprintf("%d-%d", *r.Sequence, *r.Through)
	}
	return cli.Number(r.Sequence)
}

// received shows when a bundle came, or since when it is known that it did not.
func received(r *ledger.Row) string {
	if r.Since != nil {
		return "missing since " + cli.Local(r.Since)
	}
	return cli.Local(r.Received)
}
