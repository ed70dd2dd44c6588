package pack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
)

func TestContentTravels(t *testing.T) {
	deep := strings.Repeat("d/", 63)
	long := strings.Repeat("n", 255)
	for name, files := range map[string]map[string][]byte{
		"one file":                       {"": noise(1, 300_000)},
		"an empty file":                  {"": nil},
		"an empty directory":             {"a/": nil},
		"a file of one chunk":            {"": noise(2, 64<<10)},
		"a file of one chunk and one":    {"": noise(3, 64<<10+1)},
		"empty files at both ends":       {"a": nil, "b": prose(100_000), "c": nil},
		"files across chunks":            {"a": noise(4, 50_000), "b/x": noise(5, 50_000), "b/y": prose(200_000), "c": noise(6, 1)},
		"64 levels":                      {deep[:len(deep)-2]: prose(10)},
		"the longest name":               {long: prose(3), long[:254] + "/x": prose(4)},
		"names that are like paths":      {"-rf": prose(1), "a b": prose(2), "..x": prose(3), ".hidden": prose(4), "x.part": prose(5), "q\"\\'`$(x)": prose(6), "é": prose(7), "a-b": prose(8), "a/b": prose(9)},
		"a directory sorts by its slash": {"a/z": prose(1), "a.b": prose(2), "a!": prose(3), "a/a": prose(4)},
		"content that compresses":        {"": prose(3 << 20)},
	} {
		t.Run(name, func(t *testing.T) {
			top := tree(t, "item", files)
			w, r, marks := firstPass(t, top, options())
			want := map[string][]byte{}
			for p, c := range files {
				if !strings.HasSuffix(p, "/") {
					want[strings.TrimSuffix("item/"+p, "/")] = c
				}
			}
			got := map[string][]byte{}
			for n := 1; n <= w.Table.Files(); n++ {
				got[string(w.Table.File(n).Path)] = r.files[uint32(n)]
			}
			if !maps.EqualFunc(got, want, bytes.Equal) {
				t.Errorf("got files %q, want %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
			}
			sameLayout(t, w.Table, r, 64<<10, len(marks))
		})
	}
}

// sameLayout holds the chunks of a pass against C-1.
func sameLayout(t *testing.T, table *bundle.Table, r *rebuilt, chunkSize, marks int) {
	t.Helper()
	l := bundle.NewLayout(table, chunkSize)
	if l.Chunks() != len(r.chunks) || l.Chunks() != marks {
		t.Fatalf("C-1: %d chunks and %d marks, the layout has %d", len(r.chunks), marks, l.Chunks())
	}
	for i := 0; ; i++ {
		n, _, raw, ok := l.Next()
		if !ok {
			return
		}
		if r.chunks[i] != uint32(n) || len(r.raw[uint32(n)]) != raw {
			t.Fatalf("C-1: chunk %d of %d bytes, the layout has %d of %d", r.chunks[i], len(r.raw[uint32(n)]), n, raw)
		}
	}
}

func TestRunsEndChunks(t *testing.T) {
	files := map[string][]byte{}
	for i := range bundle.MaxRuns + 10 {
		files[fmt.Sprintf("f%05d", i)] = []byte{byte(i)}
	}
	w, r, marks := firstPass(t, tree(t, "item", files), options())
	sameLayout(t, w.Table, r, 64<<10, len(marks))
	if len(marks) != 2 {
		t.Fatalf("C-1: %d chunks, want 2", len(marks))
	}
}

func manifestOf(w *Walked, marks []bundle.Mark, chunkSize int) *bundle.Manifest {
	return &bundle.Manifest{Table: w.Table, Marks: marks, ChunkSize: chunkSize}
}

func TestAgainSendsTheSameContent(t *testing.T) {
	top := tree(t, "item", map[string][]byte{"a": noise(1, 200_000), "b": nil, "c/d": prose(90_000)})
	o := options()
	w, first, marks := firstPass(t, top, o)
	p, err := Again(At(disk.New(), top), manifestOf(w, marks, o.ChunkSize), nil, o)
	must(t, err)
	r, err := drain(t, p)
	must(t, err)
	if !slices.Equal(r.chunks, first.chunks) || !maps.EqualFunc(r.raw, first.raw, bytes.Equal) || len(p.Skipped()) > 0 {
		t.Fatalf("chunks %v, skipped %v; the first pass had %v", r.chunks, p.Skipped(), first.chunks)
	}
}

func TestAgainSendsWhatIsWanted(t *testing.T) {
	top := tree(t, "item", map[string][]byte{"a": noise(1, 1_000_000)})
	o := options()
	w, first, marks := firstPass(t, top, o)
	for name, want := range map[string][]uint32{
		"none": {}, "the first": {0}, "the last": {15}, "some": {3, 4, 9}, "all": first.chunks,
	} {
		t.Run(name, func(t *testing.T) {
			wanted := make([]bool, len(marks)+3) // the manifest's chunks may be among them
			wanted[len(marks)] = true
			for _, n := range want {
				wanted[n] = true
			}
			p, err := Again(At(disk.New(), top), manifestOf(w, marks, o.ChunkSize), wanted, o)
			must(t, err)
			r, err := drain(t, p)
			must(t, err)
			if !slices.Equal(r.chunks, want) {
				t.Fatalf("got chunks %v, want %v", r.chunks, want)
			}
		})
	}
}

func TestAgainLeavesOutWhatChanged(t *testing.T) {
	o := options()
	files := map[string][]byte{"a": noise(1, 200_000), "b": noise(2, 130_000), "c": noise(3, 64<<10)}
	for name, row := range map[string]struct {
		change  func(top string) error
		skipped []uint32
	}{
		"nothing":        {func(string) error { return nil }, nil},
		"one byte":       {func(top string) error { return patch(top+"/a", 70_000) }, []uint32{1}},
		"a file gone":    {func(top string) error { return os.Remove(top + "/b") }, []uint32{3, 4, 5}},
		"a file shorter": {func(top string) error { return os.Truncate(top+"/b", 1000) }, []uint32{3, 4, 5}},
		"a link":         {func(top string) error { return errors.Join(os.Rename(top+"/b", top+"/x"), os.Symlink("x", top+"/b")) }, []uint32{3, 4, 5}},
		"a directory":    {func(top string) error { return errors.Join(os.Remove(top+"/b"), os.Mkdir(top+"/b", 0o755)) }, []uint32{3, 4, 5}},
		"all gone":       {os.RemoveAll, []uint32{0, 1, 2, 3, 4, 5, 6}},
		"only longer":    {func(top string) error { return os.Truncate(top+"/c", 1<<20) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			top := tree(t, "item", files)
			w, first, marks := firstPass(t, top, o)
			must(t, row.change(top))
			p, err := Again(At(disk.New(), top), manifestOf(w, marks, o.ChunkSize), nil, o)
			must(t, err)
			r, err := drain(t, p)
			must(t, err)
			if !slices.Equal(p.Skipped(), row.skipped) {
				t.Fatalf("C-3: skipped %v, want %v", p.Skipped(), row.skipped)
			}
			for n, raw := range r.raw {
				if !bytes.Equal(raw, first.raw[n]) {
					t.Fatalf("C-3: chunk %d was sent with other content", n)
				}
			}
			if o.Buffers.Used() != 0 {
				t.Fatalf("%d bytes are still lent", o.Buffers.Used())
			}
		})
	}
}

// patch changes one byte of a file.
func patch(path string, at int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	b := []byte{0}
	if _, err := f.ReadAt(b, at); err != nil {
		return err
	}
	b[0] ^= 1
	_, err = f.WriteAt(b, at)
	return err
}

func TestFirstRefusesWhatChangedSinceTheWalk(t *testing.T) {
	for name, row := range map[string]struct {
		change func(top string) error
		path   string
		what   string
	}{
		"written":                       {func(top string) error { return patch(top+"/d/b", 1) }, "item/d/b", whatRewritten},
		"touched":                       {func(top string) error { return os.Chtimes(top+"/d/b", time.Time{}, time.Unix(1, 0)) }, "item/d/b", whatRewritten},
		"grown":                         {func(top string) error { return os.Truncate(top+"/d/b", 200_000) }, "item/d/b", whatGrew},
		"shrunk":                        {func(top string) error { return os.Truncate(top+"/d/b", 1) }, "item/d/b", whatShrank},
		"gone":                          {func(top string) error { return os.Remove(top + "/d/b") }, "item/d/b", whatGone},
		"an empty file gone":            {func(top string) error { return os.Remove(top + "/e") }, "item", whatListing},
		"an empty file is not any more": {func(top string) error { return os.WriteFile(top+"/e", prose(5), 0o600) }, "item/e", whatGrew},
		"replaced by a copy": {func(top string) error {
			return errors.Join(os.WriteFile(top+"/d/n", noise(2, 130_000), 0o644), os.Rename(top+"/d/n", top+"/d/b"))
		}, "item/d/b", whatReplaced},
		"a link in its place": {func(top string) error {
			return errors.Join(os.Rename(top+"/d/b", top+"/d/x"), os.Symlink("x", top+"/d/b"))
		}, "item/d/b", whatReplaced},
		"a second name":           {func(top string) error { return os.Link(top+"/d/b", top+"/d/z") }, "item/d/b", whatRewritten},
		"one more file":           {func(top string) error { return os.WriteFile(top+"/d/new", nil, 0o600) }, "item/d", whatListing},
		"one more directory":      {func(top string) error { return os.Mkdir(top+"/new", 0o700) }, "item", whatListing},
		"an empty directory gone": {func(top string) error { return os.Remove(top + "/z") }, "item", whatListing},
		"the directory a link": {func(top string) error {
			return errors.Join(os.Rename(top+"/d", top+"/q"), os.Symlink("q", top+"/d"))
		}, "item/d", whatReplaced},
		"the directory swapped and back": {func(top string) error {
			return errors.Join(os.Rename(top+"/d", top+"/q"), os.Mkdir(top+"/d", 0o755), os.Remove(top+"/d"), os.Rename(top+"/q", top+"/d"))
		}, "item", whatListing},
		"all of it gone": {os.RemoveAll, "item", whatGone},
	} {
		t.Run(name, func(t *testing.T) {
			top := tree(t, "item", map[string][]byte{"a": noise(1, 10_000), "d/b": noise(2, 130_000), "e": nil, "z/": nil})
			o := options()
			w, err := Walk(disk.New(), top, bundle.Linux)
			must(t, err)
			must(t, row.change(top))
			p := First(w, o)
			_, err = drain(t, p)
			var changed *ErrChanged
			if !errors.As(err, &changed) || changed.What != row.what || changed.Path != row.path {
				t.Fatalf("got %v, want %q %s", err, row.path, row.what)
			}
			if p.Marks() != nil || o.Buffers.Used() != 0 {
				t.Fatalf("marks %v, %d bytes lent after a failure", p.Marks(), o.Buffers.Used())
			}
		})
	}
}

func TestFirstRefusesAFileThatSomebodyWrites(t *testing.T) {
	top := tree(t, "item", map[string][]byte{"a": prose(10)})
	f, err := os.OpenFile(top+"/a", os.O_WRONLY, 0)
	must(t, err)
	defer f.Close()
	w, err := Walk(disk.New(), top, bundle.Linux)
	must(t, err)
	_, err = drain(t, First(w, options()))
	var changed *ErrChanged
	if !errors.As(err, &changed) || changed.What != whatHeld {
		t.Fatalf("got %v, want %s", err, whatHeld)
	}
}

func TestFirstWaitsForAWriterThatLetsGo(t *testing.T) {
	content := map[string][]byte{"a": prose(10), "b": prose(20)}
	top := tree(t, "item", content)
	f, err := os.OpenFile(top+"/a", os.O_WRONLY, 0)
	must(t, err)
	w, err := Walk(disk.New(), top, bundle.Linux)
	must(t, err)
	o := options()
	o.Patience = 30 * time.Second
	var closed atomic.Bool
	time.AfterFunc(50*time.Millisecond, func() {
		if used := o.Buffers.Used(); used != 0 {
			t.Errorf("%d bytes are held while it waits", used)
		}
		closed.Store(true)
		f.Close()
	})
	if _, err := drain(t, First(w, o)); err != nil || !closed.Load() {
		t.Fatalf("%v, and the writer had gone: %v", err, closed.Load())
	}
}

func TestFirstHasNoMorePatienceForManyFiles(t *testing.T) {
	top := tree(t, "item", map[string][]byte{"a": prose(10), "b": prose(10), "c": prose(10)})
	for _, name := range []string{"a", "b", "c"} {
		f, err := os.OpenFile(top+"/"+name, os.O_WRONLY, 0)
		must(t, err)
		defer f.Close()
	}
	w, err := Walk(disk.New(), top, bundle.Linux)
	must(t, err)
	o := options()
	o.Patience = 100 * time.Millisecond
	began := time.Now()
	var changed *ErrChanged
	if _, err := drain(t, First(w, o)); !errors.As(err, &changed) || changed.What != whatHeld {
		t.Fatalf("got %v", err)
	}
	if took := time.Since(began); took < o.Patience || took > 20*o.Patience {
		t.Errorf("it waited for %v", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	o.Patience = time.Hour
	p := First(w, o)
	defer p.Close()
	if _, err := p.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("called off: %v", err)
	}
}

// TestChangeDuringThePass changes what has been read already: only the look at the whole at the end sees it.
func TestChangeDuringThePass(t *testing.T) {
	for name, change := range map[string]func(top string) error{
		"a file that was read": func(top string) error { return patch(top+"/a", 5) },
		"a file in its place": func(top string) error {
			return errors.Join(os.WriteFile(top+"/n", noise(1, 65536), 0o644), os.Rename(top+"/n", top+"/a"))
		},
		"a directory's listing": func(top string) error { return os.WriteFile(top+"/d/new", nil, 0o644) },
		"rights":                func(top string) error { return os.Chmod(top+"/a", 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			top := tree(t, "item", map[string][]byte{"a": noise(1, 65536), "b": noise(2, 8<<20), "d/": nil})
			o := options()
			w, err := Walk(disk.New(), top, bundle.Linux)
			must(t, err)
			p := First(w, o)
			defer p.Close()
			c, err := p.Next(context.Background())
			must(t, err)
			c.Release()
			must(t, change(top))
			for err == nil {
				var c *Chunk
				if c, err = p.Next(context.Background()); err == nil {
					c.Release()
				}
			}
			var changed *ErrChanged
			if !errors.As(err, &changed) {
				t.Fatalf("got %v, want ErrChanged", err)
			}
			if p.Marks() != nil {
				t.Fatal("marks after a failure")
			}
		})
	}
}

func TestManifestChunks(t *testing.T) {
	for _, size := range []int{1, 4095, 4096, 4097, 300_001, 1 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			content := noise(uint64(size), size)
			o := options()
			o.ChunkSize = 4096
			r, err := drain(t, Manifest(bytes.NewReader(content), int64(size), 17, o))
			must(t, err)
			if !bytes.Equal(r.files[0], content) || len(r.chunks) != bundle.ManifestChunks(int64(size), 4096) || r.chunks[0] != 17 {
				t.Fatalf("R-8: %d bytes in chunks %v", len(r.files[0]), r.chunks)
			}
		})
	}
	p := Manifest(bytes.NewReader(make([]byte, 10)), 20, 0, options())
	if _, err := p.Next(context.Background()); err == nil || errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "read manifest") {
		t.Fatalf("a manifest that is too short gave %v", err)
	}
}

// TestNoGoroutineStays ends passes in every way at every point; goleak looks at the end.
func TestNoGoroutineStays(t *testing.T) {
	top := tree(t, "item", map[string][]byte{"a": noise(1, 3_000_000)})
	o := options()
	w, err := Walk(disk.New(), top, bundle.Linux)
	must(t, err)
	for taken := range 12 {
		p := First(w, o)
		for range taken {
			c, err := p.Next(context.Background())
			must(t, err)
			c.Release()
		}
		if taken%2 == 0 {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			for {
				c, err := p.Next(ctx) // what is ready may still come
				if err != nil {
					if !errors.Is(err, context.Canceled) {
						t.Fatal(err)
					}
					break
				}
				c.Release()
			}
		}
		p.Close()
		p.Close()
		if _, err := p.Next(context.Background()); !errors.Is(err, context.Canceled) {
			t.Fatalf("Next after the end gave %v", err)
		}
		if o.Buffers.Used() != 0 {
			t.Fatalf("%d bytes are still lent", o.Buffers.Used())
		}
	}
}

// TestReadingWaitsForMemory holds what a slow link holds, and counts.
func TestReadingWaitsForMemory(t *testing.T) {
	top := tree(t, "item", map[string][]byte{"a": noise(1, 64<<20)})
	o := Options{Buffers: NewBuffers(MinMemory, 0, 1)}
	w, err := Walk(disk.New(), top, bundle.Linux)
	must(t, err)
	p := First(w, o)
	defer p.Close()
	var held []*Chunk
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		c, err := p.Next(ctx)
		cancel()
		if err != nil {
			break
		}
		held = append(held, c)
		if o.Buffers.Used() > MinMemory {
			t.Fatalf("%d bytes are lent, the limit is %d", o.Buffers.Used(), MinMemory)
		}
	}
	if len(held) == 0 || len(held) > 3 {
		t.Fatalf("%d chunks were held", len(held))
	}
	for _, c := range held {
		c.Release()
		c.Release()
	}
	p.Close()
	if o.Buffers.Used() != 0 {
		t.Fatalf("%d bytes are still lent", o.Buffers.Used())
	}
}

func TestItemIsFoundByItsPlace(t *testing.T) {
	top := tree(t, "item", map[string][]byte{"a": prose(10)})
	must(t, os.Symlink(top, filepath.Join(filepath.Dir(top), "link")))
	if _, err := Walk(disk.New(), filepath.Join(filepath.Dir(top), "link"), bundle.Linux); err == nil {
		t.Fatal("a link was walked as an item")
	}
	if _, err := Walk(disk.New(), filepath.Join(filepath.Dir(top), "none"), bundle.Linux); err == nil {
		t.Fatal("nothing was walked as an item")
	}
}
