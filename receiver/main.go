// Command ecluse-receiver is the high side of the diode: it takes bundles in, checks them, holds them in quarantine, and lets people release them.
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
		Use:   "ecluse-receiver",
		Short: "The high side of the diode: receives, checks, quarantines and releases",
		Long: `The high side of the diode: it receives what the low side sends, checks every signature and every byte, holds it in quarantine, and delivers what
people have released. Nothing leaves by the diode.`,
		Example: `  ecluse-receiver init --dir /etc/ecluse/high --listen 10.77.0.2:4600
  ecluse-receiver pair sender.pair
  ecluse-receiver run
  ecluse-receiver list --state quarantined
  ecluse-receiver approve --reason "ticket 4711" 3f7k2q`,
	}
	root.SetContext(ctx)
	root.AddCommand(
		initCommand(), pairCommand(), renewCommand(), runCommand(), listCommand(), showCommand(), verifyCommand(), approveCommand(), rejectCommand(), deliverCommand(), ticketCommand(),
		statusCommand(), anchorCommand(), doctorCommand(), versionCommand(),
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
		Example: "  ecluse-receiver version --json",
		RunE: func(c *cobra.Command, _ []string) error {
			if asJSON {
				return cli.PrintJSON(c.OutOrStdout(), map[string]any{"program": "ecluse-receiver", "version": version})
			}
			_, err := io.WriteString(c.OutOrStdout(), "ecluse-receiver "+version+"\n")
			return err
		},
	}
	jsonFlag(c, &asJSON)
	c.Flags().String("config", defaultPath, "taken, as everywhere, and not read")
	_ = c.Flags().MarkHidden("config")
	return c
}
