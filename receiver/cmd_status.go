package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/internal/config"
	"ecluse/internal/control"
	"ecluse/receiver/ledger"
	"ecluse/receiver/watch"
)

func statusCommand() *cobra.Command {
	var path string
	var asJSON, follow bool
	c := &cobra.Command{
		Use: "status [flags]", Short: "Say what is going on, and what is wrong", Args: cobra.NoArgs,
		Long: `Say what is going on. Alarms that stand are printed one a line, and end the command with exit code 1: monitoring needs no more than that. --watch shows what comes
in, with rate and time left, until it is interrupted.`,
		Example: `  ecluse-receiver status
  ecluse-receiver status --json | jq .alarms
  ecluse-receiver status --watch`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := cli.NoWatchJSON(follow, asJSON); err != nil {
				return err
			}
			conf, err := load(path)
			if err != nil {
				return err
			}
			if follow {
				return watchStatus(c.Context(), conf, c.OutOrStdout())
			}
			s, err := readStatus(c.Context(), conf)
			if err != nil {
				return err
			}
			return cli.TellStatus(c, asJSON, s, s.Alarms, printStatus)
		},
	}
	configFlag(c, &path)
	cli.JSONFlag(c, &asJSON)
	c.Flags().BoolVar(&follow, "watch", false, "show what comes in until interrupted")
	return c
}

// readStatus asks the daemon, or says what can be said without one.
func readStatus(ctx context.Context, conf Config) (*watch.Status, error) {
	var s watch.Status
	err := control.Call(ctx, conf.State, "status", struct{}{}, &s)
	if errors.Is(err, control.ErrNoDaemon) {
		return statusAtRest(ctx, conf)
	}
	return &s, err
}

func printStatus(w io.Writer, s *watch.Status) error {
	if s.Running {
		fmt.Fprintf(w, "running since %s, version %s\n", cli.Local(s.Since), s.Version)
	}
	for _, l := range s.Links {
		fmt.Fprintf(w, "link %s on %s: %s, %.0f packets/s, last heartbeat %s, lost %d on the link and %d in this host\n", l.Name, l.Listen, config.FormatRate(l.BitRate), l.PacketRate,
			ago(l.LastHeartbeat), l.Lost.Link, l.Lost.Kernel+l.Lost.Queue)
		printProbe(w, l.Name, l.Probe)
	}
	for _, row := range s.Sessions {
		fmt.Fprintf(w, "session %s of %s: %s %s%s\n", cli.Number(row.Session), cli.Or(row.Sender), row.State, cli.Or(row.Reason), times(row.State, row.Count))
	}
	for _, row := range s.Senders {
		paired := "paired"
		if !row.Paired {
			paired = "not paired"
		}
		fmt.Fprintf(w, "sender %s: %s, last heartbeat %s\n", row.Sender, paired, cli.Local(row.Heartbeat))
		if row.Unrecorded > 0 {
			fmt.Fprintf(w, "sender %s: %d refusals are beyond those on record\n", row.Sender, row.Unrecorded)
		}
	}
	for _, r := range s.Arrivals {
		age, limit := time.Duration(r.Age*float64(time.Second)).Round(time.Second), config.Duration(time.Duration(r.Limit*float64(time.Second)))
		if r.Newest == nil {
			fmt.Fprintf(w, "tenant %s: nothing was ever delivered, for %v now; the newest delivery may be %v old\n", r.Tenant, config.Duration(age), limit)
			continue
		}
		fmt.Fprintf(w, "tenant %s: newest delivery %s, %v old, and may be %v old\n", r.Tenant, cli.Local(r.Newest), config.Duration(age), limit)
	}
	for _, r := range s.Routes {
		fmt.Fprintln(w, cli.Clean(r.String()))
	}
	fmt.Fprintf(w, "bundles: %s\n", cli.Counts(s.Bundles, ledger.States()))
	if s.Audit != nil {
		fmt.Fprintln(w, s.Audit)
	}
	if s.Disk.Free >= 0 {
		_, err := fmt.Fprintf(w, "disk: %s free, %s kept back\n", config.FormatBytes(s.Disk.Free), config.FormatBytes(s.Disk.Reserve))
		return err
	}
	return nil
}

// printProbe tells what the newest probe of a link has found.
func printProbe(w io.Writer, link string, p *watch.Probe) {
	if p == nil {
		return
	}
	fmt.Fprintf(w, "probe of link %s by %s:\n", link, p.Sender)
	for _, line := range append(p.Lines(), p.Advice...) {
		fmt.Fprintf(w, "  %s\n", line)
	}
}

func times(state string, n uint64) string {
	if state == "open" {
		return ""
	}
	return fmt.Sprintf(", %d times", n)
}

func ago(seconds *float64) string {
	if seconds == nil {
		return "never"
	}
	return (time.Duration(*seconds * float64(time.Second))).Round(100*time.Millisecond).String() + " ago"
}

// watchStatus shows the bundle that is coming in, the oldest where there are several.
func watchStatus(ctx context.Context, conf Config, w io.Writer) error {
	bar := cli.NewBar(w)
	defer bar.End()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	last := ""
	for {
		rows, err := readRows(ctx, conf, ledger.Query{State: ledger.Receiving})
		if err != nil {
			return err
		}
		have := map[string]int64{}
		if err := control.Call(ctx, conf.State, "progress", struct{}{}, &have); err != nil {
			return err
		}
		rows = slices.DeleteFunc(rows, func(r ledger.Row) bool { _, ok := have[*r.Bundle]; return !ok || r.Bytes == nil })
		if len(rows) > 0 {
			r := rows[0]
			if *r.Bundle != last {
				bar.Meter, last = cli.Meter{}, *r.Bundle
			}
			label := *r.Bundle
			if r.Name != nil {
				label = *r.Name
			}
			bar.Show(time.Now(), label, have[*r.Bundle], *r.Bytes)
		} else {
			bar.Idle("nothing is coming in")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
