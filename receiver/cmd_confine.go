package main

import (
	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/receiver/inspect/command"
)

// confineName is the command by which the daemon makes of itself a command of the site, fenced in. Nobody types it.
const confineName = "confine"

func confineCommand() *cobra.Command {
	return &cobra.Command{
		Use: confineName, Short: "Become a command of the site, fenced in, as a child of the daemon", Args: cobra.ExactArgs(1), Hidden: true,
		RunE: func(c *cobra.Command, args []string) error {
			return &cli.Error{Code: command.Confine(args[0], c.ErrOrStderr())}
		},
	}
}
