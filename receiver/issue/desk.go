package issue

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"ecluse/internal/catalog"
	"ecluse/protocol/bundle"
	"ecluse/protocol/ticket"
	"ecluse/receiver/assemble"
	"ecluse/receiver/ledger"
)

// Staging says what bundles lack that are not whole: the running assembler, or what an earlier life has left on the disk.
type Staging interface {
	IDs() ([]bundle.ID, error)
	Gaps(id bundle.ID) (g assemble.Gaps, ok bool, err error)
}

// Options of a Desk.
type Options struct {
	Dir    string // <state>/tickets
	Disk   Disk
	Ledger *ledger.Ledger
	PerDay int // codes
	Now    func() time.Time
	Log    *zap.Logger
}

// Desk is the room. Its methods may be called from anywhere.
type Desk struct {
	*Keys
	o Options

	mu      sync.Mutex // held while a code is made and counted
	staging Staging
	live    bool // heartbeats are heard
}

// Open opens the desk over a state. Until Join is called it knows of incomplete bundles what is on the disk.
func Open(o Options, onDisk Staging) (*Desk, error) {
	keys, err := openKeys(o.Disk, filepath.Join(o.Dir, "keys"))
	return &Desk{Keys: keys, o: o, staging: onDisk}, err
}

// Join makes the desk ask the running assembler.
func (d *Desk) Join(s Staging) {
	d.mu.Lock()
	d.staging, d.live = s, true
	d.mu.Unlock()
}

// Run keeps the keys that are heard, until ctx ends.
func (d *Desk) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	told := false
	for {
		err := d.Save()
		if err != nil && !told {
			d.o.Log.Error("ticket keys", zap.Error(err))
		}
		told = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Issued is one code, and what it says.
type Issued struct {
	Code   string       `json:"code"`
	Kind   string       `json:"kind"` // ticket or receipt
	Sender bundle.Name  `json:"sender"`
	Tenant bundle.Name  `json:"tenant"`
	Epoch  bundle.Epoch `json:"epoch"`
	Lacks  []Lack       `json:"missing"` // of a ticket
	Safe   []Span       `json:"safe"`    // of a receipt
	Left   int          `json:"left_today"`
}

// Lack is what a ticket names of one bundle, or of several in a row.
type Lack struct {
	Bundle   *bundle.ID     `json:"bundle"`   // null where nothing of it is here
	Name     *string        `json:"name"`     // the same
	Sequence *uint64        `json:"sequence"` // null while it is not known
	Count    uint64         `json:"count"`    // how many sequences, from this one on
	Chunks   []ticket.Range `json:"chunks"`   // null: all
}

// Span is sequences from one to another.
type Span struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// Refusal says why there is no code for something: nobody could send it again, or nobody needs it.
type Refusal struct{ text string }

func (r *Refusal) Error() string { return r.text }

func refuse(format string, args ...any) error { return &Refusal{fmt.Sprintf(format, args...)} }

// keyWait is how long the key of a paired sender is waited for: one that has just begun to be heard tells it within two heartbeats.
const keyWait = 2500 * time.Millisecond

// owner finds whose code it will be.
func (d *Desk) owner(ctx context.Context, sender, tenant bundle.Name, e bundle.Epoch) (*ticket.Owner, error) {
	status := d.o.Ledger.Status(sender, e)
	if status == bundle.EpochReplaced {
		return nil, refuse("epoch %s of %s was replaced: nothing of it is taken any more", e, sender)
	}
	key, ok := d.Of(sender, e)
	const step = keyWait / 50
	for waited := time.Duration(0); !ok && d.live && status == bundle.EpochPaired && waited < keyWait && ctx.Err() == nil; waited += step {
		time.Sleep(step)
		key, ok = d.Of(sender, e)
	}
	if !ok {
		return nil, fmt.Errorf("the ticket key of %s, epoch %s, is not known: it comes with the sender's heartbeats", sender, e)
	}
	return &ticket.Owner{Key: key, Epoch: e, Tenant: tenant}, nil
}

// Ticket issues the ticket for one bundle: named by its text or the beginning of it, or by [SENDER/]TENANT/SEQUENCE where nothing of it is here.
func (d *Desk) Ticket(ctx context.Context, p Peer, text string) (*Issued, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if strings.Contains(text, "/") {
		return d.bySequence(ctx, p, text)
	}
	id, err := d.find(ctx, text)
	if err != nil {
		return nil, err
	}
	return d.byBundle(ctx, p, id)
}

// find finds a bundle that is on record, or of which something is staged.
func (d *Desk) find(ctx context.Context, text string) (bundle.ID, error) {
	id, missing := d.o.Ledger.Find(ctx, text)
	if missing == nil || !errors.Is(missing, ledger.ErrNotFound) || len(text) < 6 {
		return id, missing
	}
	ids, err := d.staging.IDs()
	if err != nil {
		return id, err
	}
	var found []bundle.ID
	for _, id := range ids {
		if strings.HasPrefix(id.String(), text) {
			found = append(found, id)
		}
	}
	switch len(found) {
	case 0:
		return id, missing
	case 1:
		return found[0], nil
	}
	return id, fmt.Errorf("%w: %s", catalog.ErrAmbiguous, text)
}

// byBundle issues the ticket for a bundle of which something is here.
func (d *Desk) byBundle(ctx context.Context, p Peer, id bundle.ID) (*Issued, error) {
	r, err := d.o.Ledger.Get(id)
	switch {
	case err != nil && !errors.Is(err, ledger.ErrNotFound):
		return nil, err
	case err == nil && r.State.Stored():
		return nil, refuse("bundle %s is %s: nothing of it is missing, or it is not taken back", id, r.State)
	}
	g, ok, err := d.staging.Gaps(id)
	switch {
	case err != nil:
		return nil, err
	case !ok && r == nil:
		return nil, fmt.Errorf("%w: %s", ledger.ErrNotFound, id)
	case !ok:
		return nil, refuse("nothing of bundle %s is missing: it is being verified", id)
	case g.Coming:
		return nil, refuse("bundle %s is still coming in: ask when it is damaged, which is when nothing has come for the time that idle: says", id)
	}
	o, err := d.owner(ctx, g.Source.Sender, g.Offer.Tenant, g.Offer.Epoch)
	if err != nil {
		return nil, err
	}
	t, lacks := gapTicket(g)
	t.Fit()
	lacks.Chunks = t.Parts[0].Ranges
	return d.issue(p, g.Source.Sender, o, t, []Lack{lacks})
}

// gapTicket makes the ticket of one incomplete bundle, which may not fit yet.
func gapTicket(g assemble.Gaps) (*ticket.Ticket, Lack) {
	id, name := g.Offer.Bundle, g.Offer.Name
	part := ticket.Part{Count: 1, Ranges: g.Ranges}
	lacks := Lack{Bundle: &id, Name: &name, Count: 1, Chunks: g.Ranges}
	if g.Close == nil || g.Close.Epoch != g.Offer.Epoch || g.Close.Tenant != g.Offer.Tenant {
		return &ticket.Ticket{Bundle: id, Parts: []ticket.Part{part}}, lacks
	}
	part.Sequence = g.Close.Sequence
	lacks.Sequence = &part.Sequence
	return &ticket.Ticket{Parts: []ticket.Part{part}}, lacks
}

// Named finds the row of a sequence that is named by [SENDER/]TENANT/SEQUENCE, of a sender that is paired: a bundle's, or one that is missing.
func Named(ctx context.Context, l *ledger.Ledger, text string) (row ledger.Row, sequence uint64, err error) {
	words := strings.Split(text, "/")
	sequence, err = strconv.ParseUint(words[len(words)-1], 10, 64)
	if _, wrong := bundle.ParseName(words[max(0, len(words)-2)]); err != nil || wrong != nil || sequence == 0 || len(words) > 3 {
		return row, 0, fmt.Errorf("%w: %q is neither a bundle nor [SENDER/]TENANT/SEQUENCE", ledger.ErrNotFound, text)
	}
	tenant, sender := words[len(words)-2], ""
	if len(words) == 3 {
		sender = words[0]
	}
	rows, err := l.List(ctx, ledger.Query{Tenant: bundle.Name(tenant), At: sequence})
	if err != nil {
		return row, 0, err
	}
	var found []ledger.Row
	for _, r := range rows {
		if sender != "" && r.Sender != sender {
			continue
		}
		if e, err := bundle.ParseEpoch(r.Epoch); err == nil && l.Status(bundle.Name(r.Sender), e) == bundle.EpochPaired {
			found = append(found, r)
		}
	}
	switch len(found) {
	case 0:
		return row, 0, fmt.Errorf("%w: nobody who is paired has sent %s", ledger.ErrNotFound, text)
	case 1:
		return found[0], sequence, nil
	}
	return row, 0, fmt.Errorf("%w: %s (say SENDER/TENANT/SEQUENCE)", catalog.ErrAmbiguous, text)
}

// bySequence issues the ticket for a sequence.
func (d *Desk) bySequence(ctx context.Context, p Peer, text string) (*Issued, error) {
	row, sequence, err := Named(ctx, d.o.Ledger, text)
	if err != nil {
		return nil, err
	}
	if row.Bundle != nil {
		id, err := bundle.ParseID(*row.Bundle)
		if err != nil {
			return nil, err
		}
		return d.byBundle(ctx, p, id)
	}
	tenant := row.Tenant
	e, err := bundle.ParseEpoch(row.Epoch)
	if err != nil {
		return nil, err
	}
	o, err := d.owner(ctx, bundle.Name(row.Sender), bundle.Name(tenant), e)
	if err != nil {
		return nil, err
	}
	t := &ticket.Ticket{Parts: []ticket.Part{{Sequence: sequence, Count: 1}}}
	return d.issue(p, bundle.Name(row.Sender), o, t, []Lack{{Sequence: &sequence, Count: 1}})
}

// issue counts, logs and gives the code of a ticket that fits.
func (d *Desk) issue(p Peer, sender bundle.Name, o *ticket.Owner, t *ticket.Ticket, lacks []Lack) (*Issued, error) {
	var names []string
	for _, l := range lacks {
		names = append(names, l.String())
	}
	return d.give(p, &Issued{Code: o.Ticket(t), Kind: "ticket", Sender: sender, Tenant: o.Tenant, Epoch: o.Epoch, Lacks: lacks, Safe: []Span{}}, names)
}

// String says what a ticket names, for a log and for a person.
func (l Lack) String() string {
	text := ""
	switch {
	case l.Sequence != nil && l.Count > 1:
		text = fmt.Sprintf("sequences %d to %d", *l.Sequence, *l.Sequence+l.Count-1)
	case l.Sequence != nil:
		text = fmt.Sprintf("sequence %d", *l.Sequence)
	}
	if l.Bundle != nil {
		text = strings.TrimSpace(text + " bundle " + l.Bundle.String())
	}
	if l.Chunks == nil {
		return text + ": all"
	}
	var chunks []string
	for _, r := range l.Chunks {
		switch r.Count {
		case 0:
			chunks = append(chunks, fmt.Sprintf("%d to the end", r.From))
		case 1:
			chunks = append(chunks, strconv.FormatUint(uint64(r.From), 10))
		default:
			chunks = append(chunks, fmt.Sprintf("%d-%d", r.From, uint64(r.From)+uint64(r.Count)-1))
		}
	}
	return text + ": chunks " + strings.Join(chunks, ", ")
}

// give makes a code count, and then gives it.
func (d *Desk) give(p Peer, i *Issued, what []string) (*Issued, error) {
	left, err := d.count(i.Code, entry{UID: p.UID, Who: p.Name, Sender: i.Sender, Tenant: i.Tenant, What: i.Kind + " " + strings.Join(what, "; ")})
	if err != nil {
		return nil, err
	}
	i.Left = left
	d.o.Log.Info(i.Kind+" issued", zap.String("sender", string(i.Sender)), zap.String("tenant", string(i.Tenant)), zap.Strings("names", what), zap.Uint32("uid", p.UID),
		zap.String("user", p.Name), zap.Int("left_today", left))
	return i, nil
}
