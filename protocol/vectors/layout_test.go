package vectors_test

import (
	"reflect"
	"testing"

	"ecluse/protocol/bundle"
)

type layoutInput struct {
	Sizes     [][2]int64 // a size, and how many files of it follow
	Manifest  int64      // or the size of a manifest
	ChunkSize int        `json:"chunk_size"`
}

// sizes are the files of a layout, from file 1 on.
type sizes []int64

func (s sizes) Files() int            { return len(s) }
func (s sizes) Size(number int) int64 { return s[number-1] }

// chunk is one of a layout: how many runs it has, and all of them or the first and the last.
type chunk struct {
	Runs        int
	All         [][3]uint64
	First, Last *[3]uint64
}

func triple(r bundle.Run) [3]uint64 { return [3]uint64{uint64(r.File), r.Offset, uint64(r.Length)} }

// as gives the runs of a chunk as a vector shows them.
func (c chunk) as(runs []bundle.Run) (out chunk) {
	out.Runs = len(runs)
	if c.All == nil {
		first, last := triple(runs[0]), triple(runs[len(runs)-1])
		out.First, out.Last = &first, &last
		return out
	}
	for _, r := range runs {
		out.All = append(out.All, triple(r))
	}
	return out
}

func TestLayoutsOfSection8(t *testing.T) {
	each(t, "layout", func(t *testing.T, v vector, in layoutInput) {
		want := values[struct {
			Chunks int
			Shown  map[int]chunk
		}](t, v)
		if in.Manifest > 0 {
			if got := bundle.ManifestChunks(in.Manifest, in.ChunkSize); got != want.Chunks {
				t.Errorf("%d chunks of the manifest, should be %d", got, want.Chunks)
			}
			for i, c := range want.Shown {
				if got := c.as([]bundle.Run{bundle.ManifestRun(i, in.Manifest, in.ChunkSize)}); !reflect.DeepEqual(got, c) {
					t.Errorf("chunk %d of the manifest is %+v, should be %+v", i, got, c)
				}
			}
			return
		}
		files := sizes{}
		for _, s := range in.Sizes {
			for range s[1] {
				files = append(files, s[0])
			}
		}
		l := bundle.NewLayout(files, in.ChunkSize)
		if got := l.Chunks(); got != want.Chunks || bundle.ChunkCount(files, in.ChunkSize) != want.Chunks {
			t.Fatalf("%d chunks, should be %d", got, want.Chunks)
		}
		seen := 0
		for {
			n, runs, raw, ok := l.Next()
			if !ok {
				break
			}
			sum := 0
			for _, r := range runs {
				sum += int(r.Length)
			}
			if raw != sum || n != seen {
				t.Errorf("chunk %d has %d bytes in runs of %d, and should be chunk %d", n, raw, sum, seen)
			}
			if c, shown := want.Shown[n]; shown && !reflect.DeepEqual(c.as(runs), c) {
				t.Errorf("chunk %d is %+v, should be %+v", n, c.as(runs), c)
			}
			seen++
		}
		if seen != want.Chunks {
			t.Errorf("%d chunks came, should be %d", seen, want.Chunks)
		}
	})
}
