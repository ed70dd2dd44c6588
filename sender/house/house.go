package house

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"

	"ecluse/internal/examine"
	"ecluse/internal/meter"
	"ecluse/internal/policy"
	"ecluse/internal/route"
	"ecluse/protocol/bundle"
	"ecluse/protocol/fec"
	"ecluse/protocol/packet"
	"ecluse/sender/dispatch"
	"ecluse/sender/ledger"
	"ecluse/sender/outbox"
	"ecluse/sender/pack"
	"ecluse/sender/schedule"
	"ecluse/sender/transmit"
)

const (
	heartbeatEvery = time.Second
	// beatShare is the part of the link that heartbeats may take with what they repeat.
	beatShare = 0.02
)

// Link is the one-way path: what the planner was told, what it answered, and what sends.
type Link struct {
	Facts  fec.Facts
	Plan   *fec.Plan
	Socket transmit.Socket
	Pacer  transmit.Pacer
	Batch  int // datagrams handed to the socket at once
}

// Tenant is one administration's entrance.
type Tenant struct {
	Name   bundle.Name
	Outbox string
	Weight int
	Names  bundle.NamePolicy
	Rules  *policy.Rules // that content is held against before it is sent; nil: nobody looks inside
	Route  route.Facts
}

// Keep says how long things stay.
type Keep struct{ Sent, Failed, Rows time.Duration }

// Options of a House.
type Options struct {
	Name           bundle.Name // the principal under which the high side knows this sender
	Secrets        *Secrets
	Link           Link
	Tenants        []Tenant
	Passes         int
	Apart          time.Duration
	Settle, Rescan time.Duration
	Keep           Keep
	Memory         int64 // of packing
	ChunkSize      int   // raw bytes; 0 is bundle.ChunkSizeMax
	Unwatched      bool  // the outboxes are read at intervals only: see package outbox
	// Examine holds an item against rules; it is asked where a tenant has some.
	Examine func(context.Context, examine.Job) (*examine.Report, error)
	Account *meter.Terms // nil: nobody counts what tenants use
	Log     *zap.Logger
	// Alive is told which goroutine of the engine is alive, and Unsent of datagrams that the system would not take; both may be nil.
	Alive  func(who string)
	Unsent func(error) error
	// Report is told what an outbox has to say; may be nil.
	Report func(tenant bundle.Name, n outbox.Notice)
}

// House is the low side with its rooms joined.
type House struct {
	*State
	Engine   *transmit.Engine
	Dispatch *dispatch.Dispatcher
	Meter    *meter.Meter     // nil: nobody counts what tenants use
	Outboxes []*outbox.Outbox // in the order of Options.Tenants
	Routes   *route.Book
	Orphans  []string // tenants of earlier lives, of whom bundles wait: what is beside runs when it is known

	o         Options
	following sync.Mutex
	flights   flights
	taking    []sync.Mutex // of each outbox, while an item of it is claimed
}

// Join opens the outboxes and makes the rooms. Nothing runs yet.
func Join(s *State, o Options) (*House, error) {
	if o.ChunkSize == 0 {
		o.ChunkSize = bundle.ChunkSizeMax
	}
	if o.Report == nil {
		o.Report = func(bundle.Name, outbox.Notice) {}
	}
	h := &House{State: s, o: o, taking: make([]sync.Mutex, len(o.Tenants))}
	if err := h.openMeter(); err != nil {
		return nil, err
	}
	facts := make(map[bundle.Name]route.Facts)
	var weights []schedule.Weight
	var tenants []dispatch.Tenant
	for _, t := range o.Tenants {
		b, err := outbox.Open(outbox.Options{
			Disk: s.Disk, Dir: t.Outbox, Tenant: t.Name, Settle: o.Settle, Rescan: o.Rescan, Unwatched: o.Unwatched, Now: s.Now, Report: func(n outbox.Notice) { o.Report(t.Name, n) },
			Admit: h.admits(t.Name),
		})
		if err != nil {
			return nil, fmt.Errorf("tenant %s: %w", t.Name, err)
		}
		h.Outboxes = append(h.Outboxes, b)
		weights = append(weights, schedule.Weight{Tenant: t.Name, Weight: t.Weight})
		tenants = append(tenants, dispatch.Tenant{Name: t.Name, Outbox: b, Names: t.Names, Rules: t.Rules})
		facts[t.Name] = t.Route
	}
	if h.Routes = route.Open(s.Disk, s.Dir, facts); h.Routes.Fault() != nil {
		o.Log.Error("nothing of any tenant is sent", zap.Error(h.Routes.Fault()))
	}
	l := o.Link
	h.Engine = transmit.New(transmit.Options{
		Plan: l.Plan, Tenants: weights, Socket: l.Socket, Pacer: l.Pacer, Batch: l.Batch, Secrets: o.Secrets, Epoch: s.Epoch,
		Beat: func() []transmit.Appender { return h.Dispatch.Beat() }, Loss: l.Facts.Loss, Burst: l.Facts.Burst, IPOverhead: l.Facts.IPOverhead,
		Alive: o.Alive, Failed: o.Unsent,
		Unrenewed: func(err error) { o.Log.Error("the session stays the old one: tried again in a minute", zap.Error(err)) },
	})
	h.Dispatch = dispatch.New(dispatch.Options{
		Tenants: tenants, Link: h.Engine, Disk: s.Disk, Ledger: s.Ledger, Signer: o.Secrets, Buffers: pack.NewBuffers(o.Memory, 0, len(tenants)), Sender: o.Name,
		Receiver: o.Secrets.receiver.ID(), Epoch: s.Epoch, TicketKey: s.Ticket, Passes: o.Passes, Apart: o.Apart,
		ChunkSize: o.ChunkSize, BeatBytes: beatBytes(l.Facts.Rate, l.Plan.Shard), Rate: l.Facts.Rate, Now: s.Now, Log: o.Log,
		Scratch: filepath.Join(s.Dir, scratchName), Examine: o.Examine,
	})
	h.Follow()
	return h, nil
}

// beatBytes is what a heartbeat may repeat: a small part of the link, and at least a few records.
func beatBytes(rate int64, shard int) int {
	return max(4*shard, int(float64(rate)/8*heartbeatEvery.Seconds()*beatShare))
}

// Batch is how many datagrams of a plan one batch has, as a pacer says it.
func Batch(p interface{ Batch(segment int) int }, plan *fec.Plan) int {
	return p.Batch(plan.Shard + packet.Overhead)
}

// Run works until ctx ends or fatal is called, by anybody: fatal ends ctx, with a cause. ready is called when everything runs; beside are run meanwhile.
func (h *House) Run(ctx context.Context, fatal context.CancelCauseFunc, ready func(), beside ...func(context.Context) error) error {
	fail := func(err error) {
		if err != nil && !errors.Is(err, context.Canceled) {
			fatal(err)
		}
	}
	h.Disk.Guard(h.Dir, func(err error) { fail(fmt.Errorf("%w: %w", ledger.ErrFatal, err)) })
	book, endBook := context.WithCancel(context.WithoutCancel(ctx))
	defer endBook()
	var bookEnded, others sync.WaitGroup
	var bookErr, linkErr error
	bookEnded.Go(func() { bookErr = h.Ledger.Run(book); fail(bookErr) })
	h.Dispatch.Start(ctx, fatal)
	err := h.clearScratch()
	if err == nil {
		err = h.resume(ctx)
	}
	if err == nil {
		if h.Meter != nil {
			if err := h.Meter.Look(ctx); err != nil {
				h.o.Log.Error("look at the envelopes", zap.Error(err))
			}
			beside = append(beside, h.Meter.Run)
		}
		for i := range h.Outboxes {
			others.Go(func() { h.claim(ctx, i) })
		}
		others.Go(func() { h.keep(ctx) })
		others.Go(func() { h.followRoutes(ctx) })
		for _, b := range beside {
			others.Go(func() { fail(b(ctx)) })
		}
		ready()
		linkErr = h.Engine.Run(ctx)
		fail(linkErr)
	}
	fatal(nil) // everything else ends too, whatever ended this
	others.Wait()
	h.Dispatch.Wait()
	endBook()
	bookEnded.Wait()
	return errors.Join(err, linkErr, bookErr)
}
