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
	refuse map[string]error // by an item's name
	stands []string         // names, in the order in which they came
	again  []bool           // what the jobs said
	tried  atomic.Int32
}

func (s *shelf) Name() string { return s.name }

func (s *shelf) Check(context.Context) error { return nil }

func (s *shelf) Deliver(ctx context.Context, job remote.Job) (string, error) {
	s.tried.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	name := job.Signed.Manifest.Name
	s.again = append(s.again, job.Again)
	if s.away {
		return "", remote.Away(errors.New("connection refused"), "put %q", name)
	}
	for s.hangs && ctx.Err() == nil {
		s.mu.Unlock()
		time.Sleep(time.Millisecond)
		s.mu.Lock()
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := s.refuse[name]; err != nil {
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
	return p, h
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
