package ledger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"ecluse/protocol/bundle"
)

var errTest = errors.New("the test says so")

func TestAnErrorFromAChangeLeavesEverythingAsItWas(t *testing.T) {
	b := fresh(t)
	b.goes(1, Receiving, Quarantined)
	before, err := b.Get(id(1))
	if err != nil {
		t.Fatal(err)
	}
	rows := b.rows(Query{})
	b.disk.list()
	err = b.Change(t.Context(), id(1), func(r *Record) error {
		*r.Name, *r.Received = "other", time.Time{}
		r.State, r.Reason = Approved, ptr("x")
		return errTest
	})
	after, errGet := b.Get(id(1))
	if !errors.Is(err, errTest) || errGet != nil || !reflect.DeepEqual(before, after) || !reflect.DeepEqual(rows, b.rows(Query{})) || b.disk.list() != "" {
		t.Errorf("%v: %+v became %+v", err, before, after)
	}
	if err := b.Change(t.Context(), id(2), func(r *Record) error { describe(r); r.State = Receiving; return errTest }); !errors.Is(err, errTest) || b.state(2) != "" {
		t.Errorf("a bundle is %q that never was: %v", b.state(2), err)
	}
}

func TestWhoReadsARecordCannotChangeIt(t *testing.T) {
	b := fresh(t)
	b.goes(1, Receiving, Quarantined)
	var kept *Record
	err := b.Change(t.Context(), id(1), func(r *Record) error {
		kept = r
		r.Deliveries, r.Verdict = []Delivery{{Destination: "d", Done: ptr(start)}}, ptr(Clean)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	*kept.Verdict, kept.Deliveries[0].Destination, *kept.Deliveries[0].Done = Flagged, "e", time.Time{}
	got, _ := b.Get(id(1))
	*got.Verdict, *got.Deliveries[0].Done = Flagged, time.Time{}
	again, err := b.Get(id(1))
	if err != nil || *again.Verdict != Clean || again.Deliveries[0].Destination != "d" || !again.Deliveries[0].Done.Equal(start) {
		t.Errorf("the record was changed from outside: %+v", again)
	}
}

func TestTheCatalogComesAfterTheSyncAndTheSyncAfterTheRecord(t *testing.T) {
	b := fresh(t)
	b.goes(1, Receiving)
	if calls := b.disk.list(); calls != "" {
		t.Errorf("a state without a record file costs %s", calls)
	}
	name := id(1).String() + ".json"
	var seen []string
	look := func() {
		text, _ := os.ReadFile(RecordPath(b.dir, id(1)))
		r, err := b.Get(id(1))
		if err != nil {
			seen = append(seen, err.Error())
			return
		}
		rows := b.rows(Query{})
		seen = append(seen, fmt.Sprintf("file %v, told %s, catalog %s", strings.Contains(string(text), `"quarantined"`), r.State, rows[0].State))
	}
	b.disk.set(func(d *watched) { d.sync = func() error { look(); return nil } })
	err := b.Change(t.Context(), id(1), func(r *Record) error {
		look()
		r.State = Quarantined
		return b.disk.Replace(b.dir+"/content", nil) // as a rename into quarantine would
	})
	if err != nil {
		t.Fatal(err)
	}
	look()
	want := "file false, told receiving, catalog receiving; file false, told receiving, catalog receiving; " +
		"file true, told receiving, catalog receiving; file true, told quarantined, catalog quarantined"
	if got := strings.Join(seen, "; "); got != want {
		t.Errorf("before, at both syncs, after:\n%s\nwant\n%s", got, want)
	}
	if calls := b.disk.list(); calls != "replace content, put "+name+", sync, place "+name+", sync" {
		t.Errorf("the order is %s", calls)
	}
}

// What was not synced is told to nobody, though its file has its name already: also of bundles whose record stands in no memory.
func TestNobodyIsToldOfWhatIsNotDurable(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	b.goes(1, Receiving, Quarantined)
	b.end(true)
	b = open(t, dir)
	defer b.end(true)
	var told []State
	b.disk.set(func(d *watched) {
		d.sync = func() error { told = append(told, b.state(1), b.state(2)); return nil }
	})
	b.goes(1, Approved)
	b.goes(2, Refused)
	if fmt.Sprint(told) != "[quarantined  quarantined  approved  approved ]" || b.state(2) != Refused {
		t.Errorf("during the syncs they are %q", told)
	}
}

func TestAFailedSyncEndsEverything(t *testing.T) {
	for n, name := range []string{"of contents", "of names"} {
		t.Run(name, func(t *testing.T) { failedSync(t, n) })
	}
}

// failedSync has a sync fail after n good ones.
func failedSync(t *testing.T, n int) {
	b := open(t, t.TempDir())
	b.goes(1, Receiving, Quarantined)
	b.goes(2, Receiving)
	good := n
	b.disk.set(func(d *watched) {
		d.sync = func() error {
			if good--; good >= 0 {
				return nil
			}
			return errTest
		}
	})
	b.disk.list()
	hold, posted := make(chan struct{}), make(chan error, 3)
	b.Post(id(1), func(r *Record) error { <-hold; r.State = Approved; return nil }, func(err error) { posted <- err })
	b.Post(id(2), func(r *Record) error { r.State = Damaged; return nil }, func(err error) { posted <- err })
	close(hold)
	for range 2 {
		if err := <-posted; !errors.Is(err, ErrFatal) || !errors.Is(err, errTest) {
			t.Errorf("posted: %v", err)
		}
	}
	if err := b.wait(); !errors.Is(err, ErrFatal) {
		t.Errorf("Run: %v", err)
	}
	calls := b.disk.list()
	if strings.Count(calls, "sync") != n+1 || b.state(1) != Quarantined || b.rows(Query{State: Approved}) == nil || len(b.rows(Query{State: Approved})) != 0 {
		t.Errorf("after the failed sync: %s, and it is %s", calls, b.state(1))
	}
	if err := b.Change(t.Context(), id(1), func(r *Record) error { t.Error("a change after the end"); return nil }); !errors.Is(err, ErrFatal) {
		t.Errorf("Change after the end: %v", err)
	}
	for range 2 * batchMost {
		b.Post(id(1), func(r *Record) error { t.Error("a change after the end"); return nil }, func(err error) {
			if !errors.Is(err, ErrFatal) {
				t.Errorf("Post after the end: %v", err)
			}
		})
	}
	if calls := b.disk.list(); calls != "" {
		t.Errorf("the disk was asked again: %s", calls)
	}
	if err := b.Close(false); err != nil {
		t.Error(err)
	}
}

func TestAFailedSyncOfAPurgeOrAPairingEndsEverything(t *testing.T) {
	for name, act := range map[string]func(b *book) error{
		"purge": func(b *book) error { return b.Purge(t.Context(), []bundle.ID{id(1)}) },
		"pair":  func(b *book) error { return b.Pair(t.Context(), "s", paired) },
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, t.TempDir())
			b.goes(1, Refused)
			b.disk.set(func(d *watched) { d.sync = func() error { return errTest } })
			if err := act(b); !errors.Is(err, ErrFatal) {
				t.Errorf("%v", err)
			}
			if err := b.wait(); !errors.Is(err, ErrFatal) {
				t.Errorf("Run: %v", err)
			}
			if err := b.Close(false); err != nil || b.state(1) != Refused {
				t.Errorf("%v, %q", err, b.state(1))
			}
		})
	}
}

func TestManyChangesShareOneSyncInOrder(t *testing.T) {
	b := fresh(t)
	const n = 200
	hold, done := make(chan struct{}), make(chan error, 3*n)
	then := func(err error) { done <- err }
	b.Post(id(0), func(r *Record) error { <-hold; describe(r); r.State = Refused; return nil }, then)
	order := ""
	for i := 1; i <= n; i++ {
		b.Post(id(i), func(r *Record) error { describe(r); r.State = Receiving; return nil }, then)
		b.Post(id(i), func(r *Record) error {
			order += fmt.Sprint(i, r.State, " ")
			r.State = Quarantined
			return nil
		}, then)
	}
	close(hold)
	for range 2*n + 1 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	calls := b.disk.list()
	if strings.Count(calls, "sync") != 2 || strings.Count(calls, "put") != n+1 || strings.Count(calls, "place") != n+1 || !strings.HasSuffix(calls, ", sync") {
		t.Errorf("%d puts and %d syncs for %d bundles", strings.Count(calls, "put"), strings.Count(calls, "sync"), n+1)
	}
	if !strings.HasPrefix(order, "1receiving 2receiving 3receiving ") || strings.Count(order, "receiving") != n {
		t.Errorf("the order is %.60s", order)
	}
	if got := len(b.rows(Query{State: Quarantined})); got != n {
		t.Errorf("the catalog has %d", got)
	}
}

func TestABatchIsBounded(t *testing.T) {
	b := fresh(t)
	hold, done := make(chan struct{}), make(chan error, 4*batchMost)
	then := func(err error) { done <- err }
	refused := func(r *Record) error { describe(r); r.State = Refused; return nil }
	b.Post(id(0), func(r *Record) error { <-hold; return refused(r) }, then)
	go close(hold)
	for i := 1; i <= batchMost+20; i++ {
		b.Post(id(i), refused, then)
	}
	for range batchMost + 21 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	for at, most := 0, strings.Split(b.disk.list(), "sync"); at < len(most); at++ { // content, names, content ...
		if n := strings.Count(most[at], "put"); n > batchMost {
			t.Errorf("%d records in one batch", n)
		}
	}
}

// None is decided for the sake of another: whatever fails of one bundle, the rest of its batch is done.
func TestABundleFailsAlone(t *testing.T) {
	b := fresh(t)
	for n := 1; n <= 4; n++ {
		b.goes(n, Receiving)
	}
	b.disk.set(func(d *watched) {
		d.fail = func(path string) error {
			if strings.Contains(path, id(3).String()) {
				return errTest
			}
			return nil
		}
	})
	hold := make(chan struct{})
	type answer struct {
		n   int
		err error
	}
	answers := make(chan answer, 5)
	post := func(n int, change func(*Record) error) {
		b.Post(id(n), change, func(err error) { answers <- answer{n, err} })
	}
	post(1, func(r *Record) error { <-hold; r.State = Quarantined; return nil })
	post(2, func(r *Record) error { r.State, r.Epoch = Quarantined, bundle.Epoch{}; return nil }) // no epoch, no file
	post(3, func(r *Record) error { r.State = Quarantined; return nil })                          // the disk is full
	post(4, func(r *Record) error { r.State = Imported; return nil })                             // not by the table
	post(5, func(r *Record) error { describe(r); r.State = Refused; return nil })
	close(hold)
	for range 5 {
		a := <-answers
		if good := a.n == 1 || a.n == 5; good != (a.err == nil) || a.n == 3 && !errors.Is(a.err, errTest) || errors.Is(a.err, ErrFatal) {
			t.Errorf("bundle %d: %v", a.n, a.err)
		}
	}
	for n, want := range map[int]State{1: Quarantined, 2: Receiving, 3: Receiving, 4: Receiving, 5: Refused} {
		if got := b.state(n); got != want {
			t.Errorf("bundle %d is %s, want %s", n, got, want)
		}
	}
	if rows := b.rows(Query{State: Receiving}); len(rows) != 3 {
		t.Errorf("%d are receiving in the catalog", len(rows))
	}
	b.disk.set(func(d *watched) { d.fail = nil })
	b.goes(3, Quarantined) // a full disk has room again
}

// A process that ends has its last batch in the catalog too, or the catalog would be closed in order and lie.
func TestTheLastBatchReachesTheCatalog(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	done := make(chan error, 2)
	b.Post(id(1), func(r *Record) error { b.stop(); describe(r); r.State = Refused; return nil }, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Errorf("the change under way at the end: %v", err)
	}
	b.end(true)
	if err := b.Change(t.Context(), id(2), func(*Record) error { return nil }); !errors.Is(err, errEnded) {
		t.Errorf("Change after the end: %v", err)
	}
	b = open(t, dir)
	defer b.end(true)
	if rows := b.rows(Query{State: Refused}); b.catalog.Dirty() || len(rows) != 1 {
		t.Errorf("the catalog has %d rows, dirty: %v", len(rows), b.catalog.Dirty())
	}
}

func TestAChangeWaitsNoLongerThanItsContext(t *testing.T) {
	b := fresh(t)
	hold := make(chan struct{})
	defer close(hold)
	b.Post(id(1), func(r *Record) error { <-hold; describe(r); r.State = Receiving; return nil }, func(error) {})
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := b.Change(ctx, id(2), func(r *Record) error { return errTest }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// What is on the disk and not in the catalog would be judged wrongly: the process ends, and the next one makes the catalog again. What is in neither has just not happened.
func TestACatalogThatFailsBehindTheDiskEndsEverything(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	b.goes(1, Receiving)
	if err := b.catalog.Abort(); err != nil {
		t.Fatal(err)
	}
	if err := b.Change(t.Context(), id(1), func(r *Record) error { r.State = Damaged; return nil }); err == nil || errors.Is(err, ErrFatal) || b.state(1) != Receiving {
		t.Errorf("without a record file: %v, and it is %q", err, b.state(1))
	}
	if err := b.Change(t.Context(), id(1), func(r *Record) error { r.State = Refused; return nil }); !errors.Is(err, ErrFatal) {
		t.Errorf("with a record file: %v", err)
	}
	if err := b.wait(); !errors.Is(err, ErrFatal) {
		t.Errorf("Run: %v", err)
	}
	b = open(t, dir)
	defer b.end(true)
	if rows := b.rows(Query{State: Refused}); len(rows) != 1 || b.state(1) != Refused {
		t.Errorf("the next life has %d rows", len(rows))
	}
}

// A record is not written that the next start would call damaged.
func TestARecordThatCouldNotBeReadIsNotWritten(t *testing.T) {
	b := fresh(t)
	b.goes(1, Receiving, Quarantined)
	err := b.Change(t.Context(), id(1), func(r *Record) error {
		r.Detail = strings.Repeat("x", recordLimit)
		return nil
	})
	if err == nil || errors.Is(err, ErrFatal) || !strings.Contains(err.Error(), "at most") {
		t.Errorf("it was taken: %v", err)
	}
	if r, err := b.Get(id(1)); err != nil || r.Detail != "" || r.State != Quarantined {
		t.Errorf("it is %+v, %v", r, err)
	}
	b.goes(1, Rejected)
}
