package chamber

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/receiver/inspect"
	"ecluse/receiver/ledger"
	"ecluse/receiver/release"
)

// walker is one bundle of a tenant that asks for two people and allows them to release what is flagged, and a model of what may become of it.
type walker struct {
	t       testing.TB
	p       *plan
	h       *house
	i       *item
	scanner *scanner
	rules   int // versions of the configuration

	alice, second, bob *officer // second is another key of alice's

	// The model.
	ended                  ledger.State // "" while it is in quarantine
	says                   string       // of the inspector, by the present configuration: clean, flag, fail
	revoked, stopped, gone bool         // the sender's key, the route, alice
	said                   map[string]map[string]bool
}

// acts are what people, configurations and processes do.
var acts = []struct {
	name string
	do   func(w *walker)
}{
	{"alice approves", func(w *walker) { w.approve(w.alice, "alice", false) }},
	{"alice approves with her other key", func(w *walker) { w.approve(w.second, "alice", false) }},
	{"bob approves", func(w *walker) { w.approve(w.bob, "bob", false) }},
	{"alice overrides", func(w *walker) { w.approve(w.alice, "alice", true) }},
	{"bob overrides", func(w *walker) { w.approve(w.bob, "bob", true) }},
	{"an account approves", func(w *walker) {
		if w.h.brought(w.i, ledger.Decision{Approve: true}) == nil {
			w.t.Error("a decision without a signature was taken")
		}
	}},
	{"bob rejects", func(w *walker) {
		err := w.h.decided(w.i, w.bob, ledger.Decision{Reason: "no"})
		if (err == nil) != (w.ended == "") {
			w.t.Errorf("a rejection of what is %q: %v", w.ended, err)
		}
		if err == nil {
			w.ended = ledger.Rejected
		}
	}},
	{"the key is revoked, or comes back", func(w *walker) { w.revoked = !w.revoked; w.trust() }},
	{"the route is stopped, or started", func(w *walker) { w.stopped = !w.stopped; w.trust() }},
	{"alice goes, or comes back", func(w *walker) { w.gone = !w.gone; w.trust() }},
	{"the inspector flags", func(w *walker) { w.configure("flag") }},
	{"the inspector says clean", func(w *walker) { w.configure("clean") }},
	{"the inspector fails", func(w *walker) { w.configure("fail") }},
	{"a new life", func(w *walker) { w.again() }},
}

func newWalker(t testing.TB) *walker {
	w := &walker{t: t, p: newPlan(t, release.ModeTwo), scanner: new(scanner), alice: newOfficer(t), second: newOfficer(t), bob: newOfficer(t), said: map[string]map[string]bool{"": {}, "!": {}}}
	w.configured("clean")
	w.h = w.p.open(t)
	w.trust()
	w.i = w.p.lows[0].pack(t, "cssf", small("x"))
	w.h.take(w.i, ledger.Quarantined)
	w.settle()
	return w
}

// configured is a configuration in which the inspector says something, and nothing that was said before counts.
func (w *walker) configured(says string) {
	w.rules, w.says = w.rules+1, says
	switch says {
	case "flag":
		w.scanner.set("1", bundle.ReasonMalware, nil)
	case "clean":
		w.scanner.set("1", "", nil)
	case "fail":
		w.scanner.set("1", "", errors.New("absent"))
	}
	tenant := w.p.tenants["cssf"]
	tenant.Override = true
	tenant.Inspectors = []*inspect.Asked{{Step: inspect.Step{Name: "scanner", Rules: "config " + strconv.Itoa(w.rules)}, Timeout: time.Minute, Inspector: w.scanner}}
	w.p.tenants = maps.Clone(w.p.tenants) // the life before reads its own until it ends
	w.p.tenants["cssf"] = tenant
}

func (w *walker) configure(says string) {
	w.configured(says)
	w.again()
}

func (w *walker) again() {
	w.h = w.h.again()
	w.trust()
}

// trust has what people have changed taken up.
func (w *walker) trust() {
	lines := []string{w.bob.line("bob", "")}
	if !w.gone {
		lines = append(lines, w.alice.line("alice", ""), w.second.line("alice", ""))
	}
	w.h.officers(lines...)
	signers := ""
	if w.revoked {
		signers = "# nobody\n"
	}
	w.h.trusted(signers)
	var why error
	if w.stopped {
		why = stopped
	}
	w.p.stop(why)
	must(w.t, w.h.Recheck(w.t.Context()))
	if w.i != nil {
		w.settle()
	}
}

// settle waits until the inspector has said what it has to say, if it is to be asked.
func (w *walker) settle() {
	if w.ended != "" || w.revoked || w.stopped {
		return
	}
	eventually(w.t, "the inspector has said "+w.says, func() bool {
		r := w.h.record(w.i)
		switch w.says {
		case "flag":
			return r.Verdict != nil && *r.Verdict == ledger.Flagged
		case "fail":
			return reasonOf(r) == bundle.ReasonInspector
		}
		return r.Verdict != nil && *r.Verdict == ledger.Clean
	})
}

// approve has an officer approve, and holds what comes of it against the model.
func (w *walker) approve(o *officer, who string, override bool) {
	d := ledger.Decision{Approve: true, Reason: "seen"}
	list := w.said[""]
	if override {
		d.Override, list = bundle.ReasonMalware, w.said["!"]
	}
	counted := map[string]bool{}
	for other := range list {
		if other != "alice" || !w.gone {
			counted[other] = true
		}
	}
	open := w.ended == "" && !w.revoked && !w.stopped && (who != "alice" || !w.gone) && (w.says == "clean" && !override || w.says == "flag" && override)
	want := open && (!counted[who] || len(counted) == 2) // two may stand there already, one of whom was gone
	err := w.h.decided(w.i, o, d)
	if (err == nil) != want {
		w.t.Errorf("an approval by %s (override %v): %v", who, override, err)
	}
	if err != nil {
		return
	}
	list[who], counted[who] = true, true
	if len(counted) == 2 {
		w.ended = ledger.Imported
		w.h.becomes(w.i, ledger.Imported)
	}
}

// holds compares what is with the model, and with what stands at the destination.
func (w *walker) holds() {
	r := w.h.record(w.i)
	want := w.ended
	if want == "" {
		want = ledger.Quarantined
	}
	if r.State != want {
		w.t.Errorf("it is %s, want %s", describe(r), want)
	}
	if there, err := os.ReadDir(w.p.at(imports)); err != nil || (len(there) > 0) != (w.ended == ledger.Imported) {
		w.t.Errorf("it is %s, and at the destination stand %v, %v", describe(r), there, err)
	}
}

// TestNoWayFromQuarantineToADestinationSkipsAStep walks all sequences of acts of one length, or as many of them as ECLUSE_SOAK_WALKS says, evenly spread.
func TestNoWayFromQuarantineToADestinationSkipsAStep(t *testing.T) {
	length, n := 3, 60
	if text := os.Getenv("ECLUSE_SOAK_WALKS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 {
			t.Fatalf("ECLUSE_SOAK_WALKS=%s is no count", text)
		}
	}
	all := len(acts) * len(acts) * len(acts)
	if n > all {
		length, all = 4, all*len(acts)
	}
	n = min(n, all)
	var lock sync.Mutex
	ends, done := make(map[ledger.State]int), 0
	const ways, together = 5, 50 // so many beside each other; and so many in one test, since a test keeps its houses until it ends
	t.Run("walk", func(t *testing.T) {
		for way := range ways {
			t.Run(strconv.Itoa(way), func(t *testing.T) {
				t.Parallel()
				for from := way * together; from < n; from += ways * together {
					t.Run(strconv.Itoa(from), func(t *testing.T) {
						for k := from; k < min(from+together, n); k++ {
							end := walkOf(t, length, k*all/n)
							lock.Lock()
							ends[end]++
							done++
							lock.Unlock()
						}
					})
				}
			})
		}
	})
	if ends[ledger.Imported] == 0 || ends[ledger.Rejected] == 0 || ends[""] == 0 {
		t.Errorf("the walks end in %v: the test says nothing", ends)
	}
	t.Logf("soak walks: %d done, of %d; they end in %s", done, all, fmt.Sprint(ends))
}

// walkOf makes one sequence of acts, by its number, and says how the bundle ends; "" is in quarantine.
func walkOf(t *testing.T, length, number int) ledger.State {
	w := newWalker(t)
	var names []string
	for range length {
		a := acts[number%len(acts)]
		number /= len(acts)
		names = append(names, a.name)
		a.do(w)
		w.holds()
	}
	if err := w.h.end(true); err != nil {
		t.Error(err)
	}
	if t.Failed() {
		t.Fatal(strings.Join(names, ", "))
	}
	return w.ended
}

// What the walks of one length seldom meet: both people, in both ways.
func TestTheLongestWaysThroughTheChamber(t *testing.T) {
	t.Parallel()
	for _, way := range [][]int{
		{0, 10, 3, 4},           // approved by alice, flagged, both override
		{0, 10, 3, 11, 2},       // approved, flagged, overridden by one, clean again, bob
		{0, 7, 7, 8, 8, 2},      // revoked and back, stopped and started between the two
		{0, 9, 2, 9, 2},         // alice goes: bob is the first; she comes back, and he is the second
		{0, 13, 13, 2},          // lives between
		{10, 3, 13, 4},          // overridden by one, a life, and the other
		{12, 0, 11, 0, 1, 5, 2}, // fails, clean; alice twice, an account, bob
	} {
		w := newWalker(t)
		var names []string
		for _, n := range way {
			names = append(names, acts[n].name)
			acts[n].do(w)
			w.holds()
		}
		if w.ended != ledger.Imported {
			t.Errorf("%s: it ends %q", strings.Join(names, ", "), w.ended)
		}
		if t.Failed() {
			t.Fatal(strings.Join(names, ", "))
		}
	}
}
