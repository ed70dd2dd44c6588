package house

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"ecluse/internal/keys"
	"ecluse/protocol/bundle"
	"ecluse/receiver/assemble"
	"ecluse/receiver/collect"
)

const (
	// AssembleMemory holds what is on its way from the link to the disk, where Flow says nothing else.
	AssembleMemory = 64 << 20
	// checkpointEvery bounds what a crash costs: chunks that came since the last checkpoint are missing again.
	checkpointEvery = 2 * time.Second
	assembleWorkers = 2
)

// Flow is what comes in, and what may hold it. Zero values stand for the defaults of the rooms.
type Flow struct {
	Links    []collect.Link
	Memory   int // bytes for blocks, for each link
	Queue    int // bytes for datagrams between drain and collector, for each link
	Assemble int // bytes on their way to the disk
	Idle     time.Duration
	// OnRefusal is told of a refused session, at most once a minute for each reason.
	OnRefusal func(collect.Refusal)
	// OnWide is told once, before tables of fec.WideTables bytes are made, which stay.
	OnWide func()
}

// House is the high side with its rooms joined.
type House struct {
	*State
	Collector *collect.Collector
	Assembler *assemble.Assembler

	verifier *collect.KeyVerifier
}

// Join makes the rooms. Nothing runs yet.
func Join(s *State, f Flow) (*House, error) {
	if f.Assemble == 0 {
		f.Assemble = AssembleMemory
	}
	h := &House{State: s}
	numbers, err := openNumbers(s)
	if err != nil {
		return nil, err
	}
	h.verifier = collect.NewKeyVerifier(s.Key.Private(), s.o.Signers, numbers)
	h.Assembler, err = assemble.New(assemble.Options{
		Dir: s.receiving(), Disk: stagedDisk{s.Disk, s.spare},
		Owner:  owner{s.Chamber, s.Desk, func(link string) { h.Collector.Heartbeat(link) }},
		Memory: f.Assemble, Workers: assembleWorkers, Now: s.Clock.Now, Idle: f.Idle, Checkpoint: checkpointEvery,
	})
	if err != nil {
		return nil, err
	}
	s.Chamber.SetAssembler(h.Assembler)
	s.Desk.Join(h.Assembler)
	h.Collector, err = collect.New(collect.Options{
		Links: f.Links, Verifier: h.verifier, Sink: h.Assembler, Memory: f.Memory, Queue: f.Queue, Now: s.Clock.Now, OnRefusal: f.OnRefusal, OnWide: f.OnWide,
		OnFault: once(time.Minute, func(err error) { s.o.Log.Error("store how far the packets of the sessions have come", zap.Error(err)) }),
	})
	return h, err
}

// once hands on the first error, and of those that follow one in so long: what goes on for hours is told once a minute.
func once(every time.Duration, tell func(error)) func(error) {
	var mu sync.Mutex
	var last time.Time
	return func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if last.IsZero() || time.Since(last) >= every {
			last = time.Now()
			tell(err)
		}
	}
}

// Enrol changes who may sign and which sender may use which tenant, of sessions and bundles alike: a key that is taken out holds at once what it signed and nobody
// has released.
func (h *House) Enrol(ctx context.Context, signers *keys.AllowedSigners, senders map[bundle.Name][]bundle.Name) error {
	h.trust.Set(signers, senders)
	h.verifier.Enrol(signers)
	h.Collector.Recheck()
	return h.Chamber.Recheck(ctx)
}

// Run works until ctx ends or fatal is called, by anybody: fatal ends ctx, with a cause. ready is called when everything runs, ending when it begins to end; beside are run
// meanwhile.
func (h *House) Run(ctx context.Context, fatal context.CancelCauseFunc, ready, ending func(), beside ...func(context.Context) error) error {
	fail := func(err error) {
		if err != nil {
			fatal(err)
		}
	}
	// Each stage has a context of its own, so that it can end after the one that feeds it.
	book, endBook := context.WithCancel(context.WithoutCancel(ctx))
	defer endBook()
	var bookEnded sync.WaitGroup
	var bookErr error
	bookEnded.Go(func() { bookErr = h.Ledger.Run(book); fail(bookErr) })

	work, endWork := context.WithCancel(context.WithoutCancel(ctx))
	defer endWork()
	err := h.Chamber.Start(work)
	if err == nil {
		err = h.Assembler.Load(h.Chamber.Wanted)
	}
	if err != nil {
		endBook()
		bookEnded.Wait()
		return err
	}
	var assembled, others sync.WaitGroup
	var assembleErr error
	assembled.Go(func() { assembleErr = h.Assembler.Run(work); fail(assembleErr) })
	if h.Meter != nil {
		if err := h.Meter.Look(ctx); err != nil {
			h.o.Log.Error("look at the envelopes", zap.Error(err))
		}
		beside = append(beside, h.Meter.Run)
	}
	for _, b := range append(beside, h.Desk.Run) {
		others.Go(func() { fail(b(ctx)) })
	}
	others.Go(func() {
		if err := h.Chamber.Recheck(work); err != nil && ctx.Err() == nil {
			h.o.Log.Error("recheck the quarantine", zap.Error(err))
		}
	})
	ready()
	collectErr := h.Collector.Run(ctx)
	fail(collectErr)
	ending()
	endWork()
	assembled.Wait()
	h.Chamber.Wait()
	others.Wait()
	endBook()
	bookEnded.Wait()
	return errors.Join(collectErr, assembleErr, bookErr)
}
