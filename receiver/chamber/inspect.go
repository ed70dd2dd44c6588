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
	"strings"
	"time"

	"go.uber.org/zap"

	"ecluse/internal/examine"
	"ecluse/internal/policy"
	"ecluse/protocol/bundle"
	"ecluse/receiver/inspect"
	"ecluse/receiver/ledger"
	"ecluse/receiver/quarantine"
)

// ByPolicy is the name of the inspector that holds content against a tenant's rules.
const ByPolicy = "policy"

const (
	inspectMost = 2               // bundles that one inspector looks at at once: see inspect.Door
	policyTime  = 5 * time.Minute // see inspect.TimeFor
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

// byRules is the inspector that holds content against a tenant's rules, in a child of the daemon.
type byRules struct {
	c       *Chamber
	rules   *policy.Rules
	version string
}

// Ready implements inspect.Inspector.
func (b *byRules) Ready(context.Context) (inspect.Version, error) {
	return inspect.Version{Text: b.version}, nil
}

// Look implements inspect.Inspector.
func (b *byRules) Look(ctx context.Context, item inspect.Item) (*inspect.Answer, error) {
	report, err := b.c.o.Inspect(ctx, examine.Job{Root: item.Dir, Item: item.Name, Scratch: item.Scratch, Room: item.Room, Rules: b.rules})
	if err != nil {
		return nil, err
	}
	if !report.Fenced {
		b.c.o.Log.Warn("the kernel has no landlock: what looks into content can read what the daemon can", zap.String("in", item.Dir))
	}
	answer := &inspect.Answer{Version: inspect.Version{Text: b.version}, More: report.More, Files: report.Files}
	for _, f := range report.Findings {
		answer.Findings = append(answer.Findings, ledger.Finding{Reason: f.Reason, Path: f.Path, Text: f.Text})
	}
	return answer, nil
}

// chainOf are those that look at a tenant's bundles, in the order in which they are asked: its rules, then its inspectors.
func (c *Chamber) chainOf(t Tenant) (chain []*inspect.Asked) {
	if t.Rules != nil {
		b := &byRules{c, t.Rules, versionOf(t.Rules)}
		chain = append(chain, &inspect.Asked{Step: inspect.Step{Name: ByPolicy, Version: b.version}, Timeout: policyTime, Inspector: b, Works: true})
	}
	return append(chain, t.Inspectors...)
}

// chain are those who look at a tenant's bundles now.
func (c *Chamber) chain(tenant bundle.Name) []*inspect.Asked {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.chains[tenant]
}

// Replace puts an inspector in the place of the one of its name, and says whether it goes by other rules. If so a Recheck is to follow: what was said by the former ones does not count from now on.
func (c *Chamber) Replace(tenant bundle.Name, a *inspect.Asked) (other bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	chain := slices.Clone(c.chains[tenant])
	i := slices.IndexFunc(chain, func(have *inspect.Asked) bool { return have.Name == a.Name })
	if i < 0 || chain[i].Rules == a.Rules {
		return false
	}
	chain[i] = a
	c.chains[tenant] = chain
	c.swapped++
	return true
}

// swaps is how often an inspector was replaced.
func (c *Chamber) swaps() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.swapped
}

// steps are what has to be asked of a tenant's bundles.
func (c *Chamber) steps(tenant bundle.Name) (steps []inspect.Step) {
	for _, a := range c.chain(tenant) {
		steps = append(steps, a.Step)
	}
	return steps
}

// word is what a bundle's evidence is worth now, and who flags it.
func (c *Chamber) word(r *ledger.Record) (inspect.Word, *ledger.Inspection) {
	return inspect.Judge(c.steps(r.Tenant), r.Inspections)
}

// unlooked says why a bundle that is to be approved is not inspected as its tenant has it now; "" where it is. What is released although it is flagged was looked at by everybody.
func (c *Chamber) unlooked(r *ledger.Record) string {
	word, _ := c.word(r)
	missing := inspect.Unasked(c.steps(r.Tenant), r.Inspections)
	switch {
	case word == inspect.Flagged && !flagged(r):
		return "it is not judged yet"
	case len(missing) > 0:
		return "it is not inspected yet by " + strings.Join(missing, ", ") + ", as its tenant has it now"
	}
	return ""
}

func (c *Chamber) passes(r *ledger.Record) bool {
	word, _ := c.word(r)
	return word.Passes()
}

// judge gives a bundle that nothing else holds the verdict that its evidence is worth.
func (c *Chamber) judge(r *ledger.Record) {
	word, by := c.word(r)
	switch word {
	case inspect.Nobody:
		verdict(r, ledger.Clean, bundle.ReasonNotInspected, "")
	case inspect.Clean:
		verdict(r, ledger.Clean, "", "")
	case inspect.Flagged:
		flag(r, by)
	default:
		verdict(r, ledger.Pending, bundle.ReasonInspection, "")
	}
	c.holdClosed(r)
}

// flag gives a bundle the verdict of who flagged it.
func flag(r *ledger.Record, by *ledger.Inspection) {
	first := inspect.First(by)
	text := fmt.Sprintf("%s: %s", first.Path, first.Text)
	if more := max(0, len(by.Findings)-1) + by.More; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	verdict(r, ledger.Flagged, first.Reason, text)
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
		c.lookouts.Add(tenant, id, 0)
	}
}

// inspectAll inspects one bundle after another until the chamber ends.
func (c *Chamber) inspectAll() {
	for {
		tenant, id, ok := c.lookouts.Take(c.ctx)
		if !ok {
			return
		}
		swaps := c.swaps()
		err := c.lookOnce(tenant, id)
		switch {
		case err == nil, errors.Is(err, errOver), errors.Is(err, ledger.ErrNotFound):
			c.lookouts.Over(tenant, id)
			if c.swaps() != swaps { // the Recheck that followed has found it under way, and by the former rules
				c.recheckNow(id)
			}
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
	err := c.change(id, func(r *ledger.Record) error {
		if !uninspected(r) {
			return errOver
		}
		before := r.Same()
		verdict(r, ledger.Pending, bundle.ReasonInspector, cause.Error())
		if before(r) { // an outage is told once, however often it is tried again
			return errTold
		}
		return nil
	})
	if !errors.Is(err, errTold) {
		c.posted(err)
	}
	wait := c.lookouts.Later(tenant, id, c.pause)
	c.o.Log.Error("not inspected, and held", zap.Stringer("bundle", id), zap.Error(cause), zap.Duration("again_in", wait))
}

// lookOnce inspects a bundle, notes what was found, and releases it where nobody is asked.
func (c *Chamber) lookOnce(tenant bundle.Name, id bundle.ID) error {
	if len(c.chain(tenant)) == 0 {
		return errOver
	}
	have, err := c.o.Ledger.Get(id)
	if err != nil {
		return err
	}
	if have.State != ledger.Quarantined || have.Name == nil {
		return errOver
	}
	said, failed := c.ask(c.ctx, have, c.asTurn, func(_ *inspect.Asked, n *ledger.Inspection) (bool, error) { return n == nil, nil })
	if len(said) == 0 && failed != nil {
		return failed
	}
	if err := c.evidence(id, said); err != nil {
		return err
	}
	return failed
}

// before puts a door before an inspector, unless it has one.
func (c *Chamber) before(a *inspect.Asked) {
	if c.doors[a.Name] != nil {
		return
	}
	c.doors[a.Name] = inspect.NewDoor(inspectMost, func(failures int) time.Duration { return c.pause(failures) })
	if a.Works {
		c.workers += inspectMost
	}
}

// asTurn asks an inspector through its door.
func (c *Chamber) asTurn(ctx context.Context, tenant bundle.Name, a *inspect.Asked, item inspect.Item) (*ledger.Inspection, error) {
	return c.doors[a.Name].Ask(ctx, tenant, a, item, c.o.Now)
}

// asPerson asks one for somebody who waits for the answer, whatever else it has to do: of these there is one at once.
func (c *Chamber) asPerson(ctx context.Context, _ bundle.Name, a *inspect.Asked, item inspect.Item) (*ledger.Inspection, error) {
	return a.Ask(ctx, item, c.o.Now)
}

type askFunc func(ctx context.Context, tenant bundle.Name, a *inspect.Asked, item inspect.Item) (*ledger.Inspection, error)

// dueFunc says whether somebody is to be asked who has said n of a bundle, which may be nothing.
type dueFunc func(a *inspect.Asked, n *ledger.Inspection) (bool, error)

// ask asks those of a tenant's chain that are due, one after another, up to the first that flags the bundle. What was said before somebody failed is returned with the error.
func (c *Chamber) ask(ctx context.Context, r *ledger.Record, how askFunc, due dueFunc) (said []ledger.Inspection, err error) {
	dir := filepath.Join(Dir(c.o.State, r.Tenant, r.Bundle), quarantine.FilesName)
	root, err := c.o.Disk.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	item := inspect.Item{Dir: dir, Name: *r.Name, Files: root.FS(), Ours: true, Scratch: filepath.Join(c.o.State, ScratchName)}
	if r.Bytes != nil {
		item.Bytes = *r.Bytes
	}
	if r.Files != nil {
		item.Count = *r.Files
	}
	if r.Received != nil {
		item.Received = *r.Received
	}
	if item.Room, err = c.roomToLook(); err != nil {
		return nil, err
	}
	if err := c.o.Disk.MkdirAll(item.Scratch); err != nil {
		return nil, err
	}
	for _, a := range c.chain(r.Tenant) {
		n := inspect.Evidence(&a.Step, r.Inspections)
		ask, err := due(a, n)
		if err != nil {
			return said, fmt.Errorf("%s: %w", a.Name, err)
		}
		if ask {
			if n, err = how(ctx, r.Tenant, a, item); err != nil {
				return said, err
			}
			said = append(said, *n)
		}
		if n.Verdict != ledger.Clean && !c.o.Tenants[r.Tenant].Override { // else people may release it all the same, and are to know what everybody says
			break
		}
	}
	return said, nil
}

// roomToLook is how much of the disk one inspection may take for a while: a share of what is above the reserve. All that are under way at once take half of it.
func (c *Chamber) roomToLook() (int64, error) {
	free, _, err := c.o.Space()
	if err != nil {
		return 0, err
	}
	return max(0, (free-c.o.Reserve())/int64(2*max(inspectMost, c.workers))), nil
}

// evidence puts on record what was said of a bundle, and what follows from it, wherever it stands by now.
//
//	quarantined  judged anew, and released where nobody is asked
//	approved     back into quarantine where it is flagged and no delivery has begun
//	imported     flagged: an alarm until somebody has seen it
func (c *Chamber) evidence(id bundle.ID, said []ledger.Inspection) error {
	released, back := false, false
	var after ledger.Record
	err := c.o.Ledger.Steps(context.WithoutCancel(c.ctx), id, func(r *ledger.Record) error {
		if r.State != ledger.Quarantined && r.State != ledger.Approved && r.State != ledger.Imported {
			return errOver
		}
		for _, n := range said {
			put(r, n, c.o.Now())
		}
		back = c.weigh(r)
		return nil
	}, func(r *ledger.Record) error {
		if released = r.State == ledger.Quarantined && c.passes(r) && c.byItself(r) && c.doubted(r) == nil; released {
			r.State = ledger.Approved
		}
		after = *r
		return nil
	})
	if err != nil {
		return err
	}
	c.noteUnseen(&after)
	for _, n := range said {
		c.o.Log.Info("inspected", zap.Stringer("bundle", id), zap.String("tenant", string(after.Tenant)), zap.String("by", n.Inspector), zap.String("version", n.Version),
			zap.String("verdict", string(n.Verdict)), zap.Int64("files", n.Files), zap.Int("findings", len(n.Findings)+n.More), zap.String("detail", after.Detail))
	}
	if back {
		c.calledBack(&after)
	}
	if released {
		c.send(after.Tenant, id)
	}
	c.reopened(&after)
	return nil
}

// calledBack tells of one that callBack has taken back, when that is durable.
func (c *Chamber) calledBack(r *ledger.Record) {
	c.stale(r.Bundle)
	c.o.Log.Error("flagged after it was approved, and back in quarantine", zap.Stringer("bundle", r.Bundle), zap.String("detail", r.Detail))
}

// weigh gives a record what follows from its evidence, and says whether it goes back into quarantine.
func (c *Chamber) weigh(r *ledger.Record) (back bool) {
	switch r.State {
	case ledger.Quarantined:
		word, _ := c.word(r)
		switch waits := uninspected(r); {
		case waits && word == inspect.Waiting: // for the same as before
		case waits || *r.Verdict != ledger.Pending: // else it is held for another reason, and judged when that is over
			c.judge(r)
		}
	case ledger.Approved:
		return c.callBack(r)
	case ledger.Imported:
		c.judgeImported(r)
	}
	return false
}

// callBack takes what is flagged since it was approved back into quarantine, and says whether it did: not what may stand at a destination.
func (c *Chamber) callBack(r *ledger.Record) bool {
	by := c.condemns(r)
	if by == nil || r.Begun() {
		return false
	}
	r.State = ledger.Quarantined
	flag(r, by)
	return true
}

// found is who flags what is approved, of what nobody has seen yet; nil for nobody. Who has released it in spite of that has seen it.
func (c *Chamber) found(r *ledger.Record) *ledger.Inspection {
	if c.condemns(r) == nil {
		return nil
	}
	for i := range r.Inspections {
		if n := &r.Inspections[i]; n.Verdict == ledger.Flagged && n.Seen == nil {
			return n
		}
	}
	return nil
}

// condemns is who flags an approved bundle that not enough people have released in spite of it; nil for nobody.
func (c *Chamber) condemns(r *ledger.Record) *ledger.Inspection {
	word, by := c.word(r)
	if word != inspect.Flagged || c.rules(r.Tenant).Covers(r, inspect.First(by).Reason) {
		return nil
	}
	return by
}

// judgeImported gives what is delivered the verdict of its evidence. That somebody who is required now was not asked then says nothing against it.
func (c *Chamber) judgeImported(r *ledger.Record) {
	switch word, by := c.word(r); {
	case word == inspect.Flagged:
		flag(r, by)
	case len(r.Inspections) > 0:
		verdict(r, ledger.Clean, "", "")
	default:
		verdict(r, ledger.Clean, bundle.ReasonNotInspected, "")
	}
}

// put makes evidence the latest of its inspector, unless that has said something later: who was asked before it may have come through others after it. Who has seen a finding has seen it
// when it is found again.
func put(r *ledger.Record, n ledger.Inspection, now time.Time) {
	for _, before := range r.Inspections {
		if before.Inspector == n.Inspector && before.At.After(n.At) && !before.At.After(now) { // a clock that was wrong, and was set right, makes nothing later than now
			return
		}
		if before.Inspector == n.Inspector && before.Verdict == n.Verdict && slices.Equal(before.Findings, n.Findings) {
			n.Seen = before.Seen
		}
	}
	r.Inspections = slices.DeleteFunc(r.Inspections, func(before ledger.Inspection) bool { return before.Inspector == n.Inspector })
	r.Inspections = append(r.Inspections, n)
}
