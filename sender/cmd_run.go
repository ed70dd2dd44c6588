package main

import (
	"github.com/spf13/cobra"

	"ecluse/internal/cli"
)

func runCommand() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use: "run [flags]", Short: "Send, in the foreground, until SIGTERM", Args: cobra.NoArgs,
		Long: `Send, in the foreground, until SIGTERM. Logs go to stderr: JSON, or a readable form on a terminal. systemd is told when it is ready, and its watchdog is fed by the
scheduler and the link.`,
		Example: "  ecluse-sender run --config /etc/ecluse/sender.yaml",
		RunE: func(c *cobra.Command, _ []string) error {
			conf, err := load(path)
			if err != nil {
				return err
			}
			log, err := cli.Foreground[Config](c.ErrOrStderr(), conf.Log, conf.service())
			if err != nil {
				return err
			}
			cli.LimitMemory(memoryLimit(conf))
			cli.SpareProcessors(1) // for the link
			return runDaemon(c.Context(), conf, log)
		},
	}
	configFlag(c, &path)
	return c
}

// memoryLimit is what the collector of garbage aims to stay below. The blocks of the window are in memory that it does not know; what it has to hold is what is read and
// compressed, and tables of files.
func memoryLimit(c Config) int64 { return int64(c.Memory) + 48<<20 }
