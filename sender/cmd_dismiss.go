package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/internal/control"
	"ecluse/sender/ledger"
)

func dismissCommand() *cobra.Command {
	var path string
	var asJSON bool
	c := &cobra.Command{
		Use: "dismiss [flags] BUNDLE...", Short: "End the alarm about items that failed", Args: cobra.MinimumNArgs(1), ValidArgsFunction: completeBundles(&path),
		Long: `End the alarm about items that failed, after you have looked at them. They stay where they can be read (ecluse-sender show BUNDLE) as long as they would have (keep.failed). It
takes a running daemon, and an operator of the tenant.`,
		Example: `  ecluse-sender dismiss 3f7k2q`,
		RunE: func(c *cobra.Command, args []string) error {
			conf, err := load(path)
			if err != nil {
				return err
			}
			return cli.Each(c, args, asJSON, func(ctx context.Context, text string) (*ledger.Record, error) {
				var r ledger.Record
				err := control.Call(ctx, conf.State, "dismiss", cli.BundleRequest{Bundle: text}, &r)
				if errors.Is(err, control.ErrNoDaemon) {
					err = conf.service().Absent("it ends alarms, for operators of the tenant")
				}
				return &r, err
			}, func(w io.Writer, r *ledger.Record) {
				fmt.Fprintf(w, "%s  dismissed  %s\n", r.Bundle, cli.Quote(r.Name))
			})
		},
	}
	configFlag(c, &path)
	cli.JSONFlag(c, &asJSON)
	return c
}
