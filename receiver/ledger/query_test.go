package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ecluse/internal/catalog"
	"ecluse/protocol/bundle"
)

func TestFindTakesAUniquePrefix(t *testing.T) {
	b := fresh(t)
	one, two := bundle.ID{1, 2, 3, 4, 5, 6}, bundle.ID{1, 2, 3, 4, 5, 7}
	far := bundle.ID{0xfa, 0xce, 0xb0, 0x0c, 0xfa, 0xce}
	for _, id := range []bundle.ID{one, two, far} {
		if err := b.Change(t.Context(), id, func(r *Record) error { describe(r); r.State = Receiving; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	same := 0
	for one.String()[same] == two.String()[same] {
		same++
	}
	if same < 6 {
		t.Fatalf("they share only %d characters", same)
	}
	for name, c := range map[string]struct {
		s    string
		want bundle.ID
		err  error
	}{
		"the whole":               {one.String(), one, nil},
		"the whole of no bundle":  {id(3).String(), id(3), nil}, // whether it is here is for Get to say
		"one character enough":    {two.String()[:same+1], two, nil},
		"all but one":             {one.String()[:25], one, nil},
		"six characters":          {far.String()[:6], far, nil},
		"five characters":         {far.String()[:5], bundle.ID{}, ErrNotFound},
		"nothing":                 {"", bundle.ID{}, ErrNotFound},
		"shared":                  {one.String()[:same], bundle.ID{}, catalog.ErrAmbiguous},
		"six characters, shared":  {one.String()[:6], bundle.ID{}, catalog.ErrAmbiguous},
		"nobody's":                {"abcdef", bundle.ID{}, ErrNotFound},
		"upper case":              {strings.ToUpper(far.String()[:8]), bundle.ID{}, ErrNotFound},
		"a wildcard":              {far.String()[:6] + "%", bundle.ID{}, ErrNotFound},
		"longer than a bundle":    {far.String() + "a", bundle.ID{}, ErrNotFound},
		"not the start but later": {far.String()[2:10] + "a", bundle.ID{}, ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Find(t.Context(), b.catalog.DB(), c.s)
			if got != c.want || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Errorf("Find(%q) = %v, %v", c.s, got, err)
			}
		})
	}
}

// listed is a book with bundles that were received a minute apart, some at one moment, and gaps.
func listed(t *testing.T) *book {
	t.Helper()
	b := fresh(t)
	for n, c := range []struct {
		minute int
		tenant bundle.Name
		state  State
	}{{3, "t", Receiving}, {1, "t", Refused}, {2, "u", Refused}, {5, "t", Refused}, {4, "u", Receiving}, {4, "t", Receiving}} {
		err := b.Change(t.Context(), id(n+1), func(r *Record) error {
			describe(r)
			r.Tenant, r.State, r.Received, r.Sequence = c.tenant, c.state, ptr(start.Add(time.Duration(c.minute)*time.Minute)), ptr(uint64(n+1))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	b.Beat("s", "t", paired, Head{Sequence: 8, Digest: digest(8)})
	if err := b.flushHeads(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// short names rows by their number, or missing ones by their sequence.
func short(rows []Row) string {
	var s []string
	for _, r := range rows {
		if r.Bundle == nil {
			s = append(s, fmt.Sprintf("?%d", *r.Sequence))
			continue
		}
		for n := range 10 {
			if id(n).String() == *r.Bundle {
				s = append(s, fmt.Sprint(n))
			}
		}
	}
	return strings.Join(s, " ")
}

func TestAListIsOldestFirst(t *testing.T) {
	b := listed(t)
	for name, c := range map[string]struct {
		q    Query
		want string
	}{
		"all":                 {Query{}, "2 3 1 5 6 4 ?3 ?5 ?7 ?8"}, // 3 and 5 are another tenant's
		"a state":             {Query{State: Refused}, "2 3 4"},
		"another state":       {Query{State: Receiving}, "1 5 6"},
		"missing":             {Query{State: Missing}, "?3 ?5 ?7 ?8"},
		"a state of nobody":   {Query{State: Imported}, ""},
		"a tenant":            {Query{Tenant: "u"}, "3 5"},
		"a tenant and state":  {Query{Tenant: "t", State: Refused}, "2 4"},
		"since":               {Query{Since: start.Add(4 * time.Minute)}, "5 6 4"},
		"since, a nanosecond": {Query{Since: start.Add(4*time.Minute + 1)}, "4"},
		"a limit":             {Query{State: Refused, Limit: 2}, "3 4"},
		"a larger limit":      {Query{State: Refused, Limit: 9}, "2 3 4"},
		"all of it":           {Query{State: Receiving, Tenant: "t", Since: start.Add(4 * time.Minute), Limit: 5}, "6"},
		"an odd tenant":       {Query{Tenant: `t' OR '1'='1`}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := short(b.rows(c.q)); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
	if list, err := List(t.Context(), b.catalog.DB(), Query{State: Imported}); err != nil || list == nil {
		t.Errorf("an empty list is null: %v", err)
	}
}

func TestALineIsWhatWasRecorded(t *testing.T) {
	b := listed(t)
	rows := b.rows(Query{State: Refused, Limit: 1})
	text, err := json.Marshal(rows)
	want := `[{"bundle":"` + id(4).String() + `","tenant":"t","sender":"s","epoch":"` + paired.String() + `","sequence":4,"name":"näme","state":"refused","verdict":null,"reason":null,` +
		`"files":3,"bytes":1000,"missing_bytes":10,"created":"2026-01-31T23:00:00Z","received":"2026-01-31T23:05:00.123456789Z","through":null,"since":null}]`
	if err != nil || string(text) != want {
		t.Errorf("%s\nwant\n%s", text, want)
	}
	rows = b.rows(Query{State: Missing, Limit: 1})
	if age := rows[0].Since.Sub(start); age <= 0 || age > time.Minute {
		t.Errorf("missing since %v after the start", age)
	}
	text, err = json.Marshal(rows)
	want = `[{"bundle":null,"tenant":"t","sender":"s","epoch":"` + paired.String() + `","sequence":8,"name":null,"state":"missing","verdict":null,"reason":"never-arrived",` +
		`"files":null,"bytes":null,"missing_bytes":null,"created":null,"received":null,"through":8,"since":"` + rows[0].Since.Format(time.RFC3339Nano) + `"}]`
	if err != nil || string(text) != want {
		t.Errorf("%s\nwant\n%s", text, want)
	}
}

// What is kept of what is held is what there is, whatever becomes of bundles, and after a start.
func TestWhatIsHeldIsCountedThroughEverything(t *testing.T) {
	b := listed(t)
	held := func(when string) {
		t.Helper()
		have := b.Held("t")
		clear(b.bytes)
		if err := b.sumHeld(t.Context()); err != nil || b.Held("t") != have {
			t.Errorf("%s: %d bytes are kept, %d are there, %v", when, have, b.Held("t"), err)
		}
	}
	for n, states := range map[int][]State{1: {Quarantined, Rejected}, 5: {Quarantined, Approved, Imported}, 6: {Quarantined, Approved}} {
		b.goes(n, states...)
		held(fmt.Sprint(n, states))
	}
	if b.Held("t") == 0 {
		t.Fatal("nothing is held")
	}
	have := b.Held("t")
	b.end(true)
	again := open(t, b.dir)
	if again.Held("t") != have {
		t.Errorf("%d bytes are held after a start, and were %d", again.Held("t"), have)
	}
	*b = *again // which is ended at last
}

func TestWhoAsksByState(t *testing.T) {
	b := listed(t)
	if ids, err := b.InState(t.Context(), Refused); err != nil || fmt.Sprint(ids) != fmt.Sprint([]bundle.ID{id(2), id(3), id(4)}) {
		t.Errorf("InState: %v, %v", ids, err)
	}
	r, err := b.Get(id(3))
	if err != nil {
		t.Fatal(err)
	}
	if ids, err := b.Older(t.Context(), Refused, r.Changed); err != nil || fmt.Sprint(ids) != fmt.Sprint([]bundle.ID{id(2)}) {
		t.Errorf("Older: %v, %v", ids, err)
	}
	for n, states := range map[int][]State{1: {Quarantined}, 6: {Quarantined, Approved}, 5: {Quarantined}} {
		b.goes(n, states...)
	}
	if all := b.Holding(); !slices.Equal(all, []bundle.Name{"t", "u"}) {
		t.Errorf("content of %v is held", all)
	}
	if t1, other := b.Held("t"), b.Held("nobody"); t1 != 2000 || other != 0 {
		t.Errorf("Held: %d and %d", t1, other)
	}
	counts, err := catalog.Counts[State](t.Context(), b.catalog.DB())
	if err != nil || fmt.Sprint(counts) != "map[approved:1 quarantined:2 refused:3]" {
		t.Errorf("Counts: %v, %v", counts, err)
	}
}
