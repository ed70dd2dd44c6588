package main

import (
	"context"
	"os"
	"time"

	"go.uber.org/zap"

	"ecluse/internal/cli"
	"ecluse/internal/config"
	"ecluse/sender/outbox"
	"ecluse/sender/watch"
)

// status gathers what all rooms know.
func (d *daemon) status(ctx context.Context) (*watch.Status, error) {
	since := d.since.UTC()
	l, e := d.c.Links[0], d.Engine.Status()
	link := watch.Link{
		Name: l.Name, To: l.To.String(), Mode: d.socket.Mode(), MTU: l.MTU, Session: e.Session, Packets: e.Packets, Bytes: e.Bytes, Errors: e.Errors,
		Rate: int64(l.Rate), K: d.plan.K, M: d.plan.M, Window: d.plan.Window,
	}
	if mtu, err := d.socket.MTU(); err == nil {
		link.RouteMTU = &mtu
	}
	d.mu.Lock()
	link.BitRate = 8 * d.meter.Rate()
	d.mu.Unlock()
	s := &watch.Status{Version: version, Running: true, Since: &since, Sender: string(d.name), Epoch: d.Epoch.String(), Links: []watch.Link{link}, Routes: d.Routes.Rows(d.Clock.Now())}
	var err error
	if s.Bundles, err = d.Ledger.Counts(ctx); err != nil {
		return nil, err
	}
	s.Waiting, s.Bytes = d.Dispatch.Waiting()
	s.Audit = d.audits.Growth(d.c.State, nothingKept, d.Clock.Now())
	s.Alarms = watch.Alarms(s, d.facts())
	return s, nil
}

// nothingKept is what this side keeps back of a disk.
func nothingKept(int64) int64 { return 0 }

// facts looks at what alarms are made of.
func (d *daemon) facts() watch.Facts {
	var f watch.Facts
	if who := d.stalled(5 * time.Second); who != "" {
		f.Stuck = append(f.Stuck, who)
	}
	for _, t := range d.c.Tenants {
		if _, err := os.Stat(t.Outbox); err != nil {
			f.Gone = append(f.Gone, t.Outbox)
			continue
		}
		if why := d.deafTo(t); why != "" {
			f.Deaf = append(f.Deaf, watch.Deaf{Outbox: t.Outbox, Why: why})
		}
		if outbox.Unseen(d.Disk, t.Outbox) {
			f.Failed = append(f.Failed, t.Name)
		}
	}
	f.Orphan, f.Envelopes = d.Orphans, d.Meter.Standings()
	for _, u := range d.Dispatch.Unexamined() {
		f.Unexamined = append(f.Unexamined, watch.Unexamined{Tenant: string(u.Tenant), Why: u.Why})
	}
	f.Routes = d.Routes.Alarms(d.Clock.Now(), program)
	f.Ahead = d.Clock.Ahead()
	f.Audit = d.audits.Faults(d.Disk, d.c.State)
	if free, err := d.Disk.Space(d.Dir); err == nil && free.Full() {
		f.Full = append(f.Full, d.Dir)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	f.Unread = d.unread
	f.Errors = d.recent.Since(d.errors.Load())
	return f
}

// deafTo says why nothing is taken from an outbox, while that is so: what it last said of it is no older than two of its looks.
func (d *daemon) deafTo(t TenantConfig) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, ok := d.deaf[t.Name]
	if !ok || time.Since(at.when) > 2*d.c.Rescan.Std()+5*time.Second {
		return ""
	}
	return at.why
}

// watch looks every second, and logs alarms that begin and end.
func (d *daemon) watch(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if n%5 == 4 {
			d.follow()
		}
		d.mu.Lock()
		d.meter.Note(time.Now(), int64(d.Engine.Status().Bytes))
		d.recent.Note(d.errors.Load())
		d.mu.Unlock()
		s, err := d.status(ctx)
		if err != nil {
			if ctx.Err() == nil {
				d.log.Error("look at the state", zap.Error(err))
			}
			continue
		}
		cli.TellAlarms(d.log, d.alarms, s.Alarms)
		d.alarms = s.Alarms
	}
}

// follow reads the configuration again when somebody has edited it, and takes up what it says of routes: enabled and expires. Everything else waits for a restart. What
// cannot be read is tried at each look until it can: an error of the medium, or of this process, leaves the file as it was, and nobody would edit it once more.
func (d *daemon) follow() {
	now := cli.StampOf(d.c.Path)
	if now == d.stamp {
		return
	}
	d.stamp = now // before it is read
	c, err := config.Load(d.c.Path, defaults())
	text := ""
	if err != nil {
		d.stamp, text = cli.Stamp{}, err.Error()
	} else {
		d.Routes.Set(c.shared().Routes())
		d.Follow()
		d.log.Info("the routes were read again")
		d.auditFacts(d.State)
	}
	d.mu.Lock()
	news := text != d.unread
	d.unread = text
	d.mu.Unlock()
	if news && err != nil {
		d.log.Error("the configuration was edited, and cannot be read: the former routes stand", zap.Error(err))
	}
}
