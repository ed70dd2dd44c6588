package main

import (
	"github.com/spf13/cobra"

	"ecluse/internal/audit"
	"ecluse/internal/cli"
	"ecluse/internal/disk"
	"ecluse/receiver/ledger"
)

func auditCommand() *cobra.Command {
	return cli.AuditCommand(cli.AuditHouse{Program: program, Default: defaultPath, Load: func(path string) (cli.Audited, error) {
		conf, err := load(path)
		return cli.Audited{Reader: reader(conf), Tenants: conf.tenantNames(), Records: recordsOf(conf.State)}, err
	}})
}

// recordsOf are the records of a state, for the log to be held against.
func recordsOf(state string) audit.Records {
	return func(yield func(bundle, digest string) error) error { return ledger.Digests(disk.New(), state, yield) }
}
