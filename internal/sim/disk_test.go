package sim

import (
	"sync"
	"syscall"

	"ecluse/internal/disk"
)

// prober is the disk of one life of one side: it counts acts, and fails them as it was armed to.
type prober struct {
	w    *world
	died chan struct{} // closed when the process is killed

	mu     sync.Mutex
	acts   int
	dead   bool
	cause  kind // of what
	armed  []armed
	full   func() bool // the disk has no room now
	onFull kind
}

// armed is a fault that waits for its act.
type armed struct {
	kind  kind
	after int // acts
}

func newProber(w *world, full func() bool, onFull kind) *prober {
	return &prober{w: w, died: make(chan struct{}), full: full, onFull: onFull}
}

// arm has a fault strike after a number of acts.
func (p *prober) arm(k kind, after int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = append(p.armed, armed{k, p.acts + after})
}

// kill ends the process now.
func (p *prober) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.killed()
}

func (p *prober) killed() {
	if !p.dead {
		p.dead = true
		close(p.died)
	}
}

// calm disarms what has not struck yet.
func (p *prober) calm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = nil
}

func (p *prober) alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.dead
}

// room says whether an act needs room on the disk.
func room(k disk.Kind) bool { return k == disk.Create || k == disk.Write || k == disk.Mkdir }

// syncs says whether an act makes something durable.
func syncs(k disk.Kind) bool { return k == disk.Sync || k == disk.SyncDir || k == disk.SyncSystem }

// Before implements disk.Probe.
func (p *prober) Before(op *disk.Op) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return disk.ErrKilled
	}
	p.acts++
	for i, a := range p.armed {
		if p.acts < a.after {
			continue
		}
		err, strikes := p.strike(a.kind, op)
		if !strikes {
			continue
		}
		p.w.tally.add(a.kind)
		p.armed = append(p.armed[:i:i], p.armed[i+1:]...)
		return err
	}
	if room(op.Kind) && p.full() {
		p.w.tally.add(p.onFull)
		if op.Kind == disk.Write {
			op.Len /= 2
		}
		return syscall.ENOSPC
	}
	return nil
}

// strike says what a fault makes of an act, and whether it is one for it.
func (p *prober) strike(k kind, op *disk.Op) (error, bool) {
	switch k {
	case lowKill, highKill, lowAgain, highAgain, lowCatalog, highCatalog:
		if op.Kind == disk.Write {
			op.Len /= 2
		}
		p.cause = k
		p.killed()
		return disk.ErrKilled, true
	case lowError, highError:
		if op.Kind == disk.Read || op.Kind == disk.Write || op.Kind == disk.Create || op.Kind == disk.Rename {
			return syscall.EIO, true
		}
	case lowSync, highSync:
		if syncs(op.Kind) {
			return syscall.EIO, true
		}
	}
	return nil, false
}

// After implements disk.Probe.
func (p *prober) After(op *disk.Op, err error) {
	if op.Kind == disk.Space && err == nil && p.full() {
		op.Free.Bytes = 0
	}
}
