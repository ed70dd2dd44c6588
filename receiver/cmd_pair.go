package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/internal/config"
	"ecluse/internal/disk"
	"ecluse/internal/keys"
	"ecluse/protocol/bundle"
	"ecluse/receiver/house"
	"ecluse/receiver/ledger"
)

// pairFlags are what pair is told.
type pairFlags struct {
	config, fingerprint string
	yes, show           bool
	tenants             []string
}

func pairCommand() *cobra.Command {
	var f pairFlags
	c := &cobra.Command{
		Use: "pair [flags] (FILE | --show)", Short: "Enrol a sender by its card, or show one's own",
		Args: func(c *cobra.Command, args []string) error { return cli.OneOrNone(c, args, f.show) },
		Long: `Enrol a sender by its card, a .pair file that was carried over: its key goes into allowed_signers, its name and tenants into the configuration, and its
epoch becomes the accepted one. A sender that was restored or installed anew is paired again: then its former epoch is never accepted any more, and what is
held as epoch-new may be released. A running daemon takes it up at once. --show prints what this side's own card says, to be compared by telephone.`,
		Example: `  ecluse-receiver pair sender.pair
  ecluse-receiver pair --show
  ecluse-receiver pair --fingerprint SHA256:qzk... --tenant cssf --tenant cnpf sender.pair`,
		RunE: func(c *cobra.Command, args []string) error {
			conf, err := load(f.config)
			if err != nil {
				return err
			}
			if f.show {
				return cli.ShowOwnCard(c.OutOrStdout(), conf.Identity, keys.PairReceiver)
			}
			return pairSender(c, conf, f, args[0])
		},
	}
	configFlag(c, &f.config)
	c.Flags().BoolVar(&f.show, "show", false, "show this side's own card")
	c.Flags().BoolVar(&f.yes, "yes", false, "the fingerprint was compared already")
	c.Flags().StringVar(&f.fingerprint, "fingerprint", "", "refuse a card that has not this `F`")
	c.Flags().StringArrayVar(&f.tenants, "tenant", nil, "a `TENANT` that the sender may use; may be repeated (the only tenant where there is one)")
	return c
}

// signerNamespaces are what a sender's key may sign.
var signerNamespaces = []string{bundle.NamespaceBundle, bundle.NamespaceSession, bundle.NamespaceAbandon}

func pairSender(c *cobra.Command, conf Config, f pairFlags, path string) error {
	p, err := cli.ReadCard(path, keys.PairSender)
	if err != nil {
		return err
	}
	tenants, err := pairTenants(conf, p.Name, f.tenants)
	if err != nil {
		return err
	}
	out := c.ErrOrStderr()
	if err := cli.PrintCard(out, p, "tenants      "+strings.Join(tenants, ", ")); err != nil {
		return err
	}
	lost, err := missingOfOthers(c.Context(), conf, p)
	if err != nil {
		return err
	}
	if lost > 0 {
		fmt.Fprintf(out, "%d bundles of %s were sent in other epochs and never came (list --state missing). What is missing of the epoch in force until now is given up by this.\n", lost, p.Name)
	}
	want, err := cli.Fingerprint(c, f.fingerprint)
	if err != nil {
		return err
	}
	if err := cli.Confirm(c.InOrStdin(), out, p.Fingerprint(), want, f.yes); err != nil {
		return err
	}
	if _, err := keys.AppendSigner(conf.AllowedSigners, p.Name, signerNamespaces, p.Signer, "ecluse "+string(p.Name)); err != nil {
		return fmt.Errorf("pair: %w", err)
	}
	if err := addSender(f.config, conf, p.Name, tenants); err != nil {
		return err
	}
	if err := acceptEpoch(c.Context(), f.config, p); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s is paired.\n", p.Name)
	return nil
}

// missingOfOthers counts what is missing of a sender's other epochs.
func missingOfOthers(ctx context.Context, conf Config, p *keys.Pair) (n uint64, err error) {
	rows, err := readRows(ctx, conf, ledger.Query{State: ledger.Missing})
	for _, r := range rows {
		if r.Sender == string(p.Name) && r.Epoch != p.Epoch.String() {
			n += *r.Through - *r.Sequence + 1
		}
	}
	return n, err
}

// pairTenants are the tenants that a sender is to have: those asked for, else what it has, else the only one.
func pairTenants(conf Config, sender bundle.Name, asked []string) ([]string, error) {
	all := conf.shared().Names()
	for _, t := range asked {
		if !slices.Contains(all, t) {
			return nil, cli.Fail(cli.Usage, "there is no tenant %q; there are: %s", t, strings.Join(all, ", "))
		}
	}
	for _, s := range conf.Senders {
		if s.Name == string(sender) && len(asked) == 0 {
			return s.Tenants, nil
		}
	}
	if len(asked) == 0 && len(all) == 1 {
		return all, nil
	}
	if len(asked) == 0 {
		return nil, &cli.Error{Code: cli.Usage, Err: errors.New("which tenants may it use?"), Hint: "--tenant, once for each of: " + strings.Join(all, ", ")}
	}
	return asked, nil
}

// addSender writes a sender into the configuration, where everything else stays as it is.
func addSender(path string, conf Config, sender bundle.Name, tenants []string) error {
	for _, s := range conf.Senders {
		if s.Name != string(sender) {
			continue
		}
		for _, t := range tenants {
			if !slices.Contains(s.Tenants, t) {
				return &cli.Error{Code: cli.Usage, Err: fmt.Errorf("sender %s stands in %s already, without tenant %s", sender, path, t), Hint: "add it there by hand, and pair again without --tenant"}
			}
		}
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	entry := "name: " + config.Scalar(string(sender)) + "\ntenants:\n"
	for _, t := range tenants {
		entry += "  - " + config.Scalar(t) + "\n"
	}
	changed, err := config.AddEntry(text, "senders", entry)
	if err != nil {
		return &cli.Error{Code: cli.Usage, Err: err}
	}
	if _, err := config.Parse(path, changed, defaults()); err != nil {
		return fmt.Errorf("the configuration would not hold with the sender in it: %w", err)
	}
	return disk.ReplaceLike(path, changed, info)
}

// acceptEpoch tells the daemon, or does it where none runs.
func acceptEpoch(ctx context.Context, path string, p *keys.Pair) error {
	conf, err := load(path)
	if err != nil {
		return err
	}
	_, err = cli.Ask(ctx, reader(conf), "pair", pairRequest{p.Name, p.Epoch}, func() (*struct{}, error) {
		return nil, atRest(ctx, conf, func(ctx context.Context, s *house.State) error {
			err := s.Ledger.Pair(ctx, p.Name, p.Epoch)
			if err == nil {
				err = s.Chamber.Recheck(ctx)
			}
			return answerable(err)
		})
	})
	return err
}
