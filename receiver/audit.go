package main

import (
	"context"
	"errors"
	"os"

	"go.uber.org/zap"

	"ecluse/internal/audit"
	"ecluse/internal/cli"
	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
)

// auditStarted tells the log that this life has begun, and by what it goes.
func (d *daemon) auditStarted() {
	d.Audit.Tell(audit.Entry{Event: "started", Text: version})
	d.auditFacts()
}

// auditFacts tells the log by what this side goes from now on, where that has changed.
func (d *daemon) auditFacts() {
	d.mu.Lock()
	allowed, officers := d.c.AllowedSigners, d.c.Officers
	d.mu.Unlock()
	err := d.Audit.Facts(map[string]string{
		"configuration": cli.FileDigest(d.c.Path), "allowed_signers": cli.FileDigest(allowed), "officers": cli.FileDigest(officers),
		"identity": bundle.Digest(d.Key.ID()).String(), "program": version,
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

// tellRefused tells the log of a decision that was not taken, and whose it was.
func tellRefused(a *audit.Log, r *ledger.Record, who string, err error) {
	reason, _ := bundle.ReasonOf(err)
	e := audit.Entry{Event: "decision-refused", Tenant: string(r.Tenant), Sender: string(r.Sender), State: string(r.State), Who: who, Reason: string(reason), Text: err.Error()}
	if !r.Bundle.IsZero() {
		e.Bundle = r.Bundle.String()
	}
	if r.Sequence != nil {
		e.Sequence = *r.Sequence
	}
	a.Tell(e)
}
