package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"ecluse/internal/alarm"
	"ecluse/internal/cli"
	"ecluse/internal/control"
	"ecluse/internal/udp"
	"ecluse/protocol/bundle"
	"ecluse/protocol/fec"
	"ecluse/protocol/packet"
	"ecluse/sender/dispatch"
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

// daemon is the running low house.
type daemon struct {
	*house
	name     bundle.Name
	log      *zap.Logger
	since    time.Time
	plan     *fec.Plan
	socket   *udp.Sender
	secrets  *secrets
	outboxes []*outbox.Outbox // in the order of the configuration's tenants
	engine   *transmit.Engine
	dispatch *dispatch.Dispatcher
	fatal    context.CancelCauseFunc

	alive  sync.Map // goroutine -> *atomic.Int64, nanoseconds of the monotonic clock since start
	errors atomic.Uint64

	mu     sync.Mutex
	notice map[string]time.Time // when it was told last
	alarms alarm.List
	meter  cli.Meter // of the link
	recent minute    // errors
}

// runDaemon runs until ctx ends or a promise cannot be kept.
//
//	outboxes -> dispatcher -> engine -> socket
//	               ledger, control, purges, watchdog beside them
func runDaemon(ctx context.Context, c Config, log *zap.Logger) (err error) {
	asked := ctx
	ctx, fatal := context.WithCancelCause(ctx)
	defer fatal(nil)
	s, name, err := openSecrets(c)
	if err != nil {
		return err
	}
	h, err := openHouse(ctx, c)
	if err != nil {
		return cli.Ending(asked, ctx, err)
	}
	d := &daemon{house: h, name: name, log: log, since: time.Now(), secrets: s, fatal: fatal, notice: make(map[string]time.Time)}
	err = d.run(ctx)
	err = cli.Ending(asked, ctx, err)
	return errors.Join(err, h.close(err == nil))
}

func (d *daemon) run(ctx context.Context) error {
	server, err := d.prepare()
	if d.socket != nil {
		defer d.socket.Close()
	}
	if err != nil {
		return err
	}
	book, endBook := context.WithCancel(context.WithoutCancel(ctx))
	defer endBook()
	var bookEnded, beside sync.WaitGroup
	var bookErr, linkErr error
	bookEnded.Go(func() { bookErr = d.ledger.Run(book); d.fail(bookErr) })
	d.dispatch.Start(ctx, d.fatal)
	if err = d.resume(ctx); err == nil {
		for i := range d.outboxes {
			beside.Go(func() { d.claim(ctx, i) })
		}
		beside.Go(func() { d.fail(server.Serve(ctx)) })
		beside.Go(func() { d.keep(ctx) })
		beside.Go(func() { d.watch(ctx) })
		beside.Go(func() { d.fail(cli.Watchdog(ctx, d.log, d.stalled)) })
		d.log.Info("sending", zap.Stringer("to", d.c.Links[0].To), zap.String("mode", d.socket.Mode()), zap.String("sender", string(d.name)), zap.Stringer("epoch", d.epoch),
			zap.Int("k", d.plan.K), zap.Int("m", d.plan.M), zap.Int("window", d.plan.Window), zap.String("version", version))
		cli.Ready(d.log, "sending")
		linkErr = d.engine.Run(ctx)
		d.fail(linkErr)
	}
	cli.Stopping()
	d.log.Info("ending")
	d.fatal(nil) // everything else ends too, whatever ended this
	beside.Wait()
	d.dispatch.Wait()
	endBook()
	bookEnded.Wait()
	return errors.Join(err, linkErr, bookErr)
}

// fail ends the daemon when a part of it has failed.
func (d *daemon) fail(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		d.fatal(err)
	}
}

// prepare opens socket and outboxes and makes the rooms. Nothing runs yet.
func (d *daemon) prepare() (server *control.Server, err error) {
	l := d.c.Links[0]
	if d.plan, err = fec.NewPlan(l.facts()); err != nil {
		return nil, &cli.Error{Code: cli.Usage, Err: err}
	}
	if d.socket, err = udp.Dial(udp.SenderOptions{To: l.To.AddrPort}); err != nil {
		return nil, fmt.Errorf("link %s: %w", l.Name, err)
	}
	if mtu, err := d.socket.MTU(); err == nil && mtu < l.MTU {
		return nil, &cli.Error{Code: cli.Usage, Err: fmt.Errorf("link %s: mtu is %d, and the route to %s has %d", l.Name, l.MTU, l.To, mtu), Hint: "set both alike: ip link set IFACE mtu N, or links[0].mtu"}
	}
	var weights []schedule.Weight
	var tenants []dispatch.Tenant
	for _, t := range d.c.Tenants {
		names, err := bundle.ParseNamePolicy(t.Names)
		if err != nil {
			return nil, err
		}
		b, err := outbox.Open(outbox.Options{
			Dir: t.Outbox, Tenant: bundle.Name(t.Name), Settle: d.c.Settle.Std(), Rescan: d.c.Rescan.Std(),
			Report: func(n outbox.Notice) { d.report(t.Name, n) },
		})
		if err != nil {
			return nil, fmt.Errorf("tenant %s: %w", t.Name, err)
		}
		d.outboxes = append(d.outboxes, b)
		weights = append(weights, schedule.Weight{Tenant: bundle.Name(t.Name), Weight: t.Weight})
		tenants = append(tenants, dispatch.Tenant{Name: bundle.Name(t.Name), Outbox: b, Names: names})
	}
	d.makeRooms(weights, tenants)
	if err := confine(d.c, d.log); err != nil {
		return nil, err
	}
	if server, err = control.Listen(control.Path(d.c.State), d.log); err != nil {
		return nil, err
	}
	d.handle(server)
	return server, nil
}

func (d *daemon) makeRooms(weights []schedule.Weight, tenants []dispatch.Tenant) {
	l := d.c.Links[0]
	pacer := udp.NewPacer(int64(l.Rate), nil)
	d.engine = transmit.New(transmit.Options{
		Plan: d.plan, Tenants: weights, Socket: d.socket, Pacer: pacer, Batch: pacer.Batch(d.plan.Shard + packet.Overhead), Secrets: d.secrets, Epoch: d.epoch,
		Beat: func() []transmit.Appender { return d.dispatch.Beat() }, Loss: float64(l.Loss), Burst: l.Burst.Std(), IPOverhead: l.overhead(),
		Alive: d.beat, Failed: d.unsent,
	})
	d.dispatch = dispatch.New(dispatch.Options{
		Tenants: tenants, Link: d.engine, Ledger: d.ledger, Signer: d.secrets, Buffers: pack.NewBuffers(int64(d.c.Memory), 0), Sender: d.name,
		Receiver: d.secrets.receiver.ID(), Epoch: d.epoch, TicketKey: d.ticket, Passes: d.c.Passes.Count, Apart: d.c.Passes.Apart.Std(),
		ChunkSize: bundle.ChunkSizeMax, BeatBytes: beatBytes(int64(l.Rate), d.plan.Shard), Now: time.Now, Log: d.log,
	})
}

// beatBytes is what a heartbeat may repeat: a small part of the link, and at least a few records.
func beatBytes(rate int64, shard int) int {
	return max(4*shard, int(float64(rate)/8*heartbeatEvery.Seconds()*beatShare))
}

// beat notes that a goroutine of the engine is alive.
func (d *daemon) beat(who string) {
	v, ok := d.alive.Load(who)
	if !ok {
		v, _ = d.alive.LoadOrStore(who, new(atomic.Int64))
	}
	v.(*atomic.Int64).Store(int64(time.Since(d.since)))
}

// stalled is what the watchdog asks: does a goroutine of the engine stand still?
func (d *daemon) stalled(limit time.Duration) (who string) {
	now := time.Since(d.since)
	d.alive.Range(func(name, at any) bool {
		if age := now - time.Duration(at.(*atomic.Int64).Load()); age > limit {
			who = fmt.Sprintf("%v, for %v", name, age.Round(time.Second))
		}
		return who == ""
	})
	return who
}

// unsent is told of datagrams that the system would not take. They are lost like others: parity and later passes are for that.
func (d *daemon) unsent(err error) error {
	d.errors.Add(1)
	if d.once("unsent") {
		d.log.Error("the system would not take datagrams", zap.Error(err), zap.Uint64("times", d.errors.Load()))
	}
	return nil
}

// noticeEvery is how often a thing that goes on is told.
const noticeEvery = time.Minute

// once says whether something is to be told now.
func (d *daemon) once(what string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.notice[what]) < noticeEvery {
		return false
	}
	if len(d.notice) > 10_000 { // names that operators choose
		clear(d.notice)
	}
	d.notice[what] = time.Now()
	return true
}

// report logs what an outbox says.
func (d *daemon) report(tenant string, n outbox.Notice) {
	if d.once(tenant + "\x00" + string(n.Kind) + "\x00" + n.Name) {
		d.log.Warn(string(n.Kind), zap.String("tenant", tenant), zap.String("name", n.Name), zap.Error(n.Err))
	}
}
