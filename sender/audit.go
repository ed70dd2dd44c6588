package main

import (
	"context"
	"maps"
	"os"
	"strings"

	"go.uber.org/zap"

	"ecluse/internal/audit"
	"ecluse/internal/cli"
	"ecluse/sender/house"
)

// auditStarted tells the log that this life has begun, and by what it goes. Of the keys it looks at the files once: this life goes by what they held at its start.
func (d *daemon) auditStarted(s *house.State) {
	d.papers = map[string]string{"identity": cli.FileDigest(strings.TrimSuffix(d.c.Identity, ".pub") + ".pub"), "receiver": cli.FileDigest(d.c.Receiver)}
	s.Audit.Tell(audit.Entry{Event: "started", Text: version})
	d.auditFacts(s)
}

// auditFacts tells the log by what this side goes from now on, where that has changed.
func (d *daemon) auditFacts(s *house.State) {
	facts := maps.Clone(d.papers)
	facts["configuration"], facts["epoch"], facts["program"] = cli.FileDigest(d.c.Path), s.Epoch.String(), version
	if err := s.Audit.Facts(facts); err != nil {
		d.log.Error("tell the audit log of the configuration: it is told again at the next start", zap.Error(err))
	}
}

// publish brings checkpoints of the audit log to where they are kept beside the state.
func (d *daemon) publish(ctx context.Context) error {
	d.audits.Publish(ctx, d.Audit, d.Disk, d.c.Audit, os.Stdout, d.log)
	return nil
}

// checkAudit looks through the audit log, once a day.
func (d *daemon) checkAudit(ctx context.Context) error {
	d.audits.Check(ctx, d.Audit, d.c.State)
	return nil
}
