package ledger

import (
	"context"
	"errors"
	"slices"
	"testing"

	"ecluse/internal/catalog"
)

// picture is section 7's table of states, written down once more by hand: each state and what may follow it, itself where its reason or verdict may change.
var picture = map[State][]State{
	"":          {Receiving, Refused, Abandoned},
	Missing:     {Missing, Receiving, Refused, Abandoned},
	Receiving:   {Receiving, Damaged, Quarantined, Refused, Abandoned},
	Damaged:     {Damaged, Receiving, Quarantined, Refused, Abandoned},
	Quarantined: {Quarantined, Approved, Rejected, Refused},
	Approved:    {Approved, Imported, Rejected, Refused, Quarantined},
	Imported:    {Imported},
	Rejected:    {},
	Abandoned:   {},
	Refused:     {Refused},
}

func TestEveryPairOfStatesIsAllowedOrRefused(t *testing.T) {
	all := append(States(), "")
	if len(all) != len(picture) || len(all) != len(next) {
		t.Fatalf("%d states, %d in the picture, %d in the table", len(all), len(picture), len(next))
	}
	for _, from := range all {
		for _, to := range all {
			err := from.follow(to)
			var refused *StateError
			switch allowed := slices.Contains(picture[from], to); {
			case allowed && err != nil:
				t.Errorf("%q -> %q: %v", from, to, err)
			case !allowed && (!errors.As(err, &refused) || refused.From != from || refused.To != to):
				t.Errorf("%q -> %q: %v, want a StateError", from, to, err)
			}
		}
		others := slices.DeleteFunc(slices.Clone(picture[from]), func(to State) bool { return to == from })
		if from.Ended() != (from != "" && len(others) == 0) {
			t.Errorf("%q has ended: %v", from, from.Ended())
		}
		if got, err := ParseState(string(from)); from != "" && (got != from || err != nil) || from == "" && err == nil {
			t.Errorf("%q is read as %q, %v", from, got, err)
		}
	}
}

// Roads into each state, by which every pair is tried through Change as well.
var roads = map[State][]State{
	"": nil, Receiving: {Receiving}, Damaged: {Receiving, Damaged}, Quarantined: {Receiving, Quarantined}, Approved: {Receiving, Damaged, Receiving, Quarantined, Approved},
	Imported: {Receiving, Quarantined, Approved, Imported}, Rejected: {Receiving, Quarantined, Rejected}, Abandoned: {Receiving, Damaged, Abandoned}, Refused: {Receiving, Refused},
}

func TestChangeKeepsTheTable(t *testing.T) {
	b := fresh(t)
	n := 0
	for from, road := range roads {
		for _, to := range append(States(), "") {
			n++
			b.goes(n, road...)
			err := b.Change(t.Context(), id(n), func(r *Record) error {
				describe(r)
				r.State = to
				return nil
			})
			allowed := slices.Contains(picture[from], to)
			want := from
			if allowed {
				want = to
			}
			if (err == nil) != allowed || b.state(n) != want {
				t.Errorf("%q -> %q: %v, and it is %q", from, to, err, b.state(n))
			}
		}
	}
	counts, err := catalog.Counts[State](context.Background(), b.catalog.DB())
	if err != nil || counts[""] != 0 || counts[Missing] != 0 || counts[Imported] == 0 {
		t.Errorf("the catalog counts %v, %v", counts, err)
	}
}
