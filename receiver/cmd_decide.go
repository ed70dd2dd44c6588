package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/user"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/receiver/house"
	"ecluse/receiver/ledger"
)

func approveCommand() *cobra.Command {
	c := decideCommand(true)
	c.Use, c.Short = "approve [flags] BUNDLE...", "Release bundles from quarantine"
	c.Long = `Release bundles from quarantine. Each is verified once more before it counts: what no longer holds is refused for good. A tenant with release: two needs two
different people. What is released is delivered by the daemon; until that has worked it stays approved.`
	c.Example = `  ecluse-receiver approve --reason "ticket 4711" 3f7k2q`
	return c
}

func rejectCommand() *cobra.Command {
	c := decideCommand(false)
	c.Use, c.Short = "reject [flags] BUNDLE...", "Reject bundles in quarantine"
	c.Long = `Reject bundles that are in quarantine, or approved and not delivered yet. It is final. The content stays for keep.rejected, the papers as long as the row.

What is damaged, or missing (named by [SENDER/]TENANT/SEQUENCE), is given up: nobody waits for it any more, and the alarm ends.`
	c.Example = `  ecluse-receiver reject --reason "wrong register" 3f7k2q
  ecluse-receiver reject --reason "removed on the low side" default/4711`
	return c
}

// noReason stands in the record of a rejection for which none was given: every rejection has one.
const noReason = "no reason was given"

func decideCommand(approve bool) *cobra.Command {
	var path, reason string
	var asJSON bool
	c := &cobra.Command{
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: completeBundles(&path),
		RunE: func(c *cobra.Command, args []string) error {
			conf, err := load(path)
			if err != nil {
				return err
			}
			if !approve && reason == "" {
				reason = noReason
			}
			me := person{uint32(os.Getuid()), userName()}
			return cli.Each(c, args, asJSON,
				func(ctx context.Context, text string) (*decisionAnswer, error) {
					return decideBundle(ctx, conf, me, decisionRequest{Bundle: text, Approve: approve, Reason: reason})
				},
				func(w io.Writer, a *decisionAnswer) { printDecision(w, a) })
		},
	}
	configFlag(c, &path)
	cli.JSONFlag(c, &asJSON)
	c.Flags().StringVar(&reason, "reason", "", "why, for the record: `TEXT`")
	return c
}

// decideBundle asks the daemon, or decides where none runs: the lock is taken, and the person is who runs the command.
func decideBundle(ctx context.Context, conf Config, me person, in decisionRequest) (*decisionAnswer, error) {
	return cli.Ask(ctx, reader(conf), "decide", in, func() (out *decisionAnswer, err error) {
		err = atRest(ctx, conf, func(ctx context.Context, s *house.State) (err error) {
			out, err = decide(ctx, s, in, me.uid, me.name)
			return err
		})
		return out, err
	})
}

// person is who runs the command, asked before it acts as the state's owner.
type person struct {
	uid  uint32
	name string
}

func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprintf("uid:%d", os.Getuid())
}

func printDecision(w io.Writer, a *decisionAnswer) {
	note := ""
	if a.State == ledger.Quarantined {
		note = fmt.Sprintf("  (%d more must approve)", a.Missing)
	}
	fmt.Fprintf(w, "%s  %s  %s%s\n", a.Bundle, a.State, cli.Or(a.Name), note)
}
