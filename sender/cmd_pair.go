package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/internal/control"
	"ecluse/internal/disk"
	"ecluse/internal/keys"
)

func pairCommand() *cobra.Command {
	var path, fingerprint string
	var yes, show bool
	var tenants []string
	c := &cobra.Command{
		Use: "pair [flags] (FILE | --show)", Short: "Take the receiver's card, or show one's own",
		Args: func(c *cobra.Command, args []string) error { return cli.OneOrNone(c, args, show) },
		Long: `Take the receiver's card, a .pair file that was carried over: from now on everything is sealed for its key. A running daemon goes on with the former key until it is
restarted. --show prints what this side's own card says, to be compared by telephone.`,
		Example: `  ecluse-sender pair receiver.pair
  ecluse-sender pair --show
  ecluse-sender pair --fingerprint SHA256:qzk... receiver.pair`,
		RunE: func(c *cobra.Command, args []string) error {
			conf, err := load(path)
			if err != nil {
				return err
			}
			if show {
				return cli.ShowOwnCard(c.OutOrStdout(), conf.Identity, keys.PairSender)
			}
			return pairReceiver(c, conf, path, args[0], fingerprint, yes, tenants)
		},
	}
	configFlag(c, &path)
	c.Flags().BoolVar(&show, "show", false, "show this side's own card")
	c.Flags().BoolVar(&yes, "yes", false, "the fingerprint was compared already")
	c.Flags().StringVar(&fingerprint, "fingerprint", "", "refuse a card that has not this `F`")
	c.Flags().StringArrayVar(&tenants, "tenant", nil, "a `TENANT` that has to be configured here; which of them this sender may use is said on the high side")
	return c
}

func pairReceiver(c *cobra.Command, conf Config, path, file, fingerprint string, yes bool, tenants []string) error {
	p, err := cli.ReadCard(file, keys.PairReceiver)
	if err != nil {
		return err
	}
	for _, t := range tenants {
		if conf.tenant(t) < 0 {
			return cli.Fail(cli.Usage, "there is no tenant %q in %s", t, path)
		}
	}
	out := c.ErrOrStderr()
	if err := cli.PrintCard(out, p); err != nil {
		return err
	}
	want, err := cli.Fingerprint(c, fingerprint)
	if err != nil {
		return err
	}
	if err := cli.Confirm(c.InOrStdin(), out, p.Fingerprint(), want, yes); err != nil {
		return err
	}
	if err := disk.New().Replace(conf.Receiver, p.Marshal()); err != nil {
		return fmt.Errorf("pair: %w", err)
	}
	if err := os.Chmod(conf.Receiver, 0o644); err != nil {
		return fmt.Errorf("pair: %w", err)
	}
	fmt.Fprintf(out, "%s is paired.\n", p.Name)
	if err := control.Call(c.Context(), conf.State, "status", struct{}{}, nil); !errors.Is(err, control.ErrNoDaemon) {
		fmt.Fprintf(out, "The daemon runs with the former card: %s\n", conf.service().Restart())
	}
	return nil
}
