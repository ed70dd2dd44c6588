package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"ecluse/internal/alarm"
	"ecluse/internal/audit"
	"ecluse/internal/cli"
	"ecluse/internal/control"
	"ecluse/internal/udp"
	"ecluse/protocol/bundle"
	"ecluse/protocol/fec"
	"ecluse/receiver/collect"
	"ecluse/receiver/house"
	"ecluse/receiver/watch"
)

// daemon is the running high house, and what people and systemd ask of it.
type daemon struct {
	*house.House
	c       Config
	log     *zap.Logger
	since   time.Time
	sockets []*socket

	alarms alarm.List        // that stood at the last look: like late, told and probed it is watch's alone
	late   time.Time         // up to when what is missing was told
	stamps []cli.Stamp       // under following; of the files of stampsOf, as they were read
	told   map[string]uint64 // counts that were logged
	probed map[string]uint32 // of each link, the probe that was logged
	routed chan struct{}     // holds a token when somebody has said a word about a route

	following  sync.Mutex // held while the trust is looked at
	unenrolled bool       // under following; who may sign could not be read at the last look: what is read next is news

	audits cli.AuditWatch

	mu        sync.Mutex
	recent    watch.Recent
	lacks     map[string]lack        // by destination
	untrusted string                 // why the trust could not be read whole; "" when it was
	unsigned  map[bundle.Name]string // tenants of which nobody can tell who may sign content, and why
}

func newDaemon(c Config, log *zap.Logger) *daemon {
	return &daemon{c: c, log: log, since: time.Now(), late: time.Unix(0, 0), told: make(map[string]uint64), probed: make(map[string]uint32), recent: make(watch.Recent), routed: make(chan struct{}, 1), lacks: make(map[string]lack), stamps: stampsRead(c)}
}

// runDaemon runs until ctx ends or a promise cannot be kept.
func runDaemon(ctx context.Context, c Config, log *zap.Logger) (err error) {
	life := cli.Live(ctx)
	defer life.Fatal(nil)
	ctx = life.Context()
	d := newDaemon(c, log)
	o, err := stateOptions(c, log)
	if err != nil {
		return err
	}
	o.Fatal = life.Fatal
	s, err := house.Open(ctx, o)
	if err != nil {
		return life.End(err)
	}
	err = d.run(ctx, life.Fatal, s)
	err = life.End(err)
	cli.AuditEnded(s.Audit, err)
	return errors.Join(err, s.Close(err == nil))
}

func (d *daemon) run(ctx context.Context, fatal context.CancelCauseFunc, s *house.State) error {
	defer d.closeSockets()
	server, err := d.prepare(s)
	if err != nil {
		return err
	}
	d.auditStarted()
	ready := func() {
		d.log.Info("receiving", zap.Any("links", d.addresses()), zap.String("version", version))
		cli.Ready(d.log, "receiving")
	}
	ending := func() {
		cli.Stopping()
		d.log.Info("ending")
	}
	return d.Run(ctx, fatal, ready, ending, server.Serve, d.watch, d.watchRoutes, d.watchDestinations, d.publish, d.checkAudit, func(ctx context.Context) error { return cli.Watchdog(ctx, d.log, d.stalled) })
}

// prepare opens sockets and joins the rooms. Nothing runs yet.
func (d *daemon) prepare(s *house.State) (*control.Server, error) {
	var links []collect.Link
	for _, l := range d.c.Links {
		r, err := udp.Listen(udp.ReceiverOptions{Listen: l.Listen.AddrPort, Buffer: int(l.ReceiveBuffer)})
		if err != nil {
			return nil, fmt.Errorf("link %s: %w", l.Name, err)
		}
		if size, err := r.BufferSize(); err == nil && size < int(l.ReceiveBuffer) {
			d.log.Warn("the system gives this socket less memory than asked for: raise net.core.rmem_max or grant CAP_NET_ADMIN",
				zap.String("link", l.Name), zap.Int("asked", int(l.ReceiveBuffer)), zap.Int("given", size))
		}
		socket := &socket{Receiver: r}
		d.sockets = append(d.sockets, socket)
		links = append(links, collect.Link{Name: l.Name, Socket: socket})
	}
	var err error
	d.House, err = house.Join(s, house.Flow{
		Links: links, Memory: int(d.c.Memory), Idle: d.c.Idle.Std(), OnWide: func() { cli.AllowMemory(fec.WideTables) },
		OnRefusal: func(r collect.Refusal) {
			s.Audit.Tell(audit.Entry{Event: "session-refused", Sender: r.Sender, Reason: string(r.Reason), Text: fmt.Sprintf("session %d, %d in all", r.Session, r.Count)})
			d.log.Warn("session refused", zap.String("reason", string(r.Reason)), zap.String("sender", r.Sender), zap.Uint64("session", r.Session), zap.Uint64("count", r.Count))
		},
	})
	if err != nil {
		return nil, err
	}
	server, err := control.Listen(control.Path(d.c.State), d.log)
	if err != nil {
		return nil, err
	}
	d.handle(server)
	return server, nil
}

func (d *daemon) closeSockets() {
	for _, s := range d.sockets {
		_ = s.Close() // the collector has closed it where it ran
	}
}

func (d *daemon) addresses() []string {
	var all []string
	for i, s := range d.sockets {
		all = append(all, fmt.Sprintf("%s %s %s", d.c.Links[i].Name, s.Addr(), s.Mode()))
	}
	return all
}

// stalled is what the watchdog asks: does a drain stand still? It waits for no lock that a disk call is made under.
func (d *daemon) stalled(limit time.Duration) string {
	if age := d.Collector.Alive(); age > limit {
		return fmt.Sprintf("a drain, for %v", age.Round(time.Second))
	}
	return ""
}

// watch looks every second, logs what begins and ends, and once a minute what was refused.
func (d *daemon) watch(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		s, err := d.status(ctx)
		if err != nil {
			if ctx.Err() == nil {
				d.log.Error("look at the state", zap.Error(err))
			}
			continue
		}
		d.mu.Lock()
		d.recent.Note(s.Links)
		d.mu.Unlock()
		cli.TellAlarms(d.log, d.alarms, s.Alarms)
		d.alarms = s.Alarms
		d.tellProbes(s.Links)
		if n%5 == 4 {
			d.follow(ctx)
			d.tellMissing(ctx)
		}
		if n%60 == 59 {
			d.tellRefused(s)
			if err := d.Clock.Save(); err != nil {
				d.log.Error("keep the time for the next start", zap.Error(err))
			}
		}
	}
}

// tellProbes logs what a probe has found, once.
func (d *daemon) tellProbes(links []watch.Link) {
	for _, l := range links {
		if p := l.Probe; p != nil && p.Over && d.probed[l.Name] != p.Run {
			d.probed[l.Name] = p.Run
			d.log.Info("probed", zap.String("link", l.Name), zap.String("sender", string(p.Sender)), zap.Strings("found", p.Lines()), zap.Strings("advice", p.Advice))
		}
	}
}

// ofSigners is the place of allowed_signers among the stamps, behind the configuration's.
const ofSigners = 1

// stampsOf are those of the files in which trust stands: configuration, allowed_signers, officers, and who may sign content.
func stampsOf(c Config) []cli.Stamp {
	stamps := []cli.Stamp{cli.StampOf(c.Path), cli.StampOf(c.AllowedSigners), cli.StampOf(c.Officers)}
	for _, file := range c.signersFiles() {
		stamps = append(stamps, cli.StampOf(file))
	}
	return stamps
}

// stampsRead are those of a configuration that was read before, and of files that will be.
func stampsRead(c Config) []cli.Stamp {
	stamps := stampsOf(c)
	stamps[0] = c.Stamp
	return stamps
}

// running is the configuration as far as it was taken up.
func (d *daemon) running() Config {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.c
}

// stampsNow are those of the files that the configuration names now.
func (d *daemon) stampsNow() []cli.Stamp { return stampsOf(d.running()) }

// follow reads the trust again when somebody has edited it: a line that is taken out of allowed_signers, or of who may sign content, revokes a key within seconds. What cannot be read is tried
// at each look until it can: an error of the medium, or of this process, leaves the file as it was, and nobody would edit it once more.
func (d *daemon) follow(ctx context.Context) {
	d.following.Lock()
	defer d.following.Unlock()
	switch {
	case d.trustFault() != "" || !slices.Equal(d.stampsNow(), d.stamps):
		_ = d.readAgain(ctx) // it is told
	case len(d.unknownSigners()) > 0 && d.readSigners():
		d.recheck(ctx)
	}
}

// tellTrust says why trust cannot be read: the alarm as long as that is so, the log once.
func (d *daemon) tellTrust(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	d.mu.Lock()
	news := text != d.untrusted
	d.untrusted = text
	d.mu.Unlock()
	if news && err != nil {
		d.log.Error("the trust cannot be read whole: what cannot stands as it was, and is tried again", zap.Error(err))
	}
}

const (
	lateAfter = 5 * time.Second // what a heartbeat tells of and is on its way comes within it
	lateMost  = 100             // lines at once
)

// tellMissing logs each run of sequences of which nothing came, once in this life of the process.
func (d *daemon) tellMissing(ctx context.Context) {
	until := d.Clock.Now().Add(-lateAfter)
	runs, err := d.Ledger.Absences(ctx, d.late, until, lateMost)
	if err != nil {
		if ctx.Err() == nil {
			d.log.Error("look at what is missing", zap.Error(err))
		}
		return
	}
	d.late = until
	for _, r := range runs {
		d.log.Warn("missing", zap.String("sender", string(r.Sender)), zap.String("tenant", string(r.Tenant)), zap.Stringer("epoch", r.Epoch), zap.Uint64("sequence", r.First),
			zap.Uint64("through", r.Last), zap.Time("since", r.Since))
	}
	if len(runs) == lateMost {
		d.late = runs[lateMost-1].Since
	}
}

// tellRefused logs what was refused since it was last told: one line for each reason.
func (d *daemon) tellRefused(s *watch.Status) {
	tell := func(what, where string, reason bundle.Reason, count uint64) {
		key := what + where + string(reason)
		if count > d.told[key] {
			d.log.Warn(what+" refused", zap.String("link", where), zap.String("reason", string(reason)), zap.Uint64("count", count-d.told[key]), zap.Uint64("in_all", count))
			d.told[key] = count
		}
	}
	for _, l := range s.Links {
		for reason, count := range l.Refused {
			tell("packets", l.Name, reason, count)
		}
	}
	for reason, count := range s.Records.Refused {
		tell("records", "", reason, count)
	}
}
