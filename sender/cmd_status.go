package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"ecluse/internal/catalog"
	"ecluse/internal/cli"
	"ecluse/internal/config"
	"ecluse/internal/control"
	"ecluse/internal/disk"
	"ecluse/internal/route"
	"ecluse/sender/house"
	"ecluse/sender/ledger"
	"ecluse/sender/watch"
)

func statusCommand() *cobra.Command {
	var path string
	var asJSON, follow bool
	c := &cobra.Command{
		Use: "status [flags]", Short: "Say what is going on, and what is wrong", Args: cobra.NoArgs,
		Long: `Say what is going on. Alarms that stand are printed one a line, and end the command with exit code 1. --watch shows what goes out, with rate and time left, until it
is interrupted. Whether it arrives is known on the other side only.`,
		Example: `  ecluse-sender status
  ecluse-sender status --watch`,
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
	c.Flags().BoolVar(&follow, "watch", false, "show what goes out until interrupted")
	return c
}

// readStatus asks the daemon, or says what can be said without one.
func readStatus(ctx context.Context, conf Config) (*watch.Status, error) {
	var s watch.Status
	err := control.Call(ctx, conf.State, "status", struct{}{}, &s)
	if !errors.Is(err, control.ErrNoDaemon) {
		return &s, err
	}
	s = watch.Status{Version: version, Sender: conf.Name, Links: []watch.Link{}, Routes: []route.Row{}, Bundles: map[ledger.State]int64{}}
	if epoch, err := house.ReadEpoch(disk.New(), conf.State); err == nil {
		s.Epoch = epoch.String()
	}
	err = reader(conf).AtRest(func(db *sql.DB) (err error) {
		s.Bundles, err = catalog.Counts[ledger.State](ctx, db)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.Audit = cli.AuditGrowth(conf.State, nothingKept, time.Now())
	facts := conf.absent()
	if words, err := route.Read(disk.New(), conf.State); err == nil || !errors.Is(err, os.ErrPermission) {
		now := house.Time(disk.New(), conf.State)
		book := route.Of(words, err, conf.shared().Routes())
		s.Routes, facts.Routes = book.Rows(now), book.Alarms(now, program)
	}
	s.Alarms = watch.Alarms(&s, facts)
	return &s, nil
}

func printStatus(w io.Writer, s *watch.Status) error {
	if s.Running {
		fmt.Fprintf(w, "running since %s, version %s, epoch %s\n", cli.Local(s.Since), s.Version, s.Epoch)
	}
	for _, l := range s.Links {
		fmt.Fprintf(w, "link %s to %s: %s of %s, session %d, %d packets out, %d+%d shards a block, %d blocks interleaved\n", l.Name, l.To, config.FormatRate(l.BitRate),
			config.FormatRate(float64(l.Rate)), l.Session, l.Packets, l.K, l.M, l.Window)
	}
	for _, r := range s.Routes {
		fmt.Fprintln(w, cli.Clean(r.String()))
	}
	if s.Audit != nil {
		fmt.Fprintln(w, s.Audit)
	}
	_, err := fmt.Fprintf(w, "bundles: %s\n", cli.Counts(s.Bundles, states))
	return err
}

// watchStatus shows the bundle that goes out, the oldest where there are several.
func watchStatus(ctx context.Context, conf Config, w io.Writer) error {
	bar := cli.NewBar(w)
	defer bar.End()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	last := ""
	for {
		var a *progressAnswer
		if err := control.Call(ctx, conf.State, "current", struct{}{}, &a); err != nil {
			return err
		}
		if a == nil {
			bar.Idle("nothing goes out")
		} else {
			if id := a.Record.Bundle.String(); id != last {
				bar.Meter, last = cli.Meter{}, id
			}
			done, total := a.sofar()
			bar.Show(time.Now(), a.Record.Name, done, total)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
