package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"ecluse/internal/disk"
	"ecluse/internal/examine"
	"ecluse/internal/policy"
	"ecluse/internal/turns"
	"ecluse/protocol/bundle"
	"ecluse/protocol/ticket"
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
	Rules  *policy.Rules // that content is held against before it is sent; nil: nobody looks inside
}

// Signer makes raw SSHSIG blobs.
type Signer interface {
	ledger.Signer
	SignAbandon(message []byte) ([]byte, error)
}

// Link opens feeds.
type Link interface {
	Open(schedule.Lane) *transmit.Feed
	Halt(tenant int, halt bool)
}

// Options of a Dispatcher.
type Options struct {
	Tenants   []Tenant // in the order of the scheduler's weights
	Link      Link
	Disk      *disk.Disk
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
	BeatBytes int    // what a heartbeat may take of the link
	Rate      int64  // of the link, bits a second: what passes took of it is noted as time
	Scratch   string // a directory for what is taken out of archives; it may not be there
	Examine   func(context.Context, examine.Job) (*examine.Report, error)
	Now       func() time.Time
	Log       *zap.Logger
}

// Dispatcher is the room. After Start its methods may be called from anywhere.
type Dispatcher struct {
	o       Options
	ctx     context.Context
	working sync.WaitGroup
	signing chan struct{} // a token for each manifest being signed

	mu    sync.Mutex
	lanes map[schedule.Lane]*lane
	tasks map[bundle.ID]*task
	held  []int // how many of tasks, by tenant
	beats beats
	heads []heads // by tenant

	halted     []error // by tenant: see Halt
	looking    map[bundle.ID]*task
	unexamined map[bundle.ID]Unexamined
	lookouts   *turns.Queue
	places     *turns.Gate                      // for items that are looked at
	heavy      *turns.Gate                      // before it, for those above examineHeavy: they leave a place to the others
	unlooked   func(failures int) time.Duration // how long what could not be looked into waits

	fail context.CancelCauseFunc

	retry  time.Duration // how long what this machine had no room for waits
	tolled time.Duration // how often is noted what passes take
}

// signingMost bounds the bundles that wait for their signature: each holds its table of files.
const signingMost = 256

// New makes a Dispatcher.
func New(o Options) *Dispatcher {
	d := &Dispatcher{
		o: o, signing: make(chan struct{}, signingMost),
		lanes: make(map[schedule.Lane]*lane), tasks: make(map[bundle.ID]*task), held: make([]int, len(o.Tenants)),
		beats: newBeats(), heads: make([]heads, len(o.Tenants)), retry: retryAfter, tolled: tollEvery,
		halted: make([]error, len(o.Tenants)), looking: make(map[bundle.ID]*task), unexamined: make(map[bundle.ID]Unexamined), lookouts: turns.New(), unlooked: examinePause,
		places: turns.NewGate(examineMost, 1), heavy: turns.NewGate(examineMost-1, 1),
	}
	for i, t := range o.Tenants {
		end := o.Ledger.Head(t.Name)
		d.heads[i] = heads{shown: head{sequence: end.Sequence, digest: end.Digest}}
	}
	return d
}

// Start makes the Dispatcher ready; everything it does ends with ctx. A fatal failure is given to fail.
func (d *Dispatcher) Start(ctx context.Context, fail context.CancelCauseFunc) {
	d.ctx, d.fail = ctx, fail
	if err := d.lowerHeads(); err != nil {
		fail(fmt.Errorf("find what was signed and not sent: %w", err))
	}
	d.working.Go(d.toll)
	for _, t := range d.o.Tenants {
		if t.Rules != nil {
			d.working.Go(d.examineAll)
		}
	}
}

// Wait waits until everything has ended after the end of Start's context.
func (d *Dispatcher) Wait() { d.working.Wait() }

// task is one bundle's present pass, and what is known for the next one.
type task struct {
	record *ledger.Record
	item   outbox.Item
	tenant int
	path   string         // where the item stands: in sending/, or in sent/ for a repair
	repair bool           // somebody asked for it again
	asked  []ticket.Range // chunks to send; none for all
	out    *transmit.Out
	took   int64      // bytes of the wire, by the pass that ended last, that are to be noted with its end
	offer  bool       // an offer of it has left, in this life or an earlier one
	seen   *pack.Seal // what was looked into; nil where nobody has to

	paying        sync.Mutex // held while what it owes is being noted: taken before the dispatcher's
	counted, owed int64      // of those of the present pass, what was counted already; and, of all passes, what was counted and not noted

	known    *ledger.Record // what is noted first of a new bundle; nil for one that an earlier life has noted
	farewell string         // the reason of an abandon that is all there is left to send
	ended    chan struct{}  // closed when the bundle has been put away
}

// again says that content of the bundle was sent before.
func (t *task) again() bool { return t.repair || t.record.PassesDone > 0 }

// lane is the queue of one tenant, class and kind.
type lane struct {
	key     schedule.Lane
	feed    *transmit.Feed
	queue   []*task
	closing int // bundles that are being signed or given up, and will need the feed
	changed *sync.Cond
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

// Held is how many bundles are not out yet, of a tenant and of all.
func (d *Dispatcher) Held(tenant int) (of, all int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.held[tenant], len(d.tasks)
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

// hold counts a task among what is under way.
func (d *Dispatcher) hold(t *task) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count(t)
}

func (d *Dispatcher) count(t *task) {
	if t.ended == nil {
		t.ended = make(chan struct{})
	}
	if d.tasks[t.record.Bundle] == nil {
		d.held[t.tenant]++
	}
	d.tasks[t.record.Bundle] = t
}

// enqueue puts a task into its lane, and wakes or starts the lane.
func (d *Dispatcher) enqueue(t *task) { d.place(t, false) }

// place is enqueue, or puts the task before all others.
func (d *Dispatcher) place(t *task, first bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := schedule.Lane{Tenant: t.tenant, Class: t.item.Class, Later: t.again()}
	d.count(t)
	if l := d.lanes[key]; l != nil {
		at := len(l.queue)
		if first {
			at = 0
		}
		l.queue = slices.Insert(l.queue, at, t)
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

// beside does what a lane does not wait for, and keeps the lane and its feed meanwhile.
func (d *Dispatcher) beside(l *lane, f func()) {
	d.mu.Lock()
	l.closing++
	d.mu.Unlock()
	d.working.Go(func() {
		f()
		d.mu.Lock()
		l.closing--
		l.changed.Broadcast()
		d.mu.Unlock()
	})
}

// next returns the lane's next task, or nil when it is over: the lane is empty and nothing goes on beside it, or everything ends.
func (d *Dispatcher) next(l *lane) *task {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.ctx.Err() == nil {
		if len(l.queue) > 0 && d.halted[l.key.Tenant] == nil {
			t := l.queue[0]
			l.queue[0] = nil
			l.queue = l.queue[1:]
			return t
		}
		if len(l.queue) == 0 && l.closing == 0 {
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
	d.o.Log.Error("write down what became of a bundle", zap.Error(err))
}

// forget takes a task out of what is under way, unless the bundle has another one by now.
func (d *Dispatcher) forget(t *task) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tasks[t.record.Bundle] == t {
		delete(d.tasks, t.record.Bundle)
		d.held[t.tenant]--
	}
	if t.ended != nil {
		close(t.ended)
	}
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
