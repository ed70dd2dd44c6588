package chamber

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
	"ecluse/receiver/assemble"
	"ecluse/receiver/deliver"
	"ecluse/receiver/ledger"
	"ecluse/receiver/quarantine"
	"ecluse/receiver/release"
)

// Tenant is one tenant's rules.
type Tenant struct {
	Name         bundle.Name
	Names        bundle.NamePolicy
	Release      release.Mode
	Quota        int64 // bytes held at once; 0: no bound
	Destinations []deliver.Options
}

// Space says what the state's disk has left.
type Space func() (bytes, inodes int64, err error)

// Options of a Chamber.
type Options struct {
	State     string
	Ledger    *ledger.Ledger
	Assembler *assemble.Assembler
	Disk      ledger.Disk
	Space     Space
	Reserve   func() (bytes int64) // what must stay free
	Sync      func(ctx context.Context) error
	Receiver  bundle.Digest
	Tenants   map[bundle.Name]Tenant
	Trust     *Trust
	Keep      Keep
	Now       func() time.Time
	Log       *zap.Logger
	Fatal     func(error)
}

// Trust is who may do what. It is replaced whole when a sender is paired while the daemon runs.
type Trust struct {
	mu      sync.RWMutex
	signers quarantine.Signers
	senders map[bundle.Name][]bundle.Name // tenants that a sender may use
}

// Set replaces everything.
func (t *Trust) Set(signers quarantine.Signers, senders map[bundle.Name][]bundle.Name) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.signers, t.senders = signers, senders
}

// Signers returns the present allowed signers.
func (t *Trust) Signers() quarantine.Signers {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.signers
}

func (t *Trust) allows(sender, tenant bundle.Name) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.Contains(t.senders[sender], tenant)
}

// Chamber is the room. It implements assemble.Owner.
type Chamber struct {
	o       Options
	ctx     context.Context
	resting bool // see Rest
	working sync.WaitGroup
	verify  chan struct{} // a token for each bundle under verification

	mu       sync.Mutex
	reserved map[bundle.ID]reservation
	heart    map[bundle.Name]Heart
	verified map[bundle.ID]time.Time // by the monotonic clock: see fresh

	outlets map[bundle.Name]*outlet // never changes
}

type reservation struct {
	tenant bundle.Name
	bytes  int64
	files  int64
}

// Heart is the newest heartbeat of a sender.
type Heart struct {
	At      time.Time // ours
	Clock   time.Time // the sender's
	Waiting uint32
	Bytes   uint64
	Link    string
}

// verifyMost bounds the bundles that are verified at once: each may hold a table of a million files.
const verifyMost = 2

// New makes a Chamber.
func New(o Options) *Chamber {
	c := &Chamber{
		o: o, verify: make(chan struct{}, verifyMost), reserved: make(map[bundle.ID]reservation), heart: make(map[bundle.Name]Heart),
		verified: make(map[bundle.ID]time.Time), outlets: make(map[bundle.Name]*outlet),
	}
	for name, t := range o.Tenants {
		c.outlets[name] = newOutlet(t)
	}
	return c
}

// SetAssembler closes the circle: the Assembler is made with the Chamber as its Owner.
func (c *Chamber) SetAssembler(a *assemble.Assembler) { c.o.Assembler = a }

// Start makes the Chamber ready. Everything it does ends with ctx; Wait waits for that.
func (c *Chamber) Start(ctx context.Context) error {
	c.ctx = ctx
	approved, err := c.o.Ledger.InState(ctx, ledger.Approved)
	if err != nil {
		return err
	}
	for _, o := range c.outlets {
		c.working.Go(func() { c.deliverAll(o) })
	}
	c.working.Go(c.keepAll)
	for _, id := range approved {
		r, err := c.o.Ledger.Get(id)
		if err != nil {
			return err
		}
		c.send(r.Tenant, id)
	}
	return nil
}

// Rest makes the Chamber ready for a command that holds the state while no daemon runs: it decides and verifies, and delivers only what Deliver is asked for. Everything
// else is left to the daemon.
func (c *Chamber) Rest(ctx context.Context) error {
	c.ctx, c.resting = ctx, true
	for _, o := range c.outlets {
		c.working.Go(func() { c.deliverAll(o) })
	}
	return nil
}

// Wait waits until everything has ended after the end of Start's context.
func (c *Chamber) Wait() { c.working.Wait() }

// Offered implements assemble.Owner.
func (c *Chamber) Offered(s assemble.Source, o *record.Offer, received time.Time) error {
	known, err := c.o.Ledger.Get(o.Bundle)
	switch {
	case err == nil && (known.State.Stored() || known.Sender != s.Sender):
		return assemble.Swallow
	case err != nil && !errors.Is(err, ledger.ErrNotFound):
		c.o.Log.Error("look a bundle up", zap.Error(err))
		return assemble.Swallow
	}
	refused := c.admit(s, o)
	files, bytes, created, name := int64(o.Files), int64(o.Bytes), time.Unix(o.Created, 0).UTC(), o.Name
	c.o.Ledger.Post(o.Bundle, func(r *ledger.Record) error {
		r.Tenant, r.Sender, r.Epoch, r.Name = o.Tenant, s.Sender, o.Epoch, &name
		r.Files, r.Bytes, r.Created = &files, &bytes, &created
		if r.Received == nil {
			at := received.UTC()
			r.Received = &at
		}
		r.State, r.MissingBytes = ledger.Receiving, &bytes
		if refused != nil {
			setReason(r, ledger.Refused, refused)
		}
		return nil
	}, c.posted)
	if refused != nil {
		c.o.Log.Warn("refused", c.fields(o.Bundle, s, o.Tenant, refused)...)
		return refused
	}
	return nil
}

func (c *Chamber) fields(id bundle.ID, s assemble.Source, tenant bundle.Name, err error) []zap.Field {
	f := []zap.Field{zap.Stringer("bundle", id), zap.String("sender", string(s.Sender)), zap.String("tenant", string(tenant))}
	if reason, ok := bundle.ReasonOf(err); ok {
		f = append(f, zap.String("reason", string(reason)))
	}
	if err != nil {
		f = append(f, zap.String("detail", err.Error()))
	}
	return f
}

// setReason puts a record into a state with a reason.
func setReason(r *ledger.Record, s ledger.State, err error) {
	r.State = s
	if reason, ok := bundle.ReasonOf(err); ok {
		text := string(reason)
		r.Reason = &text
	}
	r.Detail = err.Error()
}

func (c *Chamber) posted(err error) {
	var state *ledger.StateError
	switch {
	case err == nil || c.ctx.Err() != nil:
	case errors.Is(err, ledger.ErrFatal):
		c.o.Fatal(err)
	case errors.As(err, &state): // it ended meanwhile
	default:
		c.o.Log.Error("ledger", zap.Error(err))
	}
}

// admit decides whether a bundle may come in, and reserves what it needs.
func (c *Chamber) admit(s assemble.Source, o *record.Offer) error {
	t, ok := c.o.Tenants[o.Tenant]
	if !ok {
		return bundle.Reject(bundle.ReasonTenantUnknown, "G-2", "no tenant %q here", o.Tenant)
	}
	if !c.o.Trust.allows(s.Sender, o.Tenant) {
		return bundle.Reject(bundle.ReasonTenantNotAllowed, "G-2", "sender %q may not use tenant %q", s.Sender, o.Tenant)
	}
	held, err := c.o.Ledger.Held(c.ctx, o.Tenant)
	if err != nil {
		return fmt.Errorf("admit: %w", err)
	}
	bytes, inodes, err := c.o.Space()
	if err != nil {
		return fmt.Errorf("admit: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var coming, mine, files int64
	for id, r := range c.reserved {
		if id == o.Bundle {
			continue
		}
		coming += r.bytes
		files += r.files
		if r.tenant == o.Tenant {
			mine += r.bytes
		}
	}
	if t.Quota > 0 && held+mine+int64(o.Bytes) > t.Quota {
		return bundle.Reject(bundle.ReasonQuota, "G-2", "%d bytes beside %d held and %d coming are more than the quota of %d", o.Bytes, held, mine, t.Quota)
	}
	// What is coming may be on the disk in part already; counting it whole errs on the safe side.
	need := int64(o.Files) + int64(o.Dirs) + 16
	if free := bytes - c.o.Reserve() - coming; int64(o.Bytes) > free {
		return bundle.Reject(bundle.ReasonDiskFull, "G-2", "%d bytes, and %d are free above the reserve", o.Bytes, max(free, 0))
	}
	if inodes >= 0 && need > inodes-files {
		return bundle.Reject(bundle.ReasonDiskFull, "G-2", "%d files and directories, and %d inodes are free", need, inodes-files)
	}
	c.reserved[o.Bundle] = reservation{o.Tenant, int64(o.Bytes), need}
	return nil
}

func (c *Chamber) unreserve(id bundle.ID) {
	c.mu.Lock()
	delete(c.reserved, id)
	c.mu.Unlock()
}

// Wanted says whether a bundle that an earlier life had begun to receive is still to be received, and reserves its place.
func (c *Chamber) Wanted(id bundle.ID, s assemble.Source, o *record.Offer, received time.Time) bool {
	return c.Offered(s, o, received) == nil
}

// Known implements assemble.Owner.
func (c *Chamber) Known(id bundle.ID) bool {
	r, err := c.o.Ledger.Get(id)
	return err == nil && r.State.Stored()
}

// Closed implements assemble.Owner. From here on the bundle's place in the chain is known, so that it does not count as missing while it is verified or incomplete.
func (c *Chamber) Closed(end *record.Close) {
	c.o.Ledger.Post(end.Bundle, func(r *ledger.Record) error {
		if r.State == "" || r.Sequence != nil {
			return nil
		}
		sequence := end.Sequence
		r.Sequence = &sequence
		return nil
	}, c.posted)
}

// Damaged implements assemble.Owner.
func (c *Chamber) Damaged(id bundle.ID, m assemble.Missing) {
	c.o.Ledger.Post(id, func(r *ledger.Record) error {
		reason := string(bundle.ReasonGaps)
		r.State, r.Reason, r.MissingBytes = ledger.Damaged, &reason, &m.Bytes
		r.Detail = fmt.Sprintf("%d chunks are missing", m.Chunks)
		if m.Chunks < 0 {
			r.Detail, r.MissingBytes = "its end never came", &m.Bytes
		}
		return nil
	}, c.posted)
	c.o.Log.Warn("damaged", zap.Stringer("bundle", id), zap.Int("missing_chunks", m.Chunks), zap.Int64("missing_bytes", m.Bytes))
}

// Receiving implements assemble.Owner.
func (c *Chamber) Receiving(id bundle.ID) {
	c.o.Ledger.Post(id, func(r *ledger.Record) error {
		r.State, r.Reason, r.Detail = ledger.Receiving, nil, ""
		return nil
	}, c.posted)
}

// Beat implements assemble.Owner.
func (c *Chamber) Beat(s assemble.Source, h *record.Heartbeat) {
	c.mu.Lock()
	c.heart[s.Sender] = Heart{At: c.o.Now(), Clock: time.Unix(0, h.Clock).UTC(), Waiting: h.Waiting, Bytes: h.WaitingBytes, Link: s.Link}
	c.mu.Unlock()
	for _, t := range h.Tenants {
		if t.Sequence > 0 && c.o.Trust.allows(s.Sender, t.Tenant) {
			c.o.Ledger.Beat(s.Sender, t.Tenant, h.Epoch, ledger.Head{Sequence: t.Sequence, Digest: t.Manifest})
		}
	}
}

// Hearts returns the newest heartbeat of each sender.
func (c *Chamber) Hearts() map[bundle.Name]Heart {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := make(map[bundle.Name]Heart, len(c.heart))
	for k, v := range c.heart {
		m[k] = v
	}
	return m
}

// Failed implements assemble.Owner.
func (c *Chamber) Failed(id bundle.ID, err error, fatal bool) {
	if fatal {
		c.o.Fatal(err)
		return
	}
	c.o.Log.Error("the disk would not take it", zap.Stringer("bundle", id), zap.Error(err))
}

// Dir is where a bundle stands in quarantine.
func Dir(state string, tenant bundle.Name, id bundle.ID) string {
	return filepath.Join(state, "quarantine", string(tenant), id.String())
}
