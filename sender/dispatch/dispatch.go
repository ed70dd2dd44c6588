package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"ecluse/protocol/bundle"
	"ecluse/sender/ledger"
	"ecluse/sender/outbox"
	"ecluse/sender/pack"
	"ecluse/sender/schedule"
	"ecluse/sender/transmit"
)

// Tenant is one tenant as this room needs it.
type Tenant struct {
	Name   bundle.Name
	Outbox *outbox.Outbox
	Names  bundle.NamePolicy
}

// Signer makes raw SSHSIG blobs.
type Signer interface {
	ledger.Signer
	SignAbandon(message []byte) ([]byte, error)
}

// Link opens feeds.
type Link interface {
	Open(schedule.Lane) *transmit.Feed
}

// Options of a Dispatcher.
type Options struct {
	Tenants   []Tenant // in the order of the scheduler's weights
	Link      Link
	Ledger    *ledger.Ledger
	Signer    Signer
	Buffers   *pack.Buffers
	Sender    bundle.Name
	Receiver  bundle.Digest
	Epoch     bundle.Epoch
	TicketKey [32]byte
	Passes    int
	Apart     time.Duration
	ChunkSize int
	BeatBytes int // what a heartbeat may take of the link
	Now       func() time.Time
	Log       *zap.Logger
}

// Dispatcher is the room. Submit and Resend may be called from anywhere once Run has begun.
type Dispatcher struct {
	o       Options
	ctx     context.Context
	working sync.WaitGroup
	signing chan struct{} // a token for each manifest being signed

	mu    sync.Mutex
	lanes map[schedule.Lane]*lane
	tasks map[bundle.ID]*task
	beats beats
	heads []heads // by tenant
	fail  context.CancelCauseFunc

	retry time.Duration // how long what this machine had no room for waits
}

// signingMost bounds the bundles that wait for their signature: each holds its table of files.
const signingMost = 256

// New makes a Dispatcher.
func New(o Options) *Dispatcher {
	d := &Dispatcher{
		o: o, signing: make(chan struct{}, signingMost),
		lanes: make(map[schedule.Lane]*lane), tasks: make(map[bundle.ID]*task),
		beats: newBeats(), heads: make([]heads, len(o.Tenants)), retry: retryAfter,
	}
	for i, t := range o.Tenants {
		end := o.Ledger.Head(t.Name)
		d.heads[i] = heads{shown: head{end.Sequence, end.Digest, true}}
	}
	return d
}

// Start makes the Dispatcher ready; everything it does ends with ctx. A fatal failure is given to fail.
func (d *Dispatcher) Start(ctx context.Context, fail context.CancelCauseFunc) {
	d.ctx, d.fail = ctx, fail
}

// Wait waits until everything has ended after the end of Start's context.
func (d *Dispatcher) Wait() { d.working.Wait() }

// task is one bundle's present pass, and what is known for the next one.
type task struct {
	record *ledger.Record
	item   outbox.Item
	tenant int
	path   string // where the item stands: in sending/, or in sent/ for a repair
	repair bool   // somebody asked for it again
	wanted []bool // chunks to send; nil for all
	out    *transmit.Out
	offer  bool // an offer of it has left
}

// lane is the queue of one tenant, class and kind.
type lane struct {
	key     schedule.Lane
	feed    *transmit.Feed
	queue   []*task
	closing int // manifests being signed
	changed *sync.Cond
}

// Submit takes an item that has just been claimed.
func (d *Dispatcher) Submit(item outbox.Item) error {
	tenant, err := d.tenant(item.Tenant)
	if err != nil {
		return err
	}
	r := &ledger.Record{Bundle: item.ID, Tenant: item.Tenant, Epoch: d.o.Epoch, Name: item.Name, State: ledger.Waiting, Priority: item.Class, Created: item.Created.UTC().Truncate(time.Second)}
	first := *r // r changes with the task
	d.o.Ledger.Post(item.ID, func(have *ledger.Record) error {
		*have = first
		return nil
	}, d.failed)
	d.enqueue(&task{record: r, item: item, tenant: tenant, path: item.Path}, false)
	return nil
}

// Resume takes up what an earlier life had claimed: items, and the records that the ledger has of some of them.
func (d *Dispatcher) Resume(item outbox.Item, r *ledger.Record) error {
	if r == nil || r.State == "" {
		return d.Submit(item)
	}
	tenant, err := d.tenant(item.Tenant)
	if err != nil {
		return err
	}
	item.Class = r.Priority
	t := &task{record: r, item: item, tenant: tenant, path: item.Path}
	switch {
	case r.State == ledger.Sent || r.State == ledger.Confirmed:
		return d.putAway(t)
	case r.State == ledger.Failed:
		return d.o.Tenants[tenant].Outbox.Failed(item, reasonOf(r))
	case r.Sequence != nil:
		d.mu.Lock()
		d.heads[tenant].begin(*r.Sequence)
		d.mu.Unlock()
	}
	d.enqueue(t, r.PassesDone > 0)
	return nil
}

func reasonOf(r *ledger.Record) string {
	if r.Reason == nil {
		return ""
	}
	return *r.Reason
}

// ErrNotHere is returned for a bundle whose content is no longer on this side.
var ErrNotHere = errors.New("its content is no longer here")

// Resend sends a bundle again that was sent: all of it, or the chunks that are wanted.
func (d *Dispatcher) Resend(ctx context.Context, id bundle.ID, wanted []bool) error {
	r, err := d.o.Ledger.Get(id)
	if err != nil {
		return err
	}
	if r.State != ledger.Sent || r.Sequence == nil {
		return fmt.Errorf("bundle %s is %s: only what was sent can be sent again", id, r.State)
	}
	tenant, err := d.tenant(r.Tenant)
	if err != nil {
		return err
	}
	path, ok := d.o.Tenants[tenant].Outbox.SentPath(*r.Sequence, r.Name)
	if !ok {
		return fmt.Errorf("bundle %s: %w: keep.sent is over, or somebody took it", id, ErrNotHere)
	}
	if err := Again(ctx, d.o.Ledger, id); err != nil {
		return err
	}
	d.repair(tenant, r, path, wanted)
	return nil
}

// Again notes durably that a bundle that was sent is to be sent once more.
func Again(ctx context.Context, l *ledger.Ledger, id bundle.ID) error {
	return l.Change(ctx, id, func(have *ledger.Record) error {
		if have.State != ledger.Sent {
			return fmt.Errorf("bundle %s is %s: only what was sent can be sent again", id, have.State)
		}
		have.State, have.Finished = ledger.Sending, nil
		return nil
	})
}

// Reopen takes up a bundle that an earlier life was to send, and that it had not claimed: a repair. One whose content is nowhere fails.
func (d *Dispatcher) Reopen(ctx context.Context, id bundle.ID) error {
	r, err := d.o.Ledger.Get(id)
	if err != nil {
		return err
	}
	tenant, err := d.tenant(r.Tenant)
	if err != nil {
		return err
	}
	if r.Sequence != nil {
		if path, ok := d.o.Tenants[tenant].Outbox.SentPath(*r.Sequence, r.Name); ok {
			d.repair(tenant, r, path, nil)
			return nil
		}
	}
	state, reason := ledger.Failed, "its content is gone: somebody has taken it out of sending/"
	if r.PassesDone > 0 {
		state, reason = ledger.Sent, "it was to be sent again, and its content is gone"
	}
	return d.o.Ledger.Change(ctx, id, func(have *ledger.Record) error {
		now := d.o.Now().UTC()
		have.State, have.Reason, have.Finished = state, &reason, &now
		return nil
	})
}

// repair queues what stands in sent/ for one more pass.
func (d *Dispatcher) repair(tenant int, r *ledger.Record, path string, wanted []bool) {
	item := outbox.Item{Tenant: r.Tenant, Name: r.Name, ID: r.Bundle, Class: r.Priority, Created: r.Created, Path: path}
	d.enqueue(&task{record: r, item: item, tenant: tenant, path: path, repair: true, wanted: wanted}, true)
}

func (d *Dispatcher) tenant(name bundle.Name) (int, error) {
	for i, t := range d.o.Tenants {
		if t.Name == name {
			return i, nil
		}
	}
	return 0, fmt.Errorf("no tenant %q", name)
}

// Waiting counts the bundles that are not out yet.
func (d *Dispatcher) Waiting() (bundles int, bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, t := range d.tasks {
		if t.record.Bytes != nil {
			bytes += *t.record.Bytes
		}
	}
	return len(d.tasks), bytes
}

// Progress returns how much content of a bundle's present pass is out; ok is false when no pass of it is under way.
func (d *Dispatcher) Progress(id bundle.ID) (bytes int64, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tasks[id]
	if t == nil || t.out == nil {
		return 0, false
	}
	return t.out.Content(), true
}

// enqueue puts a task into its lane, and wakes or starts the lane.
func (d *Dispatcher) enqueue(t *task, later bool) {
	key := schedule.Lane{Tenant: t.tenant, Class: t.item.Class, Later: later}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tasks[t.record.Bundle] = t
	if l := d.lanes[key]; l != nil {
		l.queue = append(l.queue, t)
		l.changed.Broadcast()
		return
	}
	l := &lane{key: key, queue: []*task{t}, changed: sync.NewCond(&d.mu)}
	d.lanes[key] = l
	d.working.Go(func() { d.run(l) })
}

// run works through a lane until it is empty.
func (d *Dispatcher) run(l *lane) {
	stop := context.AfterFunc(d.ctx, func() {
		d.mu.Lock()
		l.changed.Broadcast()
		d.mu.Unlock()
	})
	defer stop()
	l.feed = d.o.Link.Open(l.key)
	defer l.feed.Close()
	for {
		t := d.next(l)
		if t == nil {
			return
		}
		l.feed.Busy(true)
		d.pass(l, t)
		l.feed.Busy(false)
	}
}

// next returns the lane's next task, or nil when it is over: the lane is empty and signs nothing, or everything ends.
func (d *Dispatcher) next(l *lane) *task {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.ctx.Err() == nil {
		if len(l.queue) > 0 {
			t := l.queue[0]
			l.queue[0] = nil
			l.queue = l.queue[1:]
			return t
		}
		if l.closing == 0 {
			delete(d.lanes, l.key)
			return nil
		}
		l.changed.Wait()
	}
	delete(d.lanes, l.key)
	return nil
}

// failed books a failure of our own. A ledger that cannot keep what it wrote ends the process.
func (d *Dispatcher) failed(err error) {
	if err == nil || d.ctx.Err() != nil {
		return
	}
	if errors.Is(err, ledger.ErrFatal) {
		d.fail(err)
		return
	}
	d.o.Log.Error("ledger", zap.Error(err))
}

// Current returns the oldest bundle that a pass of is under way.
func (d *Dispatcher) Current() (id bundle.ID, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var oldest time.Time
	for _, t := range d.tasks {
		if t.out != nil && (!ok || t.record.Created.Before(oldest)) {
			id, ok, oldest = t.record.Bundle, true, t.record.Created
		}
	}
	return id, ok
}
