package assemble

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
	"ecluse/receiver/collect"
)

// plain is Disk on the real file system, without promises: these tests are about assembly.
type plain struct {
	full atomic.Bool // writes fail
}

type plainFile struct {
	*os.File
	disk *plain
}

func (f plainFile) WriteThrough(b []byte, at int64) (int, error) { return f.WriteAt(b, at) }

func (plainFile) StartWriteback(int64, int64) error { return nil }
func (f plainFile) WriteAt(b []byte, at int64) (int, error) {
	if f.disk.full.Load() {
		return 0, errFull
	}
	return f.File.WriteAt(b, at)
}

func (*plain) MkdirAll(dir string) error { return os.MkdirAll(dir, 0o700) }
func (d *plain) OpenStaged(path string) (File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	return plainFile{f, d}, err
}
func (*plain) ReadFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}
func (*plain) ReadDir(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}
func (*plain) Replace(path string, content []byte) error { return os.WriteFile(path, content, 0o600) }
func (*plain) RemoveAll(path string) error               { return os.RemoveAll(path) }
func (*plain) SyncAll(string) error                      { return nil }

// owner notes what it is told.
type owner struct {
	mu      sync.Mutex
	refuse  error
	known   map[bundle.ID]bool
	damaged map[bundle.ID]Missing
	back    map[bundle.ID]int
	failed  []error
	closed  []uint64 // sequences
	whole   chan *Staged
}

func newOwner() *owner {
	return &owner{known: map[bundle.ID]bool{}, damaged: map[bundle.ID]Missing{}, back: map[bundle.ID]int{}, whole: make(chan *Staged, 100)}
}

func (o *owner) Offered(Source, *record.Offer, time.Time) error { return o.refuse }
func (o *owner) Known(id bundle.ID) bool                        { return o.known[id] }
func (o *owner) Whole(b *Staged)                                { o.whole <- b }
func (o *owner) Closed(_ Source, c *record.Close) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = append(o.closed, c.Sequence)
}
func (o *owner) Damaged(id bundle.ID, m Missing) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.damaged[id] = m
}
func (o *owner) Receiving(id bundle.ID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.back[id]++
}
func (o *owner) Abandoned(Source, *record.Abandon) {}
func (o *owner) Beat(Source, *record.Heartbeat)    {}
func (o *owner) Failed(_ bundle.ID, err error, _ bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failed = append(o.failed, err)
}

// sent is a bundle as a sender would make it: its content, its records.
type sent struct {
	offer  record.Offer
	close  record.Close
	files  [][]byte // by number; 0 is the manifest
	chunks []record.Chunk
}

type sizes []int64

func (s sizes) Files() int       { return len(s) }
func (s sizes) Size(n int) int64 { return s[n-1] }

var encoder, _ = zstd.NewWriter(nil, zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(1))

// compress makes a frame that states its size.
func compress(raw []byte) []byte { return encoder.EncodeAll(raw, nil) }

// makeBundle cuts files into chunks of chunkSize. The manifest is any bytes: this room does not look at it.
func makeBundle(id byte, chunkSize int, manifest []byte, files ...[]byte) *sent {
	s := &sent{files: append([][]byte{manifest}, files...)}
	list := make(sizes, len(files))
	total := 0
	for i, f := range files {
		list[i] = int64(len(f))
		total += len(f)
	}
	bid := bundle.ID{id, 1}
	layout := bundle.NewLayout(list, chunkSize)
	for {
		n, runs, raw, ok := layout.Next()
		if !ok {
			break
		}
		content := make([]byte, 0, raw)
		for _, r := range runs {
			content = append(content, files[r.File-1][r.Offset:r.Offset+uint64(r.Length)]...)
		}
		s.chunks = append(s.chunks, record.Chunk{Bundle: bid, Number: uint32(n), Raw: uint32(raw), Runs: append([]bundle.Run(nil), runs...), Frame: compress(content)})
	}
	count := len(s.chunks)
	for i := range bundle.ManifestChunks(int64(len(manifest)), chunkSize) {
		r := bundle.ManifestRun(i, int64(len(manifest)), chunkSize)
		s.chunks = append(s.chunks, record.Chunk{Bundle: bid, Number: uint32(count + i), Raw: r.Length, Runs: []bundle.Run{r}, Frame: compress(manifest[r.Offset : r.Offset+uint64(r.Length)])})
	}
	s.offer = record.Offer{
		Bundle: bid, Epoch: bundle.Epoch{1}, Tenant: "t", Class: bundle.Normal, Files: uint32(len(files)), Dirs: 0, Bytes: uint64(total),
		Chunks: uint32(count), ChunkSize: uint32(chunkSize), Created: 1, Name: "n",
	}
	s.close = record.Close{
		Bundle: bid, Epoch: bundle.Epoch{1}, Tenant: "t", Sequence: 1, ManifestSize: uint64(len(manifest)), Chunks: uint32(count),
		ManifestChunks: uint32(len(s.chunks) - count), Signature: make([]byte, 100), Manifest: bundle.Digest{1},
	}
	return s
}

// blocks packs offer, chunks and close into blocks of size bytes, as shards of 1,408.
func (s *sent) blocks(t testing.TB, size int, chunks ...record.Chunk) [][][]byte {
	t.Helper()
	size = (size + 1407) / 1408 * 1408
	var out [][][]byte
	var b *record.Block
	begin := func() { b = record.NewBlock(make([]byte, size)) }
	end := func() {
		if b.Used() > record.BlockHeaderSize {
			whole := b.Seal(uint32(len(out)), size)
			var shards [][]byte
			for at := 0; at < len(whole); at += 1408 {
				shards = append(shards, whole[at:min(at+1408, len(whole))])
			}
			out = append(out, shards)
		}
		begin()
	}
	begin()
	put := func(append func(*record.Block) bool) {
		for !append(b) {
			end()
		}
	}
	put(s.offer.AppendTo)
	for _, c := range chunks {
		slicer := record.NewSlicer(c)
		put(slicer.AppendTo)
	}
	put(s.close.AppendTo)
	end()
	return out
}

// room is an Assembler under test.
type room struct {
	*Assembler
	owner *owner
	disk  *plain
	dir   string
	start time.Time
	clock time.Time
	mu    sync.Mutex
}

func (r *room) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.clock
}

func (r *room) passed() time.Duration { return r.now().Sub(r.start) }

func (r *room) advance(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock = r.clock.Add(d)
}

func newRoom(t testing.TB, dir string) *room {
	t.Helper()
	r := &room{owner: newOwner(), disk: &plain{}, dir: dir, start: time.Unix(1_800_000_000, 0), clock: time.Unix(1_800_000_000, 0)}
	a, err := New(Options{Dir: filepath.Join(dir, "receiving"), Disk: r.disk, Owner: r.owner, Memory: leastMemory, Now: r.now, Passed: r.passed})
	if err != nil {
		t.Fatal(err)
	}
	r.Assembler = a
	return r
}

var from = collect.SessionInfo{Sender: "s", Epoch: bundle.Epoch{1}, Number: 1, Link: "a"}

func (r *room) feed(t testing.TB, blocks [][][]byte) {
	t.Helper()
	for i, shards := range blocks {
		reader, err := record.ReadBlock(shards, uint32(i))
		if err != nil {
			t.Fatal(err)
		}
		r.Block(from, reader)
	}
}

// wait returns the next whole bundle.
func (r *room) wait(t testing.TB) *Staged {
	t.Helper()
	select {
	case b := <-r.owner.whole:
		return b
	case <-time.After(10 * time.Second):
		t.Fatal("no bundle became whole")
		return nil
	}
}

// holds compares what is staged with what was sent, and the digests where they are known.
func (s *sent) holds(t testing.TB, b *Staged, digests bool) {
	t.Helper()
	for n, want := range s.files {
		if len(want) == 0 {
			continue
		}
		got, err := os.ReadFile(StagedPath(b.Dir, uint32(n)))
		if err != nil || string(got) != string(want) {
			t.Fatalf("file %d: %d bytes staged, %d sent, equal: %v, %v", n, len(got), len(want), string(got) == string(want), err)
		}
		d, ok := b.Digest(n, int64(len(want)))
		if ok && d != sum(want) {
			t.Fatalf("file %d: a digest that is wrong", n)
		}
		if digests && !ok {
			t.Errorf("file %d of %d bytes was not hashed as it came", n, len(want))
		}
	}
}

var errFull = errors.New("no space left on device")
