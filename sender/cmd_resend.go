package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/internal/config"
	"ecluse/internal/control"
	"ecluse/sender/dispatch"
	"ecluse/sender/house"
	"ecluse/sender/ledger"
)

func resendCommand() *cobra.Command {
	var path string
	var asJSON bool
	c := &cobra.Command{
		Use: "resend [flags] BUNDLE...", Short: "Send once more what was sent", Args: cobra.MinimumNArgs(1), ValidArgsFunction: completeBundles(&path),
		Long: `Send bundles once more, all of each: the same bytes under the same signature. The high side takes what it lacks, and drops the rest. It goes as long as the item
stands in sent/ (keep.sent).`,
		Example: "  ecluse-sender resend 3f7k2q",
		RunE: func(c *cobra.Command, args []string) error {
			conf, err := config.Load(path, defaults())
			if err != nil {
				return &cli.Error{Code: cli.Usage, Err: err}
			}
			return cli.Each(c, args, asJSON, func(ctx context.Context, text string) (*ledger.Record, error) { return resendBundle(ctx, conf, text) },
				func(w io.Writer, r *ledger.Record) {
					fmt.Fprintf(w, "%s  %s  %s\n", r.Bundle, r.State, cli.Quote(r.Name))
				})
		},
	}
	configFlag(c, &path)
	jsonFlag(c, &asJSON)
	return c
}

// resendBundle asks the daemon, or notes it for the daemon to do when it starts.
func resendBundle(ctx context.Context, conf Config, text string) (*ledger.Record, error) {
	var r ledger.Record
	err := control.Call(ctx, conf.State, "resend", bundleRequest{text}, &r)
	if !errors.Is(err, control.ErrNoDaemon) {
		return &r, err
	}
	if err := cli.BecomeOwner(conf.State); err != nil {
		return nil, err
	}
	h, err := openState(ctx, conf)
	if err != nil {
		return nil, err
	}
	book, end := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- h.Ledger.Run(book) }()
	out, err := resendAtRest(ctx, h, text)
	end()
	broken := <-ended
	return out, errors.Join(err, broken, h.Close(broken == nil))
}

func resendAtRest(ctx context.Context, h *house.State, text string) (*ledger.Record, error) {
	id, err := h.Ledger.Find(ctx, text)
	if err == nil {
		err = dispatch.Again(ctx, h.Ledger, id)
	}
	if err != nil {
		return nil, answerable(err)
	}
	return h.Ledger.Get(id)
}
