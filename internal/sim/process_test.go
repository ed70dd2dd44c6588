package sim

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// restartAfter is what systemd waits (RestartSec).
const restartAfter = 5 * time.Second

// sideKinds are the kinds of fault as one side has them.
type sideKinds struct{ kill, again, full, fault, sync, catalog, clock kind }

var (
	lowKinds  = sideKinds{lowKill, lowAgain, lowFull, lowError, lowSync, lowCatalog, lowClock}
	highKinds = sideKinds{highKill, highAgain, highFull, highError, highSync, highCatalog, highClock}
)

// process is one side's daemon, and the systemd that starts it again.
type process struct {
	w    *world
	name string
	// live is one life, from the opening of the state to its closing.
	live func(ctx context.Context, p *prober) error
	// after does to the disk what the end of a killed life does.
	after func(p *prober)
	kinds sideKinds

	mu       sync.Mutex
	now      *prober
	cancel   context.CancelFunc
	stopping bool
	recovery []fault // crashes of the lives to come
	lives    int
	ended    chan struct{} // of supervise

	fullTill atomic.Pointer[time.Time]
	jumped   atomic.Int64 // how far the machine's clock is off, in nanoseconds
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
	p.lives++
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.now = newProber(p.w, p.isFull, p.kinds.full)
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
	p.now = nil
	p.mu.Unlock()
	switch {
	case !pr.alive():
		p.w.log.note("%s was killed", p.name)
		p.after(pr)
		return !asked
	case asked:
		if err != nil {
			p.w.fail("%s ended with an error although it was asked to: %v", p.name, err)
		}
		return false
	}
	p.w.log.note("%s ended: %v", p.name, err)
	if err == nil {
		p.w.fail("%s ended without having been asked to", p.name)
	}
	return true
}

// isFull says whether the side's disk has no room.
func (p *process) isFull() bool {
	till := p.fullTill.Load()
	return till != nil && time.Now().Before(*till)
}

// clock is the machine's wall clock.
func (p *process) clock() time.Time {
	return reading(time.Now().Add(time.Duration(p.jumped.Load())), time.Since(p.w.began)+time.Second)
}

// suffer has a fault of this side begin.
func (p *process) suffer(f fault) {
	switch f.kind {
	case p.kinds.full:
		till := time.Now().Add(f.last)
		p.fullTill.Store(&till)
		return
	case p.kinds.clock:
		p.jumped.Store(int64((f.level - 0.5) * float64(20*365*24*time.Hour)))
		p.w.tally.add(f.kind)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.kind == p.kinds.again { // a crash, and one more in the life after it
		p.recovery = append(p.recovery, f)
		f.kind = p.kinds.kill
	}
	if p.now != nil {
		p.now.arm(f.kind, f.after)
	}
}

// calm ends all faults of this side.
func (p *process) calm() {
	p.fullTill.Store(nil)
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
}

// String is for messages.
func (p *process) String() string { return fmt.Sprintf("%s, life %d", p.name, p.lives) }
