package sim

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
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

// high is the high side.
type high struct {
	*process
	w   *world
	rot *rand.Rand

	mu    sync.Mutex
	house *highhouse.House // of the present life, while it runs
}

func newHigh(w *world, epoch bundle.Epoch) (*high, error) {
	h := &high{w: w, rot: source(w.plan.seed, ofRot)}
	h.process = &process{
		w: w, name: "high", state: filepath.Join(w.dir, "high", "state"), kinds: highKinds, rand: source(w.plan.seed, ofHighDisk), live: h.live, between: h.between,
	}
	roots := []string{filepath.Join(w.dir, "high")}
	if w.plan.apartHigh {
		roots = []string{h.state, filepath.Join(w.dir, "high", "import")}
	}
	o := h.options(disk.New())
	err := highhouse.AtRest(context.Background(), o, func(ctx context.Context, s *highhouse.State) error { return s.Ledger.Pair(ctx, senderName, epoch) })
	if err == nil {
		h.disks, err = diskfault.New(roots...)
	}
	return h, err
}

func (h *high) options(d *disk.Disk) highhouse.Options {
	tenants := make(map[bundle.Name]chamber.Tenant)
	var names []bundle.Name
	for _, t := range h.w.plan.tenants {
		names = append(names, t.name)
		tenants[t.name] = chamber.Tenant{Name: t.name, Release: t.mode, Destinations: []deliver.Options{{Directory: h.w.imports(t.name), FileMode: deliver.DefaultFileMode, DirMode: deliver.DefaultDirMode, Clash: deliver.KeepBoth}}}
	}
	keep := chamber.Keep{Imported: forever, Rejected: forever, Damaged: forever, Rows: forever}
	if h.w.plan.moved {
		keep.Imported = 0
	}
	return highhouse.Options{
		Dir: h.state, Disk: d, Key: h.w.ring.receiver, Signers: h.w.ring.signers, Senders: map[bundle.Name][]bundle.Name{senderName: names}, Tenants: tenants,
		Keep: keep, Reserve: func(int64) int64 { return 1 << 20 }, Log: h.w.zap.Named("high"), Now: h.clock, Fatal: func(error) {},
	}
}

// live is one life of the daemon.
func (h *high) live(ctx context.Context, p *prober) error {
	life := cli.Live(ctx)
	defer life.Fatal(nil)
	ctx = life.Context()
	o := h.options(disk.Watched(p))
	o.Fatal = life.Fatal
	s, err := highhouse.Open(ctx, o)
	if err != nil {
		return life.End(err)
	}
	err = life.End(h.run(ctx, life.Fatal, s, p))
	return errors.Join(err, s.Close(err == nil && p.alive()))
}

func (h *high) run(ctx context.Context, fatal context.CancelCauseFunc, s *highhouse.State, p *prober) error {
	socket := h.w.link.open(p.alive)
	defer socket.Close()
	house, err := highhouse.Join(s, highhouse.Flow{
		Links: []collect.Link{{Name: "a", Socket: socket}}, Memory: 8 << 20, Queue: 1 << 20, Assemble: 48 << 20, Idle: h.w.plan.idle,
		OnRefusal: func(r collect.Refusal) { h.w.zap.Sugar().Named("high").Infow("session refused", "reason", r.Reason) },
	})
	if err != nil {
		return err
	}
	defer h.show(nil)
	err = house.Run(ctx, fatal, func() { h.show(house) }, func() {}, h.save)
	for _, l := range house.Collector.Snapshot().Links {
		if l.Packets.Accepted > uint64(len(socket.took)) {
			h.w.fail("%d packets were accepted of %d different ones: some twice", l.Packets.Accepted, len(socket.took))
		}
		if l.Blocks.CRC > 0 || l.Blocks.Header > 0 {
			h.w.fail("%d blocks were taken for complete and did not hold, %d had a header that did not", l.Blocks.CRC, l.Blocks.Header)
		}
	}
	return err
}

// save keeps the clock once a minute, as the daemon does.
func (h *high) save(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if house := h.running(); house != nil {
				_ = house.Clock.Save() // the daemon logs it
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (h *high) show(house *highhouse.House) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.house = house
}

func (h *high) running() *highhouse.House {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.house
}

// between looks at what consumers see while the side is down, and damages what the fault says.
func (h *high) between(k kind) {
	if k == highRot {
		h.damage()
	}
	h.w.lookAtImports(false)
}

// damage changes one byte of up to three files that are staged or held. What was received, and is not verified any more by then, is no business of this: the medium is trusted
// from the second gate on.
func (h *high) damage() {
	var files []string
	for _, place := range []string{"receiving/*/[0-9]*", "quarantine/*/*/files/*", "quarantine/*/*/files/*/*", "quarantine/*/*/SHA256SUMS", "quarantine/*/*/manifest.json"} {
		found, err := filepath.Glob(filepath.Join(h.state, place))
		if err != nil {
			h.w.fail("look for files: %v", err)
		}
		files = append(files, found...)
	}
	for range min(3, len(files)) {
		path := files[h.rot.IntN(len(files))]
		content, err := os.ReadFile(path)
		if err != nil || len(content) == 0 {
			continue // a directory, or nothing to be damaged
		}
		content[h.rot.IntN(len(content))] ^= byte(1 + h.rot.IntN(255))
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteAt(content, 0)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			continue // its mode forbids it
		}
		h.w.tally.add(highRot)
		h.w.zap.Sugar().Named("high").Infow("damaged by the simulation", "path", path)
	}
}

// officer decides what waits for a person: all is approved but what the plan has rejected.
func (h *high) officer(ctx context.Context) {
	house := h.running()
	if house == nil {
		return
	}
	ids, err := house.Ledger.InState(ctx, ledger.Quarantined)
	if err != nil {
		return // it ends
	}
	for _, id := range ids {
		r, err := house.Ledger.Get(id)
		if err != nil || r.Name == nil {
			continue
		}
		it := h.w.item(r.Tenant, *r.Name)
		if it == nil {
			h.w.fail("bundle %s of %s is called %q, which nobody dropped", id, r.Tenant, *r.Name)
			continue
		}
		if h.w.mode(r.Tenant) == release.ModeAutomatic {
			continue
		}
		d := ledger.Decision{Approve: !it.reject, Who: "officer", UID: 1000, At: house.Clock.Now().UTC()}
		if it.reject {
			d.Reason = "not wanted"
		}
		_, _ = house.Chamber.Decide(ctx, id, d) // what was not taken is asked for again
	}
}

func (w *world) mode(t bundle.Name) release.Mode {
	for _, p := range w.plan.tenants {
		if p.name == t {
			return p.mode
		}
	}
	return release.ModeTwo
}

// item is what was dropped under a name.
func (w *world) item(t bundle.Name, name string) *item {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, it := range w.items {
		if it.tenant == t && it.name == name {
			return it
		}
	}
	return nil
}

// lookAtImports holds what consumers see against what was dropped: nothing but whole items, each once, each with its own tenant. At the end nothing else may stand there at all.
func (w *world) lookAtImports(end bool) (have map[*item]bool) {
	have = make(map[*item]bool)
	for _, t := range w.plan.tenants {
		entries, err := os.ReadDir(w.imports(t.name))
		if err != nil {
			w.fail("look at the imports of %s: %v", t.name, err)
		}
		for _, e := range entries {
			if e.Name()[0] == '.' {
				if end {
					w.fail("import/%s/%s was left behind", t.name, e.Name())
				}
				continue
			}
			it := w.item(t.name, e.Name())
			if it == nil {
				w.fail("import/%s/%s is nothing that was dropped for this tenant, or is there twice", t.name, e.Name())
				continue
			}
			if d := it.differs(filepath.Join(w.imports(t.name), e.Name())); d != "" {
				w.fail("import/%s/%s: %s", t.name, e.Name(), d)
			}
			have[it] = true
		}
	}
	return have
}
