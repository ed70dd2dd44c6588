package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
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
		Example: `  ecluse-receiver list --state quarantined
  ecluse-receiver list --tenant cssf --since 24h --json`,
		RunE: func(c *cobra.Command, _ []string) error { return listBundles(c, f) },
	}
	configFlag(c, &f.config)
	cli.JSONFlag(c, &f.json)
	var states []string
	for _, s := range ledger.States() {
		states = append(states, string(s))
	}
	f.Add(c, states, "received")
	return c
}

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
	list := withWaits(c.Context(), conf, rows)
	if f.json {
		return cli.PrintJSON(c.OutOrStdout(), list)
	}
	return printRows(c.OutOrStdout(), list)
}

// reader reads a state, or asks its daemon.
func reader(conf Config) cli.Reader { return cli.Reader{State: conf.State, Service: conf.service()} }

// readRows lists from the catalog, or asks the daemon for people who may not read that themselves.
func readRows(ctx context.Context, conf Config, q ledger.Query) ([]ledger.Row, error) {
	return cli.List(ctx, reader(conf), q.Limit, func(db *sql.DB) ([]ledger.Row, error) { return ledger.List(ctx, db, q) },
		func(limit int, before *ledger.Row) any {
			page := q
			page.Limit, page.Before = limit, before
			return page
		})
}

// printRows has a column more where something waits.
func printRows(w io.Writer, rows []listed) error {
	head := []string{"BUNDLE", "STATE", "TENANT", "SENDER", "SEQ", "NAME", "SIZE", "MISSING", "REASON", "RECEIVED"}
	waiting := slices.ContainsFunc(rows, func(r listed) bool { return len(r.Waits) > 0 })
	if waiting {
		head = append(head, "WAITS FOR")
	}
	table := [][]string{head}
	for _, r := range rows {
		line := []string{
			cli.Or(r.Bundle), string(r.State), cli.Quote(r.Tenant), cli.Quote(r.Sender), sequences(&r.Row), cli.Or(r.Name), cli.Size(r.Bytes), cli.Size(r.MissingBytes),
			cli.Or(r.Reason), received(&r.Row),
		}
		if waiting {
			line = append(line, waitsText(r.Waits))
		}
		table = append(table, line)
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
