package points

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"ecluse/internal/disk"
	"ecluse/internal/keys"
	"ecluse/protocol/bundle"
	highhouse "ecluse/receiver/house"
	lowhouse "ecluse/sender/house"
)

const senderName = bundle.Name("low")

var tenants = []bundle.Name{"alpha", "beta"}

// ring is the keys of both sides, which all runs of a process share.
type ring struct {
	identity *keys.Identity
	receiver *keys.ReceiverKey
	public   *keys.ReceiverPublic
	signers  *keys.AllowedSigners
}

var sharedRing = sync.OnceValues(func() (*ring, error) {
	dir, err := os.MkdirTemp("", "ecluse-points-keys-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	key, err := keys.GenerateIdentity(filepath.Join(dir, "id"), string(senderName))
	if err != nil {
		return nil, err
	}
	r := &ring{}
	if r.identity, err = keys.LoadIdentity(filepath.Join(dir, "id")); err != nil {
		return nil, err
	}
	if r.receiver, err = keys.GenerateReceiverKey(filepath.Join(dir, "receiver")); err != nil {
		return nil, err
	}
	if r.public, err = keys.ParseReceiverPublic(r.receiver.Public()); err != nil {
		return nil, err
	}
	signers := filepath.Join(dir, "allowed_signers")
	if _, err := keys.AppendSigner(signers, senderName, []string{bundle.NamespaceBundle, bundle.NamespaceSession, bundle.NamespaceAbandon}, key, ""); err != nil {
		return nil, err
	}
	all, err := keys.LoadAllowedSigners(signers)
	if err != nil {
		return nil, err
	}
	r.signers = all.Restrict([]bundle.Name{senderName})
	return r, nil
})

// world is one run.
type world struct {
	trial trial
	ring  *ring
	dir   string
	apart bool      // spool and far are file systems of their own
	base  time.Time // of the machines' clocks
	began time.Time
	link  *link
	low   *low
	high  *high
	items []*item
	names map[string]bool // of items, and of what stands in for them
	zap   *zap.Logger
	text  *safeBuffer // what both houses logged

	mu        sync.Mutex
	jumped    time.Duration
	faults    []string
	events    []string
	seen      map[string]int // acts of the side that is struck, by class
	acts      []site         // the same, in order
	first     time.Time      // when the first blow fell
	afterward map[string]int // acts since the start after it
	recovers  time.Time      // when that was
	recovery  []site
	second    bool // the second blow has fallen
	highest   map[string]uint64
	taken     map[*item]string // by consumers, from which destination
	ends      map[string]int
	lasting   atomic.Int32 // faults that last still
	looking   atomic.Int32 // the checker reads
	stuck     bool         // it did not come to rest
	over      bool         // time has passed, and what is over was purged
}

// safeBuffer is a buffer for many writers.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) Sync() error { return nil }

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// newWorld lays out both sides below dir. base is what the machines' clocks show at first: files have times of the real one.
// apart says that dir/spool and dir/far are file systems of their own.
func newWorld(c trial, dir string, r *ring, base time.Time, apart bool) (*world, error) {
	w := &world{
		trial: c, ring: r, dir: dir, apart: apart, base: base, began: time.Now(), text: &safeBuffer{}, names: make(map[string]bool), seen: make(map[string]int), highest: make(map[string]uint64),
		taken: make(map[*item]string), ends: make(map[string]int),
	}
	encoder := zap.NewProductionEncoderConfig()
	encoder.EncodeTime = func(at time.Time, e zapcore.PrimitiveArrayEncoder) { e.AppendString(at.Sub(w.began).String()) }
	w.zap = zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(encoder), w.text, zapcore.DebugLevel))
	w.link = &link{w: w, pass: 1, seen: make(map[[10]byte]bool)}
	for _, d := range []string{"low/state", "high/state", "low/desk", "spool/outbox", "spool/desk", "far/import", "far/taken"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, err
		}
	}
	for _, t := range tenants {
		if err := os.MkdirAll(w.outboxOf(t), 0o755); err != nil {
			return nil, err
		}
	}
	for _, to := range destinations {
		if err := os.MkdirAll(w.at(to), 0o755); err != nil {
			return nil, err
		}
	}
	epoch, err := lowhouse.Draw(disk.New(), filepath.Join(dir, "low", "state"))
	if err != nil {
		return nil, fmt.Errorf("draw the sender's state: %w", err)
	}
	if w.low, err = newLow(w); err != nil {
		return nil, err
	}
	w.high, err = newHigh(w, epoch)
	return w, err
}

// roots are the file systems of a side, below the world's directory: the second one only where it is one.
func (w *world) roots(first, second string) []string {
	list := []string{filepath.Join(w.dir, first)}
	if w.apart {
		list = append(list, filepath.Join(w.dir, second))
	}
	return list
}

// source is a stream of decisions that belongs to the case.
func (w *world) source(stream uint64) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(w.trial.String()))
	return rand.New(rand.NewPCG(h.Sum64(), stream))
}

// fail notes that something does not hold. The run goes on: what else is wrong tells more.
func (w *world) fail(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.note("FAULT %s", text)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.faults) < 30 && !slices.Contains(w.faults, text) {
		w.faults = append(w.faults, text)
	}
}

// note writes an event down, by the virtual clock; into the houses' log as well.
func (w *world) note(format string, args ...any) {
	line := fmt.Sprintf("%12v  %s", time.Since(w.began).Truncate(time.Millisecond), fmt.Sprintf(format, args...))
	w.mu.Lock()
	w.events = append(w.events, line)
	w.mu.Unlock()
	_, _ = w.text.Write([]byte(line + "\n"))
}

// clock is both machines' wall clock.
func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	past := time.Since(w.began)
	return reading(w.base.Add(past+w.jumped), past+time.Second)
}

// jump sets both clocks forward.
func (w *world) jump(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.jumped += by
}

// begun notes that a life of the side begins that is struck.
func (w *world) begun() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.first.IsZero() && w.afterward == nil {
		w.afterward, w.recovers = make(map[string]int), time.Now()
	}
}

// recoveryLasts is how long after its start a side recovers: claims are taken up again, and what is repeated has come.
const recoveryLasts = 10 * time.Second

// due counts an act, and says what strikes it.
func (w *world) due(p *probe, op *disk.Op) *blow {
	if p.Dead() || w.looking.Load() > 0 {
		return nil
	}
	class := w.class(op)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[class]++
	at := site{class, w.seen[class]}
	w.acts = append(w.acts, at)
	if w.first.IsZero() && at == w.trial.First.Site {
		w.first = time.Now()
		w.events = append(w.events, fmt.Sprintf("%12v  %s: %s", time.Since(w.began).Truncate(time.Millisecond), at, w.trial.First.Fault))
		return &w.trial.First
	}
	if w.afterward == nil {
		return nil
	}
	w.afterward[class]++
	at.N = w.afterward[class]
	if time.Since(w.recovers) < recoveryLasts {
		w.recovery = append(w.recovery, at)
	}
	if !w.second && at == w.trial.Then.Site {
		w.second = true
		w.events = append(w.events, fmt.Sprintf("%12v  then %s: %s", time.Since(w.began).Truncate(time.Millisecond), at, w.trial.Then.Fault))
		return &w.trial.Then
	}
	return nil
}

// strikes counts the blows that have fallen.
func (w *world) strikes() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.first.IsZero() {
		n++
	}
	if w.second {
		n++
	}
	return n
}

// marks holds the high-water marks of the high side against those that it had before: they never go down.
func (w *world) marks(h *highhouse.House) {
	a := h.Ledger.Anchored()
	w.mu.Lock()
	var lower []string
	hold := func(what string, n uint64) {
		if n < w.highest[what] {
			lower = append(lower, fmt.Sprintf("%s was %d and is %d", what, w.highest[what], n))
		}
		w.highest[what] = max(w.highest[what], n)
	}
	for _, m := range a.Marks {
		hold(fmt.Sprintf("the mark of %s, epoch %s", m.Tenant, m.Epoch), m.Sequence)
	}
	for _, s := range a.Sessions {
		hold(fmt.Sprintf("the session number of %s, epoch %s", s.Sender, s.Epoch), s.Number)
	}
	w.mu.Unlock()
	for _, text := range lower {
		w.fail("%s", text)
	}
	for _, d := range a.Doubts {
		w.fail("the receiver doubts its own state, though nobody put an older one back: %s", d.Text)
	}
}

// isRejected says whether the officer does not want what has this name.
func (w *world) isRejected(t bundle.Name, name string) bool {
	for _, it := range w.items {
		if it.tenant == t && it.name == name && it.fate == rejected {
			return true
		}
	}
	return false
}
