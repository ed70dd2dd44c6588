package points

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"time"

	"ecluse/internal/cli"
	"ecluse/internal/disk"
	"ecluse/internal/disk/diskfault"
	"ecluse/protocol/bundle"
	"ecluse/receiver/chamber"
	"ecluse/receiver/collect"
	"ecluse/receiver/deliver"
	highhouse "ecluse/receiver/house"
	"ecluse/receiver/ledger"
	"ecluse/receiver/release"
)

const (
	idle  = 2 * time.Second
	quota = 48 << 10
)

// high is the high side.
type high struct {
	*side
	state   string
	open    atomic.Bool                     // the officer is at work
	damaged atomic.Int64                    // how long what is incomplete is kept: it is counted anew from each start
	house   atomic.Pointer[highhouse.House] // of the present life, while it runs
}

func newHigh(w *world, epoch bundle.Epoch) (*high, error) {
	h := &high{state: filepath.Join(w.dir, "high", "state")}
	h.side = &side{w: w, name: "high", struck: w.trial.Side == "high", rand: w.source(2), live: h.live}
	h.damaged.Store(int64(keepFor))
	o := h.options(disk.Watched(&probe{s: h.side}))
	err := highhouse.AtRest(context.Background(), o, func(ctx context.Context, s *highhouse.State) error { return s.Ledger.Pair(ctx, senderName, epoch) })
	if err == nil && h.struck {
		h.disks, err = diskfault.New(w.roots("high", "far/import")...)
	}
	return h, err
}

// destination is a directory into which a tenant's bundles are delivered.
type destination struct {
	tenant bundle.Name
	dir    string // below the world's
	clash  deliver.Clash
}

const farAway = "far/import/beta"

// destinations: that of the first tenant is on the state's file system, which makes a delivery a rename; the second tenant has one there and one on
// another, where that is possible.
var destinations = []destination{
	{tenants[0], "high/import/alpha", deliver.KeepBoth},
	{tenants[1], "high/import/beta", deliver.Replace},
	{tenants[1], farAway, deliver.Refuse},
}

// at is where a destination is.
func (w *world) at(to destination) string {
	if to.dir == farAway && !w.apart {
		return filepath.Join(w.dir, "high", to.dir)
	}
	return filepath.Join(w.dir, to.dir)
}

func (h *high) options(d *disk.Disk) highhouse.Options {
	rules := map[bundle.Name]chamber.Tenant{
		tenants[0]: {Name: tenants[0], Release: release.ModeAutomatic},
		tenants[1]: {Name: tenants[1], Release: release.ModeOne, Quota: quota},
	}
	for _, to := range destinations {
		t := rules[to.tenant]
		t.Destinations = append(t.Destinations, deliver.Options{Directory: h.w.at(to), FileMode: deliver.DefaultFileMode, DirMode: deliver.DefaultDirMode, Clash: to.clash})
		rules[to.tenant] = t
	}
	return highhouse.Options{
		Dir: h.state, Disk: d, Key: h.w.ring.receiver, Signers: h.w.ring.signers, Senders: map[bundle.Name][]bundle.Name{senderName: tenants}, Tenants: rules,
		Keep: chamber.Keep{Rejected: keepFor, Damaged: time.Duration(h.damaged.Load()), Rows: keepRows}, Reserve: func(int64) int64 { return 1 << 20 }, Codes: 1000,
		Log: h.w.zap.Named("high"), Now: h.w.clock, Fatal: func(error) {},
	}
}

// live is one life of the daemon.
func (h *high) live(ctx context.Context, p *probe) error {
	life := cli.Live(ctx)
	defer life.Fatal(nil)
	ctx = life.Context()
	o := h.options(disk.Watched(p))
	o.Fatal = life.Fatal
	s, err := highhouse.Open(ctx, o)
	if err != nil {
		return life.End(err)
	}
	err = life.End(h.run(ctx, life.Fatal, s))
	return errors.Join(err, s.Close(err == nil && p.alive()))
}

func (h *high) run(ctx context.Context, fatal context.CancelCauseFunc, s *highhouse.State) error {
	socket := h.w.link.open()
	defer socket.Close()
	house, err := highhouse.Join(s, highhouse.Flow{
		Links: []collect.Link{{Name: "a", Socket: socket}}, Memory: 2 << 20, Queue: 256 << 10, Assemble: 48 << 20, Idle: idle,
		OnRefusal: func(r collect.Refusal) { h.w.zap.Sugar().Named("high").Infow("session refused", "reason", r.Reason) },
	})
	if err != nil {
		return err
	}
	defer h.house.Store(nil)
	return house.Run(ctx, fatal, func() { h.house.Store(house); h.w.marks(house) }, func() {}, h.save)
}

// save keeps the clock once a minute, as the daemon does.
func (h *high) save(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if house := h.house.Load(); house != nil {
				_ = house.Clock.Save() // the daemon logs it
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// officer looks every second, while the office is open: all is approved but what is to be rejected.
func (h *high) officer(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if house := h.house.Load(); house != nil && h.open.Load() {
			h.decide(ctx, house)
		}
	}
}

func (h *high) decide(ctx context.Context, house *highhouse.House) {
	ids, err := house.Ledger.InState(ctx, ledger.Quarantined)
	if err != nil {
		return // it ends
	}
	for _, id := range ids {
		r, err := house.Ledger.Get(id)
		if err != nil || r.Name == nil || r.Tenant != tenants[1] {
			continue
		}
		d := ledger.Decision{Approve: true, Who: "officer", UID: 1000, At: house.Clock.Now().UTC()}
		if h.w.isRejected(r.Tenant, *r.Name) {
			d.Approve, d.Reason = false, "not wanted"
		}
		_, _ = house.Chamber.Decide(ctx, id, d) // what was not taken is asked for again
	}
}
