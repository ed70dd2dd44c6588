package sim

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"ecluse/internal/disk/diskfault"
)

// restartAfter is what systemd waits (RestartSec).
const restartAfter = 5 * time.Second

// sideKinds are the kinds of fault as one side has them.
type sideKinds struct{ kill, power, again, full, tight, fault, sync, catalog, old, restart, rot, clock kind }

var (
	lowKinds  = sideKinds{lowKill, lowPower, lowAgain, lowFull, "", lowError, lowSync, lowCatalog, lowOld, lowRestart, "", lowClock}
	highKinds = sideKinds{highKill, highPower, highAgain, highFull, highTight, highError, highSync, highCatalog, highOld, highRestart, highRot, highClock}
)

// process is one side's daemon, its disks, and the systemd that starts it again.
type process struct {
	w     *world
	name  string
	state string // its state directory
	kinds sideKinds
	disks *diskfault.Model
	rand  *rand.Rand // of what crashes take
	// live is one life, from the opening of the state to its closing.
	live func(ctx context.Context, p *prober) error
	// between is called while it is down, with what it died of.
	between func(k kind)

	mu         sync.Mutex
	now        *prober
	cancel     context.CancelFunc
	stopping   bool
	restarting bool
	recovery   []fault       // crashes of the lives to come
	ended      chan struct{} // of supervise

	fullTill, tightTill atomic.Pointer[time.Time]
	jumped              atomic.Int64 // how far the machine's clock is off, in nanoseconds
}

func (p *process) start() {
	p.ended = make(chan struct{})
	go p.supervise()
}

// supervise lives one life after another until it is asked to stop.
func (p *process) supervise() {
	defer close(p.ended)
	for {
		ctx, pr, ok := p.begin()
		if !ok {
			return
		}
		go func() {
			select {
			case <-pr.died:
				p.cancel()
			case <-ctx.Done():
			}
		}()
		err := p.live(ctx, pr)
		p.cancel()
		if !p.end(pr, err) {
			return
		}
		time.Sleep(restartAfter)
	}
}

func (p *process) begin() (context.Context, *prober, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping {
		return nil, nil, false
	}
	p.restarting = false
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.now = newProber(p.w, p.disks.Begin(), p.clock, func() bool { return within(&p.tightTill) }, p.kinds.tight)
	if within(&p.fullTill) {
		p.now.arm(p.kinds.full, 0)
	}
	if len(p.recovery) > 0 {
		p.now.arm(p.recovery[0].kind, p.recovery[0].after)
		p.recovery = p.recovery[1:]
	}
	return ctx, p.now, true
}

// end takes the end of a life, and says whether there is to be another.
func (p *process) end(pr *prober, err error) bool {
	p.mu.Lock()
	asked := p.stopping
	again := p.restarting
	p.now = nil
	p.mu.Unlock()
	killed := !pr.alive()
	loss, cause := diskfault.Killed, pr.diedOf()
	if killed && cause == p.kinds.power {
		loss = diskfault.Ordered + diskfault.Loss(p.rand.IntN(2))
	}
	if err := p.disks.Crash(p.rand, loss); err != nil {
		p.w.fail("%s: the model of its disks: %v", p.name, err)
	}
	switch {
	case killed:
		p.w.log.note("%s died: %s, %v", p.name, cause, loss)
		p.lose(cause)
		p.between(cause)
		return !asked
	case asked, again:
		if err != nil && (asked || !p.w.tally.has(p.kinds.full, p.kinds.fault, p.kinds.sync)) {
			p.w.fail("%s ended with an error although it was asked to: %v", p.name, err)
		}
		p.between("")
		if again && err == nil {
			p.backUp()
			p.w.tally.add(p.kinds.restart)
		}
		return !asked
	}
	p.w.log.note("%s ended by itself", p.name)
	p.w.zap.Sugar().Named(p.name).Infow("ended", "error", err)
	if err == nil {
		p.w.fail("%s ended without having been asked to", p.name)
	}
	p.between("")
	return true
}

const catalogFile = "catalog.db"

// lose takes the catalog away, or puts an older one in its place.
func (p *process) lose(cause kind) {
	if cause != p.kinds.catalog && cause != p.kinds.old {
		return
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(filepath.Join(p.state, catalogFile+suffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
			p.w.fail("lose a catalog: %v", err)
		}
	}
	if cause == p.kinds.old {
		if err := copyFile(p.backup(), filepath.Join(p.state, catalogFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
			p.w.fail("restore a catalog: %v", err)
		}
	}
}

func (p *process) backup() string { return filepath.Join(p.w.dir, p.name+"-catalog") }

// backUp keeps a copy of the catalog, as it is after an end in order.
func (p *process) backUp() {
	if err := copyFile(filepath.Join(p.state, catalogFile), p.backup()); err != nil {
		p.w.fail("keep a catalog: %v", err)
	}
}

func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o600)
}

// within says whether a time that ends is not over.
func within(till *atomic.Pointer[time.Time]) bool {
	at := till.Load()
	return at != nil && time.Now().Before(*at)
}

// clock is the machine's wall clock.
func (p *process) clock() time.Time {
	return reading(time.Now().Add(time.Duration(p.jumped.Load())), time.Since(p.w.began)+time.Second)
}

// suffer has a fault of this side begin.
func (p *process) suffer(f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	till := time.Now().Add(f.last)
	switch f.kind {
	case p.kinds.full:
		p.fullTill.Store(&till)
		time.AfterFunc(f.last, p.relieve)
	case p.kinds.tight:
		p.tightTill.Store(&till)
		return
	case p.kinds.clock:
		p.jumped.Store(int64((f.level - 0.5) * float64(20*365*24*time.Hour)))
		p.w.tally.add(f.kind)
		return
	case p.kinds.restart:
		if p.now != nil && p.now.alive() {
			p.restarting = true
			p.cancel()
		}
		return
	case p.kinds.again: // a crash, and one more in the life after it
		p.recovery = append(p.recovery, f)
		f.kind = p.kinds.kill
	}
	if p.now != nil {
		p.now.arm(f.kind, f.after)
	}
}

// relieve makes room on the disk again, unless another fault has filled it meanwhile.
func (p *process) relieve() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now != nil && !within(&p.fullTill) {
		p.now.Relieve()
	}
}

// calm ends all faults of this side.
func (p *process) calm() {
	p.fullTill.Store(nil)
	p.tightTill.Store(nil)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.recovery = nil
	if p.now != nil {
		p.now.calm()
	}
}

// stop ends it as systemd does, and waits.
func (p *process) stop() {
	p.mu.Lock()
	p.stopping = true
	if p.cancel != nil {
		p.cancel()
	}
	p.mu.Unlock()
	select {
	case <-p.ended:
	case <-time.After(restartAfter + 5*time.Second):
		p.w.fail("%s does not end within 5 s", p.name)
		<-p.ended
	}
	if err := p.disks.Close(); err != nil {
		p.w.fail("%s: the model of its disks: %v", p.name, err)
	}
}
