package dispatch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"ecluse/protocol/bundle"
	"ecluse/protocol/fec"
	"ecluse/protocol/packet"
	"ecluse/protocol/record"
	"ecluse/sender/transmit"
)

// secrets are keys without cryptography.
type secrets struct{ number uint64 }

type exporter struct{}

func (exporter) Export(context string, n int) ([]byte, error) {
	s := sha256.Sum256([]byte(context))
	return s[:n], nil
}

func (s *secrets) Encapsulate([]byte) ([]byte, transmit.Exporter, error) {
	return make([]byte, packet.EncapsulationSize), exporter{}, nil
}
func (s *secrets) Sign([]byte) ([]byte, error)       { return make([]byte, 184), nil }
func (s *secrets) Public() (sender, receiver []byte) { return []byte("sender"), []byte("receiver") }
func (s *secrets) NextNumber() (uint64, error)       { s.number++; return s.number, nil }

// freePacer lets everything leave at once.
type freePacer struct{ start time.Time }

func (p freePacer) Now() int64                              { return int64(time.Since(p.start)) }
func (p freePacer) Next(now int64, _ int) int64             { return now }
func (p freePacer) Wait(ctx context.Context, _ int64) error { return ctx.Err() }

// socket is the other end of one life's link: it decodes blocks, and gives their records to what the receiver has.
type socket struct {
	high   *high
	life   int
	opener *packet.Opener
	blocks map[uint32]*block
	coder  *fec.Coder

	mu   sync.Mutex
	gate *sync.Cond
	held bool // Send waits
	cut  bool // what is sent is lost
}

type block struct {
	code   fec.Code
	shards [][]byte
	have   int
}

func newSocket(h *high) *socket {
	key, _ := exporter{}.Export(packet.KeyContext(0), 32)
	tag, _ := exporter{}.Export(packet.TagContext(0), 3)
	o, err := packet.NewOpener([32]byte(key), packet.Tag(tag))
	must(h.t, err)
	h.lives++
	s := &socket{high: h, life: h.lives, opener: o, blocks: map[uint32]*block{}, coder: fec.NewCoder()}
	s.gate = sync.NewCond(&s.mu)
	return s
}

// hold keeps everything from leaving, or lets it go.
func (s *socket) hold(held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = held
	s.gate.Broadcast()
}

// end loses what is still sent: the life is over.
func (s *socket) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = true
	s.gate.Broadcast()
}

func (s *socket) Send(batch []byte, segment int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.held && !s.cut {
		s.gate.Wait()
	}
	for len(batch) > 0 && !s.cut {
		d := batch[:min(segment, len(batch))]
		batch = batch[len(d):]
		if kind, _, err := packet.Classify(d); err != nil || kind == packet.KindAnnounce {
			continue
		}
		s.one(d)
	}
	return 1, nil
}

func (s *socket) one(d []byte) {
	t := s.high.t
	in, _, shard, err := s.opener.Open(make([]byte, 0, len(d)), d)
	if err != nil {
		t.Error("open:", err)
		return
	}
	b := s.blocks[in.Block]
	if b == nil {
		b = &block{code: fec.Code{K: int(in.K), M: int(in.M), Shard: len(shard)}, shards: make([][]byte, int(in.K)+int(in.M))}
		for i := range b.code.K {
			b.shards[i] = make([]byte, 0, len(shard))
		}
		s.blocks[in.Block] = b
	}
	if b.have >= b.code.K {
		return
	}
	b.shards[in.Index] = append(b.shards[in.Index][:0], shard...)
	if b.have++; b.have < b.code.K {
		return
	}
	if err := s.coder.Reconstruct(b.code, b.shards); err != nil {
		t.Error(err)
		return
	}
	r, err := record.ReadBlock(b.shards[:b.code.K], in.Block)
	if err != nil {
		t.Error(err)
		return
	}
	b.shards = nil
	s.high.read(r, uint64(s.life)<<32|uint64(in.Block))
}

// arrived is what the receiver has of one bundle.
type arrived struct {
	first   record.Type // of its first record, in the order in which blocks were filled: small blocks overtake large ones
	at      uint64      // the place of that
	offers  []record.Offer
	chunks  map[uint32]*frame
	closes  []record.Close
	abandon []record.Abandon
	again   struct{ offers, closes, abandons int } // in heartbeats
}

type frame struct {
	raw   int
	runs  []bundle.Run
	bytes []byte
	known []byte // 1 where a byte has come
	got   int    // bytes, of all passes
}

// times is how often the chunk came whole.
func (f *frame) times() int { return f.got / len(f.bytes) }

// high is the receiver: what came, of all lives of the sender.
type high struct {
	t *testing.T

	mu    sync.Mutex
	items map[bundle.ID]*arrived
	at    uint64 // the place of the record at hand
	lives int
	beats []record.Heartbeat
	order []bundle.ID // of closes, outside heartbeats
}

func newHigh(t *testing.T) *high { return &high{t: t, items: map[bundle.ID]*arrived{}} }

func (h *high) of(id bundle.ID, kind record.Type) *arrived {
	a := h.items[id]
	if a == nil {
		a = &arrived{at: math.MaxUint64, chunks: map[uint32]*frame{}}
		h.items[id] = a
	}
	if h.at < a.at {
		a.at, a.first = h.at, kind
	}
	return a
}

// read takes a block. place orders it among the blocks of all lives.
func (h *high) read(r *record.Reader, place uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	beat := false
	for h.at = place << 16; ; h.at++ {
		x, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			h.t.Error("record:", err)
			continue
		}
		if x, ok := x.(*record.Heartbeat); ok {
			beat = true
			c := *x
			c.Tenants = slices.Clone(x.Tenants)
			h.beats = append(h.beats, c)
			continue
		}
		h.record(x, beat)
	}
}

func (h *high) record(x record.Record, beat bool) {
	switch x := x.(type) {
	case *record.Offer:
		a := h.of(x.Bundle, x.Type())
		if beat {
			a.again.offers++
			return
		}
		a.offers = append(a.offers, *x)
	case *record.Slice:
		h.slice(h.of(x.Bundle, x.Type()), x)
	case *record.Close:
		a := h.of(x.Bundle, x.Type())
		if beat {
			a.again.closes++
			return
		}
		c := *x
		c.Signature = bytes.Clone(x.Signature)
		a.closes = append(a.closes, c)
		h.order = append(h.order, x.Bundle)
	case *record.Abandon:
		a := h.of(x.Bundle, x.Type())
		if beat {
			a.again.abandons++
			return
		}
		c := *x
		c.Signature = bytes.Clone(x.Signature)
		a.abandon = append(a.abandon, c)
	}
}

// slice holds that every pass brings the same frame.
func (h *high) slice(a *arrived, s *record.Slice) {
	f := a.chunks[s.Chunk]
	if f == nil {
		f = &frame{raw: int(s.Raw), bytes: make([]byte, s.Frame), known: make([]byte, s.Frame)}
		a.chunks[s.Chunk] = f
	}
	if f.raw != int(s.Raw) || len(f.bytes) != int(s.Frame) {
		h.t.Errorf("chunk %d of %s came as %d bytes in %d, and again as %d in %d", s.Chunk, s.Bundle, f.raw, len(f.bytes), s.Raw, s.Frame)
		return
	}
	if s.Offset == 0 {
		f.runs = slices.Clone(s.Runs)
	}
	at := int(s.Offset)
	for _, d := range s.Data {
		have, known := f.bytes[at:at+len(d)], f.known[at:at+len(d)]
		if !bytes.Contains(known, []byte{0}) && !bytes.Equal(have, d) {
			h.t.Errorf("chunk %d of %s has other bytes in another pass", s.Chunk, s.Bundle)
			return
		}
		copy(have, d)
		copy(known, bytes.Repeat([]byte{1}, len(d)))
		at += len(d)
		f.got += len(d)
	}
}

// whole is one bundle, read as a receiver reads it.
type whole struct {
	manifest *bundle.Manifest
	files    map[string][]byte
	dirs     []string
}

// whole decodes a bundle that came completely, and holds that each of its chunks came so many times.
func (h *high) whole(id bundle.ID, times int) *whole {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.items[id]
	if a == nil || !came(len(a.closes), times) || !came(len(a.offers), times) {
		h.t.Fatalf("%s did not come %d times: %+v", id, times, a)
	}
	if a.first != record.TypeOffer {
		h.t.Errorf("the first record of %s is of type %d, not its offer", id, a.first)
	}
	o, end := a.offers[0], a.closes[0]
	for _, other := range a.offers {
		if other != o {
			h.t.Errorf("offer %+v became %+v", o, other)
		}
	}
	for _, c := range a.closes {
		if c.Sequence != end.Sequence || c.Manifest != end.Manifest || !bytes.Equal(c.Signature, end.Signature) || c.Previous != end.Previous {
			h.t.Errorf("close %+v became %+v", end, c)
		}
	}
	if o.Chunks != end.Chunks || len(a.chunks) != int(end.Chunks+end.ManifestChunks) {
		h.t.Fatalf("%d chunks came; the offer has %d, the close %d and %d", len(a.chunks), o.Chunks, end.Chunks, end.ManifestChunks)
	}
	var text []byte
	for i := range end.ManifestChunks {
		text = append(text, h.content(a, end.Chunks+i, times)...)
	}
	if sum := bundle.Digest(sha256.Sum256(text)); sum != end.Manifest || len(text) != int(end.ManifestSize) {
		h.t.Fatal("the manifest is not what the close says")
	}
	want, _ := signer{}.SignManifest(bytes.NewReader(text))
	if !bytes.Equal(want, end.Signature) {
		h.t.Error("the signature is not of this manifest")
	}
	m, err := bundle.ParseManifest(bytes.NewReader(text), bundle.Limits{})
	must(h.t, err)
	if m.Bundle != id || m.Sequence != end.Sequence || m.Previous != end.Previous || m.Epoch != end.Epoch || m.Epoch != o.Epoch || m.Created != o.Created || m.Name != o.Name {
		h.t.Errorf("the manifest %+v contradicts its close or offer", m.Header)
	}
	w := &whole{manifest: m, files: map[string][]byte{}}
	for n := 1; n <= m.Table.Files(); n++ {
		w.files[string(m.Table.File(n).Path)] = make([]byte, m.Table.Size(n))
	}
	for n := range m.Table.Dirs() {
		w.dirs = append(w.dirs, string(m.Table.Dir(n).Path))
	}
	for n := range end.Chunks {
		raw := h.content(a, n, times)
		for _, run := range a.chunks[n].runs {
			copy(w.files[string(m.Table.File(int(run.File)).Path)][run.Offset:], raw[:run.Length])
			raw = raw[run.Length:]
		}
	}
	for n := 1; n <= m.Table.Files(); n++ {
		f := m.Table.File(n)
		if bundle.Digest(sha256.Sum256(w.files[string(f.Path)])) != f.Digest {
			h.t.Errorf("%s: what came is not what the manifest says", f.Path)
		}
	}
	return w
}

// atLeast is for passes that are cut short and begin again: a thing comes so often, or more.
const atLeast = 1000

// came says whether something came so many times.
func came(got, times int) bool {
	if times > atLeast {
		return got >= times-atLeast
	}
	return got == times
}

// content is one chunk, decompressed.
func (h *high) content(a *arrived, n uint32, times int) []byte {
	h.t.Helper()
	f := a.chunks[n]
	if f == nil || !came(f.times(), times) {
		h.t.Fatalf("chunk %d did not come %d times: %+v", n, times, f)
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	must(h.t, err)
	defer d.Close()
	raw, err := d.DecodeAll(f.bytes, nil)
	must(h.t, err)
	if len(raw) != f.raw {
		h.t.Fatalf("chunk %d holds %d bytes, not %d", n, len(raw), f.raw)
	}
	return raw
}

// see looks at what came of a bundle, under the lock.
func (h *high) see(id bundle.ID, f func(a *arrived) bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := h.items[id]
	if a == nil {
		a = &arrived{}
	}
	return f(a)
}

// abandons counts the signed abandons of a bundle outside heartbeats.
func (h *high) abandons(id bundle.ID) (n int) {
	h.see(id, func(a *arrived) bool {
		for _, x := range a.abandon {
			want, _ := signer{}.SignAbandon(bundle.AbandonMessage(x.Bundle, x.Epoch, x.Tenant, x.Reason))
			if !bytes.Equal(want, x.Signature) {
				h.t.Errorf("the abandon of %s is not signed", id)
			}
			n++
		}
		return true
	})
	return n
}
