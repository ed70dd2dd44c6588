package main

import (
	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/receiver/house"
)

func runCommand() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use: "run [flags]", Short: "Receive, in the foreground, until SIGTERM", Args: cobra.NoArgs,
		Long: `Receive, in the foreground, until SIGTERM. Logs go to stderr: JSON, or a readable form on a terminal. systemd is told when it is ready, and its watchdog is fed
by the drains of the links.`,
		Example: "  ecluse-receiver run --config /etc/ecluse/receiver.yaml",
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
			cli.SpareProcessors(2 * len(conf.Links)) // for the drain and the collector of each
			return runDaemon(c.Context(), conf, log)
		},
	}
	configFlag(c, &path)
	return c
}

// memoryLimit is what the collector of garbage aims to stay below. Blocks and datagrams are in memory that it does not know; what it has to hold is what is on its way to
// the disk, and tables of files.
func memoryLimit(Config) int64 { return house.AssembleMemory + 40<<20 }
