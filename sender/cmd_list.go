package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ecluse/internal/catalog"
	"ecluse/internal/cli"
	"ecluse/internal/config"
	"ecluse/internal/control"
	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/sender/ledger"
	"ecluse/sender/outbox"
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
		Example: `  ecluse-sender list --state failed
  ecluse-sender list --tenant cssf --since 24h --json`,
		RunE: func(c *cobra.Command, _ []string) error { return listBundles(c, f) },
	}
	configFlag(c, &f.config)
	jsonFlag(c, &f.json)
	c.Flags().StringVar(&f.state, "state", "", "only this `STATE`: waiting, sending, sent, confirmed or failed")
	c.Flags().StringVar(&f.tenant, "tenant", "", "only this `TENANT`")
	c.Flags().StringVar(&f.since, "since", "", "only what was claimed since `TIME`: 24h, 7d, or an RFC 3339 time")
	c.Flags().IntVar(&f.limit, "limit", 0, "only the newest `N`; 0 for all")
	_ = c.RegisterFlagCompletionFunc("state", cobra.FixedCompletions([]string{"waiting", "sending", "sent", "confirmed", "failed"}, cobra.ShellCompDirectiveNoFileComp))
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
	if f.tenant != "" && conf.tenant(f.tenant) < 0 {
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

// tenant is the index of a tenant, or -1.
func (c *Config) tenant(name string) int {
	for i, t := range c.Tenants {
		if t.Name == name {
			return i
		}
	}
	return -1
}

// openCatalog opens the catalog of a state for reading; fs.ErrNotExist where there is none yet.
func openCatalog(state string) (*sql.DB, error) {
	return catalog.Read(filepath.Join(state, "catalog.db"))
}

// readRows lists from the catalog, or asks the daemon for people who may not read that themselves.
func readRows(ctx context.Context, conf Config, q ledger.Query) ([]ledger.Record, error) {
	db, err := openCatalog(conf.State)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return []ledger.Record{}, nil
	case errors.Is(err, os.ErrPermission):
		rows, err := cli.Pages(q.Limit, pageMost, func(page int, newer []ledger.Record) (rows []ledger.Record, err error) {
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
func readPage(ctx context.Context, state string, q ledger.Query) ([]ledger.Record, error) {
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
		return cli.WithHint(fmt.Errorf("%s may be read by the daemon's user only, and %w", conf.State, err), "start ecluse-sender, or ask its administrator")
	}
	return err
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

func showCommand() *cobra.Command {
	var path string
	var asJSON bool
	c := &cobra.Command{
		Use: "show [flags] BUNDLE...", Short: "Show all that is known of bundles", Args: cobra.MinimumNArgs(1),
		Long:              "Show all that is known of bundles. A BUNDLE may be cut to 6 characters.",
		Example:           "  ecluse-sender show 3f7k2q",
		ValidArgsFunction: completeBundles(&path),
		RunE: func(c *cobra.Command, args []string) error {
			conf, err := config.Load(path, defaults())
			if err != nil {
				return &cli.Error{Code: cli.Usage, Err: err}
			}
			return cli.Each(c, args, asJSON, func(ctx context.Context, text string) (*ledger.Record, error) { return readRecord(ctx, conf, text) },
				func(w io.Writer, r *ledger.Record) { printRecord(w, conf, r) })
		},
	}
	configFlag(c, &path)
	jsonFlag(c, &asJSON)
	return c
}

// readRecord finds one bundle in the catalog, or asks the daemon.
func readRecord(ctx context.Context, conf Config, text string) (*ledger.Record, error) {
	db, err := openCatalog(conf.State)
	switch {
	case errors.Is(err, os.ErrPermission):
		var r ledger.Record
		err := control.Call(ctx, conf.State, "show", bundleRequest{text}, &r)
		return &r, noDaemon(err, conf)
	case errors.Is(err, os.ErrNotExist):
		return nil, cli.Fail(cli.NotFound, "no bundle begins with %q: nothing was sent yet", text)
	case err != nil:
		return nil, err
	}
	defer db.Close()
	id, err := ledger.Find(ctx, db, text)
	if err == nil {
		rows, e := ledger.List(ctx, db, ledger.Query{Prefix: id.String()})
		if e == nil && len(rows) == 1 {
			return &rows[0], nil
		}
		err = errors.Join(e, ledger.ErrNotFound)
	}
	var a *control.Error
	if errors.As(answerable(err), &a) {
		return nil, &cli.Error{Code: a.Code, Err: err}
	}
	return nil, err
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
		return outbox.FailedPath(disk.New(), box, r.Bundle)
	case r.Finished != nil && r.Sequence != nil:
		return filepath.Join(box, ".ecluse", "sent", fmt.Sprint(*r.Sequence))
	}
	return filepath.Join(box, ".ecluse", "sending", r.Bundle.String())
}

// completeBundles completes bundles for a shell.
func completeBundles(path *string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(c *cobra.Command, _ []string, typed string) (list []string, _ cobra.ShellCompDirective) {
		conf, err := config.Load(*path, defaults())
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		rows, err := readRows(c.Context(), conf, ledger.Query{Limit: 1000})
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		for _, r := range rows {
			if strings.HasPrefix(r.Bundle.String(), typed) {
				list = append(list, r.Bundle.String()+"\t"+string(r.State)+" "+cli.Quote(r.Name))
			}
		}
		return list, cobra.ShellCompDirectiveNoFileComp
	}
}
