package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/internal/control"
	"ecluse/internal/disk"
	"ecluse/receiver/house"
	"ecluse/receiver/ledger"
)

func anchorCommand() *cobra.Command {
	var path, reason string
	var asJSON, accept bool
	c := &cobra.Command{
		Use: "anchor [flags]", Short: "Show what must never be forgotten, and where the state contradicts it", Args: cobra.NoArgs,
		Long: `Show the anchor: of each sender, tenant and epoch the highest sequence that was held and heard of, of each key its highest session, and where the rest of the state is
older than that: it was put back from a backup, in part, or a part of it was removed. What stands at or below such a mark is held, reason rollback.

With --accept, and the daemon stopped, a person takes that loss: small files that cannot be read are moved to STATE/damaged, the doubts end, and at the next start what is
held for them goes on its way. Afterwards nobody can tell any more whether a bundle below those marks has been here before: it may be imported a second time. The time,
the user and the reason are kept in the anchor.`,
		Example: `  ecluse-receiver anchor
  ecluse-receiver anchor --accept --reason "ticket 4711: records restored from Monday's backup"`,
		RunE: func(c *cobra.Command, _ []string) error {
			conf, err := load(path)
			if err != nil {
				return err
			}
			if accept {
				return acceptLoss(c, conf, reason, asJSON)
			}
			if reason != "" {
				return cli.Fail(cli.Usage, "--reason goes with --accept")
			}
			a, err := readAnchor(c.Context(), conf)
			if err != nil {
				return err
			}
			if asJSON {
				return cli.PrintJSON(c.OutOrStdout(), a)
			}
			return printAnchor(c.OutOrStdout(), a)
		},
	}
	configFlag(c, &path)
	cli.JSONFlag(c, &asJSON)
	c.Flags().BoolVar(&accept, "accept", false, "go on with what is there")
	c.Flags().StringVar(&reason, "reason", "", "why, for the record: `TEXT`")
	return c
}

// readAnchor reads the anchor, or asks the daemon for people who may not read it themselves.
func readAnchor(ctx context.Context, conf Config) (*ledger.Anchored, error) {
	a, err := ledger.ReadAnchored(disk.New(), conf.State)
	if errors.Is(err, os.ErrPermission) {
		a = new(ledger.Anchored)
		err = reader(conf).NoDaemon(control.Call(ctx, conf.State, "anchor", struct{}{}, a))
	}
	return a, err
}

func acceptLoss(c *cobra.Command, conf Config, reason string, asJSON bool) error {
	if reason == "" {
		return cli.Fail(cli.Usage, "--accept needs a reason: --reason TEXT")
	}
	who := cli.UserName()
	if err := cli.BecomeOwner(conf.State); err != nil {
		return err
	}
	did, err := house.Accept(conf.State, disk.New(), ledger.Acceptance{At: time.Now().UTC().Truncate(time.Second), Who: who, Reason: reason})
	if err != nil {
		return err
	}
	if asJSON {
		return cli.PrintJSON(c.OutOrStdout(), did)
	}
	if len(did) == 0 {
		did = []string{"there was no doubt; at the next start the marks are taken from what is on record"}
	}
	for _, text := range did {
		fmt.Fprintln(c.OutOrStdout(), cli.Clean(text))
	}
	return nil
}

func printAnchor(w io.Writer, a *ledger.Anchored) error {
	for _, d := range a.Doubts {
		fmt.Fprintf(w, "DOUBT since %s: %s\n", cli.Local(&d.At), cli.Clean(d.Text))
	}
	marks := [][]string{{"SENDER", "TENANT", "EPOCH", "HELD", "RECORDS", "HEARD OF"}}
	for _, m := range a.Marks {
		marks = append(marks, []string{string(m.Sender), string(m.Tenant), m.Epoch.String(), fmt.Sprint(m.Sequence), fmt.Sprint(m.Records), fmt.Sprint(m.Head.Sequence)})
	}
	if err := cli.Table(w, marks); err != nil {
		return err
	}
	sessions := [][]string{{"SENDER", "KEY", "EPOCH", "SESSION"}}
	for _, s := range a.Sessions {
		sessions = append(sessions, []string{string(s.Sender), s.Key.String()[:16], s.Epoch.String(), fmt.Sprint(s.Number)})
	}
	if err := cli.Table(w, sessions); err != nil {
		return err
	}
	for _, x := range a.Accepted {
		fmt.Fprintf(w, "accepted %s by %s: %s (%d losses)\n", cli.Local(&x.At), cli.Quote(x.Who), cli.Clean(x.Reason), len(x.Doubts))
	}
	return nil
}
