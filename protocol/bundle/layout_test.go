package bundle

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// sizes is a list of file sizes; file 1 is sizes[0].
type sizes []int64

func (s sizes) Files() int            { return len(s) }
func (s sizes) Size(number int) int64 { return s[number-1] }

func repeat(n int, size int64) sizes { return slices.Repeat(sizes{size}, n) }

type laid struct {
	runs []Run
	raw  int
}

// layByte is C-1 said as simply as it can be: content goes byte by byte into the present chunk.
func layByte(s sizes, chunkSize int) (chunks []laid) {
	var at laid
	for i, size := range s {
		for offset := range size {
			last := len(at.runs) - 1
			switch {
			case last >= 0 && at.runs[last].File == uint32(i+1) && at.raw < chunkSize:
				at.runs[last].Length++
			case at.raw == chunkSize || len(at.runs) == MaxRuns:
				chunks = append(chunks, at)
				at = laid{runs: []Run{{uint32(i + 1), uint64(offset), 1}}}
			default:
				at.runs = append(at.runs, Run{uint32(i + 1), uint64(offset), 1})
			}
			at.raw++
		}
	}
	if at.raw > 0 {
		chunks = append(chunks, at)
	}
	return chunks
}

// rest reads a layout to its end. The numbers must count up from the first.
func rest(t fatal, l *Layout, first int) (chunks []laid) {
	t.Helper()
	for {
		chunk, runs, raw, ok := l.Next()
		if !ok {
			return chunks
		}
		if chunk != first+len(chunks) {
			t.Fatalf("chunk %d comes after %d others from %d", chunk, len(chunks), first)
		}
		chunks = append(chunks, laid{slices.Clone(runs), raw})
	}
}

type fatal interface {
	Helper()
	Fatalf(format string, args ...any)
}

func sameChunks(a, b []laid) bool {
	return slices.EqualFunc(a, b, func(a, b laid) bool { return a.raw == b.raw && slices.Equal(a.runs, b.runs) })
}

func TestLayout(t *testing.T) {
	full := func(file uint32, offset uint64) laid { return laid{[]Run{{file, offset, 4096}}, 4096} }
	for name, row := range map[string]struct {
		sizes sizes
		want  []laid
	}{
		"C-1/no file":                 {nil, nil},
		"C-1/empty files only":        {sizes{0, 0, 0}, nil},
		"C-1/one byte":                {sizes{1}, []laid{{[]Run{{1, 0, 1}}, 1}}},
		"C-1/one full chunk":          {sizes{4096}, []laid{full(1, 0)}},
		"C-1/one byte more":           {sizes{4097}, []laid{full(1, 0), {[]Run{{1, 4096, 1}}, 1}}},
		"C-1/one byte less":           {sizes{4095}, []laid{{[]Run{{1, 0, 4095}}, 4095}}},
		"C-1/three full chunks":       {sizes{3 * 4096}, []laid{full(1, 0), full(1, 4096), full(1, 8192)}},
		"C-1/two files in one":        {sizes{10, 20}, []laid{{[]Run{{1, 0, 10}, {2, 0, 20}}, 30}}},
		"C-1/empty between":           {sizes{10, 0, 20}, []laid{{[]Run{{1, 0, 10}, {3, 0, 20}}, 30}}},
		"C-1/empty at both ends":      {sizes{0, 10, 0}, []laid{{[]Run{{2, 0, 10}}, 10}}},
		"C-1/cut inside a file":       {sizes{4000, 4096}, []laid{{[]Run{{1, 0, 4000}, {2, 0, 96}}, 4096}, {[]Run{{2, 96, 4000}}, 4000}}},
		"C-1/cut at a file's end":     {sizes{4096, 5}, []laid{full(1, 0), {[]Run{{2, 0, 5}}, 5}}},
		"C-1/cut, and empty behind":   {sizes{4096, 0, 5}, []laid{full(1, 0), {[]Run{{3, 0, 5}}, 5}}},
		"C-1/whole chunks in between": {sizes{1, 8192, 1}, []laid{{[]Run{{1, 0, 1}, {2, 0, 4095}}, 4096}, full(2, 4095), {[]Run{{2, 8191, 1}, {3, 0, 1}}, 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			l := NewLayout(row.sizes, 4096)
			if got := rest(t, l, 0); !sameChunks(got, row.want) || l.Chunks() != len(row.want) || ChunkCount(row.sizes, 4096) != len(row.want) {
				t.Errorf("%d chunks %v, want %v", l.Chunks(), got, row.want)
			}
		})
	}
}

func TestAChunkEndsAfterItsLastRun(t *testing.T) {
	for n, want := range map[int][]int{MaxRuns - 1: {MaxRuns - 1}, MaxRuns: {MaxRuns}, MaxRuns + 1: {MaxRuns, 1}, 3*MaxRuns + 5: {MaxRuns, MaxRuns, MaxRuns, 5}} {
		var got []int
		for _, c := range rest(t, NewLayout(repeat(n, 1), 4096), 0) {
			got = append(got, len(c.runs))
		}
		if !slices.Equal(got, want) {
			t.Errorf("C-1: %d files of one byte lie in chunks of %v runs, want %v", n, got, want)
		}
	}
	// Empty files are no runs, so they end no chunk.
	if n := ChunkCount(append(repeat(3*MaxRuns, 0), repeat(MaxRuns, 2)...), 4096); n != 1 {
		t.Errorf("C-1: %d chunks, want 1", n)
	}
	// The last allowed run may be the beginning of a file that goes on in the next chunk.
	got := rest(t, NewLayout(append(repeat(MaxRuns-1, 1), 5000), 4096), 0)
	if len(got) != 2 || got[0].raw != 4096 || got[1].runs[0] != (Run{MaxRuns, 2049, 2951}) {
		t.Errorf("C-1: %d chunks, the last %v", len(got), got[len(got)-1])
	}
}

func drawSizes(t *rapid.T) sizes {
	size := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(1, 3), rapid.Int64Range(0, 300), rapid.SampledFrom([]int64{63, 64, 65, 128, 640, 6400}))
	return append(repeat(rapid.SampledFrom([]int{0, 0, 1, 2047, 2048, 4096, 9000}).Draw(t, "small files"), int64(rapid.IntRange(0, 1).Draw(t, "of"))),
		rapid.SliceOfN(size, 0, 40).Draw(t, "sizes")...)
}

func TestLayoutIsTheSimpleOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSizes(t)
		chunkSize := rapid.SampledFrom([]int{1, 2, 64, 100, 4096}).Draw(t, "chunk")
		want := layByte(s, chunkSize)
		l := NewLayout(s, chunkSize)
		if got := rest(t, l, 0); !sameChunks(got, want) || l.Chunks() != len(want) {
			t.Fatalf("C-1: %d chunks, want %d\n%v\n%v", l.Chunks(), len(want), got, want)
		}
		chunk := rapid.IntRange(0, len(want)).Draw(t, "seek")
		if l.Seek(chunk); !sameChunks(rest(t, l, chunk), want[chunk:]) {
			t.Fatalf("seek to chunk %d goes elsewhere", chunk)
		}
		if len(s) == 0 {
			return
		}
		number := rapid.IntRange(1, len(s)).Draw(t, "file")
		l.SeekFile(number)
		first := slices.IndexFunc(want, func(c laid) bool {
			return slices.ContainsFunc(c.runs, func(r Run) bool { return r.File == uint32(number) })
		})
		got, _, _, ok := l.Next()
		if first >= 0 && (!ok || got != first) {
			t.Fatalf("file %d begins in chunk %d, want %d", number, got, first)
		}
		if first < 0 && ok && want[got].runs[0].File > uint32(number) && got > 0 {
			t.Fatalf("the empty file %d is sought in chunk %d, behind it", number, got)
		}
	})
}

// A layout of the largest bundle must cost what its files cost, not what its chunks do.
func TestTheLargestBundlesAreLaidOutAtOnce(t *testing.T) {
	huge := sizes{MaxBytes}
	for size, want := range map[int]int{ChunkSizeMax: MaxContentChunks, ChunkSizeMin: MaxBytes / ChunkSizeMin} {
		l := NewLayout(huge, size)
		if l.Chunks() != want {
			t.Errorf("C-1: %d chunks of %d, want %d", l.Chunks(), size, want)
		}
		l.Seek(want - 1)
		chunk, runs, raw, ok := l.Next()
		if wantRun := (Run{1, uint64(MaxBytes - size), uint32(size)}); chunk != want-1 || len(runs) != 1 || runs[0] != wantRun || raw != size || !ok {
			t.Errorf("the last chunk is %d %v %d %v", chunk, runs, raw, ok)
		}
		if _, _, _, ok = l.Next(); ok {
			t.Error("a chunk behind the last")
		}
		if l.Seek(want + 5); l.at.file <= 1 {
			t.Error("a seek behind the end finds something")
		}
	}
	many := append(repeat(MaxFiles/2, 4096*3+1), repeat(MaxFiles/2, 1)...)
	l := NewLayout(many, 4096)
	if len(l.index) > MaxFiles/indexFiles+2 {
		t.Errorf("the index has %d entries", len(l.index))
	}
	steps := testing.AllocsPerRun(100, func() { l.Seek(l.Chunks() - 7); l.SeekFile(MaxFiles / 3) })
	if steps > 0 {
		t.Errorf("a seek allocates %v times", steps)
	}
}

func TestChunksOfTheManifest(t *testing.T) {
	for _, row := range []struct {
		size int64
		want []Run
	}{
		{1, []Run{{0, 0, 1}}}, {4095, []Run{{0, 0, 4095}}}, {4096, []Run{{0, 0, 4096}}}, {4097, []Run{{0, 0, 4096}, {0, 4096, 1}}}, {12288, []Run{{0, 0, 4096}, {0, 4096, 4096}, {0, 8192, 4096}}},
	} {
		t.Run(fmt.Sprintf("C-2/%d bytes", row.size), func(t *testing.T) {
			var got []Run
			for i := range ManifestChunks(row.size, 4096) {
				got = append(got, ManifestRun(i, row.size, 4096))
			}
			if !slices.Equal(got, row.want) {
				t.Errorf("%v, want %v", got, row.want)
			}
		})
	}
	if n := ManifestChunks(MaxManifest, ChunkSizeMax); n != 128 {
		t.Errorf("C-2: the largest manifest has %d chunks", n)
	}
}

func BenchmarkLayoutOfManyFiles(b *testing.B) {
	many := repeat(MaxFiles, 8000)
	for b.Loop() {
		for l := NewLayout(many, ChunkSizeMax); ; {
			if _, _, _, ok := l.Next(); !ok {
				break
			}
		}
	}
}

func BenchmarkLayoutSeek(b *testing.B) {
	l := NewLayout(repeat(MaxFiles, 8000), ChunkSizeMax)
	for i := 0; b.Loop(); i++ {
		l.Seek(i * 7919 % l.Chunks())
	}
}
