package diskfault

import (
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
)

// What is what a fault does.
type What uint8

// The faults. Each but Torn and Kill leaves the process alive.
const (
	Kill      What = iota + 1 // the process is dead before the act
	Torn                      // the same in the middle of a write: half of it is done
	ErrorOnce                 // EIO
	ErrorPath                 // EIO, and for ever on the same paths
	ErrorAll                  // EIO, and for ever on everything
	FullOnce                  // ENOSPC
	Full                      // ENOSPC, until Relieve; nothing is free meanwhile
	Short                     // half of a write is done, and then ENOSPC
	whats
)

// Whats lists all faults.
func Whats() (all []What) {
	for w := Kill; w < whats; w++ {
		all = append(all, w)
	}
	return all
}

func (w What) String() string {
	return [whats]string{"none", "kill", "torn write", "EIO once", "EIO on a path", "EIO for ever", "ENOSPC once", "ENOSPC", "short write"}[w]
}

// Strikes says whether a fault can happen to an act of a kind.
func (w What) Strikes(k disk.Kind) bool {
	switch w {
	case Torn, Short:
		return k == disk.Write
	case FullOnce, Full:
		return takesRoom(k)
	}
	return true
}

func takesRoom(k disk.Kind) bool {
	return k == disk.Write || k == disk.Create || k == disk.Mkdir || k == disk.Rename || k == disk.RenameNew
}

func isSync(k disk.Kind) bool { return k == disk.Sync || k == disk.SyncDir || k == disk.SyncSystem }

// Fault is a fault that waits for its act: the first from number At on (they count from 1) that it can happen to, and that Only lets pass, unless that is nil.
type Fault struct {
	What What
	At   int
	Only func(*disk.Op) bool
}

// Act is what a life has done.
type Act struct {
	Kind     disk.Kind
	Path, To string
}

// Life is one process. It implements disk.Probe.
type Life struct {
	m    *Model
	dead atomic.Bool

	// The rest is guarded by the model's lock.
	acts   int
	armed  []Fault
	paths  []string // on which everything fails
	all    bool     // on everything
	full   bool
	trace  bool
	traced []Act
}

// Begin begins a life. The one before has ended by Crash.
func (m *Model) Begin() *Life {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.life != nil {
		panic("diskfault: two lives at once")
	}
	m.life = &Life{m: m}
	return m.life
}

// Arm adds faults.
func (l *Life) Arm(faults ...Fault) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	l.armed = append(l.armed, faults...)
}

// Relieve makes room again, and lets faults that last come to an end. What is armed stays armed.
func (l *Life) Relieve() {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	l.full, l.all, l.paths = false, false, nil
}

// Kill kills the process. An act that is under way is done.
func (l *Life) Kill() { l.dead.Store(true) }

// Dead says whether the process was killed.
func (l *Life) Dead() bool { return l.dead.Load() }

// Trace has the acts remembered from now on.
func (l *Life) Trace() {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	l.trace = true
}

// Acts gives how many acts there were, and those that were remembered.
func (l *Life) Acts() (n int, traced []Act) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	return l.acts, slices.Clone(l.traced)
}

// Fired tells how often each fault has struck.
func (m *Model) Fired() map[What]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	fired := make(map[What]int, len(m.fired))
	for w, n := range m.fired {
		fired[w] = n
	}
	return fired
}

// Before implements disk.Probe.
func (l *Life) Before(op *disk.Op) error {
	l.m.mu.Lock() // until After
	l.m.doing = act{}
	if l.dead.Load() {
		return disk.ErrKilled
	}
	whole := op.Len
	l.acts++
	if l.trace {
		l.traced = append(l.traced, Act{op.Kind, op.Path, op.To})
	}
	err := l.strike(op)
	if err == nil {
		err = l.lasting(op)
	}
	if err != nil && isSync(op.Kind) {
		l.m.syncFailed(op)
	}
	if s := l.m.of(op.Path); err == nil && s != nil && s.limit > 0 {
		err = s.fits(op)
	}
	if err != nil && (op.Kind != disk.Write || op.Len == 0 || op.Len == whole) {
		return err
	}
	if failed := l.m.note(op); err == nil {
		err = failed
	}
	return err
}

// strike lets the first fault strike that this act is due for.
func (l *Life) strike(op *disk.Op) error {
	for i, f := range l.armed {
		if l.acts < f.At || !f.What.Strikes(op.Kind) || f.Only != nil && !f.Only(op) {
			continue
		}
		l.armed = slices.Delete(l.armed, i, i+1)
		l.m.fired[f.What]++
		switch f.What {
		case Kill:
			l.dead.Store(true)
			return disk.ErrKilled
		case Torn:
			l.dead.Store(true)
			op.Len /= 2
			return disk.ErrKilled
		case ErrorPath:
			l.paths = append(l.paths, op.Path)
		case ErrorAll:
			l.all = true
		case Full:
			l.full = true
		case FullOnce:
			return unix.ENOSPC
		case Short:
			op.Len /= 2
			return unix.ENOSPC
		}
		if f.What == ErrorOnce {
			return unix.EIO
		}
		break
	}
	return nil
}

// lasting gives the error of a fault that lasts.
func (l *Life) lasting(op *disk.Op) error {
	switch {
	case l.all, slices.Contains(l.paths, op.Path), op.To != "" && slices.Contains(l.paths, op.To):
		return unix.EIO
	case l.full && takesRoom(op.Kind):
		return unix.ENOSPC
	}
	return nil
}

// After implements disk.Probe.
func (l *Life) After(op *disk.Op, err error) {
	l.m.noted(op, err)
	l.m.doing = act{}
	if l.full && op.Kind == disk.Space {
		op.Free.Bytes = 0
	}
	l.m.mu.Unlock()
}

// Device tells the file systems of the model apart, which may stand on one of the machine.
func (l *Life) Device(path string, real uint64) uint64 {
	for i, s := range l.m.systems {
		if s.holds(path) {
			return real + uint64(i+1)<<40
		}
	}
	return real
}
