package ledger

import (
	"errors"
	"testing"

	"ecluse/protocol/bundle"
)

func TestTheCountOfMissingIsTheLengthOfTheirList(t *testing.T) {
	b := chained(t, t.TempDir())
	defer b.end(true)
	for _, h := range []struct {
		tenant bundle.Name
		epoch  bundle.Epoch
		head   uint64
	}{{"t", paired, 9}, {"u", paired, 3}, {"t", other, 1}} {
		b.Beat("s", h.tenant, h.epoch, Head{Sequence: h.head, Digest: digest(h)})
	}
	for _, purged := range []bool{false, true} {
		if purged {
			if err := b.Purge(t.Context(), []bundle.ID{id(2)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.flushHeads(t.Context()); err != nil {
			t.Fatal(err)
		}
		counts, err := b.Counts(t.Context())
		list := len(b.rows(Query{State: Missing}))
		if err != nil || counts[Missing] != int64(list) || list != 9 || counts[Quarantined] != 2 {
			t.Errorf("purged %v: %v, %v, and %d are listed", purged, counts, err, list)
		}
	}
}

func TestWhatIsComingInIsFoundInTheCatalog(t *testing.T) {
	b := fresh(t)
	b.goes(1, Receiving, Damaged)
	want, err := b.Get(id(1))
	if err != nil {
		t.Fatal(err)
	}
	got, err := FromCatalog(t.Context(), b.catalog.DB(), id(1))
	if err != nil || got.Bundle != want.Bundle || got.State != Damaged || got.Sender != "s" || got.Tenant != "t" || got.Epoch != paired || *got.Name != *want.Name ||
		*got.MissingBytes != *want.MissingBytes || !got.Received.Equal(*want.Received) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if _, err := FromCatalog(t.Context(), b.catalog.DB(), id(2)); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func TestFailingCountsDeliveriesOnly(t *testing.T) {
	b := fresh(t)
	for n, reason := range []*string{nil, ptr("not-inspected"), ptr("clash"), ptr("destination")} {
		b.goes(n+1, Receiving, Quarantined, Approved)
		if err := b.Change(t.Context(), id(n+1), func(r *Record) error { r.Reason = reason; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	b.goes(9, Refused)
	if n, err := b.Failing(t.Context()); n != 2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}
