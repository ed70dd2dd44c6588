package main

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"slices"
	"time"

	"ecluse/internal/cli"
	"ecluse/internal/disk"
	"ecluse/internal/route"
	"ecluse/protocol/bundle"
	"ecluse/receiver/chamber"
	"ecluse/receiver/collect"
	"ecluse/receiver/ledger"
	"ecluse/receiver/watch"
)

// status gathers what all rooms know.
func (d *daemon) status(ctx context.Context) (*watch.Status, error) {
	snap := d.Collector.Snapshot()
	since := d.since.UTC()
	s := &watch.Status{
		Version: version, Running: true, Since: &since, Clock: d.Clock.Now().UTC(),
		Links: watch.LinksOf(&snap), Sessions: snap.Rows(),
	}
	for i := range s.Links {
		s.Links[i].Listen, s.Links[i].Mode = d.sockets[i].Addr().String(), d.sockets[i].Mode()
	}
	s.Routes = d.Routes.Rows(s.Clock)
	var err error
	if s.Bundles, err = d.Ledger.Counts(ctx); err != nil {
		return nil, err
	}
	counts := d.Assembler.Counts()
	unrecorded, ignored := d.Chamber.Refusals()
	for reason, n := range ignored {
		counts.Refused[reason] += n
	}
	s.Records = watch.Records{Refused: counts.Refused, Dropped: counts.Dropped}
	s.Senders = d.senders()
	for i := range s.Senders {
		s.Senders[i].Unrecorded = unrecorded[s.Senders[i].Sender]
	}
	s.Arrivals = arrivalsOf(d.Chamber.Arrivals(), d.Clock.Now())
	if s.Disk, err = d.diskStatus(); err != nil {
		return nil, err
	}
	s.Audit = d.audits.Growth(d.c.State, d.c.Disk.Reserve.Of, s.Clock)
	undone, err := d.Ledger.Failing(ctx)
	if err != nil {
		return nil, err
	}
	dayAgo := d.Clock.Now().Add(-24 * time.Hour)
	suspect, err := d.Ledger.Suspect(ctx, watch.Suspicions(), dayAgo)
	if err != nil {
		return nil, err
	}
	refused, err := d.Ledger.RefusedSince(ctx, dayAgo)
	if err != nil {
		return nil, err
	}
	var stuck []string
	if who := d.stalled(5 * time.Second); who != "" {
		stuck = append(stuck, who)
	}
	d.mu.Lock()
	lately := d.recent.Lately(s.Links)
	d.mu.Unlock()
	s.Alarms = watch.Alarms(s, watch.Facts{
		Lately:  lately,
		Silence: d.c.Silence.Std(), Up: time.Since(d.since), Expecting: len(s.Senders) > 0, Undone: undone, Ahead: d.Clock.Ahead(), Stuck: stuck,
		Untrusted: d.trustFault(), Unsigned: d.unknownSigners(), Suspect: suspect, Refused: refused, Doubts: d.doubts(), Audit: d.audits.Faults(d.Disk, d.c.State), Homeless: d.homeless(), Routes: d.Routes.Alarms(d.Clock.Now(), program), Unreachable: d.unreachable(), Unseen: d.Chamber.Unseen(), Envelopes: d.Meter.Standings(),
	})
	return s, nil
}

// doubts are what the anchor contradicts.
func (d *daemon) doubts() (texts []string) {
	for _, doubt := range d.Ledger.Doubts() {
		texts = append(texts, doubt.Text)
	}
	return texts
}

// homeless are the tenants of which something is held, and which the configuration does not know.
func (d *daemon) homeless() []bundle.Name {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.DeleteFunc(d.Ledger.Holding(), func(held bundle.Name) bool {
		return slices.ContainsFunc(d.c.Tenants, func(t TenantConfig) bool { return t.Name == string(held) })
	})
}

// arrivalsOf says how old what arrived is, by the clock that does not go back.
func arrivalsOf(arrivals []chamber.Arrival, now time.Time) []watch.Arrival {
	list := []watch.Arrival{}
	for _, r := range arrivals {
		row := watch.Arrival{Tenant: r.Tenant, Limit: r.Limit.Seconds(), Age: r.Age(now).Seconds()}
		if !r.Newest.IsZero() {
			row.Newest = &r.Newest
		}
		list = append(list, row)
	}
	return list
}

// unknownSigners are the tenants of which nobody can tell who may sign content, and why.
func (d *daemon) unknownSigners() map[bundle.Name]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.unsigned
}

func (d *daemon) trustFault() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.untrusted
}

func (d *daemon) diskStatus() (watch.Disk, error) {
	free, inodes, err := d.Space()
	return watch.Disk{Free: free, Reserve: d.Reserve(), Inodes: inodes}, err
}

// senders lists everybody in the configuration, with what they last said of themselves.
func (d *daemon) senders() []watch.Sender {
	list := []watch.Sender{}
	hearts := d.Chamber.Hearts()
	for _, name := range d.senderNames() {
		_, paired := d.Ledger.Paired(name)
		row := watch.Sender{Sender: name, Paired: paired}
		if h, ok := hearts[name]; ok {
			at, ahead := h.At.UTC(), h.Clock.Sub(h.At).Seconds()
			row.Heartbeat, row.ClockAhead, row.Waiting, row.WaitingBytes = &at, &ahead, &h.Waiting, &h.Bytes
		}
		list = append(list, row)
	}
	return list
}

func (d *daemon) senderNames() []bundle.Name {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []bundle.Name
	for _, s := range d.c.Senders {
		names = append(names, bundle.Name(s.Name))
	}
	return names
}

// statusAtRest is what can be said when no daemon runs.
func statusAtRest(ctx context.Context, c Config) (*watch.Status, error) {
	s := &watch.Status{Version: version, Clock: time.Now().UTC(), Links: []watch.Link{}, Senders: []watch.Sender{}, Arrivals: []watch.Arrival{}, Bundles: map[ledger.State]int64{}, Disk: watch.Disk{Free: -1, Inodes: -1}}
	s.Sessions = []collect.SessionRow{}
	err := reader(c).AtRest(func(db *sql.DB) (err error) {
		s.Bundles, err = ledger.CountAll(ctx, db)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.Audit = cli.AuditGrowth(c.State, c.Disk.Reserve.Of, s.Clock)
	facts := c.absent()
	s.Routes = []route.Row{}
	if words, err := route.Read(disk.New(), c.State); err == nil || !errors.Is(err, fs.ErrPermission) {
		book := route.Of(words, err, c.shared().Routes())
		s.Routes, facts.Routes = book.Rows(s.Clock), book.Alarms(s.Clock, program)
	}
	s.Alarms = watch.Alarms(s, facts)
	return s, nil
}
