package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/receiver/house"
	"ecluse/receiver/ledger"
)

func deliverCommand() *cobra.Command {
	var path string
	var asJSON bool
	c := &cobra.Command{
		Use: "deliver [flags] [BUNDLE...]", Short: "Try again to deliver what is approved", ValidArgsFunction: completeBundles(&path),
		Long: `Try again now to deliver approved bundles, all of them where none is named. The daemon tries by itself too, at growing distances.`,
		Example: `  ecluse-receiver deliver
  ecluse-receiver deliver 3f7k2q`,
		RunE: func(c *cobra.Command, args []string) error {
			conf, err := load(path)
			if err != nil {
				return err
			}
			tell := cli.Each[*ledger.Record]
			if len(args) == 0 {
				tell = cli.All[*ledger.Record]
				rows, err := readRows(c.Context(), conf, ledger.Query{State: ledger.Approved})
				if err != nil {
					return err
				}
				for _, r := range rows {
					args = append(args, *r.Bundle)
				}
			}
			return tell(c, args, asJSON,
				func(ctx context.Context, text string) (*ledger.Record, error) { return deliverBundle(ctx, conf, text) },
				func(w io.Writer, r *ledger.Record) {
					fmt.Fprintf(w, "%s  %s  %s\n", r.Bundle, r.State, cli.Or(r.Name))
				})
		},
	}
	configFlag(c, &path)
	cli.JSONFlag(c, &asJSON)
	return c
}

func deliverBundle(ctx context.Context, conf Config, text string) (*ledger.Record, error) {
	return cli.Ask(ctx, reader(conf), "deliver", cli.BundleRequest{Bundle: text}, func() (out *ledger.Record, err error) {
		err = atRest(ctx, conf, func(ctx context.Context, s *house.State) error {
			id, err := s.Ledger.Find(ctx, text)
			if err == nil {
				err = s.Chamber.Deliver(ctx, id)
			}
			if err == nil {
				out, err = s.Ledger.Get(id)
			}
			return answerable(err)
		})
		return out, err
	})
}
