package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/internal/disk"
	"ecluse/internal/keys"
	"ecluse/sender/house"
)

// renewFlags are what renew is told.
type renewFlags struct {
	config                   string
	epoch, key, useKey, json bool
}

func renewCommand() *cobra.Command {
	var f renewFlags
	c := &cobra.Command{
		Use: "renew [flags] (--epoch | --key | --use-key)", Short: "Begin a new life, or change the key",
		Long: `Begin a new life, or change the key, and make the card that has to be paired on the high side.

--epoch: the state was restored from a backup, or is lost. A new epoch and ticket key are drawn; the daemon must not run.
--key: a new key is made beside the old one, and sender-next.pair, the card with it, in the same life. Nothing uses it yet: pair the card first.
--use-key: the key of --key takes the old one's place, when its card is paired. The daemon uses it from its next start on.`,
		Example: `  ecluse-sender renew --epoch
  ecluse-sender renew --key
  ecluse-sender renew --use-key && systemctl restart ecluse-sender`,
		Args: func(c *cobra.Command, args []string) error {
			ways := 0
			for _, is := range []bool{f.epoch, f.key, f.useKey} {
				if is {
					ways++
				}
			}
			if ways != 1 {
				return errors.New("say what to renew, in place of arguments: one of --epoch, --key and --use-key")
			}
			return cobra.NoArgs(c, args)
		},
		RunE: func(c *cobra.Command, _ []string) error {
			conf, err := load(f.config)
			if err != nil {
				return err
			}
			switch {
			case f.epoch:
				return renewEpoch(c, conf, f.json)
			case f.key:
				return renewKey(c, conf, f.json)
			}
			return useKey(c, conf, f.json)
		},
	}
	configFlag(c, &f.config)
	cli.JSONFlag(c, &f.json)
	c.Flags().BoolVar(&f.epoch, "epoch", false, "a new epoch")
	c.Flags().BoolVar(&f.key, "key", false, "a new key, not used yet")
	c.Flags().BoolVar(&f.useKey, "use-key", false, "use the new key from now on")
	return c
}

func renewEpoch(c *cobra.Command, conf Config, asJSON bool) error {
	identity, err := keys.LoadIdentity(conf.Identity) // before anything is changed
	if err != nil {
		return &cli.Error{Code: cli.Usage, Err: err}
	}
	name, err := senderName(conf)
	if err != nil {
		return &cli.Error{Code: cli.Usage, Err: err, Hint: "write name: into the configuration"}
	}
	epoch, files, err := house.Redraw(disk.New(), conf.State)
	if err != nil {
		return cli.WithHint(err, "as root, with the daemon stopped: %s", conf.service().Stop())
	}
	if err := cli.GiveToOwner(conf.State, files...); err != nil {
		return err
	}
	p, err := keys.NewSenderPair(name, epoch, identity.Public())
	if err != nil {
		return err
	}
	if err := cli.ReplaceCard(c.OutOrStdout(), cli.OwnCard(conf.Identity, keys.PairSender), p, asJSON); err != nil {
		return err
	}
	fmt.Fprintln(c.ErrOrStderr(), `A new life has begun. Next: start the daemon; carry the card over, compare its fingerprint, and there: ecluse-receiver pair sender.pair`)
	return nil
}

// nextKey and nextCard are where a new key waits until its card is paired.
func nextKey(conf Config) string { return conf.Identity + ".next" }
func nextCard(conf Config) string {
	return filepath.Join(filepath.Dir(conf.Identity), "sender-next.pair")
}

func renewKey(c *cobra.Command, conf Config, asJSON bool) error {
	if strings.HasSuffix(conf.Identity, ".pub") {
		return &cli.Error{Code: cli.Usage, Err: fmt.Errorf("the key %s is in an agent, which has to be given the new one", conf.Identity), Hint: "ssh-keygen -t ed25519 makes one"}
	}
	name, err := senderName(conf)
	if err != nil {
		return &cli.Error{Code: cli.Usage, Err: err, Hint: "write name: into the configuration"}
	}
	epoch, err := house.ReadEpoch(disk.New(), conf.State)
	if err != nil {
		return err
	}
	key, err := keys.GenerateIdentity(nextKey(conf), string(name))
	if errors.Is(err, fs.ErrExist) {
		return &cli.Error{Code: cli.Usage, Err: err, Hint: "--use-key takes that one; remove it and its .pub for another"}
	}
	if err != nil {
		return err
	}
	if err := cli.GiveToOwner(conf.State, nextKey(conf)); err != nil {
		return err
	}
	p, err := keys.NewSenderPair(name, epoch, key)
	if err != nil {
		return err
	}
	if err := cli.ReplaceCard(c.OutOrStdout(), nextCard(conf), p, asJSON); err != nil {
		return err
	}
	fmt.Fprintln(c.ErrOrStderr(), `Nothing uses the new key yet. Next: carry the card over, compare its fingerprint, and there: ecluse-receiver pair sender-next.pair; then, here:
ecluse-sender renew --use-key, and a restart of the daemon`)
	return nil
}

// useKey puts key and card in place one by one, the private half first; what was cut short goes on from where it was.
func useKey(c *cobra.Command, conf Config, asJSON bool) error {
	p, err := keys.ReadPair(nextCard(conf))
	if errors.Is(err, fs.ErrNotExist) {
		return &cli.Error{Code: cli.NotFound, Err: fmt.Errorf("no new key was made: %w", err), Hint: "ecluse-sender renew --key"}
	}
	if err != nil {
		return err
	}
	epoch, err := house.ReadEpoch(disk.New(), conf.State)
	if err == nil && p.Epoch != epoch {
		err = &cli.Error{Code: cli.Refused, Err: fmt.Errorf("%s is of epoch %s, and the state of %s", nextCard(conf), p.Epoch, epoch),
			Hint: fmt.Sprintf("remove %s, its .pub and the card, and make the key anew: --key", nextKey(conf))}
	}
	if err != nil {
		return err
	}
	for _, end := range []string{"", ".pub"} {
		if err := os.Rename(nextKey(conf)+end, conf.Identity+end); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("use the new key: %w", err)
		}
	}
	if err := cli.ReplaceCard(c.OutOrStdout(), cli.OwnCard(conf.Identity, keys.PairSender), p, asJSON); err != nil {
		return err
	}
	if err := os.Remove(nextCard(conf)); err != nil {
		return fmt.Errorf("use the new key: %w", err)
	}
	fmt.Fprintf(c.ErrOrStderr(), "The new key is in place, from the daemon's next start on: %s\n", conf.service().Restart())
	return nil
}
