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
	"ecluse/sender/house"
	"ecluse/sender/outbox"
)

// daemon is the running low house, and what people and systemd ask of it.
type daemon struct {
	*house.House
	c      Config
	name   bundle.Name
	log    *zap.Logger
	since  time.Time
	plan   *fec.Plan
	socket *udp.Sender

	alive  sync.Map // goroutine -> *atomic.Int64, nanoseconds of the monotonic clock since start
	errors atomic.Uint64
	alarms alarm.List        // that stood at the last look: like stamp watch's alone
	stamp  cli.Stamp         // of the configuration, from before it was read
	papers map[string]string // digests of the keys by which this life goes, whatever stands in their files later; never changes
	audits cli.AuditWatch

	mu     sync.Mutex
	notice map[string]time.Time // when it was told last
	meter  cli.Meter            // of the link
	recent alarm.Minute         // errors
	unread string               // why an edited configuration cannot be read; "" when it was
	deaf   map[string]deafness  // of each tenant, why its outbox could not be read when it was looked at last
}

// runDaemon runs until ctx ends or a promise cannot be kept.
func runDaemon(ctx context.Context, c Config, log *zap.Logger) (err error) {
	life := cli.Live(ctx)
	defer life.Fatal(nil)
	ctx = life.Context()
	r, err := loadKeys(c)
	if err != nil {
		return err
	}
	s, err := openState(ctx, c)
	if err != nil {
		return life.End(err)
	}
	d := newDaemon(c, r.name, log)
	d.auditStarted(s)
	err = d.run(ctx, life.Fatal, s, r)
	err = life.End(err)
	cli.AuditEnded(s.Audit, err)
	return errors.Join(err, s.Close(err == nil))
}

// newDaemon is one that has no house yet.
func newDaemon(c Config, name bundle.Name, log *zap.Logger) *daemon {
	return &daemon{c: c, name: name, log: log, since: time.Now(), stamp: c.Stamp, notice: make(map[string]time.Time), deaf: make(map[string]deafness)}
}

func (d *daemon) run(ctx context.Context, fatal context.CancelCauseFunc, s *house.State, r *ring) error {
	server, err := d.prepare(s, r)
	if d.socket != nil {
		defer d.socket.Close()
	}
	if err != nil {
		return err
	}
	ready := func() {
		d.log.Info("sending", zap.Stringer("to", d.c.Links[0].To), zap.String("mode", d.socket.Mode()), zap.String("sender", string(d.name)), zap.Stringer("epoch", d.Epoch),
			zap.Int("k", d.plan.K), zap.Int("m", d.plan.M), zap.Int("window", d.plan.Window), zap.String("version", version))
		cli.Ready(d.log, "sending")
		context.AfterFunc(ctx, func() {
			cli.Stopping()
			d.log.Info("ending")
		})
	}
	return d.Run(ctx, fatal, ready, server.Serve, d.watch, d.publish, d.checkAudit, func(ctx context.Context) error { return cli.Watchdog(ctx, d.log, d.stalled) })
}

// prepare opens socket and outboxes and joins the rooms. Nothing runs yet.
func (d *daemon) prepare(s *house.State, r *ring) (server *control.Server, err error) {
	l := d.c.Links[0]
	if d.plan, err = fec.NewPlan(l.facts()); err != nil {
		return nil, &cli.Error{Code: cli.Usage, Err: err}
	}
	if d.plan.Wide() {
		cli.AllowMemory(fec.WideTables)
	}
	if d.socket, err = udp.Dial(udp.SenderOptions{To: l.To.AddrPort}); err != nil {
		return nil, fmt.Errorf("link %s: %w", l.Name, err)
	}
	if mtu, err := d.socket.MTU(); err == nil && mtu < l.MTU {
		return nil, &cli.Error{Code: cli.Usage, Err: fmt.Errorf("link %s: mtu is %d, and the route to %s has %d", l.Name, l.MTU, l.To, mtu), Hint: "set both alike: ip link set IFACE mtu N, or links[0].mtu"}
	}
	tenants, err := tenantsOf(d.c)
	if err != nil {
		return nil, err
	}
	pacer := udp.NewPacer(int64(l.Rate), nil)
	d.House, err = house.Join(s, house.Options{
		Name: r.name, Secrets: house.NewSecrets(r.identity, r.receiver, s),
		Link:    house.Link{Facts: l.facts(), Plan: d.plan, Socket: d.socket, Pacer: pacer, Batch: house.Batch(pacer, d.plan)},
		Tenants: tenants, Passes: d.c.Passes.Count, Apart: d.c.Passes.Apart.Std(), Settle: d.c.Settle.Std(), Rescan: d.c.Rescan.Std(),
		Keep:    house.Keep{Sent: d.c.Keep.Sent.Std(), Failed: d.c.Keep.Failed.Std(), Rows: d.c.Keep.Rows.Std()},
		Account: new(terms(d.c)), Memory: int64(d.c.Memory), Examine: cli.Examiner().Run, Log: d.log, Alive: d.beat, Unsent: d.unsent, Report: d.report,
	})
	if err != nil {
		return nil, err
	}
	if err := confine(d.c, d.log); err != nil {
		return nil, err
	}
	if server, err = control.Listen(control.Path(d.c.State), d.log); err != nil {
		return nil, err
	}
	d.handle(server)
	return server, nil
}

func tenantsOf(c Config) ([]house.Tenant, error) {
	var tenants []house.Tenant
	for _, t := range c.Tenants {
		names, err := bundle.ParseNamePolicy(t.Names)
		if err != nil {
			return nil, err
		}
		tenant := house.Tenant{Name: bundle.Name(t.Name), Outbox: t.Outbox, Weight: t.Weight, Names: names, Route: t.Route()}
		if t.Policy.Given {
			tenant.Rules = t.Policy.Rules()
		}
		tenants = append(tenants, tenant)
	}
	return tenants, nil
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

// deafness is why and when an outbox could not be read.
type deafness struct {
	when time.Time
	why  string
}

// report logs what an outbox says.
func (d *daemon) report(tenant bundle.Name, n outbox.Notice) {
	if n.Kind == outbox.NoticeUnread {
		d.mu.Lock()
		d.deaf[string(tenant)] = deafness{time.Now(), n.Err.Error()}
		d.mu.Unlock()
	}
	if d.once(string(tenant) + "\x00" + string(n.Kind) + "\x00" + n.Name) {
		d.log.Warn(string(n.Kind), zap.String("tenant", string(tenant)), zap.String("name", n.Name), zap.Error(n.Err))
	}
}
