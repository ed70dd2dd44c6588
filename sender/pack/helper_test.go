package pack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tree makes an item of files and, where the name ends in a slash, directories, and gives its path.
func tree(t testing.TB, name string, files map[string][]byte) string {
	t.Helper()
	top := filepath.Join(t.TempDir(), name)
	for path, content := range files {
		full := filepath.Join(top, path)
		if path != "" && path[len(path)-1] == '/' {
			must(t, os.MkdirAll(full, 0o755))
			continue
		}
		must(t, os.MkdirAll(filepath.Dir(full), 0o755))
		must(t, os.WriteFile(full, content, 0o644))
	}
	return top
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// noise is content that does not compress, prose content that does.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})
	_, _ = r.Read(b)
	return b
}

func prose(n int) []byte {
	return bytes.Repeat([]byte("The lock has two gates, and they are never open at once. "), n/57+1)[:n]
}

// rebuilt is what a receiver makes of the chunks of one pass.
type rebuilt struct {
	files  map[uint32][]byte
	marks  map[uint32]bundle.Mark
	chunks []uint32
	raw    map[uint32][]byte
}

// drain takes a whole pass, checking every chunk as a receiver would.
func drain(t testing.TB, p *Pass) (*rebuilt, error) {
	t.Helper()
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(bundle.ChunkSizeMax), zstd.WithDecoderMaxWindow(8<<20))
	must(t, err)
	defer d.Close()
	defer p.Close()
	r := &rebuilt{files: map[uint32][]byte{}, marks: map[uint32]bundle.Mark{}, raw: map[uint32][]byte{}}
	for {
		c, err := p.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return r, nil
		}
		if err != nil {
			return r, err
		}
		r.take(t, d, c)
		c.Release()
	}
}

// frameOf is the chunk's frame as a block holds it.
func frameOf(t testing.TB, c *Chunk) []byte {
	t.Helper()
	size := c.FrameLength() + 100 + 16*len(c.Runs)
	b := record.NewBlock(make([]byte, size))
	cut := c.Chunk
	cut.Bundle = bundle.ID{1}
	if slicer := record.NewSlicer(cut); !slicer.AppendTo(b) {
		t.Fatalf("chunk %d does not fit a block", c.Number)
	}
	r, err := record.ReadBlock([][]byte{b.Seal(0, size)}, 0)
	must(t, err)
	next, err := r.Next()
	must(t, err)
	return bytes.Join(next.(*record.Slice).Data, nil)
}

func (r *rebuilt) take(t testing.TB, d *zstd.Decoder, c *Chunk) {
	t.Helper()
	frame := frameOf(t, c)
	if len(frame) > record.MaxFrame(int(c.Raw)) || len(frame) != c.FrameLength() {
		t.Fatalf("chunk %d: a frame of %d bytes for %d, %d were said", c.Number, len(frame), c.Raw, c.FrameLength())
	}
	var h zstd.Header
	must(t, h.Decode(frame))
	if !h.HasFCS || h.FrameContentSize != uint64(c.Raw) || h.DictionaryID != 0 || h.HasCheckSum || h.WindowSize > 8<<20 {
		t.Fatalf("chunk %d: header %+v breaks R-7", c.Number, h)
	}
	raw, err := d.DecodeAll(frame, nil)
	must(t, err)
	if len(raw) != int(c.Raw) {
		t.Fatalf("chunk %d: %d bytes, not %d", c.Number, len(raw), c.Raw)
	}
	if got := bundle.Mark(xxhash.Sum64(raw)); got != c.Mark {
		t.Fatalf("chunk %d: mark %s, not %s", c.Number, c.Mark, got)
	}
	r.raw[c.Number], r.marks[c.Number] = raw, c.Mark
	r.chunks = append(r.chunks, c.Number)
	for _, run := range c.Runs {
		if uint64(len(r.files[run.File])) == run.Offset {
			r.files[run.File] = append(r.files[run.File], raw[:run.Length]...)
		}
		raw = raw[run.Length:]
	}
	if len(raw) != 0 {
		t.Fatalf("chunk %d: the runs leave %d bytes", c.Number, len(raw))
	}
}

// firstPass walks and reads an item, and holds what came out against the digests.
func firstPass(t testing.TB, path string, o Options) (*Walked, *rebuilt, []bundle.Mark) {
	t.Helper()
	w, err := Walk(disk.New(), path, bundle.Linux)
	must(t, err)
	p := First(w, o)
	r, err := drain(t, p)
	must(t, err)
	for n := 1; n <= w.Table.Files(); n++ {
		f := w.Table.File(n)
		if got := bundle.Digest(sha256.Sum256(r.files[uint32(n)])); got != f.Digest {
			t.Fatalf("%s: digest %s of what travelled, %s in the table", f.Path, got, f.Digest)
		}
	}
	marks := p.Marks()
	for n, m := range marks {
		if r.marks[uint32(n)] != m {
			t.Fatalf("chunk %d: mark %s in the list, %s with the chunk", n, m, r.marks[uint32(n)])
		}
	}
	if used := o.Buffers.Used(); used != 0 {
		t.Fatalf("%d bytes of the buffers are still lent", used)
	}
	return w, r, marks
}

func options() Options {
	return Options{ChunkSize: 64 << 10, Buffers: NewBuffers(DefaultMemory, 0, 1)}
}
