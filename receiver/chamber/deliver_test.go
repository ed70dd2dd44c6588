package chamber

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
	"ecluse/receiver/quarantine"
	"ecluse/receiver/release"
)

func TestSeveralDestinationsGetItWhole(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	p.tenant("cssf", release.ModeAutomatic, imports, "second", "third")
	must(t, os.Mkdir(p.at("second"), 0o755))
	must(t, os.Mkdir(p.at("third"), 0o755))
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	r := h.take(i, ledger.Imported)
	for _, d := range []string{imports, "second", "third"} {
		stands(t, p.at(d), i)
	}
	if len(r.Deliveries) != 3 || r.Deliveries[2].Done == nil || r.Deliveries[2].Destination != p.at("third") {
		t.Errorf("deliveries: %+v", r.Deliveries)
	}
	eventually(t, "it was moved", func() bool { return names(t, p.quarantine(i)) == "SHA256SUMS manifest.json manifest.json.sig" })
}

// What a delivery left at a destination, and could not remove, the next life removes when its bundle has ended. Of another's, and of one that is still to be delivered, it leaves all.
func TestWhatDeliveriesLeftIsRemovedByTheNextLife(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	p.tenant("late", release.ModeAutomatic, imports, "missing")
	h := p.open(t)
	l := p.lows[0]
	done, late := l.pack(t, "cssf", small("done")), l.pack(t, "late", small("late"))
	h.take(done, ledger.Imported)
	h.take(late, ledger.Approved)
	eventually(t, "one destination has it and the other is missing", func() bool { return reasonOf(h.record(late)) == bundle.ReasonDestination })
	must(t, h.end(true))
	left := func(name string, id bundle.ID) string { return p.at(imports, "."+name+".ecluse-"+id.String()) }
	mine, others := left("done", done.id()), []string{left("backup", done.id()), left("late", late.id()), left("done", bundle.ID{1, 2, 3})}
	for _, dir := range append(others, mine) {
		must(t, os.MkdirAll(filepath.Join(dir, "below"), 0o700))
		must(t, os.WriteFile(filepath.Join(dir, "below", "content"), []byte("old"), 0o600))
		must(t, os.Chmod(filepath.Join(dir, "below"), 0o500))
	}
	h = p.open(t)
	eventually(t, "what was left is gone", func() bool { _, err := os.Lstat(mine); return err != nil })
	time.Sleep(20 * time.Millisecond)
	for _, dir := range others {
		if _, err := os.Lstat(dir); err != nil {
			t.Error(err)
		}
	}
}

func TestATenantWithoutDestinationsKeepsWhatItImports(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	p.tenant("cssf", release.ModeAutomatic)
	p.keep.Imported = time.Hour
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Imported)
	stands(t, filepath.Join(p.quarantine(i), "files"), i)
}

func TestAMissingDestinationKeepsItApproved(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	p.tenant("cssf", release.ModeOne, imports, "second")
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	must(t, h.approve(i, 1))
	eventually(t, "its reason is on record", func() bool { return reasonOf(h.record(i)) == bundle.ReasonDestination })
	h.is(i, ledger.Approved, bundle.ReasonDestination)
	if r := h.record(i); !strings.Contains(r.Detail, "second") {
		t.Errorf("the detail does not name the destination: %s", r.Detail)
	}
	told := h.record(i).Changed
	p.advance(time.Minute)
	for range 5 { // impatient people
		if h.Deliver(t.Context(), i.id()) == nil {
			t.Error("Deliver says that it was delivered")
		}
	}
	if again := h.record(i).Changed; !again.Equal(told) {
		t.Errorf("an outage is on record once, of %v, and it was noted again at %v", told, again)
	}
	o := h.outlets["cssf"]
	o.mu.Lock()
	if len(o.failed) != 1 || len(o.waiters)+len(o.served) != 0 {
		t.Errorf("%d failures, %d waiters, %d served", len(o.failed), len(o.waiters), len(o.served))
	}
	o.mu.Unlock()
	refusedError(t, h.reject(i, 1, "too late"), "stands in") // the first destination has it
	must(t, os.Mkdir(p.at("second"), 0o755))
	must(t, h.Deliver(t.Context(), i.id()))
	h.is(i, ledger.Imported, bundle.ReasonNotInspected)
	stands(t, p.at(imports), i)
	stands(t, p.at("second"), i)
	must(t, h.Deliver(t.Context(), i.id()))
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.failed) != 0 {
		t.Error("its timer still runs")
	}
}

func TestAFailedDeliveryIsTriedAgainByItself(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	must(t, os.Remove(p.at(imports)))
	h := p.prepare(t)
	var pauses atomic.Int32
	h.pause = func(int) time.Duration { pauses.Add(1); return 10 * time.Millisecond }
	h.run()
	t.Cleanup(func() { h.end(true) })
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Approved)
	eventually(t, "it is tried again", func() bool { return pauses.Load() > 3 })
	must(t, os.Mkdir(p.at(imports), 0o755))
	h.becomes(i, ledger.Imported)
	stands(t, p.at(imports), i)
}

func TestPausesGrowUpToABound(t *testing.T) {
	t.Parallel()
	c := New(Options{})
	last := time.Duration(0)
	for n := 1; n < 100; n++ {
		wait := c.pause(n)
		if wait < last || wait > retryMost || n == 1 && wait != retryFirst {
			t.Fatalf("after %d failures: %v, after %v", n, wait, last)
		}
		last = wait
	}
	if last != retryMost {
		t.Errorf("the longest pause is %v", last)
	}
}

func TestARestartFinishesWhatWasApproved(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	must(t, os.Remove(p.at(imports)))
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	must(t, h.approve(i, 1))
	eventually(t, "its reason is on record", func() bool { return reasonOf(h.record(i)) == bundle.ReasonDestination })
	must(t, h.end(true))
	must(t, os.Mkdir(p.at(imports), 0o755))
	h = p.open(t)
	h.becomes(i, ledger.Imported)
	stands(t, p.at(imports), i)
}

// A life that ended between the last rename and its note has delivered: what is altered in quarantine since takes nothing back.
func TestWhatHasLandedIsImportedWhateverBecameOfItInQuarantine(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	must(t, os.Remove(p.at(imports)))
	h := p.open(t)
	i, j := p.lows[0].pack(t, "cssf", small("x")), p.lows[0].pack(t, "cssf", small("y"))
	for _, k := range []*item{i, j} {
		h.take(k, ledger.Quarantined)
		must(t, h.approve(k, 1))
		eventually(t, "its reason is on record", func() bool { return reasonOf(h.record(k)) == bundle.ReasonDestination })
		must(t, os.WriteFile(filepath.Join(p.quarantine(k), quarantine.SumsName), []byte("other"), 0o600))
	}
	must(t, os.Mkdir(p.at(imports), 0o755))
	must(t, os.CopyFS(filepath.Join(p.at(imports), "x"), os.DirFS(filepath.Join(p.quarantine(i), "files", "x"))))
	info, err := os.Lstat(filepath.Join(p.at(imports), "x"))
	must(t, err)
	for k, name := range map[*item]string{i: "x", j: "y"} {
		must(t, h.ledger.Change(t.Context(), k.id(), func(r *ledger.Record) error {
			r.Deliveries = []ledger.Delivery{{Destination: p.at(imports), Name: name, Inode: info.Sys().(*syscall.Stat_t).Ino}}
			return nil
		}))
	}
	must(t, h.Deliver(t.Context(), i.id()))
	h.is(i, ledger.Imported, bundle.ReasonNotInspected)
	if r := h.record(i); r.Deliveries[0].Done == nil {
		t.Error("it is not noted where it stands")
	}
	if h.Deliver(t.Context(), j.id()) == nil {
		t.Error("what stands nowhere is imported")
	}
	h.is(j, ledger.Refused, bundle.ReasonContentMismatch)
}

func TestWhatIsRefusedAtTheSecondGateLeavesNothingThere(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	must(t, os.Remove(p.at(imports)))
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	must(t, h.approve(i, 1))
	eventually(t, "its reason is on record", func() bool { return reasonOf(h.record(i)) == bundle.ReasonDestination })
	must(t, os.WriteFile(filepath.Join(p.quarantine(i), quarantine.SumsName), []byte("other"), 0o600)) // it is found out before any attempt to deliver
	must(t, os.Mkdir(p.at(imports), 0o755))
	left := filepath.Join(p.at(imports), ".x.ecluse-"+i.id().String()) // by an earlier life
	must(t, os.WriteFile(left, nil, 0o600))
	if h.Deliver(t.Context(), i.id()) == nil {
		t.Error("Deliver says that it was delivered")
	}
	h.is(i, ledger.Refused, bundle.ReasonContentMismatch)
	if _, err := os.Lstat(left); err == nil {
		t.Error("what an earlier attempt has left is still there")
	}
}

func TestWhatIsRejectedWhileItWaitsLeavesNothingThere(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	must(t, os.Remove(p.at(imports)))
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	must(t, h.approve(i, 1))
	eventually(t, "its reason is on record", func() bool { return reasonOf(h.record(i)) == bundle.ReasonDestination })
	must(t, os.Mkdir(p.at(imports), 0o755))
	left := filepath.Join(p.at(imports), ".x.ecluse-"+i.id().String()) // by an earlier life
	must(t, os.WriteFile(left, nil, 0o600))
	must(t, h.reject(i, 1, "no"))
	eventually(t, "what an earlier attempt has left is gone", func() bool { _, err := os.Lstat(left); return err != nil })
	h.is(i, ledger.Rejected, bundle.ReasonRejected)
}

func TestContentThatChangedWhileItWaitedIsRefusedAtTheSecondGate(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	must(t, os.Remove(p.at(imports)))
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Quarantined)
	must(t, h.approve(i, 1))
	eventually(t, "its reason is on record", func() bool { return reasonOf(h.record(i)) == bundle.ReasonDestination })
	must(t, os.WriteFile(filepath.Join(p.quarantine(i), "files", "x", "a"), []byte("omega of x"), 0o600))
	must(t, os.Mkdir(p.at(imports), 0o755))
	if h.Deliver(t.Context(), i.id()) == nil {
		t.Error("Deliver says that it was delivered")
	}
	h.is(i, ledger.Refused, bundle.ReasonContentMismatch)
	if v := h.record(i).Verdict; v != nil {
		t.Errorf("it is refused, and its verdict is %s", *v)
	}
	refusedError(t, h.Deliver(t.Context(), i.id()), "refused")
	if got := names(t, p.at(imports)); got != "" {
		t.Errorf("delivered: %s", got)
	}

}

func TestContentIsMovedOrKept(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		keep time.Duration
		want string
	}{
		"moved": {0, "SHA256SUMS manifest.json manifest.json.sig"},
		"kept":  {time.Hour, "SHA256SUMS files manifest.json manifest.json.sig"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlan(t, release.ModeAutomatic)
			p.keep.Imported = row.keep
			h := p.open(t)
			i := p.lows[0].pack(t, "cssf", small("x"))
			h.take(i, ledger.Imported)
			stands(t, p.at(imports), i)
			eventually(t, "what is not kept is removed", func() bool { return names(t, p.quarantine(i)) == row.want })
			if row.keep > 0 {
				stands(t, filepath.Join(p.quarantine(i), "files"), i)
			}
		})
	}
}

func TestACommandAtRestDeliversOnlyWhatItIsAskedFor(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeOne)
	h := p.open(t)
	i, j := p.lows[0].pack(t, "cssf", small("i")), p.lows[0].pack(t, "cssf", small("j"))
	h.take(i, ledger.Quarantined)
	h.take(j, ledger.Quarantined)
	must(t, h.end(true))
	h = p.prepare(t)
	h.runAtRest()
	must(t, h.approve(i, 1))
	must(t, h.approve(j, 1))
	must(t, h.Recheck(t.Context()))
	time.Sleep(20 * time.Millisecond)
	h.is(i, ledger.Approved, bundle.ReasonNotInspected)
	must(t, h.Deliver(t.Context(), i.id()))
	h.is(i, ledger.Imported, bundle.ReasonNotInspected)
	h.is(j, ledger.Approved, bundle.ReasonNotInspected)
	must(t, h.end(true))
	h = p.open(t)
	h.becomes(j, ledger.Imported)
	stands(t, p.at(imports), i, j)
}
