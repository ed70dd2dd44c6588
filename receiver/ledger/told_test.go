package ledger

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ecluse/internal/audit"
	"ecluse/protocol/bundle"
)

// logged opens a book that writes to the audit log beside it. Whoever closes it does so with close.
func logged(t *testing.T, dir string) (b *book, end func(clean bool)) {
	t.Helper()
	b, err := closed(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	a, err := audit.Open(audit.Options{Dir: audit.Dir(dir), Disk: b.disk.Disk, Origin: "test", Now: b.now})
	if err == nil {
		err = b.SetAudit(a)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.run()
	return b, func(clean bool) {
		t.Helper()
		b.end(clean)
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}

// looks has the log look at what is missing, when it was for long enough.
func (b *book) looks() {
	b.t.Helper()
	for range aheadMost / time.Second { // the clock goes on by a second each time that it is asked
		b.now()
	}
	if err := b.tellMissing(b.t.Context()); err != nil {
		b.t.Error(err)
	}
}

// sequences is what the log says of them, in short.
func (b *book) sequences() (s string) {
	b.t.Helper()
	list, err := audit.Reader{Disk: b.disk.Disk, Dir: audit.Dir(b.dir)}.List(audit.Query{})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range list {
		switch e.Event {
		case "missing", "given-up":
			s += fmt.Sprintf(" %s %s;", e.Event, strings.TrimPrefix(strings.TrimPrefix(e.Text, "sequences "), "sequence "))
		case "found":
			s += fmt.Sprintf(" found %d;", e.Sequence)
		}
	}
	return strings.TrimSuffix(strings.TrimSpace(s), ";")
}

func (b *book) says(what, want string) {
	b.t.Helper()
	if have := b.sequences(); have != want {
		b.t.Errorf("%s: the log says %q, not %q", what, have, want)
	}
}

func TestTheLogTellsWhatBecameMissingAndWhatWasFound(t *testing.T) {
	dir := t.TempDir()
	b, end := logged(t, dir)
	if err := b.Pair(t.Context(), "s", paired); err != nil {
		t.Fatal(err)
	}
	b.beaten(paired, 3)
	if err := b.tellMissing(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.says("at once", "")
	b.here(1, 2)
	b.says("what came within the minute", "")
	b.looks()
	b.looks()
	b.says("later", "missing 1; missing 3")
	b.beaten(paired, 6)
	b.here(2, 5)
	b.looks()
	b.says("when the chain goes on", "missing 1; missing 3; missing 4; missing 6")
	b.accept(3, "t", paired, 1)
	b.says("when one of them comes", "missing 1; missing 3; missing 4; missing 6; found 1")
	end(true)
	b, end = logged(t, dir)
	b.looks()
	if have := b.sequences(); strings.Count(have, "missing 3") != 1 || strings.Count(have, "missing 6") != 1 {
		t.Errorf("an end in order has the log told again: %s", have)
	}
	end(false)
	b, end = logged(t, dir)
	defer end(true)
	b.looks()
	b.looks() // this life's clock begins again, before what the one before has noted
	b.arrives(4, 3)
	if have := b.sequences(); !strings.Contains(have, "3") || !strings.HasSuffix(have, "found 3") {
		t.Errorf("after a crash: %s", have)
	}
}

// arrives has a bundle of a sequence refused: that is a record of it too.
func (b *book) arrives(n int, sequence uint64) {
	b.t.Helper()
	err := b.Change(b.t.Context(), id(n), func(r *Record) error {
		describe(r)
		r.Tenant, r.Epoch, r.State, r.Sequence = "t", paired, Refused, &sequence
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// A run is told once, of a chain that goes on while nothing comes only what is new; and cutting it in two has nothing told twice.
func TestARunThatGrowsIsToldByWhatIsNew(t *testing.T) {
	b, end := logged(t, t.TempDir())
	defer end(true)
	b.beaten(paired, 3)
	b.looks()
	b.beaten(paired, bundle.MaxSequence)
	b.looks()
	b.arrives(1, 2)
	b.arrives(2, 1_000_000)
	b.looks()
	b.says("it", fmt.Sprintf("missing 1 to 3; missing 4 to %d; found 2; found 1000000", uint64(bundle.MaxSequence)))
}

func TestTheLogTellsWhatNobodyWaitsForAnyMore(t *testing.T) {
	for name, row := range map[string]struct {
		do   func(b *book)
		want string
	}{
		"a person gives it up": {func(b *book) {
			err := b.Change(b.t.Context(), id(9), func(r *Record) error {
				reason := string(bundle.ReasonRejected)
				r.Sender, r.Tenant, r.Epoch, r.Sequence, r.State, r.Reason = "s", "t", paired, ptr(uint64(1)), Abandoned, &reason
				return nil
			})
			if err != nil {
				b.t.Fatal(err)
			}
		}, ""}, // its record says who
		"its epoch is replaced": {func(b *book) {
			if err := b.Pair(b.t.Context(), "s", other); err != nil {
				b.t.Fatal(err)
			}
		}, "; given-up 1: its epoch was replaced; given-up 3 to 4: its epoch was replaced"},
		"what came after is forgotten": {func(b *book) {
			b.goes(1, Rejected)
			if err := b.Purge(b.t.Context(), []bundle.ID{id(1)}); err != nil {
				b.t.Fatal(err)
			}
		}, "; given-up 1: what came after it is forgotten"},
	} {
		t.Run(name, func(t *testing.T) {
			b, end := logged(t, t.TempDir())
			defer end(true)
			if err := b.Pair(t.Context(), "s", paired); err != nil {
				t.Fatal(err)
			}
			b.accept(1, "t", paired, 2)
			b.beaten(paired, 4)
			b.looks()
			row.do(b)
			b.says("it", "missing 1; missing 3 to 4"+row.want)
		})
	}
}

// A log that was begun anew is told of all that is missing then.
func TestANewLogIsToldOfWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	b, end := logged(t, dir)
	b.beaten(paired, 2)
	b.looks()
	end(true)
	if err := b.disk.RemoveAll(audit.Dir(dir)); err != nil {
		t.Fatal(err)
	}
	b, end = logged(t, dir)
	defer end(true)
	b.looks()
	b.says("it", "missing 1 to 2")
}

// While the catalog takes nothing that is missing is told once in a life, and what comes to be missing meanwhile too.
func TestWhatTheCatalogDoesNotTakeIsToldOnce(t *testing.T) {
	dir := t.TempDir()
	b, end := logged(t, dir)
	b.beaten(paired, 5)
	b.arrives(1, 3)
	exec := func(text string) {
		t.Helper()
		if _, err := b.catalog.DB().Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	exec(`CREATE TRIGGER full BEFORE UPDATE OF told ON absent BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END`)
	looks := func() {
		t.Helper()
		for range aheadMost / time.Second {
			b.now()
		}
		if err := b.tellMissing(t.Context()); err == nil {
			t.Error("the catalog has taken it")
		}
	}
	for range 3 {
		looks()
	}
	b.says("three times", "missing 1 to 2; missing 4 to 5")
	b.beaten(paired, 7)
	for range 3 {
		looks()
	}
	b.says("when the chain goes on", "missing 1 to 2; missing 4 to 5; missing 6 to 7")
	exec(`DROP TRIGGER full`)
	b.looks()
	b.looks()
	b.says("when there is room", "missing 1 to 2; missing 4 to 5; missing 6 to 7")
	if len(b.told) != 0 {
		t.Errorf("%v is remembered", b.told)
	}
	b.arrives(2, 6)
	b.says("what is found", "missing 1 to 2; missing 4 to 5; missing 6 to 7; found 6")
	end(true)
	b, end = logged(t, dir)
	defer end(true)
	b.looks()
	b.says("in another life", "missing 1 to 2; missing 4 to 5; missing 6 to 7; found 6")
}

// The catalog is a copy: where it cannot say whether a sequence was told to be missing, its bundle is taken all the same, and the entry comes when the bundle is shown.
func TestACatalogThatCannotSayWhatIsMissingRefusesNothing(t *testing.T) {
	b, end := logged(t, t.TempDir())
	defer end(true)
	b.beaten(paired, 3)
	b.looks()
	b.arrives(1, 1)
	s, err := b.catalog.Prepared(t.Context(), toldAbsent)
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Close() // whoever asks by it gets an error
	b.arrives(2, 2)
	b.arrives(3, 9) // nobody has missed it
	b.says("it", "missing 1 to 3; found 1; found 2")
}
