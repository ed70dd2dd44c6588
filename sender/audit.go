package main

import (
	"context"
	"errors"
	"os"
	"strings"

	"go.uber.org/zap"

	"ecluse/internal/audit"
	"ecluse/internal/cli"
	"ecluse/sender/house"
)

// auditStarted tells the log that this life has begun, and by what it goes. It reads files that are out of reach when the process is confined.
func (d *daemon) auditStarted(s *house.State) {
	s.Audit.Tell(audit.Entry{Event: "started", Text: version})
	err := s.Audit.Facts(map[string]string{
		"configuration": cli.FileDigest(d.c.Path), "identity": cli.FileDigest(strings.TrimSuffix(d.c.Identity, ".pub") + ".pub"), "receiver": cli.FileDigest(d.c.Receiver),
		"epoch": s.Epoch.String(), "program": version,
	})
	if err != nil {
		d.log.Error("tell the audit log of the configuration: it is told again at the next start", zap.Error(err))
	}
}

// auditEnded tells the log why this life ends.
func auditEnded(a *audit.Log, err error) {
	e := audit.Entry{Event: "stopped"}
	if err != nil {
		e.Text = err.Error()
	}
	a.Tell(e)
}

// publish brings checkpoints of the audit log to where they are kept beside the state.
func (d *daemon) publish(ctx context.Context) error {
	audit.Publish(ctx, d.c.Audit.Every.Std(), d.Audit.Checkpoint, d.c.Audit.Copies(), func(c audit.Copy, cp audit.Checkpoint) error {
		err := c.Put(d.Disk, os.Stdout, d.Audit.Public(), cp)
		if c.Kind == "file" {
			d.mu.Lock()
			d.older[c.Path] = errors.Is(err, audit.ErrOlder)
			d.mu.Unlock()
		}
		return err
	}, func(err error) { d.log.Error("copy a checkpoint of the audit log", zap.Error(err)) })
	return nil
}

// checkAudit looks through the whole log some minutes after the start, and then once a day.
func (d *daemon) checkAudit(ctx context.Context) error {
	cli.CheckAudit(ctx, d.c.State, d.Audit.Public(), func(faults []string) {
		d.mu.Lock()
		d.wrong = faults
		d.mu.Unlock()
	})
	return nil
}

// auditFaults are what is wrong with the log.
func (d *daemon) auditFaults() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append(cli.AuditFaults(d.Disk, d.c.State, d.older), d.wrong...)
}
