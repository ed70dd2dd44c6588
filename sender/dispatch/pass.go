package dispatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"go.uber.org/zap"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
	"ecluse/sender/ledger"
	"ecluse/sender/pack"
	"ecluse/sender/transmit"
)

// pass does what is next for a task: its first pass, or a later one.
func (d *Dispatcher) pass(l *lane, t *task) {
	var err error
	if t.record.Sequence == nil {
		err = d.first(l, t)
	} else {
		err = d.again(l, t)
	}
	if err == nil || d.ctx.Err() != nil {
		return
	}
	d.giveUp(l, t, err)
}

// first reads an item for the first time, sending it as it is read; then it is signed beside the lane.
func (d *Dispatcher) first(l *lane, t *task) error {
	w, err := pack.Walk(t.path, d.o.Tenants[t.tenant].Names)
	if err != nil {
		return err
	}
	if err := w.Fits(d.o.ChunkSize); err != nil {
		return err
	}
	if err := t.unchanged(w.Table); err != nil {
		return err
	}
	if err := d.offer(l, t, w.Table); err != nil {
		return err
	}
	p := pack.First(w, d.packOptions(t))
	defer p.Close()
	if err := d.feedChunks(l, t, p); err != nil {
		return err
	}
	marks := p.Marks()
	select {
	case d.signing <- struct{}{}:
	case <-d.ctx.Done():
		return d.ctx.Err()
	}
	d.mu.Lock()
	l.closing++
	d.mu.Unlock()
	d.working.Go(func() {
		err := d.sign(l, t, w.Table, marks)
		<-d.signing
		if err != nil && d.ctx.Err() == nil {
			d.giveUp(l, t, err)
		}
		d.mu.Lock()
		l.closing--
		l.changed.Broadcast()
		d.mu.Unlock()
	})
	return nil
}

func (d *Dispatcher) packOptions(t *task) pack.Options {
	return pack.Options{ChunkSize: d.o.ChunkSize, Buffers: d.o.Buffers, Class: t.item.Class}
}

// unchanged holds an item against what an earlier life offered of it: the receiver goes by that first offer.
func (t *task) unchanged(table *bundle.Table) error {
	r := t.record
	if r.Bytes == nil || r.Files == nil || r.Dirs == nil {
		return nil
	}
	if *r.Bytes != table.Total() || *r.Files != int64(table.Files()) || *r.Dirs != int64(table.Dirs()) {
		return &pack.ErrChanged{Path: r.Name, What: "it is not what it was when sending began, before a restart"}
	}
	return nil
}

// offer announces the bundle and begins its pass.
func (d *Dispatcher) offer(l *lane, t *task, table *bundle.Table) error {
	r := t.record
	files, dirs, bytes := int64(table.Files()), int64(table.Dirs()), table.Total()
	chunks := int64(bundle.ChunkCount(table, d.o.ChunkSize))
	d.o.Ledger.Post(r.Bundle, func(have *ledger.Record) error {
		have.State, have.Files, have.Dirs, have.Bytes, have.Chunks = ledger.Sending, &files, &dirs, &bytes, &chunks
		return nil
	}, d.failed)
	o := &record.Offer{
		Bundle: r.Bundle, Epoch: d.o.Epoch, Tenant: r.Tenant, Class: t.item.Class, Files: uint32(files), Dirs: uint32(dirs), Bytes: uint64(bytes),
		Chunks: uint32(chunks), ChunkSize: uint32(d.o.ChunkSize), Created: r.Created.Unix(), Name: r.Name,
	}
	var out *transmit.Out
	out = transmit.NewOut(func() { d.passOut(t, out) })
	d.mu.Lock()
	r.State, r.Files, r.Dirs, r.Bytes, r.Chunks = ledger.Sending, &files, &dirs, &bytes, &chunks
	t.out, t.offer = out, true
	d.beats.open(r.Bundle, o)
	d.mu.Unlock()
	return l.feed.Put(d.ctx, transmit.Piece{Record: o, Out: out})
}

// feedChunks puts every chunk of a pass into the feed.
func (d *Dispatcher) feedChunks(l *lane, t *task, p *pack.Pass) error {
	for {
		c, err := p.Next(d.ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		c.Chunk.Bundle = t.record.Bundle
		piece := transmit.Piece{Chunk: &c.Chunk, Out: t.out, Content: int64(c.Chunk.Raw), Release: c.Release}
		if err := l.feed.Put(d.ctx, piece); err != nil {
			c.Release()
			return err
		}
	}
}

// sign makes the manifest, has it signed durably, and sends it with the close.
func (d *Dispatcher) sign(l *lane, t *task, table *bundle.Table, marks []bundle.Mark) error {
	r := t.record
	m := &bundle.Manifest{
		Header: bundle.Header{
			Bundle: r.Bundle, Sender: d.o.Sender, Receiver: d.o.Receiver, Tenant: r.Tenant, Created: r.Created.Unix(), Name: r.Name,
		},
		Table: table, ChunkSize: d.o.ChunkSize, Marks: marks,
	}
	signed, err := d.o.Ledger.Sign(d.ctx, d.o.Signer, m)
	if err != nil {
		return err
	}
	d.mu.Lock()
	sequence := signed.Sequence
	r.Sequence = &sequence
	d.heads[t.tenant].begin(sequence)
	d.mu.Unlock()
	return d.finish(l, t, signed, len(marks))
}

// finish sends manifest and close of a signed bundle: the end of every pass.
func (d *Dispatcher) finish(l *lane, t *task, s *ledger.Signed, chunks int) error {
	f, err := os.Open(s.Path)
	if err != nil {
		return fmt.Errorf("open manifest: %w", err)
	}
	defer f.Close()
	p := pack.Manifest(f, s.Size, chunks, d.packOptions(t))
	defer p.Close()
	manifestChunks := bundle.ManifestChunks(s.Size, d.o.ChunkSize)
	for {
		c, err := p.Next(d.ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		c.Chunk.Bundle = t.record.Bundle
		if err := l.feed.Put(d.ctx, transmit.Piece{Chunk: &c.Chunk, Out: t.out, Release: c.Release}); err != nil {
			c.Release()
			return err
		}
	}
	r := t.record
	end := &record.Close{
		Bundle: r.Bundle, Epoch: d.o.Epoch, Tenant: r.Tenant, Sequence: s.Sequence, Previous: s.Previous, ManifestSize: uint64(s.Size), Manifest: s.Digest,
		Chunks: uint32(chunks), ManifestChunks: uint32(manifestChunks), Signature: s.Signature,
	}
	if err := l.feed.Put(d.ctx, transmit.Piece{Record: end, Out: t.out}); err != nil {
		return err
	}
	d.mu.Lock()
	d.beats.closed(r.Bundle, end, d.o.Now())
	d.heads[t.tenant].digest(s.Sequence, s.Digest)
	d.mu.Unlock()
	t.out.Finish()
	return nil
}

// again sends a signed bundle once more: a later pass, a repair, or a pass that an earlier life did not end. The same chunks go out in new blocks, and the same
// manifest and signature; a chunk that no longer matches its mark is not sent.
func (d *Dispatcher) again(l *lane, t *task) error {
	signed, err := d.o.Ledger.Signed(t.record)
	if err != nil {
		return err
	}
	m, err := d.o.Ledger.Manifest(t.record.Bundle)
	if err != nil {
		return err
	}
	if err := d.offer(l, t, m.Table); err != nil {
		return err
	}
	p, err := pack.Again(pack.At(t.path), m, t.wanted, d.packOptions(t))
	if err != nil {
		return err
	}
	defer p.Close()
	if err := d.feedChunks(l, t, p); err != nil {
		return err
	}
	if n := len(p.Skipped()); n > 0 {
		d.o.Log.Warn("content changed since it was signed; these chunks were not sent again", zap.Stringer("bundle", t.record.Bundle), zap.Int("chunks", n))
	}
	return d.finish(l, t, signed, len(m.Marks))
}

// passOut is called when the last shard of a pass has left. The link's goroutine calls it, so it only starts what is to be done.
func (d *Dispatcher) passOut(t *task, out *transmit.Out) {
	d.working.Go(func() { d.passDone(t, out.Content()) })
}

func (d *Dispatcher) passDone(t *task, content int64) {
	if d.ctx.Err() != nil {
		return
	}
	d.mu.Lock()
	d.beats.done(t.record.Bundle)
	if t.record.Sequence != nil {
		d.heads[t.tenant].out(*t.record.Sequence)
	}
	t.out = nil
	more := !t.repair && t.record.PassesDone+1 < d.o.Passes
	t.record.PassesDone++
	d.mu.Unlock()
	err := d.o.Ledger.Change(d.ctx, t.record.Bundle, func(have *ledger.Record) error {
		have.PassesDone++
		have.SentBytes += content
		have.State = ledger.Sending
		if !more {
			now := d.o.Now().UTC()
			have.State, have.Finished = ledger.Sent, &now
		}
		return nil
	})
	if err != nil {
		d.failed(err)
		return
	}
	if more {
		d.later(t, d.o.Apart)
		return
	}
	if err := d.putAway(t); err != nil {
		d.o.Log.Error("put away what was sent", zap.Stringer("bundle", t.record.Bundle), zap.Error(err))
	}
	d.forget(t)
	d.o.Log.Info("sent", zap.Stringer("bundle", t.record.Bundle), zap.String("tenant", string(t.record.Tenant)), zap.Uint64("sequence", *t.record.Sequence), zap.String("name", t.record.Name), zap.Int64("bytes", content))
}

// forget takes a task out of what is under way, unless the bundle has another one by now.
func (d *Dispatcher) forget(t *task) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tasks[t.record.Bundle] == t {
		delete(d.tasks, t.record.Bundle)
	}
}

// later waits, and then queues a task for its next pass.
func (d *Dispatcher) later(t *task, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		d.enqueue(t, t.record.Sequence != nil)
	case <-d.ctx.Done():
	}
}

// retryAfter is how long a pass waits that this machine had no room for.
const retryAfter = 10 * time.Second

// passing says whether a failure is this machine's and passes: a full disk, too many open files. It says nothing about the item.
func passing(err error) bool {
	for _, e := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// postpone has a task tried again later, as a whole.
func (d *Dispatcher) postpone(t *task, cause error) {
	d.o.Log.Error("there is no room here for this: it is tried again", zap.Stringer("bundle", t.record.Bundle), zap.Duration("in", d.retry), zap.Error(cause))
	d.mu.Lock()
	d.beats.done(t.record.Bundle)
	t.out = nil
	d.mu.Unlock()
	d.working.Go(func() { d.later(t, d.retry) })
}

// putAway moves a sent item to sent/<sequence>/.
func (d *Dispatcher) putAway(t *task) error {
	if t.repair {
		return nil // it stands there already
	}
	return d.o.Tenants[t.tenant].Outbox.Sent(t.item, *t.record.Sequence)
}

// giveUp ends a bundle that cannot be sent. Before its signature it fails, and the receiver is told; after it, the receiver may have it whole, so what was sent
// stands and only the present pass ends.
func (d *Dispatcher) giveUp(l *lane, t *task, cause error) {
	if passing(cause) {
		d.postpone(t, cause)
		return
	}
	r := t.record
	reason := cause.Error()
	log := d.o.Log.With(zap.Stringer("bundle", r.Bundle), zap.String("tenant", string(r.Tenant)), zap.String("name", r.Name))
	d.mu.Lock()
	d.beats.done(r.Bundle)
	t.out = nil
	signed, offered := r.Sequence != nil, t.offer
	d.mu.Unlock()
	d.forget(t)
	state := ledger.Failed
	if signed && r.PassesDone > 0 {
		state = ledger.Sent
	}
	err := d.o.Ledger.Change(d.ctx, r.Bundle, func(have *ledger.Record) error {
		now := d.o.Now().UTC()
		if have.State == ledger.Waiting && state == ledger.Sent {
			return errors.New("internal error: a pass of a bundle that waits")
		}
		have.State, have.Reason, have.Finished = state, &reason, &now
		return nil
	})
	if err != nil {
		d.failed(err)
		return
	}
	if state == ledger.Sent {
		log.Warn("a later pass was not sent", zap.String("reason", reason))
		if err := d.putAway(t); err != nil {
			log.Error("put away what was sent", zap.Error(err))
		}
		return
	}
	log.Warn("failed", zap.String("reason", reason))
	if err := d.o.Tenants[t.tenant].Outbox.Failed(t.item, reason); err != nil {
		log.Error("put away what failed", zap.Error(err))
	}
	if offered && !signed {
		d.abandon(l, t, reason)
	}
}

// abandon tells the receiver that nothing more comes of a bundle.
func (d *Dispatcher) abandon(l *lane, t *task, reason string) {
	r := t.record
	a := &record.Abandon{Bundle: r.Bundle, Epoch: d.o.Epoch, Tenant: r.Tenant, Reason: record.AbandonReason(reason)}
	blob, err := d.o.Signer.SignAbandon(bundle.AbandonMessage(r.Bundle, d.o.Epoch, r.Tenant, a.Reason))
	if err != nil {
		d.o.Log.Error("sign abandon", zap.Stringer("bundle", r.Bundle), zap.Error(err))
		return
	}
	a.Signature = blob
	d.mu.Lock()
	d.beats.abandoned(r.Bundle, a, d.o.Now())
	d.mu.Unlock()
	if err := l.feed.Put(d.ctx, transmit.Piece{Record: a}); err != nil && !errors.Is(err, context.Canceled) {
		d.o.Log.Error("send abandon", zap.Stringer("bundle", r.Bundle), zap.Error(err))
	}
}
