package assemble

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
	"ecluse/receiver/collect"
)

// Source says whose packets brought a bundle.
type Source struct {
	Sender  bundle.Name  // the principal that opened the session
	Epoch   bundle.Epoch // of the session
	Session uint64
	Link    string
}

// Owner is told what becomes of bundles. Offered, Closed, Abandoned and Beat are called from decode workers, the others from this room's own goroutines; none may call back, but for Counts and Progress.
type Owner interface {
	// Offered admits a bundle by returning nil, or refuses it. With Swallow the bundle is one that was finished before: its slices are surplus. Of a bundle that was refused, or
	// finished, it is asked again when its offer still comes after a while: what there was no room for may come in when there is.
	Offered(s Source, o *record.Offer, received time.Time) error
	// Known says whether a bundle of which no offer has come in this life was finished before: its slices are surplus.
	Known(id bundle.ID) bool
	// Closed says how a bundle ends, and with which sequence, not in any order with Whole: once for an admitted one, and each time for one that is finished or was
	// refused. The source may be another sender than the bundle's.
	Closed(s Source, c *record.Close)
	// Whole hands a bundle over whose every chunk is on the disk. The Owner ends with Done or Wrong.
	Whole(b *Staged)
	// Damaged says that nothing more comes while chunks are missing; Receiving that something came after all.
	Damaged(id bundle.ID, missing Missing)
	Receiving(id bundle.ID)
	// Abandoned says that the sender gave a bundle up. The Owner checks the signature.
	Abandoned(s Source, a *record.Abandon)
	// Beat brings a heartbeat.
	Beat(s Source, h *record.Heartbeat)
	// Failed says that our own disk would not take something. When fatal, the process has to end: a sync failed.
	Failed(id bundle.ID, err error, fatal bool)
}

// Later is returned by Owner.Offered for a bundle that cannot be judged now, for a reason of our own: the next offer of it is asked about again.
var Later = errors.New("not now")

// Swallow is returned by Owner.Offered for a bundle that needs nothing more.
var Swallow = errors.New("finished before")

// Missing is what a damaged bundle lacks.
type Missing struct {
	Chunks int   // -1 when no close has come
	Bytes  int64 // of content, about: whole chunks; -1 when unknown
}

// Options of an Assembler.
type Options struct {
	Dir     string // <state>/receiving
	Disk    Disk
	Owner   Owner
	Memory  int // bytes for frames and chunks; at least 41 MiB
	Workers int
	Now     func() time.Time // the wall clock: when a bundle was received
	// Passed is the time since any moment, by a clock that nobody sets: everything that is waited for goes by it. Without one the system's is taken.
	Passed func() time.Duration
	// Idle is how long nothing must come before an incomplete bundle that has its close is damaged. One without a close waits six times as long.
	Idle time.Duration
	// Checkpoint is the least time between two checkpoints.
	Checkpoint time.Duration
}

// Assembler is the room. Block may be called from several goroutines; Run drives the rest.
type Assembler struct {
	options Options

	mu           sync.Mutex
	changed      *sync.Cond // jobs came, memory was freed, or it ends
	buffers      buffers    // of frames
	raws         buffers    // of decompressed chunks: a bound of its own, so that frames never keep jobs from ending
	bundles      map[bundle.ID]*incoming
	swallow      *recent            // ids whose slices are surplus
	asked        map[bundle.ID]wait // of those whose offers still come
	tables       int                // files for which there are tables of digests
	jobs         []*job
	active       int // jobs queued or under way
	order        uint64
	stopping     bool
	checkpointed time.Duration // the ticker's
	counts       map[bundle.Reason]uint64
	dropped      uint64 // frames given up because memory was full: a slow disk
	hashing      chan *job
}

var errLayout error = bundle.Reject(bundle.ReasonChunkLayout, "R-6", "the chunk does not fit the offer or its other slices")

// New makes an Assembler over a directory.
func New(o Options) (*Assembler, error) {
	if o.Memory < leastMemory {
		return nil, fmt.Errorf("assemble: %d bytes of memory, at least %d are needed", o.Memory, leastMemory)
	}
	if o.Workers < 1 {
		o.Workers = 2
	}
	if o.Idle == 0 {
		o.Idle = 5 * time.Second
	}
	if o.Passed == nil {
		start := time.Now()
		o.Passed = func() time.Duration { return time.Since(start) }
	}
	if o.Checkpoint == 0 {
		o.Checkpoint = 2 * time.Second
	}
	if err := o.Disk.MkdirAll(o.Dir); err != nil {
		return nil, fmt.Errorf("make the staging directory: %w", err)
	}
	a := &Assembler{
		options: o,
		buffers: buffers{limit: o.Memory - rawMemory, spare: make(map[int][][]byte)},
		raws:    buffers{limit: rawMemory, spare: make(map[int][][]byte)},
		bundles: make(map[bundle.ID]*incoming),
		swallow: newRecent(1 << 16),
		asked:   make(map[bundle.ID]wait),
		counts:  make(map[bundle.Reason]uint64),
		hashing: make(chan *job, 64),
	}
	a.changed = sync.NewCond(&a.mu)
	return a, nil
}

// Run works until ctx ends, and then finishes what is under way and makes a last checkpoint.
func (a *Assembler) Run(ctx context.Context) error {
	var workers, hasher sync.WaitGroup
	hasher.Go(a.hash)
	for range a.options.Workers {
		workers.Go(a.work)
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var err error
	for err == nil {
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-tick.C:
			err = a.Tick()
		}
	}
	a.mu.Lock()
	a.stopping = true
	a.changed.Broadcast()
	a.mu.Unlock()
	workers.Wait()
	close(a.hashing)
	hasher.Wait()
	if failed := a.checkpoint(true); failed != nil {
		return failed
	}
	return err
}

// Block takes the records of one block. It waits when memory is full and the disk is busy; it returns at once when the room ends.
func (a *Assembler) Block(s collect.SessionInfo, r *record.Reader) {
	source := Source{Sender: s.Sender, Epoch: s.Epoch, Session: s.Number, Link: s.Link}
	for {
		next, err := r.Next()
		switch x := next.(type) {
		case *record.Offer:
			err = a.offer(source, x)
		case *record.Slice:
			err = a.slice(source, x)
		case *record.Close:
			err = a.close(source, x)
		case *record.Abandon:
			a.options.Owner.Abandoned(source, x)
		case *record.Heartbeat:
			a.options.Owner.Beat(source, x)
		default:
			if err == nil || !isRejection(err) {
				return // io.EOF
			}
		}
		if reason, ok := bundle.ReasonOf(err); ok {
			a.count(reason)
		}
	}
}

func isRejection(err error) bool {
	_, ok := bundle.ReasonOf(err)
	return ok
}

func (a *Assembler) count(r bundle.Reason) {
	a.mu.Lock()
	a.counts[r]++
	a.mu.Unlock()
}

// bundle finds a bundle under the lock. One that was never offered is made up to wait for its offer; nil is one that needs nothing.
func (a *Assembler) bundle(s Source, id bundle.ID) *incoming {
	if in := a.bundles[id]; in != nil {
		if in.source.Sender != s.Sender {
			return nil // another sender's id: nothing of one sender ever touches a bundle of another
		}
		return in
	}
	if a.swallow.has(id) {
		return nil
	}
	if a.options.Owner.Known(id) {
		a.swallow.add(id)
		return nil
	}
	if a.strangers(s.Sender) >= maxStrangers {
		a.counts[bundle.ReasonLimit]++
		return nil
	}
	return a.stranger(s, id)
}

// offered is bundle for an offer, which is never one too many: it ends the wait that strangers are bounded for.
func (a *Assembler) offered(s Source, id bundle.ID) *incoming {
	switch in := a.bundles[id]; {
	case in != nil && in.source.Sender != s.Sender:
		return nil
	case in != nil:
		return in
	case (a.swallow.has(id) || a.options.Owner.Known(id)) && !a.askAgain(id):
		return nil
	}
	return a.stranger(s, id)
}

const (
	askEvery  = 5 * time.Second         // an offer is repeated each second for as long as its bundle is under way
	askAnew   = 1500 * time.Millisecond // what was silent for longer was over: its next offer is one of a later pass or a repair, which may be over with that
	askedMost = 4096                    // offers under way at once; of more, each is asked about
)

// wait is when the Owner was last asked about a bundle of which nothing was wanted, and when it was last offered.
type wait struct{ asked, offered time.Duration }

// askAgain says whether the Owner is to be asked once more about a bundle of which nothing was wanted.
func (a *Assembler) askAgain(id bundle.ID) bool {
	now := a.options.Passed()
	last, ok := a.asked[id]
	if ok && now-last.asked < askEvery && now-last.offered < askAnew {
		last.offered = now
		a.asked[id] = last
		return false
	}
	a.noteAsked(id, now)
	return ok // the first of them only begins the wait
}

func (a *Assembler) noteAsked(id bundle.ID, now time.Duration) {
	if len(a.asked) >= askedMost {
		clear(a.asked)
	}
	a.asked[id] = wait{now, now}
}

// stranger makes up a bundle that waits for its offer.
func (a *Assembler) stranger(s Source, id bundle.ID) *incoming {
	now := a.options.Passed()
	in := &incoming{
		id: id, source: s, received: a.options.Now(), begun: now, touched: now,
		frames: make(map[uint32]*frame), busy: make(map[uint32]bool), dirs: make(map[uint32]bool),
	}
	a.bundles[id] = in
	return in
}

// maxStrangers bounds the bundles of one sender that wait for an offer. An offer comes first and is repeated each second, so few do; and no sender takes another's room.
const maxStrangers = 256

func (a *Assembler) strangers(sender bundle.Name) int {
	n := 0
	if len(a.bundles) < maxStrangers {
		return 0
	}
	for _, in := range a.bundles {
		if in.phase == unknown && in.source.Sender == sender {
			n++
		}
	}
	return n
}

// offer admits a bundle, or compares a repeated offer with the first.
func (a *Assembler) offer(s Source, o *record.Offer) error {
	end, err := a.admit(s, o)
	if end != nil {
		a.options.Owner.Closed(s, end)
	}
	return err
}

// admit does it; end is the close that had come before.
func (a *Assembler) admit(s Source, o *record.Offer) (end *record.Close, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	in := a.offered(s, o.Bundle)
	if in == nil {
		return nil, nil
	}
	in.touched = a.options.Passed()
	if in.offer != nil {
		if *in.offer != *o {
			return nil, errOfferConflict
		}
		return nil, nil
	}
	kept := *o
	received := in.received
	a.mu.Unlock()
	err = a.options.Owner.Offered(s, &kept, received)
	a.mu.Lock()
	if in.gone || in.offer != nil {
		return nil, nil
	}
	if err != nil {
		a.drop(in)
		if errors.Is(err, Later) {
			return nil, nil
		}
		a.swallow.add(in.id)
		if errors.Is(err, Swallow) {
			return nil, nil
		}
		a.noteAsked(in.id, a.options.Passed()) // the offer of a repair may be the only one: no other has to begin its wait
		return nil, err
	}
	in.offer, in.phase = &kept, receiving
	in.hashes = newHashes(o.Files, func(file uint32, at int64, b []byte) error { return a.readBack(in.id, file, at, b) })
	for _, f := range in.frames {
		if f.whole() {
			a.enqueue(f)
		}
	}
	a.finishIfWhole(in)
	return in.close, nil
}

var (
	errOfferConflict error = bundle.Reject(bundle.ReasonOfferConflict, "R-5", "a second offer has other values")
	errCloseConflict error = bundle.Reject(bundle.ReasonCloseConflict, "R-8", "a second close has other values")
)

// close notes how a bundle ends.
func (a *Assembler) close(s Source, c *record.Close) error {
	end, err := a.end(s, c)
	if end != nil {
		a.options.Owner.Closed(s, end)
	}
	return err
}

// end does it; closed is what the Owner is told of.
func (a *Assembler) end(s Source, c *record.Close) (closed *record.Close, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	in := a.bundle(s, c.Bundle)
	if in == nil {
		return c, nil
	}
	if in.close != nil {
		if !sameClose(in.close, c) {
			return nil, errCloseConflict
		}
		return nil, nil
	}
	kept := *c
	kept.Signature = append([]byte(nil), c.Signature...)
	in.close = &kept
	in.touched = a.options.Passed()
	a.finishIfWhole(in)
	if in.offer == nil {
		return nil, nil
	}
	return &kept, nil
}

func sameClose(a, b *record.Close) bool {
	x, y := *a, *b
	same := string(x.Signature) == string(y.Signature)
	x.Signature, y.Signature = nil, nil
	return same && x.Sequence == y.Sequence && x.Bundle == y.Bundle && x.Epoch == y.Epoch && x.Tenant == y.Tenant && x.Previous == y.Previous &&
		x.ManifestSize == y.ManifestSize && x.Manifest == y.Manifest && x.Chunks == y.Chunks && x.ManifestChunks == y.ManifestChunks
}

// slice puts a slice into its frame, and a whole frame on its way to the disk.
func (a *Assembler) slice(s Source, sl *record.Slice) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	in := a.bundle(s, sl.Bundle)
	if in == nil || in.phase == finishing || in.have.has(sl.Chunk) || in.busy[sl.Chunk] {
		return nil
	}
	if err := in.allows(sl.Chunk, sl.Runs); err != nil {
		return err
	}
	if in.offer != nil && (sl.Raw > in.offer.ChunkSize || in.enough(sl.Raw)) {
		return errLayout
	}
	in.touched = a.options.Passed()
	if in.phase == idle {
		in.phase = receiving
		a.mu.Unlock()
		a.options.Owner.Receiving(in.id)
		a.mu.Lock()
	}
	f := in.frames[sl.Chunk]
	if f != nil && f.raw != sl.Raw {
		return errLayout // a chunk has one length, however it is compressed
	}
	if f != nil && !f.fits(sl) {
		a.dropFrame(f)
		f = nil
	}
	if f == nil {
		bytes := a.room(int(sl.Frame))
		if bytes == nil {
			return nil // it ends
		}
		// The lock was open while room waited.
		if in.gone || in.have.has(sl.Chunk) || in.busy[sl.Chunk] || in.frames[sl.Chunk] != nil {
			a.buffers.put(bytes)
			a.changed.Broadcast()
			if f = in.frames[sl.Chunk]; f == nil || !f.fits(sl) {
				return nil
			}
		} else {
			f = newFrame(in, sl, bytes)
			in.frames[sl.Chunk] = f
		}
	}
	a.order++
	f.order = a.order
	f.add(sl)
	if f.whole() && in.phase == receiving {
		a.enqueue(f)
	}
	return nil
}

// drop forgets a bundle. Jobs under way find that it is gone.
func (a *Assembler) drop(in *incoming) {
	in.gone = true
	if in.hashes != nil {
		a.tables -= in.hashes.tabled
		in.hashes.tabled = 0
	}
	for _, f := range in.frames {
		a.dropFrame(f)
	}
	delete(a.bundles, in.id)
}

// enqueue puts a whole frame on its way to the disk.
func (a *Assembler) enqueue(f *frame) {
	delete(f.bundle.frames, f.chunk)
	f.bundle.busy[f.chunk] = true
	f.bundle.taken += int64(f.raw)
	a.active++
	a.jobs = append(a.jobs, &job{frame: f, stored: f.stored()})
	a.changed.Broadcast()
}

// finishIfWhole hands a bundle over when every chunk is there.
func (a *Assembler) finishIfWhole(in *incoming) {
	if in.gone || in.phase == finishing || in.phase == unknown || !in.whole() {
		return
	}
	in.phase = finishing
	in.shut()
	go a.options.Owner.Whole(a.staged(in))
}

func (a *Assembler) dir(id bundle.ID) string { return filepath.Join(a.options.Dir, id.String()) }
