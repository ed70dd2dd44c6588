// Command ecluse-sender is the low side of the diode: it takes what operators drop into outboxes, signs it, and sends it one way.
package main

import (
	"context"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/sender/watch"
)

// program is what people type.
const program = "ecluse-sender"

// version is set by the linker.
var version = "unknown"

func main() { cli.Main(run) }

// run is the whole program but for the process.
func run(ctx context.Context, args []string, s cli.Streams) int {
	root := &cobra.Command{
		Use:   program,
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
		initCommand(), pairCommand(), renewCommand(), runCommand(), sendCommand(), listCommand(), showCommand(), resendCommand(), dismissCommand(), statusCommand(), cli.UsageCommand(side), planCommand(), cli.PolicyCommand(side), cli.ExamineCommand(),
		cli.AuditCommand(side), doctorCommand(), cli.VersionCommand(program, version, defaultPath),
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
