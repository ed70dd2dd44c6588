package collect

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/protocol/packet"
)

// feed is a source without a socket: what is put in comes out, in batches, and nothing is dropped before the collector.
type feed struct {
	in     chan []byte // each element is one buffer's content
	seg    int
	kernel atomic.Uint64
	done   chan struct{}
	once   sync.Once
}

func newFeed() *feed { return &feed{in: make(chan []byte, 1024), done: make(chan struct{})} }

func (f *feed) Receive(buffers []Buffer) (int, error) {
	select {
	case <-f.done:
		return 0, errors.New("closed")
	case content := <-f.in:
		f.fill(&buffers[0], content)
	case <-time.After(time.Second):
		return 0, nil
	}
	for n := 1; n < len(buffers); n++ {
		select {
		case content := <-f.in:
			f.fill(&buffers[n], content)
		default:
			return n, nil
		}
	}
	return len(buffers), nil
}

func (f *feed) fill(b *Buffer, content []byte) {
	b.N, b.Segment = copy(b.Mem, content), f.seg
}

func (f *feed) Dropped() uint64 { return f.kernel.Load() }

func (f *feed) Close() error {
	f.once.Do(func() { close(f.done) })
	return nil
}

// send waits until the datagrams are on their way.
func (f *feed) send(datagrams ...[]byte) {
	for _, d := range datagrams {
		f.in <- d
	}
}

// testVerifier believes every announcement of the senders it knows, without a signature. The keys follow from name and number.
type testVerifier struct {
	mu       sync.Mutex
	enrolled map[[32]byte]string
	highest  map[string]uint64
	verified int
	stored   map[uint64][]Floor
	fail     error
}

func newTestVerifier(names ...string) *testVerifier {
	v := &testVerifier{enrolled: map[[32]byte]string{}, highest: map[string]uint64{}, stored: map[uint64][]Floor{}}
	for _, n := range names {
		v.enrolled[packet.KeyID([]byte(n))] = n
	}
	return v
}

func (v *testVerifier) Enrolled(id [32]byte) (string, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	name, ok := v.enrolled[id]
	return name, ok
}

func (v *testVerifier) Recognise(a *packet.Announcement) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	name, ok := v.enrolled[a.Sender]
	switch {
	case !ok:
		return "SHA256:stranger", bundle.Reject(bundle.ReasonSessionSenderUnknown, "S-3", "the key is not enrolled")
	case a.Number < v.highest[name]:
		return name, bundle.Reject(bundle.ReasonSessionNumberOld, "S-7", "below the highest")
	}
	return name, nil
}

func (v *testVerifier) Verify(now time.Time, a *packet.Announcement, _ []byte) (*Session, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.verified++
	if v.fail != nil {
		return nil, v.fail
	}
	name := v.enrolled[a.Sender]
	v.highest[name] = max(v.highest[name], a.Number)
	s := testSession(name, a.Number, int(a.Links))
	s.Info.Opened = now
	for i, f := range v.stored[a.Number] {
		s.Links[i].Floor = f
	}
	return s, nil
}

func (v *testVerifier) Store(s *Session, floors []Floor) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.stored[s.Info.Number] = floors
	return nil
}

// announce makes the datagrams of an announcement that testVerifier takes for testSession(name, number, links).
func announce(name string, number uint64, links int) [][]byte {
	a := packet.Announcement{Number: number, Epoch: bundle.Epoch{1}, Sender: packet.KeyID([]byte(name)), Receiver: [32]byte{9},
		Links: uint8(links), Encapsulation: make([]byte, packet.EncapsulationSize), Signature: make([]byte, 184)}
	return a.AppendPackets()
}

// running is a Collector at work.
type running struct {
	*Collector
	t      *testing.T
	cancel context.CancelFunc
	ended  chan error
}

func start(t *testing.T, o Options) *running {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Collector: c, t: t, cancel: cancel, ended: make(chan error, 1)}
	go func() { r.ended <- c.Run(ctx) }()
	t.Cleanup(func() { cancel() })
	return r
}

// stop ends the Collector, and gives what Run gave.
func (r *running) stop() error {
	r.t.Helper()
	r.cancel()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(10 * time.Second):
		r.t.Fatal("Run did not end")
		return nil
	}
}

// until waits for something that must become true.
func (r *running) until(what string, is func(Snapshot) bool) Snapshot {
	r.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if s := r.Snapshot(); is(s) {
			return s
		}
	}
	s := r.Snapshot()
	r.t.Fatalf("in vain: %s; %+v; %d sessions, %d refused ones", what, s.Links, len(s.Sessions), len(s.Refused))
	return Snapshot{}
}
