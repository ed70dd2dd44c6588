package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/protocol/bundle"
	"ecluse/receiver/chamber"
	"ecluse/receiver/house"
	"ecluse/receiver/ledger"
)

func deliverCommand() *cobra.Command {
	var path string
	var asJSON bool
	c := &cobra.Command{
		Use: "deliver [flags] [BUNDLE...]", Short: "Try again to deliver what is approved", ValidArgsFunction: completeBundles(&path),
		Long: `Try again now to deliver approved bundles, all of them where none is named. The daemon tries by itself too, at growing distances.
Each destination that does not take one is named in a line of its own, and with --json in "failed": the bundle is shown although it is not delivered.`,
		Example: `  ecluse-receiver deliver
  ecluse-receiver deliver 3f7k2q`,
		RunE: func(c *cobra.Command, args []string) error {
			conf, err := load(path)
			if err != nil {
				return err
			}
			tell := cli.Each[*delivered]
			if len(args) == 0 {
				tell = cli.All[*delivered]
				rows, err := readRows(c.Context(), conf, ledger.Query{State: ledger.Approved})
				if err != nil {
					return err
				}
				for _, r := range rows {
					args = append(args, *r.Bundle)
				}
			}
			return tell(c, args, asJSON,
				func(ctx context.Context, text string) (*delivered, error) { return deliverBundle(ctx, conf, text) },
				func(w io.Writer, r *delivered) {
					fmt.Fprintf(w, "%s  %s  %s\n", r.Bundle, r.State, cli.Or(r.Name))
				})
		},
	}
	configFlag(c, &path)
	cli.JSONFlag(c, &asJSON)
	return c
}

// delivered is a bundle behind an attempt to deliver it, and the destinations that did not take it.
type delivered struct {
	*ledger.Record
	Failed []undelivered `json:"failed"`
}

// undelivered is what one of them said.
type undelivered struct {
	Destination string         `json:"destination"`
	Error       string         `json:"error"`
	Reason      *bundle.Reason `json:"reason"` // its code; null: it has none
}

// Failure implements cli.Failing: a line for each destination.
func (d *delivered) Failure() error {
	var lines []string
	code := cli.Failed
	for _, f := range d.Failed {
		lines = append(lines, f.Destination+": "+f.Error)
		if f.Reason != nil {
			code = cli.Refused
		}
	}
	if lines == nil {
		return nil
	}
	return cli.Fail(code, "%s", strings.Join(lines, "\n"))
}

func deliverBundle(ctx context.Context, conf Config, text string) (*delivered, error) {
	return cli.Ask(ctx, reader(conf), "deliver", cli.BundleRequest{Bundle: text}, func() (out *delivered, err error) {
		err = atRest(ctx, conf, func(ctx context.Context, s *house.State) error {
			id, err := s.Ledger.Find(ctx, text)
			if err == nil {
				out, err = deliverNow(ctx, s, id)
			}
			return answerable(err)
		})
		return out, err
	})
}

// deliverNow is the attempt. What destinations say is an answer, and no error.
func deliverNow(ctx context.Context, s *house.State, id bundle.ID) (*delivered, error) {
	out := &delivered{Failed: []undelivered{}}
	if err := s.Chamber.Deliver(ctx, id); err != nil {
		all, only := chamber.DestinationErrors(err)
		if !only {
			return nil, answerable(err)
		}
		for _, e := range all {
			f := undelivered{Destination: e.Destination, Error: e.Err.Error()}
			if reason, ok := bundle.ReasonOf(e); ok {
				f.Reason = &reason
			}
			out.Failed = append(out.Failed, f)
		}
	}
	var err error
	out.Record, err = s.Ledger.Get(id)
	return out, answerable(err)
}
