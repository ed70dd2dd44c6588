package transmit

import (
	"context"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ecluse/protocol/bundle"
	"ecluse/protocol/fec"
	"ecluse/protocol/packet"
	"ecluse/protocol/record"
	"ecluse/sender/schedule"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// secrets are keys without cryptography: what a session is made of is tested where the keys are.
type secrets struct{ number uint64 }

type exporter struct{}

func (exporter) Export(context string, n int) ([]byte, error) {
	s := sha256.Sum256([]byte(context))
	return s[:n], nil
}
func (s *secrets) Encapsulate([]byte) ([]byte, Exporter, error) {
	return make([]byte, packet.EncapsulationSize), exporter{}, nil
}
func (s *secrets) Sign([]byte) ([]byte, error)       { return make([]byte, 184), nil }
func (s *secrets) Public() (sender, receiver []byte) { return []byte("sender"), []byte("receiver") }
func (s *secrets) NextNumber() (uint64, error)       { s.number++; return s.number, nil }
func newOpener(t *testing.T) *packet.Opener {
	t.Helper()
	key, _ := exporter{}.Export(packet.KeyContext(0), 32)
	tag, _ := exporter{}.Export(packet.TagContext(0), 3)
	o, err := packet.NewOpener([32]byte(key), packet.Tag(tag))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// freePacer lets everything leave at once.
type freePacer struct{ start time.Time }

func (p freePacer) Now() int64                              { return int64(time.Since(p.start)) }
func (p freePacer) Next(now int64, _ int) int64             { return now }
func (p freePacer) Wait(ctx context.Context, _ int64) error { return ctx.Err() }

// far is the other side: it opens what is sent, decodes blocks, and hands their records on.
type far struct {
	t      *testing.T
	opener *packet.Opener
	drop   func(n int) bool

	mu       sync.Mutex
	n        int
	numbers  map[uint64]bool
	blocks   map[uint32]*farBlock
	announce int
	early    int // data before an announcement
	slices   func(*record.Slice)
	other    func(record.Record)
	coder    *fec.Coder
}

type farBlock struct {
	code   fec.Code
	shards [][]byte
	have   int
	done   bool
}

func (f *far) Send(batch []byte, segment int) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(batch) > 0 {
		d := batch[:min(segment, len(batch))]
		batch = batch[len(d):]
		f.n++
		if f.drop != nil && f.drop(f.n) {
			continue
		}
		f.one(d)
	}
	return 1, nil
}

func (f *far) one(d []byte) {
	kind, _, err := packet.Classify(d)
	if err != nil {
		f.t.Error(err)
		return
	}
	if kind == packet.KindAnnounce {
		f.announce++
		return
	}
	if f.announce == 0 {
		f.early++
	}
	in, number, shard, err := f.opener.Open(make([]byte, 0, len(d)), d)
	if err != nil {
		f.t.Error("open:", err)
		return
	}
	if f.numbers[number] {
		f.t.Errorf("packet number %d was used twice", number)
	}
	f.numbers[number] = true
	b := f.blocks[in.Block]
	if b == nil {
		b = &farBlock{code: fec.Code{K: int(in.K), M: int(in.M), Shard: len(shard)}, shards: make([][]byte, int(in.K)+int(in.M))}
		for i := range b.code.K {
			b.shards[i] = make([]byte, 0, len(shard))
		}
		f.blocks[in.Block] = b
		if err := b.code.Validate(); err != nil {
			f.t.Error(err)
		}
	}
	if b.done {
		return
	}
	b.shards[in.Index] = append(b.shards[in.Index][:0], shard...)
	if b.have++; b.have < b.code.K {
		return
	}
	b.done = true
	if err := f.coder.Reconstruct(b.code, b.shards); err != nil {
		f.t.Error(err)
		return
	}
	r, err := record.ReadBlock(b.shards[:b.code.K], in.Block)
	if err != nil {
		f.t.Error(err)
		return
	}
	for {
		x, err := r.Next()
		if err != nil {
			break
		}
		if s, ok := x.(*record.Slice); ok {
			f.slices(s)
		} else {
			f.other(x)
		}
	}
}

func newFar(t *testing.T) *far {
	return &far{
		t: t, opener: newOpener(t), numbers: map[uint64]bool{}, blocks: map[uint32]*farBlock{}, coder: fec.NewCoder(),
		slices: func(*record.Slice) {}, other: func(record.Record) {},
	}
}

func plan(t *testing.T, facts fec.Facts) *fec.Plan {
	t.Helper()
	p, err := fec.NewPlan(facts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func options(f Socket, p *fec.Plan, pacer Pacer, beat Beat) Options {
	return Options{
		Plan: p, Tenants: []schedule.Weight{{Tenant: "a", Weight: 1}, {Tenant: "b", Weight: 1}}, Socket: f, Pacer: pacer, Batch: 16,
		Secrets: &secrets{}, Epoch: bundle.Epoch{1}, Beat: beat, Loss: p.Facts.Loss, Burst: p.Facts.Burst, IPOverhead: fec.OverheadIPv4,
	}
}

func start(t *testing.T, f Socket, p *fec.Plan, beat Beat) *Engine {
	t.Helper()
	return startPaced(t, f, p, freePacer{time.Now()}, beat)
}

func startPaced(t *testing.T, f Socket, p *fec.Plan, pacer Pacer, beat Beat) *Engine {
	t.Helper()
	if beat == nil {
		beat = func() []Appender { return nil }
	}
	e := New(options(f, p, pacer, beat))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error("run:", err)
		}
	})
	return e
}

func TestWhatIsFedArrivesWholeAndIsReportedOut(t *testing.T) {
	for _, row := range []struct {
		name  string
		facts fec.Facts
		drop  func(rng *rand.Rand) func(int) bool
	}{
		{"MTU 1500 without loss", fec.Facts{Rate: 10e9, MTU: 1500, Loss: 0, Burst: 0}, nil},
		{"MTU 9000 without loss", fec.Facts{Rate: 10e9, MTU: 9000, Loss: 0.01, Burst: 100 * time.Microsecond}, nil},
		{"MTU 1500 with the loss that was stated", fec.Facts{Rate: 10e9, MTU: 1500, Loss: 0.03, Burst: 0}, func(rng *rand.Rand) func(int) bool {
			return func(n int) bool { return n > 30 && rng.Float64() < 0.03 }
		}},
		{"MTU 9000 with the loss that was stated", fec.Facts{Rate: 10e9, MTU: 9000, Loss: 0.03, Burst: 0}, func(rng *rand.Rand) func(int) bool {
			return func(n int) bool { return n > 30 && rng.Float64() < 0.03 }
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := newFar(t)
			if row.drop != nil {
				f.drop = row.drop(rand.New(rand.NewPCG(1, 2)))
			}
			const chunks, size = 24, 1 << 20
			got := make([][]byte, chunks)
			bytes := 0
			f.slices = func(s *record.Slice) {
				if got[s.Chunk] == nil {
					got[s.Chunk] = make([]byte, s.Frame)
				}
				at := int(s.Offset)
				for _, d := range s.Data {
					at += copy(got[s.Chunk][at:], d)
					bytes += len(d)
				}
			}
			e := start(t, f, plan(t, row.facts), nil)
			feed := e.Open(schedule.Lane{Tenant: 0, Class: bundle.Normal})
			out := make(chan struct{})
			o := NewOut(func() { close(out) })
			want := make([][]byte, chunks)
			for i := range chunks {
				want[i] = make([]byte, size)
				rand.NewChaCha8([32]byte{byte(i)}).Read(want[i])
				c := &record.Chunk{Bundle: bundle.ID{1}, Number: uint32(i), Raw: size, Runs: []bundle.Run{{File: 1, Offset: uint64(i) * size, Length: size}}, Frame: want[i]}
				if err := feed.Put(context.Background(), Piece{Chunk: c, Out: o, Content: size}); err != nil {
					t.Fatal(err)
				}
			}
			feed.Close()
			o.Finish()
			select {
			case <-out:
			case <-time.After(20 * time.Second):
				t.Fatal("never reported out")
			}
			if o.Content() != chunks*size {
				t.Errorf("%d bytes of content were reported, %d were fed", o.Content(), chunks*size)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			for i := range want {
				if string(got[i]) != string(want[i]) {
					t.Fatalf("chunk %d differs or is missing when its pass was reported out", i)
				}
			}
			if f.early > 0 {
				t.Errorf("%d data packets before any announcement", f.early)
			}
		})
	}
}

func TestHeartbeatsGoOnBesideAFullLink(t *testing.T) {
	f := newFar(t)
	beats := make(chan struct{}, 100)
	f.other = func(r record.Record) {
		if _, ok := r.(*record.Heartbeat); ok {
			beats <- struct{}{}
		}
	}
	e := start(t, f, plan(t, fec.Facts{Rate: 20e6, MTU: 1500, Loss: 0.01, Burst: time.Millisecond}), func() []Appender {
		return []Appender{&record.Heartbeat{Clock: 1, Epoch: bundle.Epoch{1}}}
	})
	feed := e.Open(schedule.Lane{Tenant: 0, Class: bundle.Normal})
	ctx, cancel := context.WithTimeout(context.Background(), 2500*time.Millisecond)
	defer cancel()
	frame := make([]byte, 1<<20)
	for i := uint32(0); feed.Put(ctx, Piece{Chunk: &record.Chunk{Bundle: bundle.ID{1}, Number: i, Raw: 1 << 20, Runs: []bundle.Run{{File: 1, Length: 1 << 20}}, Frame: frame}}) == nil; i++ {
	}
	if len(beats) < 2 {
		t.Errorf("%d heartbeats in 2.5 s", len(beats))
	}
}

// A link that is faster than what fills it has the builder wait for nothing, and a heartbeat that is due goes out all the same.
func TestAHeartbeatIsDueAlsoWhereNothingIsWaitedFor(t *testing.T) {
	n := 0
	e := New(options(newFar(t), plan(t, fec.Facts{Rate: 10e9, MTU: 9000}), freePacer{time.Now()}, func() []Appender { n++; return nil }))
	memory, err := newPool(1, headroom+(e.options.Plan.K+e.options.Plan.M)*e.options.Plan.Shard)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := memory.close(); err != nil {
			t.Error(err)
		}
	}()
	b, err := e.builder(memory, [ways]chan emitted{})
	if err != nil {
		t.Fatal(err)
	}
	beats := make(chan time.Time, 1)
	for due := range 3 {
		beats <- time.Now()
		buf, err := b.until(t.Context(), beats, nil, emitted{}, memory.free)
		if err != nil || buf == nil || n != due+1 {
			t.Fatalf("%d heartbeats of %d, and %v", n, due+1, err)
		}
		memory.put(buf)
	}
}

func TestASmallPieceLeavesAtOnce(t *testing.T) {
	f := newFar(t)
	came := make(chan time.Time, 10)
	f.slices = func(*record.Slice) { came <- time.Now() }
	e := start(t, f, plan(t, fec.Facts{Rate: 900e6, MTU: 1500, Loss: 0.01, Burst: 10 * time.Millisecond}), nil)
	feed := e.Open(schedule.Lane{Tenant: 0, Class: bundle.Normal})
	time.Sleep(100 * time.Millisecond) // the session is announced
	var worst time.Duration
	for i := range 10 {
		began := time.Now()
		c := &record.Chunk{Bundle: bundle.ID{1}, Number: uint32(i), Raw: 1024, Runs: []bundle.Run{{File: 1, Length: 1024}}, Frame: make([]byte, 1024)}
		if err := feed.Put(context.Background(), Piece{Chunk: c}); err != nil {
			t.Fatal(err)
		}
		worst = max(worst, (<-came).Sub(began))
	}
	if worst > 50*time.Millisecond {
		t.Errorf("the slowest of ten small pieces took %v on an idle link", worst)
	}
}
