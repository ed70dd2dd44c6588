// Command ecluse-receiver is the high side of the diode: it takes bundles in, checks them, holds them in quarantine, and lets people release them.
package main

import (
	"context"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/receiver/watch"
)

// program is what people type.
const program = "ecluse-receiver"

// version is set by the linker.
var version = "unknown"

func main() { cli.Main(run) }

// run is the whole program but for the process.
func run(ctx context.Context, args []string, s cli.Streams) int {
	root := &cobra.Command{
		Use:   program,
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
		initCommand(), pairCommand(), renewCommand(), runCommand(), listCommand(), showCommand(), verifyCommand(), approveCommand(), rejectCommand(), officerCommand(), deliverCommand(), ticketCommand(),
		statusCommand(), cli.UsageCommand(side), cli.PolicyCommand(side), inspectCommand(), cli.ExamineCommand(), confineCommand(), anchorCommand(), cli.AuditCommand(side), doctorCommand(), cli.VersionCommand(program, version, defaultPath),
	)
	return cli.Run(root, args, s)
}

// configFlag adds --config to a command.
func configFlag(c *cobra.Command, path *string) { cli.ConfigFlag(c, path, defaultPath) }

// load reads the configuration for a command, and notes its path: hints name the file that the daemon is to be started on.
func load(path string) (Config, error) {
	stamp := cli.StampOf(path) // before it is read: who edits it from now on is followed
	conf, err := cli.Load(path, defaults())
	conf.Path, conf.Stamp = path, stamp
	return conf, err
}

// service is the daemon that runs on a configuration.
func (c Config) service() cli.Service {
	return cli.Service{Program: program, Config: c.Path, Installed: defaultPath, State: c.State}
}

// absent is what can be said of a daemon that does not answer.
func (c Config) absent() watch.Facts {
	return watch.Facts{Held: c.service().Held(), Next: c.service().Next()}
}
