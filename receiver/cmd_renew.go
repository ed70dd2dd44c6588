package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/internal/control"
	"ecluse/internal/keys"
	"ecluse/protocol/bundle"
)

func renewCommand() *cobra.Command {
	var path string
	var key, asJSON bool
	c := &cobra.Command{
		Use: "renew [flags] --key", Short: "Change the receiver's key",
		Long: `Change the receiver's key, which was lost or must change, and make the card that has to be paired on the low side. The daemon must not run. What is in quarantine stays and
can be released; what was sent for the former key and is not whole yet is refused.`,
		Example: `  ecluse-receiver renew --key && systemctl start ecluse-receiver`,
		Args: func(c *cobra.Command, args []string) error {
			if !key {
				return errors.New("say what to renew, in place of arguments: --key")
			}
			return cobra.NoArgs(c, args)
		},
		RunE: func(c *cobra.Command, _ []string) error {
			conf, err := load(path)
			if err != nil {
				return err
			}
			return renewKey(c, conf, asJSON)
		},
	}
	configFlag(c, &path)
	cli.JSONFlag(c, &asJSON)
	c.Flags().BoolVar(&key, "key", false, "a new key, in place of the former one")
	return c
}

func renewKey(c *cobra.Command, conf Config, asJSON bool) error {
	if err := control.Call(c.Context(), conf.State, "status", struct{}{}, nil); !errors.Is(err, control.ErrNoDaemon) || conf.service().Held() {
		return &cli.Error{Code: cli.Failed, Err: errors.New("the daemon is running, with the former key"), Hint: conf.service().Stop()}
	}
	name, err := receiverName(conf)
	if err != nil {
		return &cli.Error{Code: cli.Usage, Err: err, Hint: "write name: into the configuration"}
	}
	next := conf.Identity + ".next"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a try that was cut short: nobody has its card
		return fmt.Errorf("make the new key: %w", err)
	}
	key, err := keys.GenerateReceiverKey(next)
	if err != nil {
		return err
	}
	if err := cli.GiveToOwner(conf.State, next); err != nil {
		return err
	}
	public, err := keys.ParseReceiverPublic(key.Public())
	if err != nil {
		return err
	}
	p, err := keys.NewReceiverPair(name, public)
	if err != nil {
		return err
	}
	if err := os.Rename(next, conf.Identity); err != nil {
		return fmt.Errorf("use the new key: %w", err)
	}
	if err := cli.ReplaceCard(c.OutOrStdout(), cli.OwnCard(conf.Identity, keys.PairReceiver), p, asJSON); err != nil {
		return err
	}
	fmt.Fprintln(c.ErrOrStderr(), "The new key is in place. Next: start the daemon; carry the card over, compare its fingerprint, and there: ecluse-sender pair receiver.pair, and a restart")
	return nil
}

// receiverName is the name of the configuration, or what the former card says.
func receiverName(conf Config) (bundle.Name, error) {
	if conf.Name != "" {
		return bundle.ParseName(conf.Name)
	}
	p, err := keys.ReadPair(cli.OwnCard(conf.Identity, keys.PairReceiver))
	if err != nil {
		return "", fmt.Errorf("this receiver has no name: %w", err)
	}
	return p.Name, nil
}
