package main

import (
	"context"
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
	facts := map[string]string{
		"configuration": cli.FileDigest(d.c.Path), "allowed_signers": cli.FileDigest(allowed), "officers": cli.FileDigest(officers),
		"identity": bundle.Digest(d.Key.ID()).String(), "program": version,
	}
	for _, t := range d.c.Tenants {
		if s := &t.Policy.Signatures; s.Need > 0 {
			facts["signers of "+t.Name] = cli.FileDigest(s.Signers)
		}
	}
	if err := d.Audit.Facts(facts); err != nil {
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
