package sim

import (
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
	"ecluse/internal/disk/diskfault"
)

// prober is the disk of one life of one side: a life of the model, which says what strikes it.
type prober struct {
	*diskfault.Life
	w      *world
	clock  func() time.Time
	told   func() bool // the disk says that it has no room, though there is some left for records
	liar   kind
	calmed atomic.Bool
	died   chan struct{} // closed when the process is killed
	once   sync.Once
	mu     sync.Mutex
	cause  kind // what it died of
}

func newProber(w *world, life *diskfault.Life, clock func() time.Time, told func() bool, liar kind) *prober {
	return &prober{Life: life, w: w, clock: clock, told: told, liar: liar, died: make(chan struct{})}
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

// Before implements disk.Probe.
func (p *prober) Before(op *disk.Op) error {
	p.w.trace(byte(op.Kind), []byte(p.w.below(op.Path)+" "+p.w.below(op.To)), int64(op.Len))
	return p.Life.Before(op)
}

// After implements disk.Probe.
func (p *prober) After(op *disk.Op, err error) {
	if op.Kind == disk.Space && err == nil {
		*op.Free = disk.Free{Bytes: diskSize * 3 / 4, Inodes: 1 << 20, Total: diskSize} // whatever the machine's has
		if p.told() {
			op.Free.Bytes = 0
			p.w.tally.add(p.liar)
		}
	}
	if err == nil {
		p.stamp(op)
	}
	dead := p.Dead()
	p.Life.After(op, err)
	if dead {
		p.once.Do(func() { close(p.died) })
	}
}

// diskSize is what each disk has room for, as far as it is asked. The room that is kept back goes by it.
const diskSize = 64 << 20

// stamp gives directories in which claims lie the time of the machine's clock: it counts, and the kernel has given them that of a clock outside.
func (p *prober) stamp(op *disk.Op) {
	if op.Kind != disk.RenameNew && op.Kind != disk.Rename && op.Kind != disk.Mkdir || !strings.Contains(op.Path+op.To, "/.ecluse/") {
		return
	}
	now, err := unix.TimeToTimespec(p.clock())
	for _, path := range []string{op.Path, op.To} {
		if err == nil && path != "" {
			err = unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Dir(path), []unix.Timespec{now, now}, 0)
		}
	}
	if err != nil {
		p.w.fail("set the time of what holds %s: %v", op.Path, err)
	}
}
