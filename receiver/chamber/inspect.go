package chamber

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap"

	"ecluse/internal/examine"
	"ecluse/internal/policy"
	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
	"ecluse/receiver/quarantine"
	"ecluse/receiver/release"
)

// byPolicy is the name of the inspector that holds content against a tenant's rules.
const byPolicy = "policy"

const (
	inspectMost     = 2   // bundles that are looked at at once
	keptFindings    = 20  // in a record, which is written often
	findingTextMost = 400 // bytes of a path or a text there: a child that was taken over says what it likes
)

// versionOf names rules: two that differ have different ones.
func versionOf(r *policy.Rules) string {
	text, err := json.Marshal(struct {
		Engine int
		*policy.Rules
	}{policy.Engine, r})
	if err != nil {
		panic("chamber: internal error: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return "rules " + hex.EncodeToString(sum[:8])
}

// inspection is what the present rules of its tenant say of a bundle; nil: they were not asked yet. due is false where the tenant has none.
func (c *Chamber) inspection(r *ledger.Record) (done *ledger.Inspection, due bool) {
	t := c.o.Tenants[r.Tenant]
	if t.Rules == nil {
		return nil, false
	}
	version := versionOf(t.Rules)
	for i := range r.Inspections {
		if n := &r.Inspections[i]; n.Inspector == byPolicy && n.Version == version {
			return n, true
		}
	}
	return nil, true
}

// judge gives a quarantined bundle that nothing else holds the verdict that its inspection gave, or that it waits for one.
func (c *Chamber) judge(r *ledger.Record) {
	done, due := c.inspection(r)
	switch {
	case !due:
		verdict(r, ledger.Clean, bundle.ReasonNotInspected, "")
	case done == nil:
		verdict(r, ledger.Pending, bundle.ReasonInspection, "")
	case len(done.Findings) == 0:
		verdict(r, ledger.Clean, "", "")
	default:
		first := done.Findings[0]
		text := fmt.Sprintf("%s: %s", first.Path, first.Text)
		if more := len(done.Findings) - 1 + done.More; more > 0 {
			text += fmt.Sprintf("; and %d more", more)
		}
		verdict(r, ledger.Flagged, first.Reason, text)
	}
}

func verdict(r *ledger.Record, v ledger.Verdict, reason bundle.Reason, detail string) {
	r.Verdict, r.Reason, r.Detail = &v, nil, detail
	if reason != "" {
		text := string(reason)
		r.Reason = &text
	}
}

// uninspected says that a bundle waits for an inspection, whether or not one failed.
func uninspected(r *ledger.Record) bool {
	return r.State == ledger.Quarantined && (reason(r) == bundle.ReasonInspection || reason(r) == bundle.ReasonInspector)
}

func flagged(r *ledger.Record) bool { return r.Verdict != nil && *r.Verdict == ledger.Flagged }

// lookAgain has a bundle inspected that the present rules did not see: it waits for that, whatever others said of it.
func (c *Chamber) lookAgain(r *ledger.Record) error {
	if !uninspected(r) {
		err := c.change(r.Bundle, func(have *ledger.Record) error {
			if have.State != ledger.Quarantined || reason(have) != reason(r) {
				return errOver
			}
			c.judge(have)
			return nil
		})
		if errors.Is(err, errOver) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	c.look(r.Tenant, r.Bundle)
	return nil
}

// look has a bundle inspected, when its turn comes.
func (c *Chamber) look(tenant bundle.Name, id bundle.ID) {
	if !c.resting {
		c.lookouts.add(tenant, id)
	}
}

// inspectAll inspects one bundle after another until the chamber ends.
func (c *Chamber) inspectAll() {
	for {
		tenant, id, ok := c.lookouts.take(c.ctx)
		if !ok {
			return
		}
		err := c.lookOnce(tenant, id)
		switch {
		case err == nil, errors.Is(err, errOver), errors.Is(err, ledger.ErrNotFound):
			c.lookouts.over(tenant, id)
		case errors.Is(err, ledger.ErrFatal):
			c.fatal(err)
			return
		case c.ctx.Err() == nil:
			c.notLookedAt(tenant, id, err)
		}
	}
}

// notLookedAt holds a bundle that could not be inspected, and has it tried again.
func (c *Chamber) notLookedAt(tenant bundle.Name, id bundle.ID, cause error) {
	c.posted(c.change(id, func(r *ledger.Record) error {
		if !uninspected(r) {
			return errOver
		}
		verdict(r, ledger.Pending, bundle.ReasonInspector, cause.Error())
		return nil
	}))
	wait := c.lookouts.later(tenant, id, c.pause)
	c.o.Log.Error("not inspected, and held", zap.Stringer("bundle", id), zap.Error(cause), zap.Duration("again_in", wait))
}

// lookOnce inspects a bundle, notes what was found, and releases it where nobody is asked.
func (c *Chamber) lookOnce(tenant bundle.Name, id bundle.ID) error {
	t, ok := c.o.Tenants[tenant]
	if !ok || t.Rules == nil {
		return errOver
	}
	began := c.o.Now().UTC()
	have, err := c.o.Ledger.Get(id)
	if err != nil {
		return err
	}
	if have.State != ledger.Quarantined || have.Name == nil {
		return errOver
	}
	room, err := c.roomToLook()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(c.ctx, lookTime(have), fmt.Errorf("it took longer than %v", lookTime(have)))
	defer cancel()
	scratch := filepath.Join(c.o.State, ScratchName)
	if err := c.o.Disk.MkdirAll(scratch); err != nil {
		return err
	}
	report, err := c.o.Inspect(ctx, examine.Job{Root: filepath.Join(Dir(c.o.State, tenant, id), quarantine.FilesName), Item: *have.Name, Scratch: scratch, Room: room, Rules: t.Rules})
	if err != nil {
		return err
	}
	if !report.Fenced {
		c.o.Log.Warn("the kernel has no landlock: what looks into content can read what the daemon can", zap.Stringer("bundle", id))
	}
	evidence := evidenceOf(report, versionOf(t.Rules), began)
	released := false
	var after ledger.Record
	err = c.o.Ledger.Steps(context.WithoutCancel(c.ctx), id, func(r *ledger.Record) error {
		if r.State != ledger.Quarantined {
			return errOver
		}
		r.Inspections = slices.DeleteFunc(r.Inspections, func(n ledger.Inspection) bool { return n.Inspector == byPolicy })
		r.Inspections = append(r.Inspections, evidence)
		if uninspected(r) || *r.Verdict != ledger.Pending { // else it is held for another reason, and judged when that is over
			c.judge(r)
		}
		return nil
	}, func(r *ledger.Record) error {
		if released = release.Automatic(t.Release, r) && c.doubted(r) == nil; released {
			r.State = ledger.Approved
		}
		after = *r
		return nil
	})
	if err != nil {
		return err
	}
	c.o.Log.Info("inspected", zap.Stringer("bundle", id), zap.String("tenant", string(tenant)), zap.String("verdict", string(evidence.Verdict)), zap.Int64("files", report.Files),
		zap.Int("findings", len(report.Findings)+report.More), zap.String("detail", after.Detail))
	if released {
		c.send(tenant, id)
	}
	return nil
}

// A bundle may be looked at for so long: archives take longer than what they are made of, and who takes all of it holds up the others of its tenant.
const (
	lookLeast = 5 * time.Minute
	lookSpeed = 10 << 20 // bytes a second
)

func lookTime(r *ledger.Record) time.Duration {
	if r.Bytes == nil {
		return lookLeast
	}
	return lookLeast + time.Duration(*r.Bytes/lookSpeed)*time.Second
}

// roomToLook is how much of the disk one inspection may take for a while: a share of what is above the reserve.
func (c *Chamber) roomToLook() (int64, error) {
	free, _, err := c.o.Space()
	if err != nil {
		return 0, err
	}
	return max(0, (free-c.o.Reserve())/(2*inspectMost)), nil
}

// evidenceOf is what a record keeps of a report.
func evidenceOf(report *examine.Report, version string, at time.Time) ledger.Inspection {
	n := ledger.Inspection{Inspector: byPolicy, Version: version, Verdict: ledger.Clean, More: report.More, Files: report.Files, At: at}
	for i, f := range report.Findings {
		n.Verdict = ledger.Flagged
		if i >= keptFindings {
			n.More += len(report.Findings) - i
			break
		}
		n.Findings = append(n.Findings, ledger.Finding{Reason: f.Reason, Path: policy.Cut(f.Path, findingTextMost), Text: policy.Cut(f.Text, findingTextMost)})
	}
	return n
}
