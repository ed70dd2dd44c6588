package sim

import (
	"context"
	"slices"
	"strings"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
	lowledger "ecluse/sender/ledger"
)

// event is something that the plan has happen.
type event struct {
	at time.Duration
	do func()
}

// run is a whole run, within its bubble.
func (w *world) run() {
	w.log.note("begins")
	w.low.start()
	w.high.start()
	ctx, cancel := context.WithCancel(context.Background())
	officer := make(chan struct{})
	go func() { defer close(officer); w.officer(ctx) }()
	for _, e := range w.timeline() {
		time.Sleep(e.at - time.Since(w.began))
		e.do()
	}
	time.Sleep(faultsUntil + 10*time.Second - time.Since(w.began))
	w.strike()
	w.calm()
	w.settle("by itself")
	for round := 0; round < 4 && w.repair(); round++ {
		w.settle("after a repair")
	}
	if w.tally.has(lowError, lowSync) { // what an error has kept from being put away is put away by the next start
		w.low.suffer(fault{kind: lowRestart})
		w.settle("after a start")
	}
	cancel()
	<-officer
	w.low.stop()
	w.high.stop()
	w.check()
	w.log.note("%d acts and datagrams in all, with the digest %016x", w.traced, w.digest.Sum64())
}

// timeline is everything that the plan has happen, in order.
func (w *world) timeline() (list []event) {
	for _, it := range w.items {
		list = append(list, event{it.at, func() {
			w.log.note("%s/%s is dropped: %d bytes, %d files, class %d", it.tenant, it.name, it.size, it.files, it.class)
			w.low.drop(it)
		}})
	}
	for _, f := range w.plan.faults {
		list = append(list, event{f.at, func() {
			w.log.note("%s", f)
			switch f.kind {
			case loss, burst, reorder, duplicate, flip, cut, replay, outage, stall:
				w.link.begin(f)
			default:
				if strings.HasPrefix(string(f.kind), "low") {
					w.low.suffer(f)
				} else {
					w.high.suffer(f)
				}
			}
		}})
	}
	slices.SortStableFunc(list, func(a, b event) int { return int(a.at - b.at) })
	return list
}

// faultsLeast is how many faults have to fire in each run.
const faultsLeast = 2

// strike restarts the sides where what was planned has hardly come about: a kill after more acts than there were, a loss while nothing was sent.
func (w *world) strike() {
	for _, p := range []*process{w.low.process, w.high.process} {
		if w.tally.total() >= faultsLeast {
			return
		}
		f := fault{kind: p.kinds.restart}
		w.log.note("%s, since hardly a fault has fired", f.kind)
		p.suffer(f)
		time.Sleep(restartAfter / 2)
	}
}

// calm ends all faults.
func (w *world) calm() {
	w.log.note("all faults end")
	w.link.calm()
	w.low.calm()
	w.high.calm()
}

// officer looks every few seconds.
func (w *world) officer(ctx context.Context) {
	tick := time.NewTicker(3 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.high.officer(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// settleMost is how long everything may take to come to rest: the longest pause before something is tried again (five minutes), and all passes.
const settleMost = 12 * time.Minute

// settle waits until neither side has anything left to do, for as long as the receiver needs to notice that nothing more comes.
func (w *world) settle(how string) {
	quiet := 0
	began := time.Now()
	for time.Since(began) < settleMost {
		time.Sleep(time.Second)
		if why := w.busy(); why != "" {
			quiet = 0
			continue
		}
		if quiet++; time.Duration(quiet)*time.Second > 8*w.plan.idle {
			w.log.note("at rest, %s", how)
			return
		}
	}
	w.fail("not at rest after %v, %s: %s", settleMost, how, w.busy())
}

// busy says what is still going on, or nothing.
func (w *world) busy() string {
	l, h := w.low.running(), w.high.running()
	if l == nil || h == nil {
		return "a side is down"
	}
	if n, _ := l.Dispatch.Waiting(); n > 0 {
		return "bundles wait to be sent"
	}
	for _, t := range w.plan.tenants {
		if name := firstVisible(w.outbox(t.name)); name != "" {
			return name + " is in its outbox"
		}
	}
	for _, s := range []ledger.State{ledger.Approved, ledger.Quarantined, ledger.Receiving} {
		ids, err := h.Ledger.InState(context.Background(), s)
		if err != nil {
			return err.Error()
		}
		if len(ids) > 0 {
			return "bundle " + ids[0].String() + " is " + string(s)
		}
	}
	return ""
}

// repair is what operators do when nothing more happens by itself: what the high side has not whole is sent again, and what it refused for want of room is dropped again.
// It says whether there was anything to do.
func (w *world) repair() bool {
	l, h := w.low.running(), w.high.running()
	if l == nil || h == nil {
		w.fail("a side is down although all faults have ended")
		return false
	}
	did := false
	sent, err := l.Ledger.List(context.Background(), lowledger.Query{})
	if err != nil {
		w.fail("list what was sent: %v", err)
	}
	missing := w.missing()
	for _, r := range sent {
		if r.State != lowledger.Sent || !w.lacks(r.Bundle) && !missing[place{r.Tenant, *r.Sequence}] {
			continue
		}
		w.log.note("%s/%s is sent again", r.Tenant, r.Name)
		if err := l.Dispatch.Resend(context.Background(), r.Bundle, nil); err != nil {
			w.fail("send %s/%s again: %v", r.Tenant, r.Name, err)
		}
		did = true
	}
	return w.dropAgain() || did
}

// dropAgain has operators drop once more what the high side refused for a reason of its disk: a refusal stands for good.
func (w *world) dropAgain() (did bool) {
	h := w.high.running()
	ids, err := h.Ledger.InState(context.Background(), ledger.Refused)
	if err != nil {
		w.fail("list what was refused: %v", err)
	}
	for _, id := range ids {
		r, err := h.Ledger.Get(id)
		if err != nil || r.Name == nil || r.Reason == nil {
			continue
		}
		it := w.item(r.Tenant, *r.Name)
		full := *r.Reason == string(bundle.ReasonDiskFull) && w.tally.has(highFull, highTight)
		rotten := *r.Reason == string(bundle.ReasonContentMismatch) && w.tally.has(highRot)
		if it == nil || it.again != nil || !full && !rotten {
			continue
		}
		again := *it
		again.name, again.class, again.dropped = it.name+"-again", 0, false
		it.again = &again
		w.mu.Lock()
		w.items = append(w.items, &again)
		w.mu.Unlock()
		w.log.note("%s/%s was refused, %s, and is dropped again", it.tenant, it.name, *r.Reason)
		w.low.drop(&again)
		did = true
	}
	return did
}

// missing lists the sequences that the high side knows only as numbers: also of what it has refused at its offer, where nothing that came later said which one that was.
func (w *world) missing() map[place]bool {
	missing := make(map[place]bool)
	rows, err := w.high.running().Ledger.List(context.Background(), ledger.Query{State: ledger.Missing})
	if err != nil {
		w.fail("list what is missing: %v", err)
	}
	for _, row := range rows {
		if row.Sequence != nil {
			missing[place{bundle.Name(row.Tenant), *row.Sequence}] = true
		}
	}
	return missing
}

// place is one link of a tenant's chain.
type place struct {
	tenant   bundle.Name
	sequence uint64
}

// lacks says whether the high side has a bundle neither whole nor ended.
func (w *world) lacks(id bundle.ID) bool {
	r, err := w.high.running().Ledger.Get(id)
	return err != nil || !r.State.Stored()
}
