package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/internal/config"
	"ecluse/internal/disk"
	"ecluse/internal/keys"
	"ecluse/protocol/bundle"
	"ecluse/protocol/fec"
	"ecluse/sender/house"
)

// initFlags are what init is told.
type initFlags struct {
	dir, name string
	link      LinkConfig
	passes    int
	apart     config.Duration
}

func initCommand() *cobra.Command {
	f := initFlags{apart: config.Duration(10 * time.Second)}
	f.link.SetDefaults()
	c := &cobra.Command{
		Use: "init --dir DIR --to ADDR [flags]", Short: "Lay out a complete sender below a directory", Args: cobra.NoArgs,
		Long: `Lay out a complete sender below a directory: keys, a new epoch, configuration, an outbox for one tenant named default, and sender.pair, the card to carry to the
high side. A directory that holds keys is refused.

State facts about the link; the planner chooses parity and interleaving (ecluse-sender plan).`,
		Example: `  ecluse-sender init --dir /etc/ecluse/low --to 10.77.0.2:4600 --mtu 9000 --rate 9Gbit
  ecluse-sender init --dir ./low --to 127.0.0.1:4600 --passes 2 --apart 10s`,
		RunE: func(c *cobra.Command, _ []string) error { return initSender(c, f) },
	}
	c.Flags().StringVar(&f.dir, "dir", "", "the `DIR` to make (required)")
	c.Flags().StringVar(&f.name, "name", cli.HostName("sender"), "the principal under which the high side knows this sender")
	c.Flags().IntVar(&f.passes, "passes", 1, "how often everything is sent")
	c.Flags().Var(&f.apart, "apart", "time between two passes")
	linkFlags(c, &f.link)
	_ = c.MarkFlagRequired("dir")
	_ = c.MarkFlagRequired("to")
	_ = c.MarkFlagDirname("dir")
	return c
}

// linkFlags are the facts of a link as flags.
func linkFlags(c *cobra.Command, l *LinkConfig) {
	c.Flags().Var(&l.To, "to", "the receiver's address and port")
	c.Flags().IntVar(&l.MTU, "mtu", l.MTU, "largest IP packet of the link, in bytes")
	c.Flags().Var(&l.Rate, "rate", "what the link carries, headers included")
	c.Flags().Var(&l.Loss, "loss", "what it loses at random")
	c.Flags().Var(&l.Burst, "burst", "the longest time for which it loses everything")
}

func initSender(c *cobra.Command, f initFlags) error {
	name, err := bundle.ParseName(f.name)
	if err != nil {
		return &cli.Error{Code: cli.Usage, Err: err, Hint: "--name NAME"}
	}
	if _, err := fec.NewPlan(f.link.facts()); err != nil {
		return &cli.Error{Code: cli.Usage, Err: err}
	}
	if f.passes < 1 || f.passes > passesMost {
		return cli.Fail(cli.Usage, "--passes %d is not between 1 and %d", f.passes, passesMost)
	}
	if f.dir == "" {
		return cli.Fail(cli.Usage, "--dir is empty")
	}
	dir, err := filepath.Abs(f.dir)
	if err != nil {
		return err
	}
	path := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	text := strings.NewReplacer("{name}", config.Scalar(string(name)), "{state}", config.Scalar(path("state")), "{identity}", config.Scalar(path("sender_ed25519")),
		"{receiver}", config.Scalar(path("receiver.pair")), "{outbox}", config.Scalar(path("outbox", "default")), "{to}", config.Scalar(f.link.To.String()),
		"{mtu}", strconv.Itoa(f.link.MTU), "{rate}", f.link.Rate.String(), "{loss}", f.link.Loss.String(), "{burst}", f.link.Burst.String(),
		"{passes}", strconv.Itoa(f.passes), "{apart}", f.apart.String()).Replace(initialConfig)
	if _, err := config.Parse(path("sender.yaml"), []byte(text), defaults()); err != nil { // before anything is made
		return &cli.Error{Code: cli.Usage, Err: err}
	}
	if err := cli.RefuseUsed(dir, "sender_ed25519", "sender.yaml", "sender.pair", filepath.Join("state", house.EpochFile)); err != nil {
		return err
	}
	if err := cli.StateDir(path("state")); err != nil {
		return err
	}
	if err := os.MkdirAll(path("outbox", "default"), 0o770); err != nil {
		return fmt.Errorf("lay out %s: %w", dir, err)
	}
	key, err := keys.GenerateIdentity(path("sender_ed25519"), string(name))
	if err != nil {
		return err
	}
	d := disk.New()
	epoch, err := house.Draw(d, path("state"))
	if err != nil {
		return err
	}
	pair, err := keys.NewSenderPair(name, epoch, key)
	if err != nil {
		return err
	}
	if err := keys.WritePair(path("sender.pair"), pair); err != nil {
		return err
	}
	if err := d.Replace(path("sender.yaml"), []byte(text)); err != nil {
		return err
	}
	if err := os.Chmod(path("sender.yaml"), 0o640); err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "%s\n%s\n", path("sender.pair"), pair.Fingerprint())
	fmt.Fprintf(c.ErrOrStderr(), `The sender %s stands in %s. Next:
  1. bring receiver.pair here:  ecluse-sender pair --config %s receiver.pair
  2. carry sender.pair to the high side, and read its fingerprint over the telephone:
       ecluse-receiver pair --config DIR/receiver.yaml sender.pair
  3. ecluse-sender run --config %s
`, name, dir, path("sender.yaml"), path("sender.yaml"))
	return nil
}

const initialConfig = `# Ecluse, low side. All keys and their meaning: configs/sender.yaml, or README.md.
name: {name}
state: {state}
identity: {identity}
receiver: {receiver}
links:
  - name: a
    to: {to}
    mtu: {mtu}
    rate: {rate}
    loss: {loss}
    burst: {burst}
passes:
  count: {passes}
  apart: {apart}
settle: 2s
tenants:
  - name: default
    outbox: {outbox}
    weight: 1
`
