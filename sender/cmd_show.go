package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"ecluse/internal/catalog"
	"ecluse/internal/cli"
	"ecluse/internal/config"
	"ecluse/internal/disk"
	"ecluse/sender/ledger"
	"ecluse/sender/outbox"
)

func showCommand() *cobra.Command {
	var path string
	var asJSON bool
	c := &cobra.Command{
		Use: "show [flags] BUNDLE...", Short: "Show all that is known of bundles", Args: cobra.MinimumNArgs(1),
		Long:              "Show all that is known of bundles. A BUNDLE may be cut to 6 characters.",
		Example:           "  ecluse-sender show 3f7k2q",
		ValidArgsFunction: completeBundles(&path),
		RunE: func(c *cobra.Command, args []string) error {
			conf, err := load(path)
			if err != nil {
				return err
			}
			return cli.Each(c, args, asJSON, func(ctx context.Context, text string) (*ledger.Record, error) { return readRecord(ctx, conf, text) },
				func(w io.Writer, r *ledger.Record) { printRecord(w, conf, r) })
		},
	}
	configFlag(c, &path)
	cli.JSONFlag(c, &asJSON)
	return c
}

// readRecord finds one bundle in the catalog, or asks the daemon.
func readRecord(ctx context.Context, conf Config, text string) (*ledger.Record, error) {
	return cli.One(ctx, reader(conf), text, func(db *sql.DB) (*ledger.Record, error) {
		id, err := catalog.Find(ctx, db, text)
		if err == nil {
			rows, e := ledger.List(ctx, db, ledger.Query{Prefix: id.String()})
			if e == nil && len(rows) == 1 {
				return &rows[0], nil
			}
			err = errors.Join(e, ledger.ErrNotFound)
		}
		return nil, answerable(err)
	})
}

func printRecord(w io.Writer, conf Config, r *ledger.Record) {
	line := func(key, format string, args ...any) { fmt.Fprintf(w, "%-12s%s\n", key, fmt.Sprintf(format, args...)) }
	line("bundle", "%s", r.Bundle)
	line("name", "%s", cli.Quote(r.Name))
	line("state", "%s", r.State)
	if r.Reason != nil {
		line("reason", "%s", strings.ReplaceAll(cli.Clean(*r.Reason), "\n", "\n"+strings.Repeat(" ", 12)))
	}
	line("tenant", "%s, epoch %s, sequence %s", r.Tenant, r.Epoch, cli.Number(r.Sequence))
	line("priority", "%s", r.Priority)
	line("content", "%s files, %s", cli.Number(r.Files), cli.Size(r.Bytes))
	line("passes", "%d of %d, %s of content sent in all", r.PassesDone, conf.Passes.Count, config.FormatBytes(r.SentBytes))
	line("created", "%s", cli.Local(&r.Created))
	line("finished", "%s", cli.Local(r.Finished))
	if i := conf.tenant(string(r.Tenant)); i >= 0 && r.State != ledger.Confirmed { // that was cleared
		line("stands in", "%s", place(conf.Tenants[i].Outbox, r))
	}
}

// place is where an item is found now.
func place(box string, r *ledger.Record) string {
	switch {
	case r.State == ledger.Failed:
		return outbox.FailedDir(disk.New(), box, r.Bundle)
	case r.Finished != nil && r.Sequence != nil:
		return outbox.SentDir(box, *r.Sequence)
	}
	return outbox.SendingDir(box, r.Bundle)
}

// completeBundles completes bundles for a shell.
func completeBundles(path *string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return cli.Complete(func(ctx context.Context) (list []string, err error) {
		conf, err := load(*path)
		if err != nil {
			return nil, err
		}
		rows, err := readRows(ctx, conf, ledger.Query{Limit: 1000})
		for _, r := range rows {
			list = append(list, r.Bundle.String()+"\t"+string(r.State)+" "+cli.Quote(r.Name))
		}
		return list, err
	})
}
