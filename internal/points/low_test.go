package points

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"ecluse/internal/cli"
	"ecluse/internal/disk"
	"ecluse/internal/disk/diskfault"
	"ecluse/internal/udp"
	"ecluse/protocol/bundle"
	"ecluse/protocol/fec"
	"ecluse/sender/dispatch"
	lowhouse "ecluse/sender/house"
	"ecluse/sender/outbox"
	"ecluse/sender/redeem"
)

const (
	rate      = 4_000_000
	chunkSize = 4 << 10
	blockData = 6 // shards of a block: three and more of them for an item of 32 KiB
	blockMore = 3
	window    = 2
	passes    = 2
	apart     = 2 * time.Second
	keepFor   = 7 * 24 * time.Hour
	keepRows  = 9 * 24 * time.Hour
	muchLater = 10 * 24 * time.Hour
)

// low is the low side.
type low struct {
	*side
	state string
	plan  *fec.Plan
	house atomic.Pointer[lowhouse.House] // of the present life, while it runs
}

func newLow(w *world) (*low, error) {
	plan, err := fec.NewPlanOf(fec.Facts{Rate: rate, MTU: 1500, Loss: 0.01, Burst: 5 * time.Millisecond, IPOverhead: fec.OverheadIPv4}, blockData, blockMore, window)
	if err != nil {
		return nil, err
	}
	l := &low{state: filepath.Join(w.dir, "low", "state"), plan: plan}
	l.side = &side{w: w, name: "low", struck: w.trial.Side == "low", rand: w.source(1), live: l.live}
	if l.struck {
		l.disks, err = diskfault.New(w.roots("low", "spool/outbox")...)
	}
	return l, err
}

// outboxOf is where a tenant drops. That of the second tenant is on a file system of its own, where that is possible.
func (w *world) outboxOf(t bundle.Name) string {
	if t == tenants[1] && w.apart {
		return filepath.Join(w.dir, "spool", "outbox", string(t))
	}
	return filepath.Join(w.dir, "low", "outbox", string(t))
}

// live is one life of the daemon.
func (l *low) live(ctx context.Context, p *probe) error {
	life := cli.Live(ctx)
	defer life.Fatal(nil)
	ctx = life.Context()
	s, err := lowhouse.OpenBy(ctx, disk.Watched(p), l.state, l.w.clock)
	if err != nil {
		return life.End(err)
	}
	err = life.End(l.run(ctx, life.Fatal, s, p))
	return errors.Join(err, s.Close(err == nil && p.alive()))
}

func (l *low) run(ctx context.Context, fatal context.CancelCauseFunc, s *lowhouse.State, p *probe) error {
	pace := pacer{udp.NewPacer(rate, nil)}
	o := lowhouse.Options{
		Name: senderName, Secrets: lowhouse.NewSecrets(l.w.ring.identity, l.w.ring.public, s),
		Link:   lowhouse.Link{Facts: l.plan.Facts, Plan: l.plan, Socket: tap{l.w.link, p.alive}, Pacer: pace, Batch: min(4, lowhouse.Batch(pace, l.plan))},
		Passes: passes, Apart: apart, Settle: 500 * time.Millisecond, Rescan: 2 * time.Second,
		Keep:   lowhouse.Keep{Sent: keepFor, Failed: keepFor, Rows: keepRows},
		Memory: 4 << 20, ChunkSize: chunkSize, Unwatched: true, Log: l.w.zap.Named("low"),
		Report: func(t bundle.Name, n outbox.Notice) {
			l.w.zap.Sugar().Named("low").Infow(string(n.Kind), "tenant", t, "name", n.Name, "error", n.Err)
		},
	}
	for i, t := range tenants {
		o.Tenants = append(o.Tenants, lowhouse.Tenant{Name: t, Outbox: l.w.outboxOf(t), Weight: i + 1})
	}
	h, err := lowhouse.Join(s, o)
	if err != nil {
		return err
	}
	defer l.house.Store(nil)
	return h.Run(ctx, fatal, func() { l.house.Store(h) })
}

// drop gives items to the low side by rename into the outbox.
func (l *low) drop(items ...*item) {
	for _, it := range items {
		at := filepath.Join(filepath.Dir(filepath.Dir(l.w.outboxOf(it.tenant))), "desk", it.name)
		err := it.write(at)
		if err == nil {
			err = os.Rename(at, filepath.Join(l.w.outboxOf(it.tenant), it.name))
		}
		if err != nil {
			l.w.fail("drop %s: %v", it.name, err)
			continue
		}
		it.dropped = true
		l.w.note("%s/%s is dropped", it.tenant, it.name)
	}
}

// send is ecluse-sender send: what is dropped is claimed at once, with a class. Where that does not work it stays in the outbox.
func (l *low) send(it *item, class bundle.Class) {
	l.drop(it)
	h := l.house.Load()
	if h == nil {
		return
	}
	for i, t := range tenants {
		if t != it.tenant {
			continue
		}
		_, err := h.Take(i, outbox.Candidate{Name: it.name, Class: class})
		if err == nil {
			err = h.Dispatch.Durable(i)
		}
		if err != nil {
			l.w.note("%s was not taken at once: %v", it.name, err)
		}
	}
}

// redeem is ecluse-sender resend --ticket.
func (l *low) redeem(ctx context.Context, h *lowhouse.House, code string) error {
	o, err := (&redeem.Sender{Key: h.Ticket, Tenants: tenants, Ledger: h.Ledger}).Read(ctx, code)
	if err != nil {
		return err
	}
	for _, wish := range o.Wishes {
		err := wish.Err
		if err == nil {
			err = h.Dispatch.Resend(ctx, wish.Bundle, wish.Chunks)
		}
		l.w.note("ticket for %s %d: %v", o.Tenant, wish.Sequence, err)
	}
	for _, run := range o.Runs {
		ids, err := h.Ledger.Between(ctx, o.Tenant, run.From, run.To, lowSent, lowSending, lowFailed)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := h.Dispatch.Confirm(ctx, id); err != nil && !errors.Is(err, dispatch.ErrNotSent) {
				return err
			}
		}
		l.w.note("receipt for %s %d to %d", o.Tenant, run.From, run.To)
	}
	return nil
}
