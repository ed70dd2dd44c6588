package ledger

import (
	"fmt"
	"slices"
	"testing"

	"ecluse/protocol/bundle"
)

// safe is what a receipt would say of s/t, in the paired epoch.
func (b *book) safe() (list []string) {
	b.t.Helper()
	runs, err := b.Safe(b.t.Context(), Chain{"s", "t", paired}, 10)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, r := range runs {
		list = append(list, fmt.Sprintf("%d-%d", r.From, r.To))
		if r.Digest != digest(bundle.Name("t"), paired, r.To) {
			b.t.Errorf("the digest of %d is not that of its manifest", r.To)
		}
	}
	return list
}

func (b *book) saysSafe(want ...string) {
	b.t.Helper()
	if got := b.safe(); !slices.Equal(got, want) {
		b.t.Errorf("safe are %v, should be %v", got, want)
	}
}

func TestNothingSafePassesAGap(t *testing.T) {
	b := fresh(t)
	if err := b.Pair(t.Context(), "s", paired); err != nil {
		t.Fatal(err)
	}
	b.saysSafe()
	for _, n := range []int{1, 2, 3, 5, 6, 8, 10, 11, 12} {
		b.accept(n, "t", paired, uint64(n))
	}
	b.Beat("s", "t", paired, Head{Sequence: 20, Digest: digest("h")})
	b.saysSafe("1-3", "5-6", "8-8", "10-12")
	b.goes(40, Receiving, Damaged)
	if err := b.Change(t.Context(), id(40), func(r *Record) error { r.Sequence = ptr(uint64(4)); return nil }); err != nil {
		t.Fatal(err)
	}
	b.goes(70, Refused)
	if err := b.Change(t.Context(), id(70), func(r *Record) error { r.Sequence = ptr(uint64(7)); return nil }); err != nil {
		t.Fatal(err)
	}
	b.saysSafe("1-3", "5-6", "8-8", "10-12") // damaged and refused are gaps
	b.goes(2, Approved, Imported)
	b.goes(6, Rejected)
	b.saysSafe("1-3", "5-6", "8-8", "10-12") // imported and rejected by a person are safe
	b.goes(11, Refused)
	b.saysSafe("1-3", "5-6", "8-8", "10-10", "12-12") // what was quarantined and no longer holds is a gap again
	b.goes(1, Refused)
	b.saysSafe("2-3", "5-6", "8-8", "10-10", "12-12") // also the first
	if runs, err := b.Safe(t.Context(), Chain{"s", "t", paired}, 2); err != nil || len(runs) != 2 {
		t.Errorf("of two runs: %v, %v", runs, err)
	}
	for _, other := range []Chain{{"s", "u", paired}, {"r", "t", paired}, {"s", "t", other}} {
		if runs, err := b.Safe(t.Context(), other, 10); err != nil || len(runs) != 0 {
			t.Errorf("%v: %v, %v", other, runs, err)
		}
	}
}

// What is purged stays safe as far as there was no gap before it; behind a gap nobody knows any more.
func TestWhatIsForgottenStaysSafeUpToTheFirstGap(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	if err := b.Pair(t.Context(), "s", paired); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 2, 3, 4, 6, 7, 8} {
		b.accept(n, "t", paired, uint64(n))
		b.goes(n, Approved, Imported)
	}
	if err := b.Purge(t.Context(), []bundle.ID{id(2), id(6)}); err != nil {
		t.Fatal(err)
	}
	for _, reopened := range []bool{false, true} {
		if reopened {
			b.end(false)
			loseCatalog(t, dir)
			b = open(t, dir)
		}
		b.saysSafe("1-4", "7-8")
	}
	if err := b.Purge(t.Context(), []bundle.ID{id(1), id(3), id(4), id(7), id(8)}); err != nil {
		t.Fatal(err)
	}
	b.saysSafe("1-4")
	if chains, err := b.Chains(t.Context()); err != nil || !slices.Equal(chains, []Chain{{"s", "t", paired}}) {
		t.Errorf("chains of which all is forgotten: %v, %v", chains, err)
	}
	b.accept(9, "t", paired, 9)
	b.saysSafe("1-4", "9-9")
	if err := b.Pair(t.Context(), "s", other); err != nil {
		t.Fatal(err)
	}
	b.saysSafe("9-9") // of a replaced epoch nothing is remembered
	if chains, err := b.Chains(t.Context()); err != nil || len(chains) != 0 {
		t.Errorf("chains of a replaced epoch: %v, %v", chains, err)
	}
	b.end(true)
}
