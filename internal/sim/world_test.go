package sim

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
	"ecluse/internal/keys"
	"ecluse/protocol/bundle"
	lowhouse "ecluse/sender/house"
)

const senderName = bundle.Name("low")

// ring is the keys of both sides.
type ring struct {
	identity *keys.Identity
	receiver *keys.ReceiverKey
	public   *keys.ReceiverPublic
	signers  *keys.AllowedSigners
}

func newRing(dir string) (*ring, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
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
}

// world is one run.
type world struct {
	plan  *plan
	ring  *ring
	dir   string
	tally *tally
	log   *events
	link  *link
	low   *low
	high  *high
	items []*item
	began time.Time
	zap   *zap.Logger
	text  *safeBuffer // what both houses logged

	wordy bool // all that is traced is written out

	digest *xxhash.Digest // of what was traced, and how much that was
	traced int

	states map[string]int // how many transfers ended how

	mu     sync.Mutex
	faults []string
}

// safeBuffer is a buffer for many writers. Its memory is not the runtime's: what is written there moves nothing else.
type safeBuffer struct {
	mu   sync.Mutex
	mem  []byte
	used int
}

// bufferMost is what a run may have to say. Only what is written takes memory.
const bufferMost = 256 << 20

func newBuffer() (*safeBuffer, error) {
	mem, err := unix.Mmap(-1, 0, bufferMost, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	return &safeBuffer{mem: mem}, err
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used += copy(s.mem[s.used:], p)
	return len(p), nil
}

// trace writes a line without a byte of the runtime's memory.
func (s *safeBuffer) trace(at time.Duration, what byte, text []byte, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used+len(text)*4+100 > len(s.mem) {
		return
	}
	b := strconv.AppendInt(s.mem[:s.used], int64(at/time.Microsecond), 10)
	b = append(b, " us "...)
	if what == sentPacket {
		b = hex.AppendEncode(append(b, "sends "...), text)
	} else {
		b = append(append(append(b, disk.Kind(what).String()...), ' '), text...)
	}
	b = append(strconv.AppendInt(append(b, ' '), n, 10), '\n')
	s.used = len(b)
}

func (s *safeBuffer) Sync() error { return nil }

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.mem[:s.used])
}

// newWorld lays out both sides below dir.
func newWorld(p *plan, dir string, r *ring) (*world, error) {
	text, err := newBuffer()
	if err != nil {
		return nil, err
	}
	w := &world{states: make(map[string]int), plan: p, ring: r, dir: dir, tally: newTally(), began: time.Now(), text: text, wordy: strings.TrimSpace(os.Getenv(logsVariable)) == "true", digest: xxhash.New()}
	w.log = &events{began: w.began}
	encoder := zap.NewProductionEncoderConfig()
	encoder.EncodeTime = func(at time.Time, e zapcore.PrimitiveArrayEncoder) { e.AppendString(at.Sub(w.began).String()) }
	w.zap = zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(encoder), w.text, zapcore.DebugLevel))
	w.link = newLink(w)
	for i := range p.items {
		w.items = append(w.items, makeItem(p.items[i], p.tenants[p.items[i].tenant].name))
	}
	for _, d := range []string{"low/state", "high/state", "spool"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, err
		}
	}
	for _, t := range p.tenants {
		for _, d := range []string{w.outbox(t.name), w.imports(t.name)} {
			if err := os.MkdirAll(d, 0o755); err != nil {
				return nil, err
			}
		}
	}
	epoch, err := lowhouse.Draw(disk.New(), filepath.Join(dir, "low", "state"))
	if err != nil {
		return nil, fmt.Errorf("draw the sender's state: %w", err)
	}
	w.low, err = newLow(w)
	if err != nil {
		return nil, err
	}
	w.high, err = newHigh(w, epoch)
	return w, err
}

func (w *world) outbox(t bundle.Name) string { return filepath.Join(w.dir, "low", "outbox", string(t)) }
func (w *world) imports(t bundle.Name) string {
	return filepath.Join(w.dir, "high", "import", string(t))
}

// fail notes that something does not hold. The run goes on: what else is wrong tells more.
func (w *world) fail(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.faults) < 50 {
		w.faults = append(w.faults, fmt.Sprintf(format, args...))
	}
}

// sentPacket is what a datagram is called among the kinds of act.
const sentPacket = 0xff

// trace takes note of one thing that a side does, each act of a disk and each datagram: two runs of one seed are held to be the same down to those. Where the logs are asked for, it
// is written out, to find where two runs part.
func (w *world) trace(what byte, text []byte, n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := time.Since(w.began)
	head := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(append(make([]byte, 0, 17), what), uint64(at)), uint64(n))
	_, _ = w.digest.Write(head)
	_, _ = w.digest.Write(text)
	w.traced++
	if w.wordy {
		w.text.trace(at, what, text, n)
	}
}

// below is a path without what is different in every process.
func (w *world) below(path string) string { return strings.TrimPrefix(path, w.dir) }

// events is the log of a run: what the plan decided and what became of each item, by the virtual clock.
type events struct {
	began time.Time
	mu    sync.Mutex
	lines []string
}

func (e *events) note(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lines = append(e.lines, fmt.Sprintf("%12v  %s", time.Since(e.began).Truncate(time.Millisecond), fmt.Sprintf(format, args...)))
}
