package ledger

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"ecluse/protocol/bundle"
)

// beaten moves the head of a chain, and shows it.
func (b *book) beaten(e bundle.Epoch, head uint64) {
	b.t.Helper()
	b.Beat("s", "t", e, Head{Sequence: head, Digest: digest(head)})
	if err := b.flushHeads(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

// here gives a bundle a place in the chain.
func (b *book) here(n int, sequence uint64) {
	b.t.Helper()
	err := b.Change(b.t.Context(), id(n), func(r *Record) error {
		describe(r)
		r.Tenant, r.Epoch, r.State, r.Sequence = "t", paired, Receiving, &sequence
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// ranges are what is missing, in short.
func (b *book) ranges() (s string) {
	for _, r := range b.rows(Query{State: Missing}) {
		if *r.Sequence == *r.Through {
			s += fmt.Sprintf(" %d", *r.Sequence)
		} else {
			s += fmt.Sprintf(" %d-%d", *r.Sequence, *r.Through)
		}
	}
	return s
}

func TestAHeadFarAheadIsOneRow(t *testing.T) {
	b := fresh(t)
	b.beaten(paired, bundle.MaxSequence)
	b.here(1, 7)
	if got, want := b.ranges(), fmt.Sprintf(" 1 2 3 4 5 6 8-%d", uint64(bundle.MaxSequence)); got != want {
		t.Errorf("%s, want%s", got, want)
	}
	counts, err := b.Counts(t.Context())
	if err != nil || counts[Missing] != bundle.MaxSequence-1 {
		t.Errorf("%v, %v", counts, err)
	}
}

// However far a chain goes on, what never came of it stays missing.
func TestAGapIsNotForgottenWhenTheChainGoesOn(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	if err := b.Pair(t.Context(), "s", paired); err != nil {
		t.Fatal(err)
	}
	b.here(1, 1)
	b.beaten(paired, 3)
	since := b.rows(Query{State: Missing})[0].Since
	for n := range 12_000 {
		b.Post(id(n+10), func(r *Record) error {
			describe(r)
			sequence := uint64(n + 4)
			r.Tenant, r.Epoch, r.State, r.Sequence = "t", paired, Refused, &sequence
			return nil
		}, func(err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	b.here(2, 12_004)
	b.beaten(paired, 12_005)
	for _, how := range []string{"running", "closed in order", "killed"} {
		if how != "running" {
			b.end(how == "closed in order")
			b = open(t, dir)
		}
		want := " 2 3 12005" // what was coming in has no file, and is given back by its owner
		if how != "running" {
			want = " 1 2 3 12004 12005"
		}
		if got := b.ranges(); got != want {
			t.Errorf("%s:%s, want%s", how, got, want)
		}
		for _, r := range b.rows(Query{State: Missing}) {
			if *r.Sequence == 2 && !r.Since.Equal(*since) {
				t.Errorf("%s: missing since %v, which was known at %v", how, r.Since, since)
			}
		}
	}
	b.end(true)
}

func TestWhatIsMissingOfAReplacedEpochIsGivenUp(t *testing.T) {
	b := fresh(t)
	for _, e := range []bundle.Epoch{paired, other} {
		if err := b.Pair(t.Context(), "s", e); err != nil {
			t.Fatal(err)
		}
		b.beaten(paired, 2)
		if got := b.ranges(); (got != "") != (e == paired) {
			t.Errorf("%v is paired, and missing are%s", e, got)
		}
	}
	b.beaten(paired, 9)
	if err := b.recountAll(t.Context()); err != nil || b.ranges() != "" {
		t.Errorf("%v: it is back:%s", err, b.ranges())
	}
}

func TestWhatIsNewOfMissingIsTold(t *testing.T) {
	b := fresh(t)
	b.beaten(paired, 2)
	first := b.rows(Query{State: Missing})[0].Since
	b.here(1, 3)
	b.beaten(paired, 4)
	all, err := b.Absences(t.Context(), start, start.Add(time.Hour), 9)
	if err != nil || len(all) != 2 || all[0].First != 1 || all[0].Last != 2 || all[1].First != 4 || all[0].Sender != "s" || all[0].Tenant != "t" || all[0].Epoch != paired {
		t.Errorf("%+v, %v", all, err)
	}
	if late, err := b.Absences(t.Context(), *first, start.Add(time.Hour), 9); err != nil || len(late) != 1 || late[0].First != 4 {
		t.Errorf("%+v, %v", late, err)
	}
}

// A sender that goes on while nothing comes through makes a run a minute, not one for each bundle.
func TestWhatBecomesKnownTogetherIsOneRun(t *testing.T) {
	b := fresh(t) // its clock goes on by a second with each look at it
	for head := range uint64(100) {
		b.beaten(paired, head+1)
	}
	runs, err := b.Absences(t.Context(), start, start.Add(time.Hour), 1000)
	if err != nil || len(runs) < 2 || len(runs) > 10 || runs[0].First != 1 || runs[len(runs)-1].Last != 100 {
		t.Errorf("%d runs, %v: %+v", len(runs), err, runs)
	}
	for i := 1; i < len(runs); i++ {
		if runs[i].First != runs[i-1].Last+1 || runs[i].Since.Sub(runs[i-1].Since) < sameRun {
			t.Errorf("%+v follows %+v", runs[i], runs[i-1])
		}
	}
}

func TestWhatIsForgottenOnPurposeIsNotMissing(t *testing.T) {
	b := fresh(t)
	if err := b.Pair(t.Context(), "s", paired); err != nil {
		t.Fatal(err)
	}
	b.accept(3, "t", paired, 3)
	b.beaten(paired, 5)
	if got := b.ranges(); got != " 1 2 4 5" {
		t.Fatalf("missing are%s", got)
	}
	b.goes(3, Rejected)
	if err := b.Purge(t.Context(), []bundle.ID{id(3)}); err != nil {
		t.Fatal(err)
	}
	if got := b.ranges(); got != " 4 5" {
		t.Errorf("missing are%s, and 3 is the floor", got)
	}
}

func TestPagesOfAListAreTheList(t *testing.T) {
	b := listed(t)
	b.Beat("s", "u", other, Head{Sequence: 8, Digest: digest(8)}) // the same sequences, of another chain
	b.Beat("r", "t", other, Head{Sequence: 200, Digest: digest(8)})
	if err := b.flushHeads(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, q := range []Query{{}, {State: Missing}, {State: Refused}, {Tenant: "t"}} {
		all := b.rows(q)
		for size := 1; size < len(all); size++ {
			page, got := q, []Row(nil)
			for page.Limit = size; ; page.Before = &got[0] {
				rows := b.rows(page)
				if got = append(rows, got...); len(rows) < size {
					break
				}
			}
			if !reflect.DeepEqual(got, all) {
				t.Fatalf("%+v in pages of %d: %s, want %s", q, size, short(got), short(all))
			}
		}
	}
	if rows := b.rows(Query{At: 7}); short(rows) != "?1 ?7 ?7" || *rows[0].Through != 200 {
		t.Errorf("of sequence 7: %s", short(rows))
	}
	if rows := b.rows(Query{At: 4, Tenant: "t", State: Refused}); short(rows) != "4" {
		t.Errorf("of sequence 4: %s", short(rows))
	}
}

// The table, kept in step, says what counting anew says, whatever happens in whatever order.
func TestTheTableOfWhatIsMissingStaysTrue(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		b := fresh(t)
		present, head := map[int]uint64{}, uint64(0)
		for range 60 {
			switch n := r.IntN(12); r.IntN(3) {
			case 0:
				head += uint64(r.IntN(4))
				b.beaten(paired, head)
			default: // also one that says another sequence than before
				sequence := 1 + r.Uint64N(20)
				b.here(n, sequence)
				present[n] = sequence
			}
		}
		want := ""
		for s := uint64(1); s <= head; s++ {
			here := false
			for _, have := range present {
				here = here || have == s
			}
			if !here {
				want += fmt.Sprintf(" %d", s)
			}
		}
		if got := b.ranges(); got != want {
			t.Errorf("seed %d:%s, want%s", seed, got, want)
		}
		if err := b.recountAll(t.Context()); err != nil || b.ranges() != want {
			t.Errorf("seed %d, counted anew: %v%s, want%s", seed, err, b.ranges(), want)
		}
	}
}
