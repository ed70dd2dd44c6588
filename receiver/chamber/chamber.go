package chamber

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"

	"ecluse/internal/disk"
	"ecluse/internal/examine"
	"ecluse/internal/policy"
	"ecluse/internal/turns"
	"ecluse/protocol/bundle"
	"ecluse/receiver/assemble"
	"ecluse/receiver/deliver"
	"ecluse/receiver/deliver/remote"
	"ecluse/receiver/inspect"
	"ecluse/receiver/ledger"
	"ecluse/receiver/release"
)

// Tenant is one tenant's rules.
type Tenant struct {
	Name         bundle.Name
	Names        bundle.NamePolicy
	Release      release.Mode
	Officers     []string             // of those that there are, who may decide for it; empty: all
	Override     bool                 // what is flagged may be released by people who say so
	Separate     bool                 // who sent or signed the content does not release it
	Quota        int64                // bytes held at once; 0: no bound
	Destinations []deliver.Options    // its directories
	Remotes      []remote.Destination // all others
	Freshness    time.Duration        // how old the newest delivery may be; 0: any age
	Rules        *policy.Rules        // that content is held against; nil: it is held against none
	Inspectors   []*inspect.Asked     // who have to say clean as well, in the order in which they are asked
}

// Space says what the state's disk has left.
type Space func() (bytes, inodes int64, err error)

// Options of a Chamber.
type Options struct {
	State     string
	Ledger    *ledger.Ledger
	Assembler *assemble.Assembler
	Disk      *disk.Disk
	Space     Space
	Reserve   func() (bytes int64) // what must stay free
	Sync      func(ctx context.Context) error
	Receiver  bundle.Digest
	Tenants   map[bundle.Name]Tenant
	Trust     *Trust
	Keep      Keep
	Now       func() time.Time
	Inspect   func(ctx context.Context, job examine.Job) (*examine.Report, error)
	Closed    func(tenant bundle.Name) error // why nothing of a tenant goes through now: a *bundle.Rejection, or nil; asked often
	Aged      func() time.Time               // by which things have stayed long enough: a clock that is set ahead does not move it
	// Envelope says whether a tenant's envelope of the year holds bytes more beside those that are coming: a rejection, or an error that says that nobody knows. nil: none has one.
	Envelope func(tenant bundle.Name, coming, bytes int64) error
	// Purgeable is the time before which rows may be purged, of which Keep says before; nil: that. after is how long a row may count behind its end.
	Purgeable func(before time.Time, after time.Duration) time.Time
	Log       *zap.Logger
	Fatal     func(error) // called once at most
}

// Chamber is the room. It implements assemble.Owner.
type Chamber struct {
	o          Options
	ctx        context.Context
	resting    bool                             // see Rest
	pause      func(failures int) time.Duration // before something that failed is tried again
	verify     *turns.Gate                      // for whole bundles, to be verified
	heavy      *turns.Gate                      // before it, for those of more than heavyAt bytes: they leave a place to the others, and to each other's tenants
	heavyAt    uint64
	asked      chan struct{} // a token for each that is verified because somebody asked
	looking    chan struct{} // a token for each inspection that somebody asked for
	abandoning chan struct{} // a token for each abandon that is being put on record
	dying      sync.Once     // see fatal
	settled    chan struct{} // closed by the first Recheck: what an earlier life left has been taken up
	settle     sync.Once

	gate    sync.Mutex // held while working grows, so that Wait misses nobody
	working sync.WaitGroup

	purging sync.Mutex // one purge at a time: two would remove under each other

	mu       sync.Mutex
	reserved map[bundle.ID]reservation
	heart    map[bundle.Name]Heart
	verified map[bundle.ID]freshness // see fresh
	byRename map[string]bool         // see noteTransfer
	due      map[bundle.ID]due       // content that is to be purged one day
	refusals refusals

	unseen map[bundle.ID]bool // delivered, flagged since, and nobody has said that it was seen

	chains  map[bundle.Name][]*inspect.Asked // who looks at a tenant's bundles; none of these lists is changed once it is here
	swapped int                              // how often one of them was replaced

	arrivals arrivals

	outlets  map[bundle.Name]*outlet   // never changes
	remotes  map[bundle.Name][]*outlet // nor does this
	lookouts *turns.Queue              // what is to be inspected
	doors    map[string]*inspect.Door  // before each inspector, by its name; never changes
	workers  int                       // inspections in a scratch directory that can be under way at once, of those that nobody waits for
}

// verifyMost bounds the bundles of a tenant that are verified at once because they are whole, with a place more for those of others; askedMost those because somebody asked: each may hold a table of a million
// files. People wait for no more than their own kind, and what comes in does not wait for people.
//
// Of those above verifyHeavy a tenant has heavyEach under way at once: with two it would have all places of such, for the hours in which they are read back, and another's large one would stand behind
// them while a place is free. Who is alone on a side loses little by that: two are read off one disk, and one behind the other both are whole when two beside each other would be.
const (
	verifyMost  = 2
	verifyHeavy = 256 << 20 // bytes above which a bundle leaves one place to others: any disk reads so much in seconds
	heavyEach   = 1
	askedMost   = 1
	lookMost    = 1 // inspections that people ask for

	abandonsMost = 256 // that are being put on record: they share syncs, and what finds no place is repeated
)

const (
	retryFirst = 5 * time.Second
	retryMost  = 5 * time.Minute
)

// New makes a Chamber.
func New(o Options) *Chamber {
	c := &Chamber{
		o: o, verify: turns.NewGate(verifyMost+1, verifyMost), heavy: turns.NewGate(verifyMost, heavyEach), heavyAt: verifyHeavy, asked: make(chan struct{}, askedMost), looking: make(chan struct{}, lookMost), abandoning: make(chan struct{}, abandonsMost), lookouts: turns.New(), reserved: make(map[bundle.ID]reservation), heart: make(map[bundle.Name]Heart),
		verified: make(map[bundle.ID]freshness), byRename: make(map[string]bool), due: make(map[bundle.ID]due), refusals: newRefusals(), settled: make(chan struct{}), outlets: make(map[bundle.Name]*outlet), remotes: make(map[bundle.Name][]*outlet),
		unseen: make(map[bundle.ID]bool), doors: make(map[string]*inspect.Door), chains: make(map[bundle.Name][]*inspect.Asked),
		pause: func(failures int) time.Duration { return min(retryMost, retryFirst<<min(failures-1, 10)) },
	}
	for name, t := range o.Tenants {
		c.outlets[name], c.chains[name] = newOutlet(t, nil, batchMost), c.chainOf(t)
		for _, a := range c.chains[name] {
			c.before(a)
		}
		for _, to := range t.Remotes {
			c.remotes[name] = append(c.remotes[name], newOutlet(t, to, 1))
		}
	}
	return c
}

// SetAssembler closes the circle: the Assembler is made with the Chamber as its Owner.
func (c *Chamber) SetAssembler(a *assemble.Assembler) { c.o.Assembler = a }

// Start makes the Chamber ready. Everything it does ends with ctx; Wait waits for that. When the Assembler has taken up what an earlier life left (Load, with Wanted),
// Recheck is to be called once: it finds what was about to be released, and nothing is removed from quarantine before.
func (c *Chamber) Start(ctx context.Context) error {
	c.ctx = ctx
	if err := c.loadRefusals(ctx); err != nil {
		return err
	}
	if err := c.loadUnseen(ctx); err != nil {
		return err
	}
	if err := c.loadArrivals(ctx); err != nil {
		return err
	}
	approved, err := c.o.Ledger.InState(ctx, ledger.Approved)
	if err != nil {
		return err
	}
	if err := disk.Clear(filepath.Join(c.o.State, ScratchName)); err != nil { // what an earlier life was killed over
		c.o.Log.Error("clear what was looked into", zap.Error(err))
	}
	c.openOutlets()
	if err := c.recallAll(ctx); err != nil {
		return err
	}
	c.spawn(c.keepAll)
	for range len(c.o.Tenants) + 1 { // of each tenant one bundle is under way, and of those that are gone one: who waits for an inspector takes nobody else's turn
		c.spawn(c.inspectAll)
	}
	for _, id := range approved {
		r, err := c.o.Ledger.Get(id)
		if err != nil {
			c.o.Log.Error("an approved bundle cannot be delivered", zap.Stringer("bundle", id), zap.Error(err))
			continue
		}
		c.withdraw(r, c.o.Tenants[r.Tenant].Destinations)
		if !c.send(r.Tenant, id) {
			c.o.Log.Error("an approved bundle cannot be delivered: its tenant is not configured any more", zap.Stringer("bundle", id), zap.String("tenant", string(r.Tenant)))
		}
	}
	return nil
}

// Rest makes the Chamber ready for a command that holds the state while no daemon runs: it decides and verifies, and delivers only what Deliver is asked for. Everything
// else is left to the daemon.
func (c *Chamber) Rest(ctx context.Context) error {
	c.ctx, c.resting = ctx, true
	c.openOutlets()
	return nil
}

func (c *Chamber) openOutlets() {
	for _, o := range c.outlets {
		c.spawn(func() { c.deliverAll(o) })
	}
	for _, all := range c.remotes {
		for _, o := range all {
			c.spawn(func() { c.bringAll(o) })
		}
	}
}

// Wait waits until everything has ended after the end of Start's context.
func (c *Chamber) Wait() {
	<-c.ctx.Done()
	c.gate.Lock() // whoever began before has been counted, and nobody begins after
	c.gate.Unlock()
	c.working.Wait()
}

// begin counts one more that Wait waits for. It is false when the Chamber ends, and then nothing is to be begun.
func (c *Chamber) begin() bool {
	c.gate.Lock()
	defer c.gate.Unlock()
	if c.ctx.Err() != nil {
		return false
	}
	c.working.Add(1)
	return true
}

// spawn runs f beside, unless the Chamber ends: then it is false.
func (c *Chamber) spawn(f func()) bool {
	if !c.begin() {
		return false
	}
	go func() {
		defer c.working.Done()
		f()
	}()
	return true
}

// within does what cannot be interrupted, and waits for it no longer than the Chamber lasts: a hundred gibibytes take a minute to hash, and the daemon has seconds to
// end. What is left behind reads, and ends with the process.
func within[T any](c *Chamber, do func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		v, err := do()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-c.ctx.Done():
		var none T
		return none, c.ctx.Err()
	}
}

// change makes one change of the ledger and knows afterwards whether it was made: it waits for it also where the Chamber ends meanwhile.
func (c *Chamber) change(id bundle.ID, change func(r *ledger.Record) error) error {
	return c.o.Ledger.Change(context.WithoutCancel(c.ctx), id, change)
}

// fatal ends the process, once.
func (c *Chamber) fatal(err error) { c.dying.Do(func() { c.o.Fatal(err) }) }

// posted takes what became of a change that nobody waits for.
func (c *Chamber) posted(err error) {
	var state *ledger.StateError
	switch {
	case err == nil:
	case errors.Is(err, ledger.ErrFatal):
		c.fatal(err)
	case errors.As(err, &state), errors.Is(err, errOver), c.ctx.Err() != nil: // it ended meanwhile
	default:
		c.o.Log.Error("write down what became of a bundle", zap.Error(err))
	}
}

// errOver says that a bundle is no longer in the state in which something was to be done with it.
var errOver = errors.New("it has ended, or was decided, meanwhile")

// errTold says that a record says already what was to be noted.
var errTold = errors.New("it is on record")

func isRejection(err error) bool { _, ok := bundle.ReasonOf(err); return ok }

// setReason puts a record into a state with a reason. What is refused keeps no verdict: if it had one, that was of another thing.
func setReason(r *ledger.Record, s ledger.State, err error) {
	r.State, r.Reason = s, nil
	if s == ledger.Refused {
		r.Verdict = nil
	}
	if reason, ok := bundle.ReasonOf(err); ok {
		text := string(reason)
		r.Reason = &text
	}
	r.Detail = err.Error()
}

// fields are what a log says of a bundle and of what happened to it.
func fields(id bundle.ID, s assemble.Source, tenant bundle.Name, err error) []zap.Field {
	f := []zap.Field{zap.Stringer("bundle", id), zap.String("sender", string(s.Sender)), zap.String("tenant", string(tenant))}
	if reason, ok := bundle.ReasonOf(err); ok {
		f = append(f, zap.String("reason", string(reason)))
	}
	if err != nil {
		f = append(f, zap.String("detail", err.Error()))
	}
	return f
}

// ScratchName is the directory below the state where what is taken out of archives is kept while they are looked into.
const ScratchName = "inspect"

// Dir is where a bundle stands in quarantine.
func Dir(state string, tenant bundle.Name, id bundle.ID) string {
	return filepath.Join(state, "quarantine", string(tenant), id.String())
}
