package chamber

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ecluse/internal/policy"
	"ecluse/protocol/bundle"
	"ecluse/receiver/deliver/remote"
	"ecluse/receiver/inspect"
	"ecluse/receiver/ledger"
	"ecluse/receiver/release"
)

// scanner is an inspector that says what it is told.
type scanner struct {
	mu      sync.Mutex
	version string
	finds   bundle.Reason // "": nothing
	fails   error
	looked  int
	wait    chan struct{} // before it answers; nil: not
}

func (s *scanner) set(version string, finds bundle.Reason, fails error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version, s.finds, s.fails = version, finds, fails
}

func (s *scanner) times() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looked
}

func (s *scanner) Ready(context.Context) (inspect.Version, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return inspect.Version{Text: s.version}, s.fails
}

func (s *scanner) Look(ctx context.Context, item inspect.Item) (*inspect.Answer, error) {
	s.mu.Lock()
	wait := s.wait
	s.looked++
	s.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails != nil {
		return nil, s.fails
	}
	a := &inspect.Answer{Version: inspect.Version{Text: s.version}, Files: 1}
	if s.finds != "" {
		a.Findings = []ledger.Finding{{Reason: s.finds, Path: item.Name, Text: "it is bad"}}
	}
	return a, nil
}

// scanned is a plan whose tenant requires two inspectors.
func scanned(t *testing.T, mode release.Mode) (p *plan, first, second *scanner) {
	p = newPlan(t, mode)
	first, second = &scanner{version: "1"}, &scanner{version: "1"}
	p.requires(first, second)
	return p, first, second
}

func (p *plan) requires(all ...*scanner) {
	t := p.tenants["cssf"]
	t.Inspectors = nil
	for i, s := range all {
		name := []string{"first", "second", "third"}[i]
		t.Inspectors = append(t.Inspectors, &inspect.Asked{Step: inspect.Step{Name: name, Rules: "config " + name}, Timeout: time.Minute, Inspector: s})
	}
	p.tenants["cssf"] = t
}

func TestEveryInspectorHasToSayClean(t *testing.T) {
	t.Parallel()
	p, first, second := scanned(t, release.ModeAutomatic)
	second.wait = make(chan struct{})
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	eventually(t, "the second is asked", func() bool { return second.times() == 1 })
	h.is(i, ledger.Quarantined, bundle.ReasonInspection)
	if err := h.approve(i, 1); err == nil {
		t.Error("it was approved before the second had answered")
	}
	close(second.wait)
	r := h.becomes(i, ledger.Imported)
	if len(r.Inspections) != 2 || r.Inspections[0].Inspector != "first" || r.Inspections[1].Rules != "config second" || r.Inspections[1].Version != "1" || r.Reason != nil || first.times() != 1 {
		t.Errorf("on record: %+v", r.Inspections)
	}
}

// An inspector that is not there for long fills neither the log nor the disk: each cause is told once.
func TestAnInspectorThatStaysAwayIsToldOnce(t *testing.T) {
	t.Parallel()
	p, first, second := scanned(t, release.ModeOne)
	p.audited = true
	first.set("1", "", errors.New("connection refused"))
	h := p.prepare(t)
	h.pause = func(int) time.Duration { return time.Millisecond }
	h.run()
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	eventually(t, "it is tried again and again", func() bool { return first.times() > 20 })
	said := h.judgedAs(i, ledger.Pending, bundle.ReasonInspector).Changed
	tries := first.times()
	eventually(t, "it is tried again and again", func() bool { return first.times() > tries+20 })
	if now := h.record(i).Changed; !now.Equal(said) {
		t.Errorf("its record was written again at %v", now)
	}
	first.set("1", "", errors.New("connection reset"))
	eventually(t, "the other cause is told", func() bool { return strings.Contains(h.record(i).Detail, "reset") })
	tries = first.times()
	eventually(t, "it is tried again and again", func() bool { return first.times() > tries+20 })
	first.set("1", "", nil)
	eventually(t, "both have looked", func() bool { return len(h.record(i).Inspections) == 2 && second.times() == 1 })
	must(t, h.end(true))
	told := 0
	for _, e := range p.entries(t) {
		if e.Event == "noted" || e.Reason == string(bundle.ReasonInspector) {
			told++
		}
	}
	if told != 2 {
		t.Errorf("two causes are told %d times", told)
	}
	for _, e := range h.logs.FilterMessage("write down what became of a bundle").All() {
		t.Error(e.ContextMap())
	}
}

func TestTheFirstThatFlagsIsEnough(t *testing.T) {
	t.Parallel()
	p, first, second := scanned(t, release.ModeAutomatic)
	p.rules("cssf", &policy.Rules{Archives: policy.DefaultArchives})
	p.inspect = byAll(clean)
	first.set("1", bundle.ReasonMalware, nil)
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	r := h.judgedAs(i, ledger.Flagged, bundle.ReasonMalware)
	if r.Detail != "x: it is bad" || len(r.Inspections) != 2 || r.Inspections[0].Inspector != ByPolicy || second.times() != 0 {
		t.Errorf("%q, %+v, the second was asked %d times", r.Detail, r.Inspections, second.times())
	}
	if err := h.approve(i, 1); err == nil || !strings.Contains(err.Error(), "flagged (malware)") {
		t.Errorf("it was approved: %v", err)
	}
}

// Whoever may release what is flagged has to know what everybody says, and the worst counts.
func TestWhatMayBeReleasedAllTheSameIsLookedAtByAll(t *testing.T) {
	t.Parallel()
	p, first, second := scanned(t, release.ModeOne)
	tenant := p.tenants["cssf"]
	tenant.Override = true
	p.tenants["cssf"] = tenant
	first.set("1", bundle.ReasonInspectorFinding, nil)
	second.set("1", "", errors.New("it is away"))
	h := p.hasty(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	h.judgedAs(i, ledger.Flagged, bundle.ReasonInspectorFinding)
	approve := func(reason bundle.Reason) error {
		_, err := h.Decide(context.Background(), i.id(), ledger.Decision{Approve: true, Who: "ann", UID: 1, Reason: "known", Override: reason, At: p.clock()})
		return err
	}
	if err := approve(bundle.ReasonInspectorFinding); err == nil || !strings.Contains(err.Error(), "not inspected yet by second") {
		t.Errorf("it was approved before the second had looked: %v", err)
	}
	second.set("1", bundle.ReasonMalware, nil)
	h.judgedAs(i, ledger.Flagged, bundle.ReasonMalware)
	if err := approve(bundle.ReasonInspectorFinding); err == nil {
		t.Error("an approval in spite of less was taken")
	}
	must(t, approve(bundle.ReasonMalware))
	r := h.becomes(i, ledger.Imported)
	if reasonOf(r) != bundle.ReasonMalware || *r.Verdict != ledger.Flagged || h.Unseen() != 0 || r.Inspections[1].Seen.Who != "ann" {
		t.Errorf("%s, verdict %s, %d unseen, %+v", reasonOf(r), *r.Verdict, h.Unseen(), r.Inspections)
	}
}

// Of what failed in between, what the others said stays; by another configuration it counts no more.
func TestWhatWasSaidIsNotAskedAgainUntilTheConfigurationChanges(t *testing.T) {
	t.Parallel()
	p, first, second := scanned(t, release.ModeOne)
	second.set("1", "", errors.New("it is away"))
	h := p.hasty(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	r := h.judgedAs(i, ledger.Pending, bundle.ReasonInspector)
	eventually(t, "it is asked again", func() bool { return second.times() > 3 })
	if r.Detail != "second: it is away" || first.times() != 1 {
		t.Errorf("%q, the first was asked %d times", r.Detail, first.times())
	}
	second.set("1", "", nil)
	h.judgedAs(i, ledger.Clean, "")
	must(t, h.end(true))
	tenant := p.tenants["cssf"]
	tenant.Inspectors[0].Rules = "config of another socket"
	first.set("1", bundle.ReasonMalware, nil)
	h = p.open(t)
	h.judgedAs(i, ledger.Flagged, bundle.ReasonMalware)
	must(t, h.end(true))
	p.requires() // nobody any more: what was said holds nothing
	h = p.open(t)
	h.judgedAs(i, ledger.Clean, bundle.ReasonNotInspected)
}

// look has a person ask for it.
func (h *house) lookAt(i *item, force bool) (*Looked, error) {
	h.t.Helper()
	return h.Look(context.Background(), i.id(), force)
}

func TestARetroScanAsksThoseWhoAreNewer(t *testing.T) {
	t.Parallel()
	p, first, second := scanned(t, release.ModeOne)
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	h.judgedAs(i, ledger.Clean, "")
	expect := func(force bool, asked ...string) *ledger.Record {
		t.Helper()
		l, err := h.lookAt(i, force)
		must(t, err)
		if !slices.Equal(l.Asked, asked) {
			t.Errorf("asked were %v, want %v", l.Asked, asked)
		}
		return l.Record
	}
	expect(false)
	expect(true, "first", "second")
	second.set("2", "", nil)
	expect(false, "second")
	expect(false)
	first.set("3", bundle.ReasonMalware, nil)
	second.set("3", "", nil)
	if r := expect(false, "first"); *r.Verdict != ledger.Flagged || reasonOf(r) != bundle.ReasonMalware || r.State != ledger.Quarantined {
		t.Errorf("%s", describe(r))
	}
	first.set("4", "", nil)
	if r := expect(false, "first", "second"); *r.Verdict != ledger.Clean {
		t.Errorf("%s", describe(r))
	}
	second.set("5", "", errors.New("it is away"))
	if l, err := h.lookAt(i, false); err == nil || !strings.Contains(err.Error(), "second: it is away") || *l.Record.Verdict != ledger.Clean {
		t.Errorf("%+v, %v", l, err)
	}
	if l, err := h.lookAt(i, true); err == nil || *l.Record.Verdict != ledger.Clean || !slices.Equal(l.Asked, []string{"first"}) { // what it said before stands
		t.Errorf("%+v, %v", l, err)
	}
	if list, err := h.Lookable(t.Context()); err != nil || !slices.Equal(list, []bundle.ID{i.id()}) {
		t.Errorf("lookable are %v, %v", list, err)
	}
	must(t, h.reject(i, 1, "not wanted"))
	var nothing *NothingError
	if _, err := h.lookAt(i, true); !errors.As(err, &nothing) {
		t.Errorf("what is rejected: %v", err)
	}
}

// What is approved and cannot be delivered yet goes back; it takes another yes when it is clean again.
func TestWhatIsFlaggedBeforeItsDeliveryGoesBack(t *testing.T) {
	t.Parallel()
	p, first, _ := scanned(t, release.ModeOne)
	p.tenant("cssf", release.ModeOne, "not-there")
	p.requires(first)
	h := p.hasty(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	h.judgedAs(i, ledger.Clean, "")
	must(t, h.approve(i, 1))
	h.becomes(i, ledger.Approved)
	first.set("2", bundle.ReasonMalware, nil)
	l, err := h.lookAt(i, false)
	must(t, err)
	if l.Record.State != ledger.Quarantined || *l.Record.Verdict != ledger.Flagged || h.Unseen() != 0 {
		t.Errorf("%s", describe(l.Record))
	}
	must(t, os.Mkdir(p.at("not-there"), 0o755))
	time.Sleep(50 * time.Millisecond)
	h.is(i, ledger.Quarantined, bundle.ReasonMalware)
	if all := names(t, p.at("not-there")); all != "" {
		t.Errorf("delivered is %s", all)
	}
	first.set("3", "", nil)
	if l, err = h.lookAt(i, false); err != nil || l.Record.State != ledger.Quarantined || *l.Record.Verdict != ledger.Clean {
		t.Fatalf("%+v, %v", l, err)
	}
	must(t, h.approve(i, 1))
	h.becomes(i, ledger.Imported)
	stands(t, p.at("not-there"), i)
}

// What is under way when it is flagged goes back too, when that attempt comes to nothing.
func TestWhatIsFlaggedOnItsWayGoesBackWhenThatFails(t *testing.T) {
	t.Parallel()
	p, first, _ := scanned(t, release.ModeAutomatic)
	p.tenant("cssf", release.ModeAutomatic)
	p.requires(first)
	s := &shelf{name: "s", hangs: true, refuse: map[string]error{"x": remote.Failed(errors.New("no room"), "put it")}}
	h := p.shelve(t, s)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Approved)
	eventually(t, "it is on its way", func() bool { return s.tried.Load() == 1 })
	first.set("2", bundle.ReasonMalware, nil)
	l, err := h.lookAt(i, false)
	must(t, err)
	if l.Record.State != ledger.Approved || h.Unseen() != 1 {
		t.Errorf("it may stand there, and is %s, %d unseen", describe(l.Record), h.Unseen())
	}
	s.set(func() { s.hangs = false })
	h.becomes(i, ledger.Quarantined)
	h.is(i, ledger.Quarantined, bundle.ReasonMalware)
	eventually(t, "there is nothing to be seen any more", func() bool { return h.Unseen() == 0 })
	s.set(func() { s.refuse = nil })
	time.Sleep(50 * time.Millisecond)
	if s.tried.Load() != 1 || s.holds() != "" {
		t.Errorf("it was tried %d times, and there stands %s", s.tried.Load(), s.holds())
	}
	must(t, h.reject(i, 7, "no"))
}

// What stands at one destination when it is flagged goes to no other, until somebody has seen it.
func TestWhatIsFlaggedBetweenTwoDestinationsGoesNoFurther(t *testing.T) {
	t.Parallel()
	p, first, _ := scanned(t, release.ModeAutomatic)
	p.tenant("cssf", release.ModeAutomatic)
	p.requires(first)
	near, far := &shelf{name: "near"}, &shelf{name: "far", away: true}
	h := p.shelve(t, near, far)
	h.setPause(time.Hour) // no attempt is under way when it is flagged
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Approved)
	eventually(t, "it stands at one, and the other is waited for", func() bool {
		w := h.Waits(i.id())
		return of(h.record(i), "near").Done != nil && len(w) == 1 && w[0].Next != nil
	})
	first.set("2", bundle.ReasonMalware, nil)
	_, err := h.lookAt(i, false)
	must(t, err)
	far.set(func() { far.away = false })
	must(t, h.end(true))
	h = p.hasty(t)
	eventually(t, "it is told why", func() bool { return strings.Contains(of(h.record(i), "far").Error, "flagged by first") })
	time.Sleep(50 * time.Millisecond)
	if far.holds() != "" || h.Unseen() != 1 {
		t.Errorf("at the other stands %q, %d unseen", far.holds(), h.Unseen())
	}
	h.is(i, ledger.Approved, bundle.ReasonMalware)
	_, err = h.See(i.id(), ledger.Sight{Who: "alice", At: p.clock()})
	must(t, err)
	h.becomes(i, ledger.Imported)
	if far.holds() != "x" {
		t.Errorf("at the other stands %q", far.holds())
	}
}

// Who was asked before signatures became newer, and comes through others after a person had asked again, takes nothing back.
func TestWhatWasSaidLaterStands(t *testing.T) {
	t.Parallel()
	p, first, second := scanned(t, release.ModeAutomatic)
	second.wait = make(chan struct{})
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	eventually(t, "the first has spoken, and the second is asked", func() bool { return second.times() == 1 })
	p.advance(time.Minute)
	first.set("2", bundle.ReasonMalware, nil)
	_, err := h.lookAt(i, false)
	must(t, err)
	h.is(i, ledger.Quarantined, bundle.ReasonMalware)
	close(second.wait)
	eventually(t, "the turn is over", func() bool {
		return slices.ContainsFunc(h.record(i).Inspections, func(n ledger.Inspection) bool { return n.Inspector == "second" })
	})
	time.Sleep(20 * time.Millisecond)
	h.is(i, ledger.Quarantined, bundle.ReasonMalware)
}

func TestWhatIsFlaggedAfterItsDeliveryIsAnAlarmUntilItIsSeen(t *testing.T) {
	t.Parallel()
	p, first, _ := scanned(t, release.ModeAutomatic)
	p.keep.Imported = 24 * time.Hour
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	before := h.take(i, ledger.Imported)
	p.advance(time.Hour)
	first.set("2", bundle.ReasonMalware, nil)
	l, err := h.lookAt(i, false)
	must(t, err)
	if l.Record.State != ledger.Imported || *l.Record.Verdict != ledger.Flagged || reasonOf(l.Record) != bundle.ReasonMalware || h.Unseen() != 1 {
		t.Errorf("%s, %d unseen", describe(l.Record), h.Unseen())
	}
	if !l.Record.Changed.Equal(before.Changed) {
		t.Errorf("it is kept from %v on, and not from %v", l.Record.Changed, before.Changed)
	}
	h = h.again()
	if h.Unseen() != 1 {
		t.Errorf("the next life sees %d", h.Unseen())
	}
	_, err = h.See(i.id(), ledger.Sight{Who: "ann", UID: 1, At: p.clock()})
	must(t, err)
	if r := h.record(i); h.Unseen() != 0 || r.Inspections[0].Seen == nil && r.Inspections[1].Seen == nil || *r.Verdict != ledger.Flagged {
		t.Errorf("%+v", r.Inspections)
	}
	_, err = h.See(i.id(), ledger.Sight{Who: "ann", UID: 1, At: p.clock()})
	refusedError(t, err, "nobody has seen")
	first.set("3", bundle.ReasonMalware, nil) // the same again is no news
	if _, err = h.lookAt(i, false); err != nil || h.Unseen() != 0 {
		t.Errorf("%d unseen, %v", h.Unseen(), err)
	}
	first.set("4", bundle.ReasonInspectorLimit, nil) // another is
	if _, err = h.lookAt(i, false); err != nil || h.Unseen() != 1 {
		t.Errorf("%d unseen, %v", h.Unseen(), err)
	}
	first.set("5", "", nil) // and what is clean again is none
	if l, err = h.lookAt(i, false); err != nil || h.Unseen() != 0 || *l.Record.Verdict != ledger.Clean {
		t.Errorf("%d unseen, %v", h.Unseen(), err)
	}
	p.advance(24 * time.Hour)
	eventually(t, "its content is purged", func() bool {
		must(t, h.purge())
		var nothing *NothingError
		_, err := h.lookAt(i, true)
		return errors.As(err, &nothing)
	})
}

// asks is an inspector of that name by other rules than the plan's.
func (s *scanner) asks(name, rules string) *inspect.Asked {
	return &inspect.Asked{Step: inspect.Step{Name: name, Rules: rules}, Timeout: time.Minute, Inspector: s}
}

// What was said by rules that were replaced since does not count, whenever it was said: before, or by who was asked before and answers after.
func TestAnInspectorIsReplacedWhileOthersAreAsked(t *testing.T) {
	t.Parallel()
	p, first, second := scanned(t, release.ModeOne)
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	h.judgedAs(i, ledger.Clean, "")
	if h.Replace("cssf", second.asks("second", "config second")) || h.Replace("cssf", second.asks("nobody", "config other")) || h.Replace("other", second.asks("second", "config other")) {
		t.Error("it says that something is otherwise")
	}

	stricter := &scanner{version: "1", finds: bundle.ReasonSignatureMissing}
	if !h.Replace("cssf", stricter.asks("second", "config stricter")) {
		t.Error("it says that nothing is otherwise")
	}
	refusedError(t, h.approve(i, 1), "not inspected yet by second")
	must(t, h.Recheck(t.Context()))
	h.judgedAs(i, ledger.Flagged, bundle.ReasonSignatureMissing)
	if first.times() != 1 {
		t.Errorf("the other was asked %d times", first.times())
	}

	slow := &scanner{version: "1", wait: make(chan struct{})}
	h.Replace("cssf", slow.asks("second", "config slow"))
	must(t, h.Recheck(t.Context()))
	eventually(t, "it is asked", func() bool { return slow.times() == 1 })
	h.Replace("cssf", stricter.asks("second", "config stricter still"))
	must(t, h.Recheck(t.Context()))
	close(slow.wait)
	h.judgedAs(i, ledger.Flagged, bundle.ReasonSignatureMissing)
}

// An inspector that hangs holds up those who need it: whoever does not passes in time, and so does who is held against rules alone.
func TestAnInspectorThatHangsHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	p, hanging, _ := scanned(t, release.ModeAutomatic)
	hanging.wait = make(chan struct{})
	p.requires(hanging)
	for _, name := range []bundle.Name{"b", "c", "d"} {
		must(t, os.Mkdir(p.at(string(name)), 0o755))
		p.tenant(name, release.ModeAutomatic, string(name))
		need := p.tenants[name]
		need.Inspectors = p.tenants["cssf"].Inspectors
		p.tenants[name] = need
	}
	for _, name := range []bundle.Name{"x", "y"} {
		must(t, os.Mkdir(p.at(string(name)), 0o755))
		p.tenant(name, release.ModeAutomatic, string(name))
	}
	x := p.tenants["x"]
	x.Inspectors = []*inspect.Asked{(&scanner{version: "1"}).asks("quick", "config quick")}
	p.tenants["x"] = x
	p.inspect = byAll(clean)
	p.rules("y", &policy.Rules{Archives: policy.DefaultArchives})
	h := p.open(t)
	for _, name := range []bundle.Name{"cssf", "b", "c", "d"} {
		h.take(p.lows[0].pack(t, name, small("x")), ledger.Quarantined)
	}
	eventually(t, "it hangs", func() bool { return hanging.times() == inspectMost })
	began := time.Now()
	for _, name := range []bundle.Name{"x", "y", "x"} {
		i := p.lows[0].pack(t, name, small("x"))
		h.receive(i.from, i.whole()...)
		h.becomes(i, ledger.Imported)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if hanging.times() != inspectMost {
		t.Errorf("%d are before it", hanging.times())
	}
}

// Between the first look at an approval and the step that makes it all content is verified: who looks into it may be another one by then, and has said nothing.
func TestAnApprovalCountsByTheInspectorsOfItsStep(t *testing.T) {
	t.Parallel()
	p, _, _ := scanned(t, release.ModeOne)
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	h.judgedAs(i, ledger.Clean, "")
	gate := &slowSigners{Signers: h.trust.Signers(), entered: make(chan struct{}, 9), open: make(chan struct{})}
	h.trust.Set(gate, map[bundle.Name][]bundle.Name{"low": {"cssf"}})
	said := make(chan error, 1)
	go func() { said <- h.approve(i, 1) }()
	<-gate.entered
	if !h.Replace("cssf", (&scanner{version: "1"}).asks("second", "config of another socket")) {
		t.Error("it goes by the same rules")
	}
	close(gate.open)
	refusedError(t, <-said, "not inspected yet by second")
	h.is(i, ledger.Quarantined, "")
	must(t, h.Recheck(t.Context()))
	eventually(t, "the new one has looked", func() bool { return h.record(i).Verdict != nil && h.unlooked(h.record(i)) == "" })
	must(t, h.approve(i, 1))
	h.becomes(i, ledger.Imported)
}

// A clock that was a year ahead, and was set right, leaves words of a day that has not come: they keep nobody from saying another.
func TestWhatWasSaidByAWrongClockIsSaidAnew(t *testing.T) {
	t.Parallel()
	p, first, _ := scanned(t, release.ModeOne)
	p.requires(first)
	h := p.open(t)
	p.advance(365 * 24 * time.Hour)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	h.judgedAs(i, ledger.Clean, "")
	p.advance(-365 * 24 * time.Hour)
	first.set("2", bundle.ReasonMalware, nil)
	_, err := h.lookAt(i, true)
	must(t, err)
	h.is(i, ledger.Quarantined, bundle.ReasonMalware)
}

// What people have released although it was flagged is not taken back because their officer has left since, while its destination is away.
func TestWhatWasReleasedAllTheSameGoesOn(t *testing.T) {
	t.Parallel()
	p, first, _ := scanned(t, release.ModeOne)
	p.tenant("cssf", release.ModeOne)
	p.requires(first)
	tenant := p.tenants["cssf"]
	tenant.Override = true
	p.tenants["cssf"] = tenant
	first.set("1", bundle.ReasonMalware, nil)
	far := &shelf{name: "far", away: true}
	h := p.shelve(t, far)
	ada, bob := newOfficer(t), newOfficer(t)
	h.officers(ada.line("ada", ""), bob.line("bob", ""))
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	h.judgedAs(i, ledger.Flagged, bundle.ReasonMalware)
	must(t, h.decided(i, ada, ledger.Decision{Approve: true, Reason: "it is a sample", Override: bundle.ReasonMalware}))
	eventually(t, "it was tried", func() bool { return far.ended.Load() > 1 })
	h.officers(bob.line("bob", ""))
	must(t, h.Recheck(t.Context()))
	tried := far.ended.Load()
	eventually(t, "it is tried again", func() bool { return far.ended.Load() > tried+2 })
	h.becomes(i, ledger.Approved)
	far.set(func() { far.away = false })
	h.becomes(i, ledger.Imported)
}

// What is flagged between two destinations is not even copied to a directory that it has not reached.
func TestWhatIsFlaggedIsNotCopiedToADirectory(t *testing.T) {
	t.Parallel()
	p, first, _ := scanned(t, release.ModeAutomatic)
	p.tenant("cssf", release.ModeAutomatic, "later")
	p.keep.Imported = 24 * time.Hour // it is copied there
	p.requires(first)
	near := &shelf{name: "near"}
	h := p.shelve(t, near)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Approved)
	eventually(t, "it stands at one", func() bool { return of(h.record(i), "near").Done != nil && of(h.record(i), p.at("later")).Error != "" })
	first.set("2", bundle.ReasonMalware, nil)
	_, err := h.lookAt(i, false)
	must(t, err)
	made := make(chan string, 100)
	p.disk.set(func(act, path string) error {
		if strings.HasPrefix(path, p.at("later")+"/") {
			select {
			case made <- act + " " + path:
			default:
			}
		}
		return nil
	})
	must(t, os.Mkdir(p.at("later"), 0o755))
	eventually(t, "it is told why", func() bool { return reasonOf(h.record(i)) == bundle.ReasonMalware })
	time.Sleep(50 * time.Millisecond)
	if len(made) > 0 || names(t, p.at("later")) != "" {
		t.Errorf("%s; there stands %q", <-made, names(t, p.at("later")))
	}
	_, err = h.See(i.id(), ledger.Sight{Who: "alice", At: p.clock()})
	must(t, err)
	h.becomes(i, ledger.Imported)
	if stands(t, p.at("later"), i); len(made) == 0 {
		t.Error("nothing was seen to be copied: the test says nothing")
	}
}
