package assemble

import (
	"context"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sum(b []byte) bundle.Digest { return sha256.Sum256(b) }

// start runs a room, and ends it with the test.
func start(t testing.TB, r *room) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	ended := false
	stop = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error("run:", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func random(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	r.Read(b)
	return b
}

func some() *sent {
	return makeBundle(1, 1<<16, random(9, 70_000), random(1, 300_000), nil, random(2, 10), random(3, 65_536), []byte("x"), random(4, 200_001))
}

func TestChunksInOrderAreStagedAndHashed(t *testing.T) {
	r := newRoom(t, t.TempDir())
	start(t, r)
	s := some()
	r.feed(t, s.blocks(t, 40_000, s.chunks...))
	s.holds(t, r.wait(t), true)
}

func TestAnyOrderAnyNumberOfTimes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newRoom(t, t.TempDir())
		stop := start(t, r)
		defer stop()
		seed := rapid.Uint64().Draw(rt, "seed")
		rng := rand.New(rand.NewPCG(seed, 1))
		s := some()
		blocks := s.blocks(t, rapid.IntRange(2_000, 200_000).Draw(rt, "block"), s.chunks...)
		order := rng.Perm(len(blocks))
		for range len(blocks) / 2 {
			order = append(order, rng.IntN(len(blocks)))
		}
		rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, i := range order {
			reader, err := record.ReadBlock(blocks[i], uint32(i))
			if err != nil {
				rt.Fatal(err)
			}
			r.Block(from, reader)
		}
		s.holds(t, r.wait(t), false)
	})
}

func TestAGapIsDamageAndALaterPassRepairsIt(t *testing.T) {
	r := newRoom(t, t.TempDir())
	start(t, r)
	s := some()
	without := append(append([]record.Chunk(nil), s.chunks[:2]...), s.chunks[3:]...)
	r.feed(t, s.blocks(t, 40_000, without...))
	until(t, func() bool { return r.idle() })
	r.advance(time.Minute)
	if err := r.Tick(); err != nil {
		t.Fatal(err)
	}
	if m := r.owner.damaged[s.offer.Bundle]; m.Chunks != 1 || m.Bytes != 1<<16 {
		t.Errorf("missing %+v, want one chunk of 65,536", m)
	}
	r.feed(t, s.blocks(t, 30_000, s.chunks...)) // the second pass, cut otherwise
	s.holds(t, r.wait(t), true)
	if r.owner.back[s.offer.Bundle] != 1 {
		t.Error("not said to be coming in again")
	}
}

// idle says that no job is under way.
func (a *Assembler) idle() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.active == 0
}

func until(t *testing.T, what func() bool) {
	t.Helper()
	for range 1000 {
		if what() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("waited in vain")
}

func TestARestartKeepsWhatWasDurable(t *testing.T) {
	dir := t.TempDir()
	s := some()
	half := s.chunks[:len(s.chunks)/2]
	r := newRoom(t, dir)
	stop := start(t, r)
	r.feed(t, s.blocks(t, 40_000, half...))
	stop() // makes a last checkpoint

	r = newRoom(t, dir)
	kept := 0
	err := r.Load(func(id bundle.ID, from Source, o *record.Offer, _ time.Time) bool {
		if id != s.offer.Bundle || from.Sender != "s" || *o != s.offer {
			t.Errorf("took up %v of %v with %+v", id, from, o)
		}
		kept++
		return true
	})
	if err != nil || kept != 1 {
		t.Fatal(kept, err)
	}
	if have := r.bundles[s.offer.Bundle].have.count; have != len(half) {
		t.Errorf("%d chunks are known, %d were durable", have, len(half))
	}
	start(t, r)
	r.feed(t, s.blocks(t, 40_000, s.chunks[len(half):]...))
	s.holds(t, r.wait(t), false)
}

func TestStagingWithoutAnOfferIsRemoved(t *testing.T) {
	dir := t.TempDir()
	stray := filepath.Join(dir, "receiving", bundle.ID{7}.String())
	if err := os.MkdirAll(filepath.Join(stray, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	r := newRoom(t, dir)
	if err := r.Load(func(bundle.ID, Source, *record.Offer, time.Time) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stray); !os.IsNotExist(err) {
		t.Error("still there:", err)
	}
}

func TestSlicesBeforeTheOfferWaitForIt(t *testing.T) {
	r := newRoom(t, t.TempDir())
	start(t, r)
	s := some()
	blocks := s.blocks(t, 40_000, s.chunks...)
	reader, err := record.ReadBlock(blocks[1], 1)
	if err != nil {
		t.Fatal(err)
	}
	r.Block(from, reader)
	r.feed(t, blocks)
	s.holds(t, r.wait(t), false)
}

func TestARefusedBundleLeavesNothing(t *testing.T) {
	r := newRoom(t, t.TempDir())
	r.owner.refuse = bundle.Reject(bundle.ReasonTenantUnknown, "G-2", "no")
	start(t, r)
	s := some()
	r.feed(t, s.blocks(t, 40_000, s.chunks...))
	names, err := os.ReadDir(filepath.Join(r.dir, "receiving"))
	if err != nil || len(names) != 0 {
		t.Errorf("staged %v, %v", names, err)
	}
	if len(r.bundles) != 0 || r.buffers.used != 0 {
		t.Errorf("%d bundles and %d bytes are kept", len(r.bundles), r.buffers.used)
	}
}

func TestWrongChunksAreMissingAgain(t *testing.T) {
	r := newRoom(t, t.TempDir())
	start(t, r)
	s := some()
	r.feed(t, s.blocks(t, 40_000, s.chunks...))
	b := r.wait(t)
	if err := os.WriteFile(StagedPath(b.Dir, 1), make([]byte, 300_000), 0o600); err != nil {
		t.Fatal(err)
	}
	b.Wrong([]uint32{0, 1, 2, 3, 4}, []uint32{1})
	if m := r.owner.damaged[b.ID]; m.Chunks != 5 {
		t.Errorf("missing %+v", m)
	}
	r.feed(t, s.blocks(t, 40_000, s.chunks...))
	s.holds(t, r.wait(t), false)
}

func TestAnotherSendersRecordsDoNotTouchABundle(t *testing.T) {
	r := newRoom(t, t.TempDir())
	start(t, r)
	s := some()
	blocks := s.blocks(t, 40_000, s.chunks...)
	r.feed(t, blocks[:2])
	other := makeBundle(1, 1<<16, random(9, 70_000), random(77, 300_000), nil, random(2, 10), random(3, 65_536), []byte("x"), random(4, 200_001))
	for i, shards := range other.blocks(t, 40_000, other.chunks...) {
		reader, err := record.ReadBlock(shards, uint32(i))
		if err != nil {
			t.Fatal(err)
		}
		thief := from
		thief.Sender = "thief"
		r.Block(thief, reader)
	}
	r.feed(t, blocks)
	s.holds(t, r.wait(t), false)
}

func TestSecondOffersAndClosesMustBeEqual(t *testing.T) {
	r := newRoom(t, t.TempDir())
	start(t, r)
	s := some()
	blocks := s.blocks(t, 40_000, s.chunks[:1]...)
	r.feed(t, blocks)
	s.offer.Bytes++
	s.close.Manifest[5]++
	r.feed(t, s.blocks(t, 40_000))
	r.mu2(func() {
		if r.counts[bundle.ReasonOfferConflict] != 1 || r.counts[bundle.ReasonCloseConflict] != 1 {
			t.Errorf("counted %v", r.counts)
		}
	})
}

func (a *Assembler) mu2(f func()) { a.mu.Lock(); defer a.mu.Unlock(); f() }

func TestAFullDiskLosesChunksAndNothingElse(t *testing.T) {
	r := newRoom(t, t.TempDir())
	r.disk.full.Store(true)
	start(t, r)
	s := some()
	r.feed(t, s.blocks(t, 40_000, s.chunks...))
	failures := func() int {
		r.owner.mu.Lock()
		defer r.owner.mu.Unlock()
		return len(r.owner.failed)
	}
	until(t, func() bool { return r.idle() && failures() >= len(s.chunks) }) // it is told of the last one a moment after that
	if n := failures(); n != len(s.chunks) {
		t.Errorf("%d failures were reported, want %d", n, len(s.chunks))
	}
	r.disk.full.Store(false)
	r.feed(t, s.blocks(t, 40_000, s.chunks...))
	s.holds(t, r.wait(t), false)
}

func TestMemoryIsBounded(t *testing.T) {
	r := newRoom(t, t.TempDir())
	start(t, r)
	// Frames that are never completed, of many bundles: each new one pushes out the one untouched for longest.
	content := random(1, 3<<20)
	for i := range 200 {
		s := makeBundle(byte(i), 4<<20, []byte("m"), content)
		blocks := s.blocks(t, 1<<20, s.chunks...)
		r.feed(t, blocks[:1])
	}
	r.mu2(func() {
		if r.buffers.used > r.buffers.limit {
			t.Errorf("%d bytes in use, the limit is %d", r.buffers.used, r.buffers.limit)
		}
		if r.dropped == 0 {
			t.Error("nothing was given up")
		}
	})
}

func TestChunksOutsideTheOfferAreRefused(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(c *record.Chunk)
	}{
		{"R-6 a chunk beyond the close", func(c *record.Chunk) { c.Number = 1000 }},
		{"R-6 a file beyond the offer", func(c *record.Chunk) { c.Runs[0].File = 1000 }},
		{"R-8 the manifest among content", func(c *record.Chunk) { c.Runs = []bundle.Run{{File: 0, Length: c.Raw}} }},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRoom(t, t.TempDir())
			start(t, r)
			s := some()
			r.feed(t, s.blocks(t, 40_000))
			bad := s.chunks[0]
			bad.Runs = append([]bundle.Run(nil), bad.Runs...)
			row.change(&bad)
			r.feed(t, s.blocks(t, 200_000, bad))
			until(t, func() bool { return r.idle() })
			r.mu2(func() {
				if r.counts[bundle.ReasonChunkLayout] == 0 {
					t.Errorf("counted %v, want chunk-layout", r.counts)
				}
			})
		})
	}
}
