package points

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"

	"ecluse/internal/disk"
	"ecluse/internal/disk/diskfault"
)

const (
	restartAfter = 5 * time.Second  // what systemd waits (RestartSec)
	lastsFor     = 20 * time.Second // a fault that does not end by itself, until somebody makes room or starts the daemon again
	endsWithin   = 10 * time.Second // a daemon that was asked to, or that has lost a sync
)

// side is one side's daemon, its disks, and the systemd that starts it again.
type side struct {
	w      *world
	name   string
	struck bool             // its disks are the model, and the case is about it
	disks  *diskfault.Model // nil where it is not struck
	rand   *rand.Rand       // of what power cuts take
	// live is one life, from the opening of the state to its closing.
	live func(ctx context.Context, p *probe) error

	mu       sync.Mutex
	now      *probe
	cancel   context.CancelFunc
	asked    bool // to end for good
	again    bool // to end, and to start again
	ended    chan struct{}
	finished chan struct{} // of the present life
}

// probe is the disks of one life of a side.
type probe struct {
	*diskfault.Life // nil where the side is not struck
	s               *side
	died            chan struct{}
	once            sync.Once

	mu   sync.Mutex
	hit  *disk.Op // the act that is struck
	blow *blow    // by what; nil while nothing has struck in this life
	lost bool     // a sync has failed
}

// alive says whether the process is.
func (p *probe) alive() bool { return p.Life == nil || !p.Dead() }

// Device is asked which file system a path is on.
func (p *probe) Device(path string, real uint64) uint64 {
	if p.Life == nil {
		return real
	}
	return p.Life.Device(path, real)
}

// Before implements disk.Probe.
func (p *probe) Before(op *disk.Op) error {
	if p.Life == nil {
		return nil
	}
	if b := p.s.w.due(p, op); b != nil {
		p.mu.Lock()
		p.hit, p.blow = op, b
		p.mu.Unlock()
		if what := b.Fault.what(); what != 0 {
			p.Arm(diskfault.Fault{What: what, Only: func(o *disk.Op) bool { return o == op }})
		}
	}
	return p.Life.Before(op)
}

// After implements disk.Probe. What the disks of a machine have in all is made small: the spare room is a part of it.
func (p *probe) After(op *disk.Op, err error) {
	if op.Kind == disk.Space && op.Free != nil && op.Free.Total > 0 {
		op.Free.Total, op.Free.Bytes = 64<<20, min(op.Free.Bytes, 48<<20)
	}
	if p.Life == nil {
		return
	}
	p.mu.Lock()
	struck := p.hit == op
	b := p.blow
	lost := err != nil && !p.lost && !p.Dead() && p.s.w.endsFor(op)
	p.lost = p.lost || lost
	p.mu.Unlock()
	if struck && b.Fault == killAfter {
		p.Kill()
	}
	dead := p.Dead()
	p.Life.After(op, err)
	if dead {
		p.once.Do(func() { close(p.died) })
	}
	if struck {
		p.s.struckBy(p, b)
	}
	if lost {
		p.s.syncLost(p, p.s.w.class(op))
	}
}

// struckBy sees to the end of a fault that does not end by itself: of a full disk by making room, of a broken one by another start.
func (s *side) struckBy(p *probe, b *blow) {
	if b.Fault != full && b.Fault != errorPath && b.Fault != errorAll {
		return
	}
	s.w.lasting.Add(1)
	time.AfterFunc(lastsFor, func() {
		defer s.w.lasting.Add(-1)
		switch {
		case b.Fault == full:
			p.Relieve()
		case s.present() == p:
			s.w.note("%s is started again by somebody", s.name)
			s.restart()
		}
	})
}

// endsFor says whether the process has to end when a sync of a path fails: of its state, or of all of a file system. What a failed sync of a single file elsewhere was to cover, a copy at
// a destination or a reason in an outbox, is thrown away and made anew as another file.
func (w *world) endsFor(op *disk.Op) bool {
	return isSync(op.Kind.String()) && (op.Kind == disk.SyncSystem && !w.isCopy(op.Path) || strings.HasPrefix(op.Path, filepath.Join(w.dir, w.trial.Side, "state")))
}

func (w *world) isCopy(path string) bool {
	return slices.ContainsFunc(destinations, func(to destination) bool { return path == w.at(to) || strings.HasPrefix(path, w.at(to)+"/") })
}

// syncLost holds the process to its end: whatever a failed sync was to cover may be lost, and nothing may be built on it.
func (s *side) syncLost(p *probe, class string) {
	time.AfterFunc(endsWithin, func() {
		if s.present() == p && p.alive() {
			s.w.fail("%s goes on although a sync has failed: %s", s.name, class)
		}
	})
}

func (s *side) present() *probe {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// dead says that it was killed and has not ended yet.
func (s *side) dead() bool {
	p := s.present()
	return p != nil && !p.alive()
}

func (s *side) start() {
	s.mu.Lock()
	s.asked, s.ended = false, make(chan struct{})
	s.mu.Unlock()
	go s.supervise(s.ended)
}

// supervise lives one life after another until it is asked to stop.
func (s *side) supervise(ended chan struct{}) {
	defer close(ended)
	for {
		ctx, p := s.begin()
		go func() {
			select {
			case <-p.died:
				s.cancel()
			case <-ctx.Done():
			}
		}()
		err := s.live(ctx, p)
		s.cancel()
		if !s.end(p, err) {
			return
		}
		time.Sleep(restartAfter)
	}
}

func (s *side) begin() (context.Context, *probe) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.again = cancel, false
	s.now = &probe{s: s, died: make(chan struct{})}
	s.finished = make(chan struct{})
	if s.struck {
		s.now.Life = s.disks.Begin()
		s.w.begun()
	}
	return ctx, s.now
}

// end takes the end of a life, and says whether there is to be another.
func (s *side) end(p *probe, err error) bool {
	s.mu.Lock()
	asked, again := s.asked, s.again
	s.now = nil
	close(s.finished)
	s.mu.Unlock()
	p.mu.Lock()
	lost, b := p.lost, p.blow
	p.mu.Unlock()
	loss := diskfault.Killed
	switch killed := !p.alive(); {
	case killed && b != nil:
		loss = b.Fault.loss()
	case lost: // what was not synced is treated as absent: at the worst it is
		loss = diskfault.Ordered + diskfault.Loss(s.rand.IntN(2))
	}
	s.w.note("%s ended: %v (asked %v, killed %v, %v)", s.name, err, asked || again, !p.alive(), loss)
	if p.alive() && (asked || again) && err != nil && b == nil {
		s.w.fail("%s ended with an error although it was asked to: %v", s.name, err)
	}
	if p.alive() && !asked && !again && (err == nil || b == nil) {
		s.w.fail("%s ended by itself: %v", s.name, err)
	}
	if s.struck {
		if err := s.disks.Crash(s.rand, loss); err != nil {
			s.w.fail("%s: the model of its disks: %v", s.name, err)
		}
	}
	s.w.lookAtImports(false)
	return !asked
}

// kill is kill -9 and what systemd does then. A side that is not struck ends in order.
func (s *side) kill() {
	s.mu.Lock()
	p, finished := s.now, s.finished
	if p == nil {
		s.mu.Unlock()
		return
	}
	s.again = true
	s.mu.Unlock()
	if p.Life != nil {
		p.Kill()
		p.once.Do(func() { close(p.died) })
	} else {
		s.cancel()
	}
	<-finished
}

// restart is systemctl restart, and is back when the old life has ended.
func (s *side) restart() {
	s.mu.Lock()
	p, finished := s.now, s.finished
	if p == nil {
		s.mu.Unlock()
		return
	}
	s.again = true
	s.cancel()
	s.mu.Unlock()
	s.wait(finished)
}

// stop is systemctl stop.
func (s *side) stop() {
	s.mu.Lock()
	s.asked = true
	s.cancel()
	ended := s.ended
	s.mu.Unlock()
	s.wait(ended)
}

func (s *side) wait(ended chan struct{}) {
	select {
	case <-ended:
	case <-time.After(restartAfter + endsWithin):
		s.w.fail("%s does not end", s.name)
		<-ended
	}
}

// instant is time.Time as package time lays it out where there is a monotonic reading: the highest bit of wall is set, 33 bits below it count seconds since 1885, the last 30
// are nanoseconds, and ext is the reading.
type instant struct {
	wall uint64
	ext  int64
	loc  *time.Location
}

// reading makes a time as a machine reads it whose wall clock may have been set: package time has no way to say that, and gives no monotonic reading in a bubble.
func reading(wall time.Time, monotonic time.Duration) time.Time {
	t := wall
	i := (*instant)(unsafe.Pointer(&t))
	since1885 := wall.Unix() + 2_682_288_000 // 1885 to 1970
	i.wall = 1<<63 | uint64(since1885)<<30 | uint64(wall.Nanosecond())
	i.ext = int64(monotonic)
	return t
}
