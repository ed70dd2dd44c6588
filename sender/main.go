// Command ecluse-sender is the low side of the diode: it takes what operators drop into outboxes, signs it, and sends it one way.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
)

// version is set by the linker.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	stop()
	os.Exit(code)
}

// run is the whole program but for the process.
func run(ctx context.Context, args []string, s cli.Streams) int {
	root := &cobra.Command{
		Use:   "ecluse-sender",
		Short: "The low side of the diode: takes, signs, codes and sends",
		Long: `The low side of the diode: what operators drop into an outbox is hashed, compressed, signed, coded against loss and sent over a link that answers nothing. An item
is never deleted before it was sent, and stays for keep.sent after that.`,
		Example: `  ecluse-sender init --dir /etc/ecluse/low --to 10.77.0.2:4600 --mtu 9000 --rate 9Gbit
  ecluse-sender pair receiver.pair
  ecluse-sender run
  ecluse-sender send --priority urgent --wait update.tar`,
	}
	root.SetContext(ctx)
	root.AddCommand(
		initCommand(), pairCommand(), renewCommand(), runCommand(), sendCommand(), listCommand(), showCommand(), resendCommand(), dismissCommand(), statusCommand(), planCommand(), doctorCommand(),
		versionCommand(),
	)
	return cli.Run(root, args, s)
}

// configFlag adds --config to a command.
func configFlag(c *cobra.Command, path *string) {
	c.Flags().StringVar(path, "config", defaultPath, "configuration `FILE`")
	_ = c.MarkFlagFilename("config", "yaml")
}

// jsonFlag adds --json to a command.
func jsonFlag(c *cobra.Command, asJSON *bool) {
	c.Flags().BoolVar(asJSON, "json", false, "print one JSON value")
}

func versionCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "version [flags]", Short: "Print the version", Args: cobra.NoArgs,
		Example: "  ecluse-sender version --json",
		RunE: func(c *cobra.Command, _ []string) error {
			if asJSON {
				return cli.PrintJSON(c.OutOrStdout(), map[string]any{"program": "ecluse-sender", "version": version})
			}
			_, err := io.WriteString(c.OutOrStdout(), "ecluse-sender "+version+"\n")
			return err
		},
	}
	jsonFlag(c, &asJSON)
	c.Flags().String("config", defaultPath, "taken, as everywhere, and not read")
	_ = c.Flags().MarkHidden("config")
	return c
}
