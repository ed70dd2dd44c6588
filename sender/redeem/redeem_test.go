package redeem

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/protocol/ticket"
	"ecluse/sender/ledger"
)

var (
	former = bundle.Epoch{7}
	epoch  = bundle.Epoch{1}
	key    = [32]byte{5}
)

// signer makes blobs that nobody verifies here.
type signer struct{}

func (signer) SignManifest(io.Reader) ([]byte, error) { return make([]byte, 100), nil }

// open opens the book of one life.
func open(t *testing.T, dir string, e bundle.Epoch) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), dir, disk.New(), e, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ended, l.Close(true)); err != nil {
			t.Error(err)
		}
	})
	return l
}

// sign takes a bundle of three chunks to the end of its first pass.
func sign(t *testing.T, l *ledger.Ledger, tenant bundle.Name) *ledger.Record {
	t.Helper()
	var id bundle.ID
	_, _ = rand.Read(id[:])
	change := func(f func(r *ledger.Record)) {
		t.Helper()
		if err := l.Change(t.Context(), id, func(r *ledger.Record) error { f(r); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	change(func(r *ledger.Record) {
		r.Tenant, r.Epoch, r.Name, r.State, r.Created = tenant, l.Epoch(), "item", ledger.Waiting, time.Now().Truncate(time.Second)
	})
	table := new(bundle.Table)
	path, err := bundle.ParsePath("item")
	if err == nil {
		_, err = table.AddFile(path, 10_000, 0o600, 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	table.SetDigest(1, bundle.Digest{1})
	m := &bundle.Manifest{
		Header: bundle.Header{Bundle: id, Sender: "low", Receiver: bundle.Digest{3}, Tenant: tenant, Created: 1, Name: "item"},
		Table:  table, ChunkSize: 4096, Marks: make([]bundle.Mark, 3),
	}
	if _, err := l.Sign(t.Context(), signer{}, m); err != nil {
		t.Fatal(err)
	}
	change(func(r *ledger.Record) { r.State = ledger.Sending })
	change(func(r *ledger.Record) { r.State, r.PassesDone = ledger.Sent, 1 })
	r, err := l.Get(id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (s *Sender) owner(tenant bundle.Name) *ticket.Owner {
	return &ticket.Owner{Key: s.Key, Epoch: s.Ledger.Epoch(), Tenant: tenant}
}

func parts(p ...ticket.Part) *ticket.Ticket { return &ticket.Ticket{Parts: p} }

func reason(err error) bundle.Reason { r, _ := bundle.ReasonOf(err); return r }

func TestATicketAsksForNoChunkThatItsBundleHasNot(t *testing.T) {
	l := open(t, t.TempDir(), epoch)
	s := &Sender{Key: key, Tenants: []bundle.Name{"cssf", "other"}, Ledger: l}
	one, two := sign(t, l, "cssf"), sign(t, l, "cssf")
	foreign := sign(t, l, "other")
	for _, row := range []struct {
		name   string
		ticket *ticket.Ticket
		want   string
	}{
		{"a whole bundle", parts(ticket.Part{Sequence: 2, Count: 1}), fmt.Sprint(two.Bundle, "[]")},
		{"both", parts(ticket.Part{Sequence: 1, Count: 2}), fmt.Sprint(one.Bundle, "[]", two.Bundle, "[]")},
		{"chunks", parts(ticket.Part{Sequence: 1, Count: 1, Ranges: []ticket.Range{{From: 1, Count: 1}, {From: 3}}}), fmt.Sprint(one.Bundle, "[{1 1} {3 0}]")},
		{"by its id", &ticket.Ticket{Bundle: two.Bundle, Parts: []ticket.Part{{Count: 1, Ranges: []ticket.Range{{From: 2}}}}}, fmt.Sprint(two.Bundle, "[{2 0}]")},
		{"a chunk too many", parts(ticket.Part{Sequence: 1, Count: 1, Ranges: []ticket.Range{{From: 3, Count: 2}}}), fmt.Sprint(one.Bundle, "ticket-body")},
		{"a chunk behind the last", parts(ticket.Part{Sequence: 1, Count: 1, Ranges: []ticket.Range{{From: 4}}}), fmt.Sprint(one.Bundle, "ticket-body")},
		{"by an id that is another tenant's", &ticket.Ticket{Bundle: foreign.Bundle, Parts: []ticket.Part{{Count: 1}}}, fmt.Sprint(foreign.Bundle, "unknown")},
		{"by an id of nobody", &ticket.Ticket{Bundle: bundle.ID{1}, Parts: []ticket.Part{{Count: 1}}}, fmt.Sprint(bundle.ID{1}, "unknown")},
		{"what was never given out, beside what was", parts(ticket.Part{Sequence: 2, Count: 1}, ticket.Part{Sequence: 3, Count: 4}), fmt.Sprint(two.Bundle, "[]", bundle.ID{}, "unknown")},
	} {
		o, err := s.Read(t.Context(), s.owner("cssf").Ticket(row.ticket))
		if err != nil || o.Receipt || o.Tenant != "cssf" {
			t.Errorf("%s: %+v, %v", row.name, o, err)
			continue
		}
		got := ""
		for _, w := range o.Wishes {
			switch {
			case reason(w.Err) != "":
				got += fmt.Sprint(w.Bundle, reason(w.Err))
			case errors.Is(w.Err, ledger.ErrNotFound):
				got += fmt.Sprint(w.Bundle, "unknown")
			case w.Err == nil:
				got += w.Bundle.String() + fmt.Sprint(w.Chunks)
			}
		}
		if got != row.want {
			t.Errorf("%s: %s, should be %s", row.name, got, row.want)
		}
	}
}

func TestACodeOfAnotherLifeIsRefusedByName(t *testing.T) {
	dir := t.TempDir()
	before := open(t, dir, former)
	sign(t, before, "cssf")
	s := &Sender{Key: key, Tenants: []bundle.Name{"cssf"}, Ledger: before}
	receipt := &ticket.Receipt{Runs: []ticket.Run{{From: 1, To: 1, Digest: before.Head("cssf").Digest}}}
	receipt.Fit()
	code := s.owner("cssf").Receipt(receipt)
	if _, err := s.Read(t.Context(), code); err != nil {
		t.Fatal(err)
	}
	now := &Sender{Key: [32]byte{6}, Tenants: s.Tenants, Ledger: open(t, t.TempDir(), epoch)}
	if _, err := now.Read(t.Context(), code); reason(err) != bundle.ReasonTicketEpoch || strings.Contains(err.Error(), "former") {
		t.Errorf("of a sender of whom nothing is known: %v", err)
	}
	now.Ledger = open(t, dir, epoch) // the same state, with a new epoch
	if _, err := now.Read(t.Context(), code); reason(err) != bundle.ReasonTicketEpoch || !strings.Contains(err.Error(), former.String()) {
		t.Errorf("of a former epoch: %v", err)
	}
	other := &Sender{Key: [32]byte{6}, Tenants: s.Tenants, Ledger: now.Ledger}
	if _, err := now.Read(t.Context(), (&ticket.Owner{Key: key, Epoch: epoch, Tenant: "cssf"}).Ticket(parts(ticket.Part{Sequence: 1, Count: 1}))); reason(err) != bundle.ReasonTicketTag {
		t.Errorf("under another key: %v", err)
	}
	if _, err := other.Read(t.Context(), code[:20]+"U"+code[21:]); reason(err) != bundle.ReasonTicketCode {
		t.Errorf("mistyped: %v", err)
	}
}

func TestAReceiptForOtherManifestsSettlesNothing(t *testing.T) {
	l := open(t, t.TempDir(), epoch)
	s := &Sender{Key: key, Tenants: []bundle.Name{"cssf"}, Ledger: l}
	var digests []bundle.Digest
	for range 4 {
		r := sign(t, l, "cssf")
		signed, err := l.Signed(r)
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, signed.Digest)
	}
	run := func(from, to uint64, d bundle.Digest) ticket.Run { return ticket.Run{From: from, To: to, Digest: d} }
	for _, row := range []struct {
		name string
		runs []ticket.Run
		want bundle.Reason
	}{
		{"all", []ticket.Run{run(1, 4, digests[3])}, ""},
		{"the first two", []ticket.Run{run(1, 2, digests[1])}, ""},
		{"with a gap", []ticket.Run{run(1, 2, digests[1]), run(4, 4, digests[3])}, ""},
		{"another manifest at the end", []ticket.Run{run(1, 4, digests[2])}, bundle.ReasonTicketChain},
		{"another manifest in the middle", []ticket.Run{run(1, 2, digests[0]), run(4, 4, digests[3])}, bundle.ReasonTicketChain},
		{"more than was given out", []ticket.Run{run(1, 5, digests[3])}, bundle.ReasonTicketChain},
	} {
		r := &ticket.Receipt{Runs: row.runs}
		r.Fit()
		o, err := s.Read(t.Context(), s.owner("cssf").Receipt(r))
		if reason(err) != row.want || err == nil && (len(o.Runs) != len(row.runs) || !o.Receipt || len(o.Wishes) > 0) {
			t.Errorf("%s: %+v, %v", row.name, o, err)
		}
	}
}
