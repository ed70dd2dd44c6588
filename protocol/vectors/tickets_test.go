package vectors_test

import (
	"errors"
	"slices"
	"testing"

	"ecluse/protocol/bundle"
	"ecluse/protocol/ticket"
)

type ticketInput struct {
	Code, Key, Epoch string
	Tenants          []bundle.Name
	Digests          []string // of a receipt's runs, as its sender knows them
	Again            string   // how it is printed, where it was typed otherwise
	Groups           []int    // that were mistyped
}

type ticketPart struct {
	Sequence, Count uint64
	Ranges          [][2]uint32
}

// ticketValues is what a code says.
type ticketValues struct {
	Tenant bundle.Name
	Bundle string
	Parts  []ticketPart
	Runs   [][2]uint64
}

func (v ticketValues) ticket(t *testing.T) *ticket.Ticket {
	out := &ticket.Ticket{}
	if v.Bundle != "" {
		out.Bundle = bundle.ID(unhex(t, v.Bundle))
	}
	for _, p := range v.Parts {
		part := ticket.Part{Sequence: p.Sequence, Count: p.Count}
		for _, r := range p.Ranges {
			part.Ranges = append(part.Ranges, ticket.Range{From: r[0], Count: r[1]})
		}
		out.Parts = append(out.Parts, part)
	}
	return out
}

func (v ticketValues) receipt(t *testing.T, digests []string) *ticket.Receipt {
	out := &ticket.Receipt{}
	for i, r := range v.Runs {
		out.Runs = append(out.Runs, ticket.Run{From: r[0], To: r[1], Digest: bundle.Digest(unhex(t, digests[i]))})
	}
	out.Fit()
	return out
}

// redeemed takes a code as far as its sender does, and gives its owner and what it says.
func redeemed(t *testing.T, in ticketInput) (o ticket.Owner, says *ticket.Ticket, safe *ticket.Receipt, err error) {
	t.Helper()
	o = ticket.Owner{Key: [32]byte(unhex(t, in.Key)), Epoch: bundle.Epoch(unhex(t, in.Epoch))}
	c, err := ticket.Parse(in.Code)
	if err != nil {
		return o, nil, nil, err
	}
	if o.Tenant, err = c.Open(o.Key, o.Epoch, in.Tenants); err != nil {
		return o, nil, nil, err
	}
	if !c.IsReceipt() {
		says, err = c.Ticket()
		return o, says, nil, err
	}
	if safe, err = c.Receipt(); err != nil {
		return o, nil, nil, err
	}
	if len(safe.Runs) != len(in.Digests) {
		t.Fatalf("%d runs, and digests of %d", len(safe.Runs), len(in.Digests))
	}
	for i := range safe.Runs {
		safe.Runs[i].Digest = bundle.Digest(unhex(t, in.Digests[i]))
	}
	return o, nil, safe, safe.Hold(safe.Runs)
}

func TestCodesOfSection13(t *testing.T) {
	each(t, "tickets", func(t *testing.T, v vector, in ticketInput) {
		o, says, safe, err := redeemed(t, in)
		var wrong *ticket.Mistyped
		if errors.As(err, &wrong) && in.Groups != nil && !slices.Equal(wrong.Groups, in.Groups) {
			t.Errorf("the refusal names groups %v, should name %v: %v", wrong.Groups, in.Groups, err)
		}
		if !judged(t, v, err) {
			return
		}
		want := values[ticketValues](t, v)
		if o.Tenant != want.Tenant {
			t.Errorf("it is of tenant %q, should be %q", o.Tenant, want.Tenant)
		}
		written := ""
		if safe != nil {
			written = o.Receipt(want.receipt(t, in.Digests))
			if !slices.Equal(safe.Runs, want.receipt(t, in.Digests).Runs) {
				t.Errorf("it says %v", safe.Runs)
			}
		} else {
			written = o.Ticket(want.ticket(t))
			if got := want.ticket(t); got.Bundle != says.Bundle || !slices.EqualFunc(got.Parts, says.Parts, func(a, b ticket.Part) bool {
				return a.Sequence == b.Sequence && a.Count == b.Count && slices.Equal(a.Ranges, b.Ranges)
			}) {
				t.Errorf("it says %+v", says)
			}
		}
		printed := in.Code
		if in.Again != "" {
			printed = in.Again
		}
		if written != printed {
			t.Errorf("Go writes %s, should write %s", written, printed)
		}
	})
}
