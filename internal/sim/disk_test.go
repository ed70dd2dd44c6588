package sim

import (
	"sync"
	"sync/atomic"

	"ecluse/internal/disk"
	"ecluse/internal/disk/diskfault"
)

// prober is the disk of one life of one side: a life of the model, which says what strikes it.
type prober struct {
	*diskfault.Life
	w      *world
	told   func() bool // the disk says that it has no room, though there is some left for records
	liar   kind
	calmed atomic.Bool
	died   chan struct{} // closed when the process is killed
	once   sync.Once
	mu     sync.Mutex
	cause  kind // what it died of
}

func newProber(w *world, life *diskfault.Life, told func() bool, liar kind) *prober {
	return &prober{Life: life, w: w, told: told, liar: liar, died: make(chan struct{})}
}

// arm has a fault strike after a number of acts.
func (p *prober) arm(k kind, after int) {
	f := diskfault.Fault{What: diskfault.Kill, Only: func(op *disk.Op) bool {
		if p.calmed.Load() {
			return false
		}
		if after--; after > 0 {
			return false
		}
		switch {
		case k == lowSync || k == highSync:
			if !syncs(op.Kind) {
				return false
			}
		case k == lowError || k == highError:
			if op.Kind != disk.Read && op.Kind != disk.Write && op.Kind != disk.Create && op.Kind != disk.Rename {
				return false
			}
		case k == lowFull || k == highFull:
		default:
			p.mu.Lock()
			p.cause = k
			p.mu.Unlock()
		}
		if k != highRot { // which counts what it damages
			p.w.tally.add(k)
		}
		return true
	}}
	switch k {
	case lowSync, highSync, lowError, highError:
		f.What = diskfault.ErrorOnce
	case lowFull, highFull:
		f.What = diskfault.Full
	default:
		if after%4 == 0 {
			f.What = diskfault.Torn
		}
	}
	p.Arm(f)
}

// syncs says whether an act makes something durable.
func syncs(k disk.Kind) bool { return k == disk.Sync || k == disk.SyncDir || k == disk.SyncSystem }

// calm lets nothing strike any more.
func (p *prober) calm() {
	p.calmed.Store(true)
	p.Relieve()
}

func (p *prober) alive() bool { return !p.Dead() }

// diedOf says what killed it.
func (p *prober) diedOf() kind {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cause
}

// After implements disk.Probe.
func (p *prober) After(op *disk.Op, err error) {
	if op.Kind == disk.Space && err == nil && p.told() {
		op.Free.Bytes = 0
		p.w.tally.add(p.liar)
	}
	dead := p.Dead()
	p.Life.After(op, err)
	if dead {
		p.once.Do(func() { close(p.died) })
	}
}
