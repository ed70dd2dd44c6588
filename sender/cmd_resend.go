package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"ecluse/internal/audit"
	"ecluse/internal/cli"
	"ecluse/protocol/bundle"
	"ecluse/protocol/ticket"
	"ecluse/sender/dispatch"
	"ecluse/sender/house"
	"ecluse/sender/ledger"
)

func resendCommand() *cobra.Command {
	var path string
	var asJSON bool
	var codes []string
	c := &cobra.Command{
		Use: "resend [flags] (BUNDLE... | --ticket CODE)", Short: "Send once more what was sent, or what a ticket asks for", ValidArgsFunction: completeBundles(&path),
		Long: `Send bundles once more: the same bytes under the same signature. The high side takes what it lacks, and drops the rest. It goes as long as the item stands in sent/ (keep.sent).

With --ticket CODE, a code that somebody has carried down from the high side (ecluse-receiver ticket): only the chunks are sent that it asks for. The code may be typed in either case,
with or without hyphens; what was mistyped is named. A receipt (ecluse-receiver ticket --receipt) is taken here too: the bundles that it names are confirmed, and cleared from sent/.`,
		Example: `  ecluse-sender resend 3f7k2q
  ecluse-sender resend --ticket 47CS9V-SBRV0E-EWV3NR-GFADXA-A58Y9H-1H12JQ-82K719`,
		Args: func(_ *cobra.Command, args []string) error {
			if (len(args) > 0) == (len(codes) > 0) {
				return errors.New("name bundles as arguments, or give a code with --ticket: one of the two")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			conf, err := load(path)
			if err != nil {
				return err
			}
			if len(codes) > 0 {
				return redeemAll(c, conf, codes, asJSON)
			}
			return cli.Each(c, args, asJSON, func(ctx context.Context, text string) (*ledger.Record, error) { return resendBundle(ctx, conf, text) },
				func(w io.Writer, r *ledger.Record) {
					fmt.Fprintf(w, "%s  %s  %s\n", r.Bundle, r.State, cli.Quote(r.Name))
				})
		},
	}
	configFlag(c, &path)
	cli.JSONFlag(c, &asJSON)
	c.Flags().StringArrayVar(&codes, "ticket", nil, "a `CODE` from the high side: a ticket or a receipt; may be repeated")
	return c
}

// resendBundle asks the daemon, or notes it for the daemon to do when it starts.
func resendBundle(ctx context.Context, conf Config, text string) (*ledger.Record, error) {
	return cli.Ask(ctx, reader(conf), "resend", cli.BundleRequest{Bundle: text}, func() (out *ledger.Record, err error) {
		who := cli.UserName()
		err = atRest(ctx, conf, func(s *house.State) error {
			id, err := s.Ledger.Find(ctx, text)
			if err == nil {
				s.Audit.Tell(audit.Entry{Event: "asked", Bundle: id.String(), Who: who, Text: "resend"})
				err = resendAtRest(ctx, conf, s, id, nil)
			}
			if err == nil {
				out, err = s.Ledger.Get(id)
			}
			return answerable(err)
		})
		return out, err
	})
}

// resendAtRest notes that a bundle is to be sent again, whose item is here.
func resendAtRest(ctx context.Context, conf Config, s *house.State, id bundle.ID, chunks []ticket.Range) error {
	r, err := s.Ledger.Get(id)
	if err != nil {
		return err
	}
	if err := dispatch.RefuseFormer(s.Ledger, r); err != nil {
		return err
	}
	if (r.State == ledger.Sent || r.State == ledger.Confirmed) && !onDisk(conf, r) {
		return fmt.Errorf("bundle %s: %w", id, dispatch.ErrNotHere)
	}
	return dispatch.Again(ctx, s.Ledger, id, chunks)
}
