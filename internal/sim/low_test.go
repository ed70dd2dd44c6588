package sim

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"ecluse/internal/cli"
	"ecluse/internal/disk"
	"ecluse/internal/disk/diskfault"
	"ecluse/protocol/bundle"
	"ecluse/protocol/fec"
	lowhouse "ecluse/sender/house"
	"ecluse/sender/outbox"
)

// low is the low side.
type low struct {
	*process
	w    *world
	plan *fec.Plan

	mu    sync.Mutex
	house *lowhouse.House // of the present life, while it runs
}

func newLow(w *world) (*low, error) {
	p := w.plan
	plan, err := fec.NewPlanOf(fec.Facts{Rate: p.rate, MTU: 1500, Loss: 0.01, Burst: 5 * time.Millisecond, IPOverhead: fec.OverheadIPv4}, p.k, p.m, p.window)
	if err != nil {
		return nil, err
	}
	l := &low{w: w, plan: plan}
	l.process = &process{
		w: w, name: "low", state: filepath.Join(w.dir, "low", "state"), kinds: lowKinds, rand: source(p.seed, ofLowDisk), live: l.live, between: func(kind) {},
	}
	roots := []string{filepath.Join(w.dir, "low")}
	if p.apartLow {
		roots = []string{l.state, filepath.Join(w.dir, "low", "outbox")}
	}
	l.disks, err = diskfault.New(roots...)
	return l, err
}

// live is one life of the daemon.
func (l *low) live(ctx context.Context, p *prober) error {
	life := cli.Live(ctx)
	defer life.Fatal(nil)
	ctx = life.Context()
	s, err := lowhouse.OpenBy(ctx, disk.Watched(p), l.state, l.clock)
	if err != nil {
		return life.End(err)
	}
	err = life.End(l.run(ctx, life.Fatal, s, p))
	return errors.Join(err, s.Close(err == nil && p.alive()))
}

func (l *low) run(ctx context.Context, fatal context.CancelCauseFunc, s *lowhouse.State, p *prober) error {
	var tenants []lowhouse.Tenant
	for _, t := range l.w.plan.tenants {
		tenants = append(tenants, lowhouse.Tenant{Name: t.name, Outbox: l.w.outbox(t.name), Weight: t.weight})
	}
	pace := newPacer(l.w.plan.rate)
	h, err := lowhouse.Join(s, lowhouse.Options{
		Name: senderName, Secrets: lowhouse.NewSecrets(l.w.ring.identity, l.w.ring.public, s),
		Link:    lowhouse.Link{Facts: l.plan.Facts, Plan: l.plan, Socket: tap{l.w.link, p.alive}, Pacer: pace, Batch: min(4, lowhouse.Batch(pace, l.plan))},
		Tenants: tenants, Passes: l.w.plan.passes, Apart: l.w.plan.apart, Settle: 500 * time.Millisecond, Rescan: time.Second,
		Keep:   lowhouse.Keep{Sent: forever, Failed: forever, Rows: forever},
		Memory: 32 << 20, ChunkSize: chunkSize, Unwatched: true, Log: l.w.zap.Named("low"),
		Report: func(t bundle.Name, n outbox.Notice) {
			l.w.zap.Sugar().Named("low").Infow(string(n.Kind), "tenant", t, "name", n.Name, "error", n.Err)
		},
	})
	if err != nil {
		return err
	}
	defer l.show(nil)
	return h.Run(ctx, fatal, func() { l.show(h) })
}

// forever is longer than any run and any jump of a clock.
const forever = 100 * 365 * 24 * time.Hour

func (l *low) show(h *lowhouse.House) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.house = h
}

// running is the house of the present life, nil while there is none.
func (l *low) running() *lowhouse.House {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.house
}

// drop gives an item to the low side: by rename into the outbox, or, where it has a class and the daemon runs, by the request that ecluse-sender send makes.
func (l *low) drop(it *item) {
	spool := filepath.Join(l.w.dir, "spool", it.name)
	err := it.write(spool)
	if err == nil {
		err = os.Rename(spool, filepath.Join(l.w.outbox(it.tenant), it.name))
	}
	if err != nil {
		l.w.fail("drop %s: %v", it.name, err)
		return
	}
	it.dropped = true
	h := l.running()
	if it.class == 0 || h == nil {
		return
	}
	if _, err := h.Take(it.itemPlan.tenant, outbox.Candidate{Name: it.name, Class: it.class}); err != nil {
		l.w.log.note("%s was not taken at once", it.name)
	}
}
