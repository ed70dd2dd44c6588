package ledger

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ecluse/protocol/bundle"
)

// chained is a book that holds sequences 1, 2 and 5 of s/t, paired with an epoch that replaced one, and 1 of an unpaired epoch.
func chained(t *testing.T, dir string) *book {
	t.Helper()
	b := open(t, dir)
	for _, e := range []bundle.Epoch{{9}, paired} {
		if err := b.Pair(t.Context(), "s", e); err != nil {
			t.Fatal(err)
		}
	}
	for n, sequence := range []uint64{1, 2, 5} {
		b.accept(n+1, "t", paired, sequence)
	}
	b.accept(4, "t", other, 1)
	b.goes(2, Rejected)
	b.goes(3, Refused) // held before: its place is taken for good
	b.goes(5, Refused) // never held
	return b
}

// judgements are claims about what chained says of one more bundle.
var judgements = []struct {
	name     string
	n        int
	tenant   bundle.Name
	epoch    bundle.Epoch
	sequence uint64
	digest   bundle.Digest
	previous bundle.Digest
	want     string
}{
	{"Q-1/the same id", 1, "t", paired, 9, digest("new"), digest("x"), "sequence-replay"},
	{"Q-1/the same id, rejected", 2, "t", paired, 9, digest("new"), digest("x"), "sequence-replay"},
	{"Q-1/the same manifest under another id", 90, "t", paired, 2, digest(bundle.Name("t"), paired, 2), digest(bundle.Name("t"), paired, 1), "sequence-replay"},
	{"Q-1/the same manifest for another tenant", 90, "u", paired, 2, digest(bundle.Name("t"), paired, 2), digest("x"), "sequence-replay"},
	{"Q-2/a replaced epoch", 90, "t", bundle.Epoch{9}, 1, digest("new"), bundle.Digest{}, "sequence-rollback"},
	{"Q-3/a held sequence", 90, "t", paired, 2, digest("new"), digest(bundle.Name("t"), paired, 1), "sequence-fork"},
	{"Q-3/a held sequence, refused since", 90, "t", paired, 5, digest("new"), digest("x"), "sequence-fork"},
	{"Q-3/another predecessor than the held one", 90, "t", paired, 3, digest("new"), digest("x"), "sequence-fork"},
	{"Q-3/another successor than the held one", 90, "t", paired, 4, digest("new"), digest("x"), "sequence-fork"},
	{"Q-3/in an epoch nobody paired", 90, "t", other, 1, digest("new"), bundle.Digest{}, "sequence-fork"},
	{"Q-4/the next of an epoch nobody paired", 90, "t", other, 2, digest("new"), digest(bundle.Name("t"), other, 1), "epoch-new"},
	{"Q-4/an epoch never seen", 90, "t", bundle.Epoch{8}, 7, digest("new"), digest("x"), "epoch-new"},
	{"Q-5/the next", 90, "t", paired, 6, digest("new"), digest(bundle.Name("t"), paired, 5), "accepted"},
	{"Q-5/a gap filled at its start", 90, "t", paired, 3, digest("new"), digest(bundle.Name("t"), paired, 2), "accepted"},
	{"Q-5/a gap filled at its end", 90, "t", paired, 4, digest(bundle.Name("t"), paired, 4), digest("x"), "accepted"},
	{"Q-5/a predecessor that is not here blocks nothing", 90, "t", paired, 70, digest("new"), digest("x"), "accepted"},
	{"Q-5/another tenant has another chain", 90, "u", paired, 2, digest("new"), digest("x"), "accepted"},
	{"Q-5/what was refused unheld was never here", 5, "t", paired, 6, digest("new"), digest(bundle.Name("t"), paired, 5), "accepted"},
}

func TestJudgementsHoldThroughEveryReopening(t *testing.T) {
	dir := t.TempDir()
	b := chained(t, dir)
	for _, before := range []struct {
		name string
		do   func(b *book) *book
	}{
		{"as it stands", func(b *book) *book { return b }},
		{"closed in order", func(b *book) *book { b.end(true); return open(t, dir) }},
		{"killed", func(b *book) *book { b.end(false); return open(t, dir) }},
		{"without its catalog", func(b *book) *book { b.end(false); loseCatalog(t, dir); return open(t, dir) }},
	} {
		b = before.do(b)
		for _, j := range judgements {
			t.Run(before.name+"/"+j.name, func(t *testing.T) {
				var judged error
				err := b.Change(t.Context(), id(99), func(*Record) error {
					judged = b.Judge("s", j.tenant, bundle.Place{Bundle: id(j.n), Epoch: j.epoch, Sequence: j.sequence, Digest: j.digest, Previous: j.previous})
					return errTest
				})
				if !errors.Is(err, errTest) || reasonOf(judged) != j.want {
					t.Errorf("%v, want %s", judged, j.want)
				}
			})
		}
		if reason := reasonOf(b.Pair(t.Context(), "s", bundle.Epoch{9})); reason != "sequence-rollback" {
			t.Errorf("%s: a replaced epoch is paired again: %s", before.name, reason)
		}
		if e, ok := b.Paired("s"); e != paired || !ok {
			t.Errorf("%s: paired with %v, %v", before.name, e, ok)
		}
	}
	b.end(true)
}

func loseCatalog(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "catalog.db*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no catalog to lose: %v, %v", files, err)
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBundlesOfOneBatchAreJudgedAgainstEachOther(t *testing.T) {
	b := fresh(t)
	if err := b.Pair(t.Context(), "s", paired); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 5; n++ {
		b.goes(n, Receiving)
	}
	b.goes(9, Receiving)
	hold := make(chan struct{})
	b.Post(id(9), func(*Record) error { <-hold; return errTest }, func(error) {})
	answers := make([]chan error, 6)
	first := digest("first")
	for i, c := range []func(*Record) error{
		b.arrival(1, "t", paired, 1, first, bundle.Digest{}),
		b.arrival(2, "t", paired, 1, first, bundle.Digest{}),
		b.arrival(3, "t", paired, 1, digest("fork"), bundle.Digest{}),
		b.arrival(4, "t", paired, 2, digest("second"), digest("x")),
		b.arrival(5, "t", paired, 2, digest("second"), first),
	} {
		n := i + 1
		answers[n] = make(chan error, 1)
		b.Post(id(n), c, func(err error) { answers[n] <- err })
	}
	close(hold)
	for n, want := range map[int]string{1: "accepted", 2: "sequence-replay", 3: "sequence-fork", 4: "sequence-fork", 5: "accepted"} {
		if err := <-answers[n]; reasonOf(err) != want {
			t.Errorf("bundle %d: %v, want %s", n, err, want)
		}
	}
	if calls := b.disk.list(); strings.Count(calls, "sync") != 3 { // the pairing, and contents and names of the batch
		t.Errorf("it was not one batch: %s", calls)
	}
}

func TestPairingReplacesAnEpochForGood(t *testing.T) {
	b := fresh(t)
	if e, ok := b.Paired("s"); ok || !e.IsZero() {
		t.Errorf("paired with %v", e)
	}
	b.goes(1, Receiving)
	if err := b.arrive(1, "t", paired, 1, digest(1), bundle.Digest{}); err != nil {
		t.Fatal(err)
	}
	for _, e := range []bundle.Epoch{paired, paired, other} {
		if err := b.Pair(t.Context(), "s", e); err != nil {
			t.Fatal(err)
		}
	}
	if reason := reasonOf(b.Pair(t.Context(), "s", paired)); reason != "sequence-rollback" {
		t.Errorf("Q-2: the first epoch again: %s", reason)
	}
	b.goes(2, Receiving)
	if reason := reasonOf(b.arrive(2, "t", paired, 2, digest(2), digest(1))); reason != "sequence-rollback" {
		t.Errorf("Q-2: the next of the first epoch: %s", reason)
	}
	if reason := reasonOf(b.arrive(2, "t", other, 1, digest(2), bundle.Digest{})); reason != "accepted" {
		t.Errorf("Q-5: the first of the second epoch: %s", reason)
	}
	if _, ok := b.Paired("someone"); ok {
		t.Error("a pairing is everybody's")
	}
}

// What cannot be read may have been here: no judgement stands, and none is a refusal, which would.
func TestAnUnreadableRecordIsNoJudgement(t *testing.T) {
	dir := t.TempDir()
	b := chained(t, dir)
	b.end(true)
	path := RecordPath(dir, id(2))
	if err := os.WriteFile(path, []byte(`{"bundle":`), 0o600); err != nil {
		t.Fatal(err)
	}
	b = open(t, dir)
	defer b.end(true)
	err := b.Change(t.Context(), id(99), func(*Record) error {
		return b.Judge("s", "t", bundle.Place{Bundle: id(2), Epoch: paired, Sequence: 2, Digest: digest("new"), Previous: digest("x")})
	})
	if reason, refused := bundle.ReasonOf(err); err == nil || refused || !strings.Contains(err.Error(), path) {
		t.Errorf("%v (%s), want an error that names %s", err, reason, path)
	}
	for what, err := range map[string]error{
		"change": b.Change(t.Context(), id(2), func(r *Record) error { return nil }),
		"purge":  b.Purge(t.Context(), []bundle.ID{id(2), id(3)}),
	} {
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want an error that names %s", what, err, path)
		}
	}
	if b.state(1) != Quarantined || b.state(3) != "" {
		t.Errorf("beside it: %q, and %q after the purge", b.state(1), b.state(3))
	}
}

func TestAPurgeLeavesAFloor(t *testing.T) {
	dir := t.TempDir()
	b := chained(t, dir)
	b.Beat("s", "t", paired, Head{Sequence: 7, Digest: digest("h")})
	if err := b.Purge(t.Context(), []bundle.ID{id(1)}); err == nil || b.state(1) != Quarantined {
		t.Errorf("what is quarantined is purged: %v", err)
	}
	b.disk.list()
	if err := b.Purge(t.Context(), []bundle.ID{id(2), id(5), id(77)}); err != nil {
		t.Fatal(err)
	}
	if calls := b.disk.list(); !strings.HasPrefix(calls, "replace s.json, sync, remove ") {
		t.Errorf("the floor is not the first thing that is durable: %s", calls)
	}
	for _, reopened := range []bool{false, true} {
		if reopened {
			b.end(false)
			loseCatalog(t, dir)
			b = open(t, dir)
			b.Beat("s", "t", paired, Head{Sequence: 7, Digest: digest("h")})
		}
		if b.state(2) != "" || b.state(5) != "" || b.state(1) != Quarantined {
			t.Errorf("they are %q, %q and %q", b.state(2), b.state(5), b.state(1))
		}
		for sequence, want := range map[uint64]string{1: "sequence-rollback", 2: "sequence-rollback", 3: "accepted", 4: "accepted"} {
			var judged error
			b.Change(t.Context(), id(99), func(*Record) error {
				d := digest("new")
				if sequence == 4 {
					d = digest(bundle.Name("t"), paired, 4)
				}
				judged = b.Judge("s", "t", bundle.Place{Bundle: id(90), Epoch: paired, Sequence: sequence, Digest: d, Previous: digest("x")})
				return errTest
			})
			if reasonOf(judged) != want {
				t.Errorf("sequence %d: %v, want %s", sequence, judged, want)
			}
		}
		if err := b.flushHeads(t.Context()); err != nil {
			t.Fatal(err)
		}
		var missing []uint64
		for _, r := range b.rows(Query{State: Missing}) {
			missing = append(missing, *r.Sequence)
		}
		if len(missing) != 4 || missing[0] != 3 || missing[1] != 4 || missing[2] != 6 || missing[3] != 7 {
			t.Errorf("missing are %v, want 3 4 6 7: what is forgotten is not missing", missing)
		}
	}
	b.end(true)
}

// An epoch that nobody paired may be paired one day: what was forgotten of it does not come back then.
func TestAnUnpairedEpochHasFloorsToo(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	b.accept(1, "t", other, 1)
	b.goes(1, Rejected)
	if err := b.Purge(t.Context(), []bundle.ID{id(1)}); err != nil {
		t.Fatal(err)
	}
	if _, ok := b.Paired("s"); ok {
		t.Error("a floor pairs a sender")
	}
	b.end(false)
	b = open(t, dir)
	defer b.end(true)
	if err := b.Pair(t.Context(), "s", other); err != nil {
		t.Fatal(err)
	}
	b.goes(2, Receiving)
	if reason := reasonOf(b.arrive(2, "t", other, 1, digest(bundle.Name("t"), other, 1), bundle.Digest{})); reason != "sequence-rollback" {
		t.Errorf("Q-2: %s", reason)
	}
}

func TestAPurgeThatWasCutShortIsFinishedByTheNext(t *testing.T) {
	b := fresh(t)
	b.goes(1, Refused)
	b.goes(2, Refused)
	b.disk.set(func(d *watched) {
		d.fail = func(path string) error {
			if strings.Contains(path, id(2).String()) {
				return errTest
			}
			return nil
		}
	})
	both := []bundle.ID{id(1), id(2)}
	if err := b.Purge(t.Context(), both); !errors.Is(err, errTest) || b.state(2) != Refused {
		t.Errorf("%v", err)
	}
	b.disk.set(func(d *watched) { d.fail = nil })
	if err := b.Purge(t.Context(), both); err != nil || b.state(1) != "" || b.state(2) != "" || len(b.rows(Query{})) != 0 {
		t.Errorf("%v: rows stay: %+v", err, b.rows(Query{}))
	}
}

// A bundle that ends in the batch of its purge is not written again behind it.
func TestAPurgeComesAfterItsBatch(t *testing.T) {
	b := fresh(t)
	hold, done := make(chan struct{}), make(chan error, 1)
	b.Post(id(1), func(r *Record) error { <-hold; describe(r); r.State = Refused; return nil }, func(error) {})
	go func() { done <- b.Purge(t.Context(), []bundle.ID{id(1)}) }()
	for len(b.requests) == 0 {
		time.Sleep(time.Millisecond)
	}
	close(hold)
	if err := <-done; err != nil || b.state(1) != "" || len(b.rows(Query{})) != 0 {
		t.Errorf("%v: it is %q, and %d rows", err, b.state(1), len(b.rows(Query{})))
	}
}

func TestHeadsNeverGoDown(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	beat := func(sequence uint64) bool {
		return b.Beat("s", "t", paired, Head{Sequence: sequence, Digest: digest(sequence)})
	}
	if beat(3) || !beat(3) || !beat(2) || beat(4) || !beat(4) {
		t.Error("a head is known that is new, or new that is known")
	}
	if b.Beat("s", "u", paired, Head{Sequence: 1}) || b.Beat("s", "t", other, Head{Sequence: 1}) || b.Beat("r", "t", paired, Head{Sequence: 1}) {
		t.Error("a head is another chain's")
	}
	b.end(true)
	b = open(t, dir)
	defer b.end(true)
	if !beat(4) || b.heads[Chain{"s", "t", paired}].Digest != digest(4) || beat(5) {
		t.Errorf("the heads are %v after a restart", b.heads)
	}
}

// What could not be shown of the heads is shown later.
func TestHeadsThatCouldNotBeShownHaveStillMoved(t *testing.T) {
	b, err := closed(t, t.TempDir()) // it does not run, so that it shows nothing by itself
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close(true)
	b.Beat("s", "t", paired, Head{Sequence: 2, Digest: digest(2)})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.flushHeads(ctx); err == nil {
		t.Error("shown after the end of its context")
	}
	if err := b.flushHeads(t.Context()); err != nil || len(b.rows(Query{State: Missing})) != 2 {
		t.Errorf("%v: %d rows", err, len(b.rows(Query{State: Missing})))
	}
}
