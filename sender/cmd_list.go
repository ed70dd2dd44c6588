package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/protocol/bundle"
	"ecluse/sender/ledger"
)

// listFlags are what list is told.
type listFlags struct {
	cli.ListFlags
	config string
	json   bool
}

func listCommand() *cobra.Command {
	var f listFlags
	c := &cobra.Command{
		Use: "list [flags]", Short: "List bundles, the oldest first", Args: cobra.NoArgs,
		Example: `  ecluse-sender list --state failed
  ecluse-sender list --tenant cssf --since 24h --json`,
		RunE: func(c *cobra.Command, _ []string) error { return listBundles(c, f) },
	}
	configFlag(c, &f.config)
	cli.JSONFlag(c, &f.json)
	var names []string
	for _, s := range states {
		names = append(names, string(s))
	}
	f.Add(c, names, "claimed")
	return c
}

// states are all states, in the order of a life.
var states = []ledger.State{ledger.Waiting, ledger.Sending, ledger.Sent, ledger.Confirmed, ledger.Failed}

func listBundles(c *cobra.Command, f listFlags) error {
	conf, err := load(f.config)
	if err != nil {
		return err
	}
	q := ledger.Query{Tenant: bundle.Name(f.Tenant), Limit: f.Limit}
	if f.State != "" {
		if q.State, err = ledger.ParseState(f.State); err != nil {
			return &cli.Error{Code: cli.Usage, Err: err}
		}
	}
	if q.Since, err = f.Check(conf.shared().Names(), time.Now()); err != nil {
		return err
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

// reader reads a state, or asks its daemon.
func reader(conf Config) cli.Reader { return cli.Reader{State: conf.State, Service: conf.service()} }

// readRows lists from the catalog, or asks the daemon for people who may not read that themselves.
func readRows(ctx context.Context, conf Config, q ledger.Query) ([]ledger.Record, error) {
	return cli.List(ctx, reader(conf), q.Limit, func(db *sql.DB) ([]ledger.Record, error) { return ledger.List(ctx, db, q) },
		func(limit int, before *ledger.Record) any {
			page := q
			page.Limit, page.Before = limit, before
			return page
		})
}

func printRows(w io.Writer, rows []ledger.Record) error {
	table := [][]string{{"BUNDLE", "STATE", "TENANT", "SEQ", "NAME", "PRIORITY", "SIZE", "PASSES", "CREATED", "REASON"}}
	for _, r := range rows {
		table = append(table, []string{
			r.Bundle.String(), string(r.State), cli.Quote(string(r.Tenant)), cli.Number(r.Sequence), cli.Quote(r.Name), r.Priority.String(), cli.Size(r.Bytes),
			fmt.Sprint(r.PassesDone), cli.Local(&r.Created), oneLine(r.Reason),
		})
	}
	return cli.Table(w, table)
}

// oneLine shows the first line of a reason.
func oneLine(reason *string) string {
	if reason == nil {
		return "-"
	}
	first, _, more := strings.Cut(*reason, "\n")
	if more {
		first += " ..."
	}
	return cli.Clean(first)
}
