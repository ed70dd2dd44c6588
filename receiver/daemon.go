package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"ecluse/internal/alarm"
	"ecluse/internal/cli"
	"ecluse/internal/control"
	"ecluse/internal/udp"
	"ecluse/protocol/bundle"
	"ecluse/receiver/assemble"
	"ecluse/receiver/collect"
	"ecluse/receiver/watch"
)

const (
	// assembleMemory holds what is on its way from the link to the disk.
	assembleMemory = 64 << 20
	// checkpointEvery bounds what a crash costs: chunks that came since the last checkpoint are missing again.
	checkpointEvery = 2 * time.Second
)

// daemon is the running high house.
type daemon struct {
	*house
	path      string // of the configuration, for a reload
	since     time.Time
	sockets   []*socket
	collector *collect.Collector
	assembler *assemble.Assembler
	verifier  *collect.KeyVerifier

	stamps [2]stamp // of configuration and allowed_signers, as they were read

	mu        sync.Mutex
	untrusted string // why an edited trust could not be read; "" when it was
	alarms    alarm.List
	told      map[string]uint64 // counts that were logged
}

// runDaemon runs until ctx ends or a promise cannot be kept.
//
//	sockets -> collector -> assembler -> chamber -> ledger
//	                            control, alarms, watchdog beside them
//
// They end in that order too: first nothing more comes in, then what came in is made durable, at last the book is closed.
func runDaemon(ctx context.Context, c Config, path string, log *zap.Logger) (err error) {
	asked := ctx
	ctx, fatal := context.WithCancelCause(ctx)
	defer fatal(nil)
	h, err := openHouse(ctx, c, log, fatal)
	if err != nil {
		return cli.Ending(asked, ctx, err)
	}
	d := &daemon{house: h, path: path, since: time.Now(), told: make(map[string]uint64), stamps: [2]stamp{stampOf(path), stampOf(c.AllowedSigners)}}
	err = d.run(ctx)
	err = cli.Ending(asked, ctx, err)
	return errors.Join(err, h.close(err == nil))
}

func (d *daemon) run(ctx context.Context) error {
	server, err := d.prepare()
	if err != nil {
		return err
	}
	defer d.closeSockets()

	// Each stage has a context of its own, so that it can end after the one that feeds it.
	book, endBook := context.WithCancel(context.WithoutCancel(ctx))
	defer endBook()
	var bookEnded sync.WaitGroup
	var bookErr error
	bookEnded.Go(func() { bookErr = d.ledger.Run(book); d.fail(bookErr) })

	work, endWork := context.WithCancel(context.WithoutCancel(ctx))
	defer endWork()
	if err := d.chamber.Start(work); err != nil {
		endBook()
		bookEnded.Wait()
		return err
	}
	if err := d.assembler.Load(d.chamber.Wanted); err != nil {
		endBook()
		bookEnded.Wait()
		return err
	}
	var assembled, beside sync.WaitGroup
	var assembleErr, collectErr error
	assembled.Go(func() { assembleErr = d.assembler.Run(work); d.fail(assembleErr) })
	beside.Go(func() { d.fail(server.Serve(ctx)) })
	beside.Go(func() { d.watch(ctx) })
	beside.Go(func() { d.fail(cli.Watchdog(ctx, d.log, d.stalled)) })
	beside.Go(func() {
		if err := d.chamber.Recheck(work); err != nil && ctx.Err() == nil {
			d.log.Error("recheck the quarantine", zap.Error(err))
		}
	})
	d.log.Info("receiving", zap.Any("links", d.addresses()), zap.String("version", version))
	cli.Ready(d.log, "receiving")
	collectErr = d.collector.Run(ctx)
	d.fail(collectErr)
	cli.Stopping()
	d.log.Info("ending")
	endWork()
	assembled.Wait()
	d.chamber.Wait()
	beside.Wait()
	endBook()
	bookEnded.Wait()
	return errors.Join(collectErr, assembleErr, bookErr)
}

// fail ends the daemon when a part of it has failed.
func (d *daemon) fail(err error) {
	if err != nil {
		d.fatal(err)
	}
}

// prepare opens sockets and makes the rooms. Nothing runs yet.
func (d *daemon) prepare() (*control.Server, error) {
	var links []collect.Link
	for _, l := range d.c.Links {
		r, err := udp.Listen(udp.ReceiverOptions{Listen: l.Listen.AddrPort, Buffer: int(l.ReceiveBuffer)})
		if err != nil {
			d.closeSockets()
			return nil, fmt.Errorf("link %s: %w", l.Name, err)
		}
		if size, err := r.BufferSize(); err == nil && size < int(l.ReceiveBuffer) {
			d.log.Warn("the system gives this socket less memory than asked for: raise net.core.rmem_max or grant CAP_NET_ADMIN",
				zap.String("link", l.Name), zap.Int("asked", int(l.ReceiveBuffer)), zap.Int("given", size))
		}
		s := &socket{Receiver: r}
		d.sockets = append(d.sockets, s)
		links = append(links, collect.Link{Name: l.Name, Socket: s})
	}
	server, err := d.makeRooms(links)
	if err != nil {
		d.closeSockets()
	}
	return server, err
}

func (d *daemon) makeRooms(links []collect.Link) (*control.Server, error) {
	sessions := filepath.Join(d.c.State, "sessions")
	if err := d.disk.MkdirAll(sessions); err != nil {
		return nil, fmt.Errorf("make %s: %w", sessions, err)
	}
	numbers, err := collect.OpenNumbers(sessionFiles{d.disk, sessions})
	if err != nil {
		return nil, err
	}
	d.verifier = collect.NewKeyVerifier(d.key.Private(), d.signers, numbers)
	d.assembler, err = assemble.New(assemble.Options{
		Dir: filepath.Join(d.c.State, "receiving"), Disk: stagedDisk{d.disk},
		Owner:  owner{d.chamber, func(link string) { d.collector.Heartbeat(link) }},
		Memory: assembleMemory, Workers: 2, Now: d.clock.Now, Idle: d.c.Idle.Std(), Checkpoint: checkpointEvery,
	})
	if err != nil {
		return nil, err
	}
	d.chamber.SetAssembler(d.assembler)
	d.collector, err = collect.New(collect.Options{
		Links: links, Verifier: d.verifier, Sink: d.assembler, Memory: int(d.c.Memory), Now: d.clock.Now,
		OnRefusal: func(r collect.Refusal) {
			d.log.Warn("session refused", zap.String("reason", string(r.Reason)), zap.String("sender", r.Sender), zap.Uint64("session", r.Session), zap.Uint64("count", r.Count))
		},
		OnFault: func(err error) { d.log.Error("collect", zap.Error(err)) },
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
	if age := d.collector.Alive(); age > limit {
		return fmt.Sprintf("a drain, for %v", age.Round(time.Second))
	}
	return ""
}

// watch looks every second, logs what begins and ends, and once a minute what was refused.
func (d *daemon) watch(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		s, err := d.status(ctx)
		if err != nil {
			if ctx.Err() == nil {
				d.log.Error("look at the state", zap.Error(err))
			}
			continue
		}
		d.tellAlarms(s.Alarms)
		if n%5 == 4 {
			d.follow(ctx)
		}
		if n%60 == 59 {
			d.tellRefused(s)
			if err := d.clock.Save(); err != nil {
				d.log.Error("clock", zap.Error(err))
			}
		}
	}
}

// stamp is what a file looked like: whoever edits it changes at least one of these.
type stamp struct {
	inode   uint64
	size    int64
	changed unix.Timespec
}

func stampOf(path string) stamp {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return stamp{}
	}
	return stamp{st.Ino, st.Size, st.Ctim}
}

// follow reads the trust again when somebody has edited it: a line that is taken out of allowed_signers revokes a key within seconds.
func (d *daemon) follow(ctx context.Context) {
	now := [2]stamp{stampOf(d.path), stampOf(d.c.AllowedSigners)}
	if now == d.stamps {
		return
	}
	d.stamps = now
	err := d.reload(ctx)
	text := ""
	if err != nil && ctx.Err() == nil {
		text = err.Error()
		d.log.Error("the trust was edited, and cannot be read: the former one stands", zap.Error(err))
	}
	d.mu.Lock()
	d.untrusted = text
	d.mu.Unlock()
}

func (d *daemon) tellAlarms(now alarm.List) {
	d.mu.Lock()
	began, ended := alarm.Changes(d.alarms, now)
	d.alarms = now
	d.mu.Unlock()
	for _, a := range began {
		d.log.Error("alarm", zap.String("alarm", a.Name), zap.String("text", a.Text))
	}
	for _, a := range ended {
		d.log.Info("alarm is over", zap.String("alarm", a.Name), zap.String("text", a.Text))
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
