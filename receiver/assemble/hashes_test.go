package assemble

import (
	"testing"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
)

// A digest must never stand for bytes that were written over after it had covered them.
func TestBytesThatAreWrittenTwiceHaveNoDigest(t *testing.T) {
	run := func(from, length uint32) bundle.Run {
		return bundle.Run{File: 1, Offset: uint64(from), Length: length}
	}
	for name, feed := range map[string]func(h *hashes){
		"a whole file again": func(h *hashes) {
			h.add(run(0, 3), []byte("abc"), false)
			h.add(run(0, 3), []byte("xyz"), false)
		},
		"behind the front": func(h *hashes) {
			h.add(run(0, 3), []byte("abc"), true)
			h.add(run(3, 3), []byte("def"), true)
			h.add(run(3, 3), []byte("xyz"), true)
		},
		"the start again, as whole": func(h *hashes) {
			h.add(run(0, 6), []byte("abcdef"), true)
			h.add(run(0, 6), []byte("uvwxyz"), false)
		},
	} {
		h := newHashes(1, func(uint32, int64, []byte) error { t.Fatal("read back"); return nil })
		h.makeTables()
		feed(h)
		if h.sizes[1] >= 0 {
			t.Errorf("%s: a digest of %d bytes stands", name, h.sizes[1])
		}
	}
}

// An offer alone, of any size, makes no table; and what many bundles make is bounded.
func TestTablesOfDigestsAreMadeForChunksAndBounded(t *testing.T) {
	r := newRoom(t, t.TempDir())
	defer start(t, r)()
	const files = 400_000
	for n := byte(1); n <= 6; n++ {
		s := makeBundle(n, 4096, []byte("manifest"), make([]byte, 5000))
		s.offer.Files = files
		r.feed(t, s.blocks(t, 40_000))
		r.mu2(func() {
			if r.tables != 0 && n == 1 {
				t.Errorf("an offer made tables for %d files", r.tables)
			}
		})
		r.feed(t, s.blocks(t, 40_000, s.chunks[0]))
		for end := time.Now().Add(10 * time.Second); r.Progress()[s.offer.Bundle] == 0 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
	}
	tables := 0
	r.mu2(func() { tables = r.tables })
	if tables > tablesMost || tables < tablesMost-files {
		t.Errorf("there are tables for %d files, want at most %d", tables, tablesMost)
	}
	for n := byte(1); n <= 6; n++ {
		if err := r.Drop(bundle.ID{n, 1}); err != nil {
			t.Fatal(err)
		}
	}
	if r.tables != 0 {
		t.Errorf("after all were dropped there are tables for %d files", r.tables)
	}
}

func TestCountingWhatIsThereBelowANumber(t *testing.T) {
	var b bitmap
	for _, i := range []uint32{0, 3, 63, 64, 127, 200} {
		b.set(i)
	}
	for n, want := range map[uint32]int{0: 0, 1: 1, 4: 2, 63: 2, 64: 3, 65: 4, 128: 5, 200: 5, 201: 6, 1 << 24: 6} {
		if got := b.below(n); got != want {
			t.Errorf("below %d there are %d, want %d", n, got, want)
		}
	}
}

// A bundle of the most chunks costs who holds the lock little.
func BenchmarkMissingOfTheLargest(b *testing.B) {
	in := &incoming{offer: &record.Offer{Chunks: 1 << 24, ChunkSize: 4096, Bytes: 1 << 36}, close: &record.Close{ManifestChunks: 10}}
	in.have.set(1 << 24)
	for b.Loop() {
		in.missing()
	}
}

// What was refused is asked about again while its offer comes, not with each offer, and what it sends meanwhile is surplus.
func TestARefusedBundleIsAskedAboutAgain(t *testing.T) {
	r := newRoom(t, t.TempDir())
	defer start(t, r)()
	s := makeBundle(1, 4096, random(1, 900), make([]byte, 20_000))
	r.owner.refuse = bundle.Reject(bundle.ReasonQuota, "G-2", "no room")
	for range 3 {
		r.feed(t, s.blocks(t, 40_000, s.chunks[:2]...))
		r.advance(time.Second)
	}
	if r.Counts().Refused[bundle.ReasonQuota] != 1 || len(r.bundles) != 0 {
		t.Errorf("asked %d times within three seconds; %d bundles are open", r.Counts().Refused[bundle.ReasonQuota], len(r.bundles))
	}
	r.advance(askEvery)
	r.feed(t, s.blocks(t, 40_000))
	if r.Counts().Refused[bundle.ReasonQuota] != 2 {
		t.Errorf("asked %d times, want twice", r.Counts().Refused[bundle.ReasonQuota])
	}
	r.owner.refuse = nil
	r.advance(askEvery)
	r.feed(t, s.blocks(t, 40_000, s.chunks...))
	s.holds(t, r.wait(t), true)
}

// Who makes room and has it sent again does so within seconds, and a small bundle has one offer then. What is offered each second all along is asked about as seldom as before.
func TestARepairSoonAfterARefusalIsAskedAbout(t *testing.T) {
	r := newRoom(t, t.TempDir())
	defer start(t, r)()
	s := makeBundle(1, 4096, random(1, 900), make([]byte, 20_000))
	r.owner.refuse = bundle.Reject(bundle.ReasonQuota, "G-2", "no room")
	for range 3 { // and one offer was lost
		r.feed(t, s.blocks(t, 40_000, s.chunks[:2]...))
		r.advance(time.Second)
	}
	r.advance(askAnew - time.Second)
	r.feed(t, s.blocks(t, 40_000))
	if r.Counts().Refused[bundle.ReasonQuota] != 2 {
		t.Errorf("asked %d times, want twice", r.Counts().Refused[bundle.ReasonQuota])
	}
	r.owner.refuse = nil
	r.advance(askAnew)
	r.feed(t, s.blocks(t, 40_000, s.chunks...))
	s.holds(t, r.wait(t), true)
}

// A repair may be over within a second, and have one offer: that is asked about, when the last time is long ago.
func TestTheOnlyOfferOfARepairIsAskedAbout(t *testing.T) {
	r := newRoom(t, t.TempDir())
	defer start(t, r)()
	s := makeBundle(1, 4096, random(1, 900), make([]byte, 20_000))
	r.owner.refuse = bundle.Reject(bundle.ReasonQuota, "G-2", "no room")
	r.feed(t, s.blocks(t, 40_000, s.chunks...))
	r.owner.refuse = nil
	r.advance(askEvery)
	r.feed(t, s.blocks(t, 40_000, s.chunks...))
	s.holds(t, r.wait(t), true)
}
