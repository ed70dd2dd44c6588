package chamber

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/receiver/deliver/remote"
	"ecluse/receiver/ledger"
	"ecluse/receiver/release"
)

// shelf is a destination in memory that does what real ones never do when they are asked to: it is away, hangs, refuses one bundle, or cannot say what became of one.
type shelf struct {
	name string

	mu     sync.Mutex
	away   bool
	hangs  bool
	cuts   bool             // what it was asked for when an attempt was ended may be done all the same
	late   chan struct{}    // not nil: what it says while it is away comes when this is closed
	refuse map[string]error // by an item's name
	begins string           // what it notes as begun before it refuses one bundle
	begun  []string         // what the jobs said was
	stuck  bool             // it cannot take back what was begun
	taken  []string         // back
	stands []string         // names, in the order in which they came
	again  []bool           // what the jobs said
	tried  atomic.Int32
	ended  atomic.Int32 // of these
}

func (s *shelf) Name() string { return s.name }

func (s *shelf) Check(context.Context) error { return nil }

func (s *shelf) Deliver(ctx context.Context, job remote.Job) (string, error) {
	s.tried.Add(1)
	defer s.ended.Add(1) // last: what it did is seen
	s.mu.Lock()
	defer s.mu.Unlock()
	name := job.Signed.Manifest.Name
	s.again, s.begun = append(s.again, job.Again), append(s.begun, job.Begun)
	if s.away {
		if late := s.late; late != nil {
			s.mu.Unlock()
			<-late
			s.mu.Lock()
		}
		return "", remote.Away(errors.New("connection refused"), "put %q", name)
	}
	for s.hangs && ctx.Err() == nil {
		s.mu.Unlock()
		time.Sleep(time.Millisecond)
		s.mu.Lock()
	}
	if err := ctx.Err(); err != nil {
		if s.cuts {
			err = remote.Cut(err)
		}
		return "", err
	}
	if err := s.refuse[name]; err != nil {
		if s.begins != "" {
			if err := job.Note(s.begins); err != nil {
				return "", err
			}
		}
		return "", err
	}
	c, err := job.Open()
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.Verify(ctx); err != nil {
		return "", err
	}
	s.stands = append(s.stands, name)
	return "shelved " + name, nil
}

func (s *shelf) Abandon(_ context.Context, begun string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stuck {
		return errors.New("connection refused")
	}
	s.taken = append(s.taken, begun)
	return nil
}

func (s *shelf) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *shelf) holds() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.stands, " ")
}

// shelved is a house whose tenant has a directory and shelves.
func shelved(t *testing.T, mode release.Mode, directories []string, shelves ...*shelf) (*plan, *house) {
	t.Helper()
	p := newPlan(t, mode)
	p.tenant("cssf", mode, directories...)
	return p, p.shelve(t, shelves...)
}

// shelve opens a house whose tenant has shelves too.
func (p *plan) shelve(t *testing.T, shelves ...*shelf) *house {
	t.Helper()
	tenant := p.tenants["cssf"]
	for _, s := range shelves {
		tenant.Remotes = append(tenant.Remotes, s)
	}
	p.tenants["cssf"] = tenant
	h := p.prepare(t)
	pause := new(atomic.Int64)
	pause.Store(int64(5 * time.Millisecond))
	h.pause = func(int) time.Duration { return time.Duration(pause.Load()) }
	h.setPause = func(d time.Duration) { pause.Store(int64(d)) }
	h.run()
	t.Cleanup(func() { h.end(true) })
	return h
}

func of(r *ledger.Record, name string) ledger.Delivery {
	if d := delivery(r, name); d != nil {
		return *d
	}
	return ledger.Delivery{}
}

func TestAllDestinationsHaveWhatIsImported(t *testing.T) {
	t.Parallel()
	one, two := &shelf{name: "one"}, &shelf{name: "two"}
	p, h := shelved(t, release.ModeAutomatic, []string{imports}, one, two)
	i := p.lows[0].pack(t, "cssf", small("x"))
	r := h.take(i, ledger.Imported)
	stands(t, p.at(imports), i)
	if one.holds() != "x" || two.holds() != "x" || of(r, "two").Name != "shelved x" || of(r, p.at(imports)).Done == nil || reasonOf(r) != bundle.ReasonNotInspected {
		t.Errorf("%q, %q, %+v", one.holds(), two.holds(), r)
	}
	eventually(t, "its content is removed from quarantine", func() bool { return names(t, p.quarantine(i)) == "SHA256SUMS manifest.json manifest.json.sig" })
	must(t, h.Deliver(t.Context(), i.id()))
	if len(one.stands) != 1 {
		t.Error("it was brought twice")
	}
}

// A destination that is away, or hangs, keeps nothing from any other: not from a directory, not from another shelf, not from another tenant. Its own bundles keep their order, and it is seen why they wait.
func TestADestinationThatIsDownHoldsUpNothingElse(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"away", "hangs"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			down, up := &shelf{name: "down", away: how == "away", hangs: how == "hangs"}, &shelf{name: "up"}
			p, h := shelved(t, release.ModeAutomatic, []string{imports}, down, up)
			h.setPause(time.Hour)
			h.patience = patience(t)
			eventually := func(what string, holds func() bool) { t.Helper(); before(t, h.patience, what, holds) }
			var items []*item
			for n := range 5 {
				i := p.lows[0].pack(t, "cssf", small(fmt.Sprint("item", n)))
				h.take(i, ledger.Approved)
				eventually("it waits at one and stands at the other", func() bool { return len(strings.Fields(up.holds())) == n+1 })
				items = append(items, i)
			}
			const all = "item0 item1 item2 item3 item4"
			eventually("the others have all", func() bool { return up.holds() == all && names(t, p.at(imports)) == all })
			stands(t, p.at(imports), items...)
			if how == "away" {
				eventually("it is told", func() bool { return reasonOf(h.record(items[0])) == bundle.ReasonDestination })
				r := h.record(items[0])
				if d := of(r, "down"); !strings.Contains(d.Error, "connection refused") || d.Name != "" || d.Done != nil || !strings.Contains(r.Detail, "connection refused") {
					t.Errorf("%+v, %s", d, r.Detail)
				}
				before := down.tried.Load()
				for range 3 {
					if err := h.Deliver(t.Context(), items[4].id()); err == nil || !strings.Contains(err.Error(), "connection refused") {
						t.Errorf("asked by hand: %v", err)
					}
				}
				if down.tried.Load() == before {
					t.Error("asked by hand, and it was not tried")
				}
			}
			down.set(func() { down.away, down.hangs = false, false })
			must(t, h.Deliver(t.Context(), items[0].id())) // and those behind it follow
			for _, i := range items {
				h.becomes(i, ledger.Imported)
			}
			if got := down.holds(); got != all {
				t.Errorf("they came as %q", got)
			}
		})
	}
}

// Each bundle behind a destination that is away says what it waits for: where, the last error, since when, until when, and behind which. So does one behind another that hangs, and none when it is mended.
func TestWhatWaitsSaysForWhat(t *testing.T) {
	t.Parallel()
	s := &shelf{name: "s", away: true}
	p, h := shelved(t, release.ModeAutomatic, []string{imports}, s)
	h.setPause(time.Hour)
	first, second := p.lows[0].pack(t, "cssf", small("first")), p.lows[0].pack(t, "cssf", small("second"))
	h.take(first, ledger.Approved)
	eventually(t, "it is away", func() bool { w := h.Waits(first.id()); return len(w) == 1 && w[0].Error != nil && w[0].Next != nil })
	h.take(second, ledger.Approved)
	eventually(t, "its directory has it", func() bool { return of(h.record(second), p.at(imports)).Done != nil })
	for _, i := range []*item{first, second} {
		all := h.Waits(i.id())
		if len(all) != 1 {
			t.Fatalf("it waits for %+v", all)
		}
		w := all[0]
		if w.Destination != "s" || w.Error == nil || !strings.Contains(*w.Error, "connection refused") || w.Next == nil || w.Next.Sub(w.Since) != time.Hour || (w.Behind != nil) != (i == second) {
			t.Errorf("%+v", w)
		}
		if i == second && w.Behind != nil && *w.Behind != first.id() {
			t.Errorf("it is behind %v", w.Behind)
		}
	}
	p.advance(time.Minute)
	if h.Deliver(t.Context(), second.id()) == nil {
		t.Error("Deliver says that it was delivered")
	}
	eventually(t, "another attempt is told of", func() bool {
		w := h.Waits(second.id())
		return len(w) == 1 && w[0].Next != nil && w[0].Next.Sub(w[0].Since) == time.Hour+time.Minute // it is away since the first one
	})
	s.set(func() { s.away, s.hangs = false, true })
	asked := make(chan error, 1)
	go func() { asked <- h.Deliver(t.Context(), first.id()) }()
	eventually(t, "it is under way", func() bool { w := h.Waits(second.id()); return len(w) == 1 && w[0].Next == nil && w[0].Behind != nil })
	s.set(func() { s.hangs = false })
	must(t, <-asked)
	h.becomes(second, ledger.Imported)
	if w := h.Waits(second.id()); w != nil {
		t.Errorf("it is imported, and waits for %+v", w)
	}
	s.set(func() { s.hangs = true })
	third, fourth := p.lows[0].pack(t, "cssf", small("third")), p.lows[0].pack(t, "cssf", small("fourth"))
	h.take(third, ledger.Approved)
	eventually(t, "it is on its way", func() bool { return s.tried.Load() > 4 })
	h.take(fourth, ledger.Approved)
	eventually(t, "it is behind what hangs", func() bool {
		w := h.Waits(fourth.id())
		return len(w) == 1 && w[0].Destination == "s" && w[0].Error == nil && w[0].Behind != nil && *w[0].Behind == third.id()
	})
	s.set(func() { s.hangs = false })
	h.becomes(fourth, ledger.Imported)
}

// An attempt that was under way when somebody asks says nothing of what was mended since it began: who asks is told of the next one.
func TestWhoAsksIsToldOfAnAttemptThatBeganAfterwards(t *testing.T) {
	t.Parallel()
	s := &shelf{name: "s", away: true, late: make(chan struct{})}
	p, h := shelved(t, release.ModeAutomatic, nil, s)
	h.setPause(time.Hour)
	first, second := p.lows[0].pack(t, "cssf", small("first")), p.lows[0].pack(t, "cssf", small("second"))
	h.take(first, ledger.Approved)
	h.take(second, ledger.Approved)
	eventually(t, "an attempt is under way", func() bool { return s.tried.Load() == 1 })
	s.set(func() { s.away = false })
	asked := make(chan error, 2)
	for _, i := range []*item{first, second} {
		go func() { asked <- h.Deliver(t.Context(), i.id()) }()
	}
	o := h.remotes["cssf"][0]
	eventually(t, "both wait", func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return len(o.waiters) == 2 && len(o.hurry) == 1
	})
	close(s.late)
	must(t, <-asked)
	must(t, <-asked)
}

// Where several destinations do not take a bundle, each says so under its own name.
func TestWhoAsksForADeliveryIsToldByEachDestination(t *testing.T) {
	t.Parallel()
	one, two := &shelf{name: "one", away: true}, &shelf{name: "two", refuse: map[string]error{"x": remote.Unfit("it is no image")}}
	p, h := shelved(t, release.ModeAutomatic, []string{"missing", "gone", imports}, one, two)
	h.setPause(time.Hour)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Approved)
	all, only := DestinationErrors(h.Deliver(t.Context(), i.id()))
	if !only || len(all) != 4 {
		t.Fatalf("%v, %v", all, only)
	}
	for n, want := range []struct {
		name   string
		reason bundle.Reason
		says   string
	}{{p.at("missing"), bundle.ReasonDestination, "missing"}, {p.at("gone"), bundle.ReasonDestination, "gone"}, {"one", bundle.ReasonDestination, "connection refused"}, {"two", bundle.ReasonUnfit, "no image"}} {
		if reason, _ := bundle.ReasonOf(all[n]); all[n].Destination != want.name || reason != want.reason || !strings.HasPrefix(all[n].Error(), want.name+": ") || !strings.Contains(all[n].Err.Error(), want.says) {
			t.Errorf("%s said %q, reason %s", all[n].Destination, all[n], reason)
		}
	}
	var waits []Wait
	eventually(t, "it waits for the next attempt at each", func() bool {
		waits = h.Waits(i.id())
		return !slices.ContainsFunc(waits, func(w Wait) bool { return w.Next == nil })
	})
	if len(waits) != 4 || waits[0].Destination != p.at("missing") || waits[3].Destination != "two" || waits[3].Error == nil || waits[3].Next == nil {
		t.Errorf("it waits for %+v", waits)
	}
	if _, only := DestinationErrors(h.Deliver(t.Context(), bundle.ID{1})); only {
		t.Error("a bundle that is not there is told of by a destination")
	}
}

// What one bundle cannot do keeps no other from it.
func TestABundleThatDoesNotFitHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	s := &shelf{name: "s", refuse: map[string]error{"bad": remote.Unfit("it is no image")}}
	p, h := shelved(t, release.ModeAutomatic, nil, s)
	bad, good := p.lows[0].pack(t, "cssf", small("bad")), p.lows[0].pack(t, "cssf", small("good"))
	h.take(bad, ledger.Approved)
	h.take(good, ledger.Imported)
	eventually(t, "it is told", func() bool { return reasonOf(h.record(bad)) == bundle.ReasonUnfit })
	eventually(t, "it can be rejected between two attempts", func() bool { return h.reject(bad, 7, "no image") == nil })
	h.is(bad, ledger.Rejected, bundle.ReasonRejected)
	if s.holds() != "good" {
		t.Error(s.holds())
	}
}

// Where nobody knows whether a bundle has arrived, nobody can reject it; while it is on its way, neither.
func TestWhatMayHaveArrivedIsNotRejected(t *testing.T) {
	t.Parallel()
	maybe := remote.Away(errors.New("reset"), "tag it").(*remote.Failure)
	maybe.Maybe = true
	s := &shelf{name: "s", hangs: true, refuse: map[string]error{"x": maybe}}
	p, h := shelved(t, release.ModeAutomatic, nil, s)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Approved)
	eventually(t, "it is on its way", func() bool { return s.tried.Load() > 0 })
	refusedError(t, h.reject(i, 7, "no"), "being delivered to s")
	s.set(func() { s.hangs = false })
	eventually(t, "it has failed", func() bool { return reasonOf(h.record(i)) == bundle.ReasonDestination })
	refusedError(t, h.reject(i, 7, "no"), "being delivered to s")
	s.set(func() { s.refuse = nil })
	h.becomes(i, ledger.Imported)
	if s.again[0] || !s.again[len(s.again)-1] {
		t.Errorf("the attempts were told that they follow another: %v", s.again)
	}
}

// Who is away says nothing of what came through before: an attempt that may have brought a bundle there keeps it from being rejected until its destination has answered.
func TestWhoIsAwaySaysNothingOfWhatCameThrough(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]func(s *shelf, p *plan, h *house, i *item) *house{
		"an answer that was lost": func(s *shelf, _ *plan, h *house, i *item) *house {
			maybe := remote.Away(errors.New("reset"), "tag it").(*remote.Failure)
			maybe.Maybe = true
			s.set(func() { s.refuse = map[string]error{"x": maybe} })
			h.take(i, ledger.Approved)
			eventually(t, "it has failed", func() bool { return reasonOf(h.record(i)) == bundle.ReasonDestination })
			s.set(func() { s.away = true })
			return h
		},
		"a life that was killed": func(s *shelf, p *plan, h *house, i *item) *house {
			s.set(func() { s.hangs = true })
			h.take(i, ledger.Approved)
			eventually(t, "it is on its way", func() bool { return s.tried.Load() == 1 })
			must(t, h.end(false))
			s.set(func() { s.hangs, s.away = false, true })
			return p.hasty(t)
		},
		"a stop": func(s *shelf, p *plan, h *house, i *item) *house {
			s.set(func() { s.hangs, s.cuts = true, true })
			h.take(i, ledger.Approved)
			eventually(t, "it is on its way", func() bool { return s.tried.Load() == 1 })
			p.stop(stopped)
			eventually(t, "it is held", func() bool { return s.ended.Load() == 1 && reasonOf(h.record(i)) == bundle.ReasonRouteStopped })
			refusedError(t, h.reject(i, 7, "no"), "being delivered to s")
			s.set(func() { s.hangs, s.away = false, true })
			p.stop(nil)
			must(t, h.Recheck(t.Context()))
			return h
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &shelf{name: "s"}
			p, h := shelved(t, release.ModeAutomatic, nil, s)
			i := p.lows[0].pack(t, "cssf", small("x"))
			h = first(s, p, h, i)
			tried := s.tried.Load()
			eventually(t, "it is tried where nobody is", func() bool { return s.ended.Load() > tried+1 })
			refusedError(t, h.reject(i, 7, "no"), "being delivered to s")
			s.set(func() {
				s.away, s.refuse = false, map[string]error{"x": remote.Failed(errors.New("no room"), "put it")}
			})
			eventually(t, "it has answered, and it may be rejected", func() bool { return h.reject(i, 7, "no") == nil })
		})
	}
}

// A life that ends in the middle, or before it has written down the end, leaves the next one an attempt that is told so.
func TestTheNextLifeBringsWhatWasOnItsWay(t *testing.T) {
	t.Parallel()
	s := &shelf{name: "s", hangs: true}
	p, h := shelved(t, release.ModeAutomatic, []string{imports}, s)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Approved)
	eventually(t, "it is on its way, and in its directory", func() bool { return s.tried.Load() > 0 && of(h.record(i), p.at(imports)).Done != nil })
	must(t, h.end(true))
	s.set(func() { s.hangs = false })
	h = p.open(t)
	h.becomes(i, ledger.Imported)
	stands(t, p.at(imports), i)
	if s.holds() != "x" || !slices.Equal(s.again, []bool{false, true}) {
		t.Errorf("%q, %v", s.holds(), s.again)
	}
}

// What a destination has begun is on record, and the next attempt is told of it, in another life too; what will not be delivered has it taken back, as often as that takes.
func TestWhatWasBegunIsGoneOnWithOrTakenBack(t *testing.T) {
	t.Parallel()
	s := &shelf{name: "s", begins: "upload 7", refuse: map[string]error{"x": remote.Failed(errors.New("no room"), "put it"), "y": remote.Failed(errors.New("no room"), "put it")}}
	p, h := shelved(t, release.ModeAutomatic, nil, s)
	h.setPause(time.Hour)
	x, y := p.lows[0].pack(t, "cssf", small("x")), p.lows[0].pack(t, "cssf", small("y"))
	h.take(x, ledger.Approved)
	eventually(t, "it has failed", func() bool { d := of(h.record(x), "s"); return d.Begun == "upload 7" && d.Error != "" })
	must(t, h.end(true))
	s.set(func() { delete(s.refuse, "x") })
	h = p.open(t)
	h.becomes(x, ledger.Imported)
	if d := of(h.record(x), "s"); d.Begun != "" || s.begun[0] != "" || s.begun[len(s.begun)-1] != "upload 7" {
		t.Errorf("%+v, and the attempts were told of %q", d, s.begun)
	}
	s.set(func() { s.begins, s.stuck = "upload 8", true })
	h.pause = func(int) time.Duration { return 5 * time.Millisecond }
	h.take(y, ledger.Approved)
	eventually(t, "it is rejected between two attempts", func() bool { return of(h.record(y), "s").Begun == "upload 8" && h.reject(y, 7, "no") == nil })
	eventually(t, "it cannot be taken back, and that is told", func() bool {
		return h.logs.FilterMessage("what was begun at a destination could not be taken back").Len() > 1
	})
	s.set(func() { s.stuck = false })
	s.tookBack(t, "upload 8")
}

// What was altered in quarantine is refused, unless a destination has it already.
func TestContentThatChangedWhileItWaitedForAShelfIsRefused(t *testing.T) {
	t.Parallel()
	for _, elsewhere := range []string{"", "first", imports} {
		s, shelves, directories := &shelf{name: "s", away: true}, []*shelf{}, []string{}
		switch elsewhere {
		case "first":
			shelves = append(shelves, &shelf{name: "first"})
		case imports:
			directories = append(directories, imports)
		}
		p, h := shelved(t, release.ModeAutomatic, directories, append(shelves, s)...)
		i := p.lows[0].pack(t, "cssf", small("x"))
		h.take(i, ledger.Approved)
		eventually(t, "it is told, and stands elsewhere", func() bool {
			r := h.record(i)
			return reasonOf(r) == bundle.ReasonDestination && (elsewhere == "" || of(r, "first").Done != nil || of(r, p.at(imports)).Done != nil)
		})
		must(t, os.WriteFile(filepath.Join(p.quarantine(i), "files", "x", "a"), []byte("omega of x"), 0o600))
		s.set(func() { s.away = false })
		eventually(t, "it is told", func() bool { return reasonOf(h.record(i)) == bundle.ReasonContentMismatch })
		want := ledger.Refused
		if elsewhere != "" {
			want = ledger.Approved
		}
		h.is(i, want, bundle.ReasonContentMismatch)
		if s.holds() != "" {
			t.Error("it was brought")
		}
	}
}

// A program has had its hands on what lies in quarantine: what is moved afterwards is read again, however short ago it was verified.
func TestWhatAProgramHasAlteredIsNotMoved(t *testing.T) {
	t.Parallel()
	s := &shelf{name: "s"}
	p := newPlan(t, release.ModeAutomatic)
	tenant := p.tenants["cssf"]
	tenant.Remotes = []remote.Destination{s}
	p.tenants["cssf"] = tenant
	g := hanging{p.at(imports), new(atomic.Bool), make(chan struct{})}
	g.on.Store(true)
	p.disk.Disk = disk.Watched(g)
	h := p.open(t)
	first, i := p.lows[0].pack(t, "cssf", small("first")), p.lows[0].pack(t, "cssf", small("x"))
	h.take(first, ledger.Approved)
	h.take(i, ledger.Approved)
	eventually(t, "the program has both, and their directory hangs", func() bool { return of(h.record(i), "s").Done != nil && of(h.record(first), "s").Done != nil })
	must(t, os.WriteFile(filepath.Join(p.quarantine(i), "files", "x", "a"), []byte("omega of x"), 0o600))
	close(g.free)
	eventually(t, "it is told", func() bool { return reasonOf(h.record(i)) == bundle.ReasonContentMismatch })
	h.becomes(first, ledger.Imported)
	stands(t, p.at(imports), first)
}

// A directory that is missing keeps it from no other directory, and nothing is moved away that one still waits for.
func TestAMissingDirectoryHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	p := newPlan(t, release.ModeAutomatic)
	p.tenant("cssf", release.ModeAutomatic, "missing", imports)
	h := p.open(t)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Approved)
	eventually(t, "the other has it", func() bool {
		r := h.record(i)
		return of(r, p.at(imports)).Done != nil && reasonOf(r) == bundle.ReasonDestination
	})
	stands(t, p.at(imports), i)
	if r := h.record(i); !strings.Contains(of(r, p.at("missing")).Error, "missing") || !strings.Contains(r.Detail, "missing") {
		t.Errorf("%+v", r.Deliveries)
	}
	must(t, os.Mkdir(p.at("missing"), 0o755))
	must(t, h.Deliver(t.Context(), i.id()))
	h.is(i, ledger.Imported, bundle.ReasonNotInspected)
	stands(t, p.at("missing"), i)
}

// The configuration names fewer destinations at the next start: what all that are left have is imported.
func TestADestinationThatIsTakenOutIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	s := &shelf{name: "s", away: true}
	p, h := shelved(t, release.ModeAutomatic, []string{imports}, s)
	i := p.lows[0].pack(t, "cssf", small("x"))
	h.take(i, ledger.Approved)
	eventually(t, "its directory has it", func() bool { r := h.record(i); return of(r, p.at(imports)).Done != nil && of(r, "s").Error != "" })
	must(t, h.end(true))
	p.tenant("cssf", release.ModeAutomatic, imports)
	h = p.open(t)
	h.becomes(i, ledger.Imported)
}
