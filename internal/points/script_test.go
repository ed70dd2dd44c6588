package points

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/receiver/issue"
	"ecluse/receiver/ledger"
	lowledger "ecluse/sender/ledger"
)

const (
	lowSent    = lowledger.Sent
	lowSending = lowledger.Sending
	lowFailed  = lowledger.Failed
)

// chapters are the parts of the script, each a run of its own.
var chapters = map[string]func(*world, context.Context){"days": (*world).ordinary, "losses": (*world).losses, "ends": (*world).interrupted, "years": (*world).overTime}

// chapterNames lists them in order.
var chapterNames = []string{"days", "losses", "ends", "years"}

// script is a whole run, within its bubble. Whoever waits in it waits no longer than a while: what a fault has kept from coming about is made good at the end.
func (w *world) script() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w.low.start()
	w.high.start()
	officer := make(chan struct{})
	go func() { defer close(officer); w.high.officer(ctx) }()
	time.Sleep(1500 * time.Millisecond)
	chapters[w.trial.Chapter](w, ctx)
	w.end(ctx)
	cancel()
	<-officer
}

// settle lets everything come to rest, has operators do what is left to do, and holds what there is then against what was dropped.
func (w *world) settle(ctx context.Context) {
	w.rest()
	w.startAgain()
	for round := 0; round < 6 && w.repair(ctx); round++ {
		w.rest()
	}
	w.rest() // what the last tickets asked for leaves too
	w.check()
}

// startAgain starts the side again whose disk has refused something: what could not be moved or removed then waits for the next start, and the log says so.
func (w *world) startAgain() {
	if w.strikes() > 0 && w.troubled(w.trial.Side) {
		map[string]*side{"low": w.low.side, "high": w.high.side}[w.trial.Side].restart()
		w.rest()
	}
}

// end stops both. What strikes as they end, or just before, is recovered from like everything else.
func (w *world) end(ctx context.Context) {
	before := w.strikes()
	w.low.stop()
	w.high.stop()
	if w.strikes() > before {
		w.low.start()
		w.high.start()
		w.settle(ctx)
		w.low.stop()
		w.high.stop()
	}
	w.lookAtImports(true)
	for _, s := range []*side{w.low.side, w.high.side} {
		if s.disks != nil {
			if err := s.disks.Close(); err != nil {
				w.fail("%s: the model of its disks: %v", s.name, err)
			}
		}
	}
}

// add makes an item of the chapter.
func (w *world) add(it *item) *item {
	w.items = append(w.items, it)
	w.names[it.name] = true
	return it
}

// until waits for something to come about, for a while.
func (w *world) until(what string, holds func() bool) {
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(250 * time.Millisecond) {
		if holds() {
			return
		}
	}
	w.note("in vain: %s", what)
}

// out says that everything that was dropped has left the low side.
func (w *world) out() bool {
	h := w.low.house.Load()
	if h == nil {
		return false
	}
	for _, t := range tenants {
		if firstVisible(w.outboxOf(t)) != "" {
			return false
		}
	}
	n, _ := h.Dispatch.Waiting()
	return n == 0
}

func (w *world) highIs(it *item, states ...ledger.State) bool {
	h := w.high.house.Load()
	if h == nil {
		return false
	}
	rows, err := h.Ledger.List(context.Background(), ledger.Query{Tenant: it.tenant})
	if err != nil {
		return false
	}
	for _, r := range rows {
		for _, s := range states {
			if r.Name != nil && *r.Name == it.name && r.State == s {
				return true
			}
		}
	}
	return false
}

// ordinary is what comes every day, with one item that cannot travel, and more than beta may have at once: when the officer has made room by deciding it is sent again.
func (w *world) ordinary(ctx context.Context) {
	report := w.add(&item{tenant: "beta", name: "report", entries: []entry{file("", 12_000, 6)}})
	unwanted := w.add(&item{tenant: "beta", name: "unwanted", fate: rejected, entries: []entry{folder(""), file("x", 6000, 7)}})
	w.low.drop(
		w.add(&item{tenant: "alpha", name: "one.bin", entries: []entry{file("", 32<<10, 1)}}),
		w.add(&item{tenant: "alpha", name: "tree", entries: []entry{
			folder(""), folder("sub"), folder("sub/empty"), file("a", 5000, 2), file("b", 3000, 3), file("sub/c", 9000, 4), file("sub/none", 0, 5),
		}}),
		w.add(&item{tenant: "alpha", name: "linked", fate: fails, entries: []entry{folder(""), file("y", 100, 9)}, link: "shadow"}),
		report, unwanted,
	)
	w.low.send(w.add(&item{tenant: "beta", name: "pressing", entries: []entry{file("", 2000, 10)}}), bundle.Urgent)
	w.until("the first items leave", w.out)
	w.until("the first item of beta is held", func() bool { return w.highIs(report, ledger.Quarantined) })
	huge := w.add(&item{tenant: "beta", name: "huge", entries: []entry{file("", 34_000, 11)}})
	w.low.drop(huge)
	w.until("what is too much leaves", w.out)
	w.high.open.Store(true)
	w.until("the officer has decided", func() bool { return w.highIs(report, ledger.Imported) && w.highIs(unwanted, ledger.Rejected) })
	time.Sleep(6 * time.Second) // an answer holds for five
	w.again(ctx, huge)
	w.until("what was too much arrives", func() bool { return w.highIs(huge, ledger.Imported) })
	w.settle(ctx)
}

// again is ecluse-sender resend.
func (w *world) again(ctx context.Context, it *item) {
	h := w.low.house.Load()
	if h == nil {
		return
	}
	list, err := h.Ledger.List(ctx, lowledger.Query{})
	if err != nil {
		return
	}
	for _, r := range list {
		if r.Tenant == it.tenant && r.Name == it.name {
			w.note("%s/%s is sent again: %v", r.Tenant, r.Name, h.Dispatch.Resend(ctx, r.Bundle, nil))
		}
	}
}

// losses loses most of one item, and all of another; tickets bring them, and receipts clear them.
func (w *world) losses(ctx context.Context) {
	w.high.open.Store(true)
	lossy := w.add(&item{tenant: "alpha", name: "lossy", entries: []entry{file("", 30_000, 12)}})
	gone := w.add(&item{tenant: "beta", name: "gone", entries: []entry{file("", 1500, 14)}})
	w.link.let(3)
	w.low.drop(lossy)
	w.until("what is damaged leaves", w.out)
	w.link.let(0)
	w.low.drop(gone)
	w.until("what is missing leaves", w.out)
	w.link.let(1)
	w.until("the loss is known", func() bool { return w.highIs(lossy, ledger.Damaged) })
	time.Sleep(2 * time.Second)
	w.tickets(ctx)
	w.until("tickets bring it", func() bool { return w.highIs(lossy, ledger.Imported) && w.highIs(gone, ledger.Imported) })
	w.until("both have left", w.out)
	w.receipts(ctx)
	w.settle(ctx)
}

// tickets is ecluse-receiver ticket --all, and a walk.
func (w *world) tickets(ctx context.Context) {
	h, l := w.high.house.Load(), w.low.house.Load()
	if h == nil || l == nil || w.trial.Chapter == "years" { // where one is to stay damaged
		return
	}
	batch, err := h.Desk.All(ctx, issue.Peer{Name: "officer"})
	if err != nil {
		w.note("no tickets: %v", err)
		return
	}
	for _, code := range batch.Codes {
		if err := w.low.redeem(ctx, l, code.Code); err != nil {
			w.note("a ticket is not taken: %v", err)
		}
	}
}

// interrupted ends both sides in the middle of things, in order and not; one item changes while it is read, and names are taken at the destinations.
func (w *world) interrupted(ctx context.Context) {
	w.high.open.Store(true)
	same := w.add(&item{tenant: "alpha", name: "same", entries: []entry{file("", 700, 8)}})
	report := w.add(&item{tenant: "beta", name: "report", entries: []entry{file("", 9_000, 6)}})
	w.low.drop(same, report)
	w.until("the first of them arrive", func() bool { return w.out() && w.highIs(same, ledger.Imported) && w.highIs(report, ledger.Imported) })
	was := file("", 40_000, 13)
	is := was
	is.content = append(append([]byte(nil), was.content...), "and more"...)
	is.content[39_000]++
	moving := w.add(&item{tenant: "alpha", name: "moving", fate: changes, entries: []entry{is}, before: []entry{was}})
	w.low.drop(moving)
	w.until("what will change is claimed", func() bool { return w.change(moving) })
	w.low.drop(w.add(&item{tenant: "alpha", name: "same", entries: []entry{file("", 900, 15)}}))
	second := w.add(&item{tenant: "beta", name: "report", entries: []entry{folder(""), file("v2", 11_000, 16)}})
	w.low.drop(second)
	time.Sleep(1600 * time.Millisecond)
	w.high.kill()
	w.until("the receiver is back", func() bool { return w.high.house.Load() != nil })
	w.low.restart()
	w.until("the sender is back", func() bool { return w.low.house.Load() != nil })
	w.until("items of taken names leave", w.out)
	time.Sleep(2 * idle)
	w.tickets(ctx)
	w.until("the second report waits for its name", func() bool { return w.highIs(second, ledger.Approved) })
	w.take(report)
	w.low.drop(w.add(&item{tenant: "alpha", name: "two.bin", entries: []entry{file("", 24<<10, 17)}}))
	w.until("the next is claimed", func() bool { return firstVisible(w.outboxOf("alpha")) == "" })
	w.low.kill()
	w.until("the sender is back", func() bool { return w.low.house.Load() != nil })
	w.high.restart()
	w.until("the receiver is back", func() bool { return w.high.house.Load() != nil })
	w.until("all has left", w.out)
	w.settle(ctx)
}

// change changes an item that is claimed, as somebody does who still has it open.
func (w *world) change(it *item) bool {
	found, _ := filepath.Glob(filepath.Join(w.outboxOf(it.tenant), ".ecluse", "sending", "*", it.name))
	if len(found) == 0 {
		return false
	}
	time.Sleep(30 * time.Millisecond)
	f, err := os.OpenFile(found[0], os.O_WRONLY, 0)
	if err != nil {
		return true // it is gone already
	}
	defer f.Close()
	if _, err := f.WriteAt(it.entries[0].content, 0); err != nil {
		w.fail("change %s: %v", it.name, err)
	}
	return true
}

// take is a consumer, who takes away what was delivered far away.
func (w *world) take(it *item) {
	dir := w.at(destinations[2])
	at := filepath.Join(dir, it.name)
	if it.differs(at) != "" {
		return
	}
	if err := os.Rename(at, filepath.Join(dir, "../../taken", fmt.Sprint(it.name, "-", len(w.taken)))); err != nil {
		w.fail("take %s: %v", it.name, err)
		return
	}
	w.mu.Lock()
	w.taken[it] = farAway
	w.mu.Unlock()
	w.note("%s/%s is taken", farAway, it.name)
}

// receipts is ecluse-receiver ticket --receipt, and another walk.
func (w *world) receipts(ctx context.Context) {
	h, l := w.high.house.Load(), w.low.house.Load()
	if h == nil || l == nil {
		return
	}
	w.marks(h)
	batch, err := h.Desk.Receipts(ctx, issue.Peer{Name: "officer"}, senderName, tenants[1])
	if err != nil {
		w.note("no receipts: %v", err)
		return
	}
	for _, code := range batch.Codes {
		if err := w.low.redeem(ctx, l, code.Code); err != nil {
			w.note("a receipt is not taken: %v", err)
		}
	}
}

// overTime lets days go by, with an item that failed, one that was rejected and one that stays damaged: what is over is purged.
func (w *world) overTime(ctx context.Context) {
	w.high.open.Store(true)
	w.low.drop(
		w.add(&item{tenant: "alpha", name: "plain", entries: []entry{folder(""), file("z", 3000, 19)}}),
		w.add(&item{tenant: "alpha", name: "linked", fate: fails, entries: []entry{folder(""), file("y", 100, 9)}, link: "shadow"}),
		w.add(&item{tenant: "beta", name: "unwanted", fate: rejected, entries: []entry{file("", 600, 7)}}),
	)
	w.until("the first of them leave", w.out)
	left := w.add(&item{tenant: "alpha", name: "forgone", fate: forgone, entries: []entry{file("", 30_000, 18)}})
	w.link.let(3)
	w.low.drop(left)
	w.until("what will stay damaged leaves", w.out)
	w.link.let(1)
	w.until("the loss is known", func() bool { return w.highIs(left, ledger.Damaged) })
	time.Sleep(2 * time.Second)
	w.settle(ctx)
	w.jump(muchLater)
	w.high.damaged.Store(int64(time.Minute))
	w.low.restart() // what is old is counted by the clock of the start, and what has passed since
	w.high.restart()
	time.Sleep(2*time.Minute + 10*time.Second)
	w.rest()
	if w.strikes() > 0 {
		w.startAgain()
		time.Sleep(2*time.Minute + 10*time.Second)
		w.rest()
	}
	w.purged()
	w.over = true
}

// rest waits until neither side has anything left to do, for as long as the receiver needs to notice that nothing more comes.
func (w *world) rest() {
	most := 12 * time.Minute // the longest pause before something is tried again is five
	if w.stuck {
		most = time.Minute // it has failed already
	}
	quiet := 0
	why := ""
	for began := time.Now(); time.Since(began) < most; time.Sleep(time.Second) {
		if why = w.busy(); why != "" {
			quiet = 0
			continue
		}
		if quiet++; quiet > 6 {
			return
		}
	}
	w.stuck = true
	w.fail("not at rest after %v: %s", most, why)
}

// busy says what is still going on, or nothing.
func (w *world) busy() string {
	l, h := w.low.house.Load(), w.high.house.Load()
	switch {
	case l == nil || h == nil:
		return "a side is down"
	case w.lasting.Load() > 0:
		return "a fault lasts"
	}
	if !w.out() {
		return "something waits to be sent"
	}
	for _, s := range []ledger.State{ledger.Approved, ledger.Quarantined, ledger.Receiving} {
		ids, err := h.Ledger.InState(context.Background(), s)
		if err != nil {
			return err.Error()
		}
		for _, id := range ids {
			if r, err := h.Ledger.Get(id); err == nil && r.Reason != nil && *r.Reason == string(bundle.ReasonClash) {
				for _, it := range w.items { // the consumer comes again
					if it.tenant == tenants[1] && it.name == "report" {
						w.take(it)
					}
				}
			}
			return "bundle " + id.String() + " is " + string(s)
		}
	}
	return ""
}

// repair is what operators do when nothing more happens by itself: what the high side has not whole is sent again. It says whether there was anything to do.
func (w *world) repair(ctx context.Context) (did bool) {
	w.tickets(ctx)
	l, h := w.low.house.Load(), w.high.house.Load()
	if l == nil || h == nil {
		w.fail("a side is down although all faults have ended")
		return false
	}
	list, err := l.Ledger.List(ctx, lowledger.Query{})
	if err != nil {
		w.fail("list what was sent: %v", err)
	}
	for _, r := range list {
		if r.State != lowSent && r.State != lowSending {
			continue
		}
		if it := w.named(r.Tenant, r.Name); it == nil || it.fate == changes || it.fate == forgone {
			continue
		}
		if have, err := h.Ledger.Get(r.Bundle); err == nil && have.State.Stored() && !have.ForWantOfRoom() {
			continue
		}
		did = true
		if r.State == lowSent {
			w.note("%s/%s is sent again: %v", r.Tenant, r.Name, l.Dispatch.Resend(ctx, r.Bundle, nil))
		}
	}
	return did
}

// named is what was dropped under a name; the first where there are several.
func (w *world) named(t bundle.Name, name string) *item {
	for _, it := range w.items {
		if it.tenant == t && it.name == name {
			return it
		}
	}
	return nil
}

// firstVisible is the first name of a directory that does not begin with a dot.
func firstVisible(dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err.Error()
	}
	for _, e := range entries {
		if e.Name()[0] != '.' {
			return e.Name()
		}
	}
	return ""
}
