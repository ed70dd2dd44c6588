package pack

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
)

// soakVariable asks for so many races instead of those that fit raceTime.
const (
	soakVariable = "ECLUSE_SOAK_RACE"
	raceTime     = 3 * time.Second
	raceLeast    = 50
)

// arena is an item that is changed while it is read, and what it holds.
type arena struct {
	t    *testing.T
	top  string
	rand *rand.Rand
	held map[string][]byte
}

func newArena(t *testing.T, seed uint64) *arena {
	a := &arena{t: t, rand: rand.New(rand.NewPCG(seed, 1)), held: map[string][]byte{
		"a": noise(seed+1, 150_000), "d/b": noise(seed+2, 90_000), "d/c": noise(seed+3, 4096), "e/b": noise(seed+4, 90_000), "e/c": noise(seed+5, 4096), "z": noise(seed+6, 70_000),
	}}
	a.top = tree(t, "item", a.held)
	return a
}

func (a *arena) path(name string) string { return filepath.Join(a.top, name) }

// change does one thing to the item, and gives what it holds then. Every write is one that an operator's tool makes: with pauses, and the size as it was.
func (a *arena) change(kind string) (map[string][]byte, error) {
	names := []string{"a", "d/b", "d/c", "e/b", "e/c", "z"}
	name := names[a.rand.IntN(len(names))]
	old := a.held[name]
	fresh := noise(a.rand.Uint64()>>1, len(old))
	next := map[string][]byte{}
	for n, c := range a.held {
		next[n] = c
	}
	switch kind {
	case "append":
		next[name] = append(bytes.Clone(old), fresh[:100]...)
		return next, a.write(name, os.O_APPEND, fresh[:100])
	case "truncate":
		if len(old) < 1000 {
			return next, nil
		}
		next[name] = old[:len(old)-10]
		return next, os.Truncate(a.path(name), int64(len(old)-10))
	case "rewrite":
		next[name] = fresh
		return next, a.write(name, 0, fresh)
	case "rewrite and set back":
		next[name] = fresh
		info, err := os.Stat(a.path(name))
		return next, errors.Join(err, a.write(name, 0, fresh), os.Chtimes(a.path(name), info.ModTime(), info.ModTime()))
	case "rename":
		next[name] = fresh
		beside := filepath.Join(filepath.Dir(a.top), "new")
		return next, errors.Join(os.WriteFile(beside, fresh, 0o644), os.Rename(beside, a.path(name)))
	case "swap files":
		next["d/b"], next["e/b"] = next["e/b"], next["d/b"]
		return next, exchange(a.path("d/b"), a.path("e/b"))
	case "swap directories":
		next["d/b"], next["e/b"] = next["e/b"], next["d/b"]
		next["d/c"], next["e/c"] = next["e/c"], next["d/c"]
		return next, exchange(a.path("d"), a.path("e"))
	}
	panic(kind)
}

func exchange(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}

// write writes in three parts, over what is there.
func (a *arena) write(name string, flags int, content []byte) error {
	f, err := os.OpenFile(a.path(name), os.O_WRONLY|flags, 0)
	if err != nil {
		return err
	}
	for third := (len(content) + 2) / 3; len(content) > 0 && err == nil; {
		n := min(third, len(content))
		_, err = f.Write(content[:n])
		content = content[n:]
	}
	return errors.Join(err, f.Close())
}

// read reads the item, and gives what travelled; the digests were held against it. nil: it was refused because it changed.
func (a *arena) read(seed string) map[string][]byte {
	o := Options{ChunkSize: 16 << 10, Buffers: buffersOfRaces}
	var changed *ErrChanged
	w, err := Walk(disk.New(), a.top, bundle.Linux)
	if errors.As(err, &changed) {
		return nil
	}
	if err != nil {
		a.t.Errorf("%s: the walk ended with %v", seed, err)
		return nil
	}
	p := First(w, o)
	r, err := drain(a.t, p)
	if errors.As(err, &changed) {
		if p.Marks() != nil {
			a.t.Errorf("%s: marks of an item that changed", seed)
		}
		return nil
	}
	if err != nil {
		a.t.Errorf("%s: the pass ended with %v", seed, err)
		return nil
	}
	got := map[string][]byte{}
	for n := 1; n <= w.Table.Files(); n++ {
		f := w.Table.File(n)
		content := r.files[uint32(n)]
		if bundle.Digest(sha256.Sum256(content)) != f.Digest {
			a.t.Errorf("%s: the digest of %s is not of what travelled", seed, f.Path)
		}
		got[string(f.Path[len("item/"):])] = content
	}
	return got
}

var buffersOfRaces = NewBuffers(MinMemory, 0, 1)

func same(a, b map[string][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for n, c := range a {
		if !bytes.Equal(b[n], c) {
			return false
		}
	}
	return true
}

// TestAnItemThatChangesIsReadAsItWasOrIsOrNotAtAll races one change against one reading, at every distance from each other.
func TestAnItemThatChangesIsReadAsItWasOrIsOrNotAtAll(t *testing.T) {
	races, end := 1<<30, time.Now().Add(raceTime)
	if text := os.Getenv(soakVariable); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("%s=%q is no count", soakVariable, text)
		}
		races, end = n, time.Now().Add(24*time.Hour)
	}
	kinds := []string{"append", "truncate", "rewrite", "rewrite and set back", "rename", "swap files", "swap directories"}
	outcome := map[string]int{}
	took, ran := 10*time.Millisecond, 0
	var a *arena
	for ; ran < races && time.Now().Before(end); ran++ {
		if ran%500 == 0 { // appends must not make it grow for ever
			if a != nil {
				must(t, os.RemoveAll(a.top))
			}
			a = newArena(t, uint64(ran))
		}
		kind := kinds[ran%len(kinds)]
		seed := fmt.Sprintf("race %d (%s)", ran, kind)
		pause := time.Duration(a.rand.Int64N(2 * int64(took)))
		var next map[string][]byte
		changed := make(chan error)
		go func() {
			time.Sleep(pause)
			var err error
			next, err = a.change(kind)
			changed <- err
		}()
		began := time.Now()
		got := a.read(seed)
		lasted := time.Since(began)
		must(t, <-changed)
		switch {
		case got == nil:
			outcome["refused"]++
		case same(got, a.held):
			outcome["as it was"]++
			took = (took*7 + lasted) / 8
		case same(got, next):
			outcome["as it is"]++
		default:
			t.Fatalf("%s: what was read is neither what was there nor what is", seed)
		}
		if a.held = next; t.Failed() {
			return
		}
	}
	t.Logf("soak race: %d done: %v", ran, outcome)
	if ran < raceLeast && ran < races || ran >= raceLeast && (outcome["refused"] == 0 || outcome["as it was"]+outcome["as it is"] == 0) {
		t.Fatalf("%d races ended in %v: they do not meet", ran, outcome)
	}
	if used := buffersOfRaces.Used(); used != 0 {
		t.Fatalf("%d bytes are still lent", used)
	}
}
