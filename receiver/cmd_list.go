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

// openCatalog opens the catalog for reading; fs.ErrNotExist where there is none yet.
func openCatalog(conf Config) (*sql.DB, error) {
	path := filepath.Join(conf.State, "catalog.db")
	f, err := os.Open(path) // SQLite would not say what is wrong
	if err != nil {
		return nil, err
	}
	f.Close()
	return catalog.Read(path)
}

// readRows lists from the catalog, or asks the daemon for people who may not read that themselves.
func readRows(ctx context.Context, conf Config, q ledger.Query) ([]ledger.Row, error) {
	db, err := openCatalog(conf)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return []ledger.Row{}, nil
	case errors.Is(err, os.ErrPermission):
		var rows []ledger.Row
		err := control.Call(ctx, conf.State, "list", q, &rows)
		return rows, noDaemon(err, conf)
	case err != nil:
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
			cli.Or(r.Bundle), string(r.State), cli.Quote(r.Tenant), cli.Quote(r.Sender), cli.Number(r.Sequence), cli.Or(r.Name), cli.Size(r.Bytes), cli.Size(r.MissingBytes),
			cli.Or(r.Reason), cli.Local(r.Received),
		})
	}
	return cli.Table(w, table)
}
