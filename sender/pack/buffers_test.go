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
	b := NewBuffers(MinMemory, 0, 1)
	var group sync.WaitGroup
	for worker := range 16 {
		group.Go(func() {
			r := rand.New(rand.NewPCG(uint64(worker), 7))
			for range 300 {
				class := bundle.Class(1 + r.IntN(3))
				content, frame, err := b.of(0).take(t.Context(), class, 1+r.IntN(1<<r.IntN(23)))
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
				b.of(0).give(content)
				b.of(0).give(frame)
			}
		})
	}
	group.Wait()
	if made, free := b.held(); b.Used() != 0 || made != free {
		t.Fatalf("%d bytes are still lent; %d are made, %d free", b.Used(), made, free)
	}
}

func TestAFrameThatWaitsIsHeldInWhatItNeeds(t *testing.T) {
	b := NewBuffers(MinMemory, 0, 1)
	content, frame, err := b.of(0).take(t.Context(), bundle.Normal, bundle.ChunkSizeMax)
	must(t, err)
	whole := b.Used()
	frame, err = b.compress(frame, prose(len(content)))
	must(t, err)
	small := b.of(0).shrink(frame)
	if !bytes.Equal(small, frame[:len(small)]) || len(small) != len(frame) || b.Used() > whole/2+int64(classSize(0)) {
		t.Errorf("a frame of %d bytes holds %d of %d", len(small), b.Used()-whole/2, whole/2)
	}
	b.of(0).give(content)
	b.of(0).give(small)
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
		content, frame, err := b.of(0).take(ctx, c, raw)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return func() {
				for _, buffer := range all {
					b.of(0).give(buffer)
				}
			}
		}
		must(t, err)
		all = append(all, content, frame)
	}
}

func TestUrgentIsReadWhileBulkWaits(t *testing.T) {
	b := NewBuffers(MinMemory, 0, 1)
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
		_, _, err := b.of(0).take(t.Context(), bundle.Bulk, 64<<10)
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

// What one tenant reads ahead, for a link that takes it slowly, leaves another's first chunk its memory; and it waits behind none of the other's.
func TestATenantThatHoldsNothingIsNotKeptWaiting(t *testing.T) {
	b := NewBuffers(DefaultMemory, 0, 2)
	var lent [][]byte
	take := func(tenant int, within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		content, frame, err := b.of(tenant).take(ctx, bundle.Normal, bundle.ChunkSizeMax)
		if err == nil {
			lent = append(lent, content, frame)
		}
		return err
	}
	n := 0
	for take(0, 10*time.Millisecond) == nil {
		n++
	}
	if n == 0 {
		t.Fatal("a tenant gets nothing")
	}
	waits := make(chan error)
	go func() {
		_, _, err := b.of(0).take(t.Context(), bundle.Normal, bundle.ChunkSizeMax)
		waits <- err
	}()
	for b.waiters() < 1 {
		time.Sleep(time.Millisecond)
	}
	if err := take(1, time.Second); err != nil {
		t.Errorf("one tenant holds %d chunks, and the other waits for its first: %v", n, err)
	}
	if err := take(1, 10*time.Millisecond); err == nil {
		t.Error("the other's second goes before what has waited for longer")
	}
	for i, buffer := range lent {
		tenant := 0
		if i >= 2*n {
			tenant = 1
		}
		b.of(tenant).give(buffer)
	}
	must(t, <-waits)
}

// From 22 MiB on a first chunk has room beside what another tenant took, of each class; what is kept is one for all, so the third waits.
func TestOneFirstChunkOfTheOthersHasRoom(t *testing.T) {
	for _, row := range []struct {
		name   string
		memory int64
		class  bundle.Class
		served int // tenants that have a chunk, of three, when the first has all that it gets
	}{
		{"urgent", 22 << 20, bundle.Urgent, 2},
		{"normal", 22 << 20, bundle.Normal, 2},
		{"bulk", 22 << 20, bundle.Bulk, 2},
		{"bulk in less memory", 21 << 20, bundle.Bulk, 1},
		{"bulk in all memory that is usual", DefaultMemory, bundle.Bulk, 2},
	} {
		b := NewBuffers(row.memory, 0, 3)
		take := func(tenant int) bool {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			_, _, err := b.of(tenant).take(ctx, row.class, bundle.ChunkSizeMax)
			return err == nil
		}
		served := 0
		for tenant := range 3 {
			if take(tenant) {
				served++
			}
			for tenant == 0 && take(tenant) {
			}
		}
		if served != row.served {
			t.Errorf("%s, in %d MiB: %d tenants are served, want %d", row.name, row.memory>>20, served, row.served)
		}
	}
}

func TestWhoGaveUpHoldsUpNobody(t *testing.T) {
	b := NewBuffers(MinMemory, 0, 1)
	release := fill(t, b, bundle.Normal, bundle.ChunkSizeMax)
	ctx, cancel := context.WithCancel(t.Context())
	gone, served := make(chan error), make(chan error)
	go func() { _, _, err := b.of(0).take(ctx, bundle.Normal, bundle.ChunkSizeMax); gone <- err }()
	for b.waiters() < 1 {
		time.Sleep(time.Millisecond)
	}
	go func() { _, _, err := b.of(0).take(t.Context(), bundle.Normal, 4096); served <- err }()
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
