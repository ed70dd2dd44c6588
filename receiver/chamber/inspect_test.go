package chamber

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ecluse/internal/examine"
	"ecluse/internal/policy"
	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
	"ecluse/receiver/release"
)

// ruled is a plan whose tenant has rules, and an inspector that answers as answer says.
func ruled(t *testing.T, mode release.Mode, answer func(examine.Job) (*examine.Report, error)) *plan {
	p := newPlan(t, mode)
	p.rules("cssf", &policy.Rules{Text: []string{"first"}, Archives: policy.DefaultArchives})
	p.inspect = func(_ context.Context, j examine.Job) (*examine.Report, error) { return answer(j) }
	return p
}

func (p *plan) rules(tenant bundle.Name, r *policy.Rules) {
	t := p.tenants[tenant]
	t.Rules = r
	p.tenants[tenant] = t
}

func clean(examine.Job) (*examine.Report, error) { return &examine.Report{Files: 1}, nil }

func flags(examine.Job) (*examine.Report, error) {
	return &examine.Report{Files: 2, More: 3, Findings: []policy.Finding{{Reason: bundle.ReasonPolicyText, Path: "x/a.txt", Text: "it holds the phrase"}, {Reason: bundle.ReasonPolicyType, Path: "x/b", Text: "it is a program"}}}, nil
}

// judged waits until a bundle has a verdict and a reason.
func (h *house) judgedAs(i *item, v ledger.Verdict, reason bundle.Reason) *ledger.Record {
	h.t.Helper()
	var r *ledger.Record
	eventually(h.t, "it is "+string(v)+" for "+string(reason), func() bool {
		r = h.record(i)
		return r.Verdict != nil && *r.Verdict == v && reasonOf(r) == reason
	})
	return r
}

func TestWhatIsNotInspectedIsNotReleased(t *testing.T) {
	t.Parallel()
	for _, mode := range []release.Mode{release.ModeAutomatic, release.ModeOne} {
		go_ := make(chan struct{})
		p := ruled(t, mode, func(j examine.Job) (*examine.Report, error) {
			if text, err := os.ReadFile(filepath.Join(j.Root, j.Item, "f")); j.Item != "x" || err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("asked to look at %+v: %q, %v", j, text, err)
			}
			<-go_
			return clean(j)
		})
		h := p.open(t)
		i := p.lows[0].pack(t, "cssf", small("x"))
		h.take(i, ledger.Quarantined)
		h.is(i, ledger.Quarantined, bundle.ReasonInspection)
		if err := h.approve(i, 1); err == nil || !strings.Contains(err.Error(), "not inspected yet") {
			t.Errorf("it was approved: %v", err)
		}
		must(t, h.Recheck(t.Context()))
		h.is(i, ledger.Quarantined, bundle.ReasonInspection)
		close(go_)
		if mode == release.ModeOne {
			h.judgedAs(i, ledger.Clean, "")
			must(t, h.approve(i, 1))
		}
		r := h.becomes(i, ledger.Imported)
		stands(t, p.at(imports), i)
		if len(r.Inspections) != 1 || r.Inspections[0].Verdict != ledger.Clean || r.Inspections[0].Files != 1 || r.Reason != nil {
			t.Errorf("on record: %+v, reason %q", r.Inspections, reasonOf(r))
		}
	}
}

func TestWhatTheRulesDoNotLetInIsFlaggedUntilTheyDo(t *testing.T) {
	t.Parallel()
	for _, mode := range []release.Mode{release.ModeAutomatic, release.ModeOne} {
		p := ruled(t, mode, flags)
		h := p.open(t)
		i := p.lows[0].pack(t, "cssf", small("x"))
		h.take(i, ledger.Quarantined)
		r := h.judgedAs(i, ledger.Flagged, bundle.ReasonPolicyText)
		if r.Detail != "x/a.txt: it holds the phrase; and 4 more" || len(r.Inspections) != 1 || len(r.Inspections[0].Findings) != 2 {
			t.Errorf("%q, %+v", r.Detail, r.Inspections)
		}
		if err := h.approve(i, 1); err == nil {
			t.Error("what is flagged was approved")
		}
		must(t, h.Recheck(t.Context()))
		h.judgedAs(i, ledger.Flagged, bundle.ReasonPolicyText)

		p.inspect = func(_ context.Context, j examine.Job) (*examine.Report, error) { return clean(j) }
		h = h.again() // by the same rules nobody looks again
		must(t, h.Recheck(t.Context()))
		h.judgedAs(i, ledger.Flagged, bundle.ReasonPolicyText)

		must(t, h.end(true))
		if mode == release.ModeOne { // without rules nobody is asked any more what is inside
			p.rules("cssf", nil)
			h = p.open(t)
			h.judgedAs(i, ledger.Clean, bundle.ReasonNotInspected)
			must(t, h.end(true))
		}
		p.rules("cssf", &policy.Rules{Text: []string{"second"}, Archives: policy.DefaultArchives})
		h = p.open(t)
		if mode == release.ModeOne {
			h.judgedAs(i, ledger.Clean, "")
			must(t, h.approve(i, 1))
		}
		h.becomes(i, ledger.Imported)
	}
}

func TestAnInspectorThatFailsHolds(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	broken.Store(true)
	p := ruled(t, release.ModeAutomatic, func(j examine.Job) (*examine.Report, error) {
		if broken.Load() {
			return nil, errors.New("it crashed")
		}
		return clean(j)
	})
	h := p.prepare(t)
	h.pause = func(int) time.Duration { return time.Millisecond }
	h.run()
	t.Cleanup(func() { h.end(true) })
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	r := h.judgedAs(i, ledger.Pending, bundle.ReasonInspector)
	if !strings.Contains(r.Detail, "it crashed") {
		t.Errorf("it says %q", r.Detail)
	}
	if err := h.approve(i, 1); err == nil || !strings.Contains(err.Error(), "an inspector failed") {
		t.Errorf("it was approved: %v", err)
	}
	broken.Store(false)
	h.becomes(i, ledger.Imported)
}

// What was quarantined before its tenant had rules, or when the daemon ended, is inspected by the next life.
func TestTheNextLifeInspectsWhatWasNot(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	h.is(i, ledger.Quarantined, bundle.ReasonNotInspected)
	must(t, h.end(true))
	hang := make(chan struct{})
	p.rules("cssf", &policy.Rules{Archives: policy.DefaultArchives})
	p.inspect = func(ctx context.Context, j examine.Job) (*examine.Report, error) {
		close(hang)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	h = p.open(t)
	<-hang
	h.is(i, ledger.Quarantined, bundle.ReasonInspection)
	must(t, h.end(true))
	p.inspect = func(_ context.Context, j examine.Job) (*examine.Report, error) { return flags(j) }
	h = p.open(t)
	h.judgedAs(i, ledger.Flagged, bundle.ReasonPolicyText)
}

// What is held for another reason is inspected meanwhile, and judged when that is over.
func TestWhatIsHeldIsInspectedMeanwhile(t *testing.T) {
	t.Parallel()
	for want, answer := range map[ledger.State]func(examine.Job) (*examine.Report, error){ledger.Imported: clean, ledger.Quarantined: flags} {
		p := ruled(t, release.ModeAutomatic, answer)
		p.unready = true
		h := p.open(t)
		i := p.lows[0].pack(t, "cssf", small("x"))
		h.take(i, ledger.Quarantined)
		eventually(t, "it was inspected", func() bool { return len(h.record(i).Inspections) == 1 })
		h.is(i, ledger.Quarantined, bundle.ReasonEpochNew)
		must(t, h.ledger.Pair(t.Context(), i.from.name, i.from.epoch))
		must(t, h.Recheck(t.Context()))
		if want == ledger.Imported {
			h.becomes(i, ledger.Imported)
			continue
		}
		h.judgedAs(i, ledger.Flagged, bundle.ReasonPolicyText)
		h.trusted("# nobody")
		must(t, h.Recheck(t.Context()))
		h.judgedAs(i, ledger.Pending, bundle.ReasonSignerRevoked)
		h.trusted("")
		must(t, h.Recheck(t.Context()))
		h.judgedAs(i, ledger.Flagged, bundle.ReasonPolicyText)
	}
}

// byAll makes an answer one to every job.
func byAll(answer func(examine.Job) (*examine.Report, error)) func(context.Context, examine.Job) (*examine.Report, error) {
	return func(_ context.Context, j examine.Job) (*examine.Report, error) { return answer(j) }
}

// What is taken out of archives is removed by who has looked into them: of a life that was killed meanwhile, by the next.
func TestWhatALifeWasKilledOverIsCleared(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	run := p.at("state", ScratchName, "run-1")
	must(t, os.MkdirAll(filepath.Join(run, "closed"), 0o700))
	must(t, os.WriteFile(filepath.Join(run, "large"), []byte("content"), 0o600))
	must(t, os.Chmod(filepath.Join(run, "closed"), 0))
	p.open(t)
	if _, err := os.Lstat(run); !os.IsNotExist(err) {
		t.Errorf("it is there: %v", err)
	}
}
