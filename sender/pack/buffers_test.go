package pack

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"ecluse/protocol/bundle"
)

// held is what exists; what is in free is counted again, so that made is not its own witness.
func (b *Buffers) held() (made, free int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for class, list := range b.free {
		for range list {
			free += int64(classSize(class))
		}
	}
	return b.made, free
}

func TestBuffersNeverHoldMoreThanTheyMay(t *testing.T) {
	b := NewBuffers(MinMemory, 0)
	var group sync.WaitGroup
	for worker := range 16 {
		group.Go(func() {
			r := rand.New(rand.NewPCG(uint64(worker), 7))
			for range 300 {
				class := bundle.Class(1 + r.IntN(3))
				content, frame, err := b.take(t.Context(), class, 1+r.IntN(1<<r.IntN(23)))
				if err != nil {
					t.Error(err)
					return
				}
				if len(frame) != 0 || cap(frame) < len(content) {
					t.Errorf("a frame of %d for %d bytes", cap(frame), len(content))
				}
				if made, free := b.held(); made > MinMemory || free+int64(cap(content)+cap(frame)) > made {
					t.Errorf("%d bytes are made, %d free", made, free)
				}
				b.give(content)
				b.give(frame)
			}
		})
	}
	group.Wait()
	if made, free := b.held(); b.Used() != 0 || made != free {
		t.Fatalf("%d bytes are still lent; %d are made, %d free", b.Used(), made, free)
	}
}

func TestAFrameThatWaitsIsHeldInWhatItNeeds(t *testing.T) {
	b := NewBuffers(MinMemory, 0)
	content, frame, err := b.take(t.Context(), bundle.Normal, bundle.ChunkSizeMax)
	must(t, err)
	whole := b.Used()
	frame, err = b.compress(frame, prose(len(content)))
	must(t, err)
	small := b.shrink(frame)
	if !bytes.Equal(small, frame[:len(small)]) || len(small) != len(frame) || b.Used() > whole/2+int64(classSize(0)) {
		t.Errorf("a frame of %d bytes holds %d of %d", len(small), b.Used()-whole/2, whole/2)
	}
	b.give(content)
	b.give(small)
	if n := b.Used(); n != 0 {
		t.Errorf("%d bytes are still lent", n)
	}
}

// fill takes chunks until a class gets no more.
func fill(t *testing.T, b *Buffers, c bundle.Class, raw int) (release func()) {
	t.Helper()
	var all [][]byte
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		content, frame, err := b.take(ctx, c, raw)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return func() {
				for _, buffer := range all {
					b.give(buffer)
				}
			}
		}
		must(t, err)
		all = append(all, content, frame)
	}
}

func TestUrgentIsReadWhileBulkWaits(t *testing.T) {
	b := NewBuffers(MinMemory, 0)
	bulk := fill(t, b, bundle.Bulk, 64<<10)
	if used := b.Used(); used > MinMemory*3/4 || used < MinMemory*3/4-1<<18 {
		t.Errorf("bulk takes %d of %d bytes", used, MinMemory)
	}
	normal := fill(t, b, bundle.Normal, 64<<10)
	if used := b.Used(); used > MinMemory*7/8 || used < MinMemory*7/8-1<<18 {
		t.Errorf("bulk and normal take %d of %d bytes", used, MinMemory)
	}
	waiting := make(chan error)
	go func() {
		_, _, err := b.take(t.Context(), bundle.Bulk, 64<<10)
		waiting <- err
	}()
	for b.waiters() < 1 {
		time.Sleep(time.Millisecond)
	}
	urgent := fill(t, b, bundle.Urgent, 64<<10) // and is not held up by who waits
	if used := b.Used(); used > MinMemory || used < MinMemory-1<<18 {
		t.Errorf("all take %d of %d bytes", used, MinMemory)
	}
	urgent()
	normal()
	select {
	case err := <-waiting:
		t.Errorf("bulk was served beyond its share: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	bulk()
	must(t, <-waiting)
}

func TestWhoGaveUpHoldsUpNobody(t *testing.T) {
	b := NewBuffers(MinMemory, 0)
	release := fill(t, b, bundle.Normal, bundle.ChunkSizeMax)
	ctx, cancel := context.WithCancel(t.Context())
	gone, served := make(chan error), make(chan error)
	go func() { _, _, err := b.take(ctx, bundle.Normal, bundle.ChunkSizeMax); gone <- err }()
	for b.waiters() < 1 {
		time.Sleep(time.Millisecond)
	}
	go func() { _, _, err := b.take(t.Context(), bundle.Normal, 4096); served <- err }()
	for b.waiters() < 2 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	must(t, <-served) // there was room for the small one all the time
	release()
}

func (b *Buffers) waiters() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting)
}
