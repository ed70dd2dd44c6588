package issue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"ecluse/protocol/bundle"
	"ecluse/protocol/ticket"
	"ecluse/receiver/ledger"
)

// Batch is the codes that were asked for at once. What could not be named is counted.
type Batch struct {
	Codes   []*Issued `json:"codes"`
	Unnamed int       `json:"unnamed"` // codes that there should be and are not
	Why     string    `json:"why"`     // the reason of the first
	Refused bool      `json:"refused"` // it is a refusal
}

// leave counts a code that there is not.
func (b *Batch) leave(err error) {
	b.Unnamed++
	if b.Why != "" {
		return
	}
	var no *Refusal
	_, rejected := bundle.ReasonOf(err)
	b.Why, b.Refused = err.Error(), rejected || errors.As(err, &no)
}

// group is what is missing of one chain.
type group struct {
	chain ledger.Chain
	parts []ticket.Part
	lacks []Lack // of each part
	loose []*ticket.Ticket
	names []Lack // of each loose one: its sequence is not known
}

// All issues tickets for everything that is missing or damaged, one for as many bundles of a sender and tenant as fit.
func (d *Desk) All(ctx context.Context, p Peer) (*Batch, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	groups, err := d.gather(ctx)
	if err != nil {
		return nil, err
	}
	b := &Batch{Codes: []*Issued{}}
	for _, g := range groups {
		o, err := d.owner(ctx, g.chain.Sender, g.chain.Tenant, g.chain.Epoch)
		if err != nil {
			b.leave(fmt.Errorf("%s of %s: %w", g.chain.Tenant, g.chain.Sender, err))
			continue
		}
		g.each(func(t *ticket.Ticket, lacks []Lack) {
			i, err := d.issue(p, g.chain.Sender, o, t, lacks)
			if err != nil {
				b.leave(err)
				return
			}
			b.Codes = append(b.Codes, i)
		})
	}
	return b, nil
}

// gather finds what is missing, by chain, those of replaced epochs left out.
func (d *Desk) gather(ctx context.Context) ([]*group, error) {
	chains := make(map[ledger.Chain]*group)
	at := func(c ledger.Chain) *group {
		if chains[c] == nil {
			chains[c] = &group{chain: c}
		}
		return chains[c]
	}
	ids, err := d.staging.IDs()
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		g, ok, err := d.staging.Gaps(id)
		if err != nil {
			return nil, err
		}
		if r, err := d.o.Ledger.Get(id); !ok || g.Coming || err == nil && r.State.Stored() {
			continue
		}
		t, lacks := gapTicket(g)
		to := at(ledger.Chain{Sender: g.Source.Sender, Tenant: g.Offer.Tenant, Epoch: g.Offer.Epoch})
		if !t.Bundle.IsZero() {
			to.loose, to.names = append(to.loose, t), append(to.names, lacks)
			continue
		}
		to.parts, to.lacks = append(to.parts, t.Parts[0]), append(to.lacks, lacks)
	}
	rows, err := d.o.Ledger.List(ctx, ledger.Query{State: ledger.Missing})
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		e, err := bundle.ParseEpoch(r.Epoch)
		if err != nil {
			return nil, err
		}
		to, sequence := at(ledger.Chain{Sender: bundle.Name(r.Sender), Tenant: bundle.Name(r.Tenant), Epoch: e}), *r.Sequence
		count := *r.Through - sequence + 1
		to.parts, to.lacks = append(to.parts, ticket.Part{Sequence: sequence, Count: count}), append(to.lacks, Lack{Sequence: &sequence, Count: count})
	}
	var groups []*group
	for c, g := range chains {
		if d.o.Ledger.Status(c.Sender, c.Epoch) != bundle.EpochReplaced {
			g.join()
			g.once()
			groups = append(groups, g)
		}
	}
	slices.SortFunc(groups, func(a, b *group) int {
		return cmp.Or(cmp.Compare(a.chain.Sender, b.chain.Sender), cmp.Compare(a.chain.Tenant, b.chain.Tenant), slices.Compare(a.chain.Epoch[:], b.chain.Epoch[:]))
	})
	return groups, nil
}

// once leaves out the sequences of which nothing is here where the bundles without a sequence account for all of them: the close of each was lost, and what it asks for is asked
// for already. Were it another one, the next tickets name it.
func (g *group) once() {
	unknown := uint64(0)
	for _, l := range g.lacks {
		if l.Bundle == nil {
			unknown += l.Count
		}
	}
	if unknown > uint64(len(g.loose)) {
		return
	}
	var parts []ticket.Part
	var lacks []Lack
	for i, l := range g.lacks {
		if l.Bundle != nil {
			parts, lacks = append(parts, g.parts[i]), append(lacks, l)
		}
	}
	g.parts, g.lacks = parts, lacks
}

// join sorts the parts, and makes one of neighbours of which nothing is here. Of two for one sequence (what never came whole was perhaps noted twice) the first stands.
func (g *group) join() {
	order := make([]int, len(g.parts))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(g.parts[a].Sequence, g.parts[b].Sequence) })
	var parts []ticket.Part
	var lacks []Lack
	for _, i := range order {
		p, l, last := g.parts[i], g.lacks[i], len(parts)-1
		if last >= 0 && p.Sequence < parts[last].Sequence+parts[last].Count {
			end := parts[last].Sequence + parts[last].Count
			if p.Sequence+p.Count <= end || l.Bundle != nil {
				continue
			}
			p.Sequence, p.Count, l.Sequence, l.Count = end, p.Sequence+p.Count-end, &end, p.Sequence+p.Count-end
		}
		if last >= 0 && p.Ranges == nil && parts[last].Ranges == nil && l.Bundle == nil && lacks[last].Bundle == nil && p.Sequence == parts[last].Sequence+parts[last].Count {
			parts[last].Count += p.Count
			lacks[last].Count += l.Count
			continue
		}
		parts, lacks = append(parts, p), append(lacks, l)
	}
	g.parts, g.lacks = parts, lacks
}

// each gives tickets that fit: of sequences as many together as fit as they are; one that does not fit alone is made coarser. Bundles whose sequence is not known come first: each may
// be one of the sequences of which nothing is known, and says more exactly what is missing.
func (g *group) each(give func(*ticket.Ticket, []Lack)) {
	for i, t := range g.loose {
		t.Fit()
		g.names[i].Chunks = t.Parts[0].Ranges
		give(t, g.names[i:i+1])
	}
	for from := 0; from < len(g.parts); {
		to := from + 1
		for to < len(g.parts) && (&ticket.Ticket{Parts: g.parts[from : to+1]}).Fits() {
			to++
		}
		t := &ticket.Ticket{Parts: g.parts[from:to]}
		t.Fit()
		for i := range t.Parts {
			g.lacks[from+i].Chunks = t.Parts[i].Ranges
		}
		give(t, g.lacks[from:to])
		from = to
	}
}

// runsMost is above what any receipt holds.
const runsMost = 64

// Receipts issues a receipt for each sender and tenant, or for those that are named, of the paired epoch. ledger.ErrNotFound: nothing of them is safe.
func (d *Desk) Receipts(ctx context.Context, p Peer, sender, tenant bundle.Name) (*Batch, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	chains, err := d.o.Ledger.Chains(ctx)
	if err != nil {
		return nil, err
	}
	b, found := &Batch{Codes: []*Issued{}}, false
	for _, c := range chains {
		if sender != "" && c.Sender != sender || tenant != "" && c.Tenant != tenant {
			continue
		}
		runs, err := d.o.Ledger.Safe(ctx, c, runsMost)
		if err != nil {
			return nil, err
		}
		if len(runs) == 0 {
			continue
		}
		found = true
		i, err := d.receipt(ctx, p, c, runs)
		if err != nil {
			b.leave(err)
			continue
		}
		b.Codes = append(b.Codes, i)
	}
	if !found {
		return nil, fmt.Errorf("%w: nothing is safe here yet that a receipt could name", ledger.ErrNotFound)
	}
	return b, nil
}

func (d *Desk) receipt(ctx context.Context, p Peer, c ledger.Chain, runs []ticket.Run) (*Issued, error) {
	o, err := d.owner(ctx, c.Sender, c.Tenant, c.Epoch)
	if err != nil {
		return nil, err
	}
	r := &ticket.Receipt{Runs: runs}
	r.Fit()
	i := &Issued{Code: o.Receipt(r), Kind: "receipt", Sender: c.Sender, Tenant: c.Tenant, Epoch: c.Epoch, Lacks: []Lack{}}
	var what []string
	for _, run := range r.Runs {
		i.Safe = append(i.Safe, Span{run.From, run.To})
		what = append(what, fmt.Sprintf("%d-%d", run.From, run.To))
	}
	return d.give(p, i, what)
}
