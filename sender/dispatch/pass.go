package dispatch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"go.uber.org/zap"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
	"ecluse/protocol/ticket"
	"ecluse/sender/ledger"
	"ecluse/sender/pack"
	"ecluse/sender/transmit"
)

// pass does what is next for a task: its first pass, or a later one.
func (d *Dispatcher) pass(l *lane, t *task) {
	var err error
	switch {
	case t.farewell != "":
		d.abandon(l, t)
	case t.record.Sequence == nil:
		err = d.first(l, t)
	default:
		err = d.again(l, t)
	}
	if err != nil {
		d.giveUp(l, t, err)
	}
}

// first reads an item for the first time, sending it as it is read; then it is signed beside the lane.
func (d *Dispatcher) first(l *lane, t *task) error {
	w, err := pack.Walk(d.o.Disk, t.path, d.o.Tenants[t.tenant].Names)
	if err != nil {
		return err
	}
	if err := w.Fits(d.o.ChunkSize); err != nil {
		return err
	}
	if err := t.unchanged(w.Table); err != nil {
		return err
	}
	if err := t.asSeen(w); err != nil {
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
	d.beside(l, func() {
		err := d.sign(l, t, w.Table, marks)
		<-d.signing
		if err != nil {
			d.giveUp(l, t, err)
		}
	})
	return nil
}

// patience is how long an item's first pass waits for programs that have a file of it open for writing still: well above what a fork takes on a busy machine, and no more than one item may
// hold up those of its lane.
const patience = time.Second

func (d *Dispatcher) packOptions(t *task) pack.Options {
	return pack.Options{ChunkSize: d.o.ChunkSize, Buffers: d.o.Buffers, Tenant: t.tenant, Class: t.item.Class, Patience: patience}
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
	d.sending(t)
	return d.put(l, t, transmit.Piece{Record: o, Out: out})
}

// put hands a piece of a task to the link, unless its tenant is stopped.
func (d *Dispatcher) put(l *lane, t *task, p transmit.Piece) error {
	if d.Halted(t.tenant) != nil {
		return errHalted
	}
	return l.feed.Put(d.ctx, p)
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
		if err := d.put(l, t, piece); err != nil {
			c.Release()
			return err
		}
	}
}

// sign makes the manifest, has it signed durably, and sends it with the close. What is signed is durable before its manifest is.
func (d *Dispatcher) sign(l *lane, t *task, table *bundle.Table, marks []bundle.Mark) error {
	r := t.record
	m := &bundle.Manifest{
		Header: bundle.Header{
			Bundle: r.Bundle, Sender: d.o.Sender, Receiver: d.o.Receiver, Tenant: r.Tenant, Created: r.Created.Unix(), Name: r.Name,
		},
		Table: table, ChunkSize: d.o.ChunkSize, Marks: marks,
	}
	if err := d.Durable(t.tenant); err != nil {
		return err
	}
	signed, err := d.o.Ledger.Sign(d.ctx, d.o.Signer, m)
	if err != nil {
		if _, unknown := d.o.Ledger.Get(r.Bundle); unknown != nil {
			return ownError{err} // the disk was full when the bundle was noted
		}
		return own(err)
	}
	d.mu.Lock()
	sequence := signed.Sequence
	r.Sequence = &sequence
	d.heads[t.tenant].begin(sequence, signed.Digest)
	d.mu.Unlock()
	return d.finish(l, t, signed, len(marks), ticket.All)
}

// finish sends the manifest's chunks that are asked for, and the close, of a signed bundle: the end of every pass.
func (d *Dispatcher) finish(l *lane, t *task, s *ledger.Signed, chunks int, asked ticket.Choice) error {
	f, err := d.o.Disk.Open(s.Path)
	if err != nil {
		return own(fmt.Errorf("open manifest: %w", err))
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
			return own(err) // it is the state's disk that cannot read it
		}
		if !asked(c.Number) {
			c.Release()
			continue
		}
		c.Chunk.Bundle = t.record.Bundle
		if err := d.put(l, t, transmit.Piece{Chunk: &c.Chunk, Out: t.out, Release: c.Release}); err != nil {
			c.Release()
			return err
		}
	}
	r := t.record
	end := &record.Close{
		Bundle: r.Bundle, Epoch: d.o.Epoch, Tenant: r.Tenant, Sequence: s.Sequence, Previous: s.Previous, ManifestSize: uint64(s.Size), Manifest: s.Digest,
		Chunks: uint32(chunks), ManifestChunks: uint32(manifestChunks), Signature: s.Signature,
	}
	if err := d.put(l, t, transmit.Piece{Record: end, Out: t.out}); err != nil {
		return err
	}
	d.mu.Lock()
	d.beats.end(r.Bundle, end, d.o.Now())
	d.mu.Unlock()
	t.out.Finish()
	return nil
}

// again sends a signed bundle once more: a later pass, a repair, or a pass that an earlier life did not end. The same chunks go out in new blocks, and the same
// manifest and signature; a chunk that no longer matches its mark is not sent.
func (d *Dispatcher) again(l *lane, t *task) error {
	signed, m, err := d.signed(t)
	if err != nil {
		return err
	}
	asked := ticket.Choose(t.asked)
	var wanted []bool // nil: all
	count := len(m.Marks)
	if len(t.asked) > 0 {
		wanted, count = make([]bool, len(m.Marks)), 0
		for i := range wanted {
			if wanted[i] = asked(uint32(i)); wanted[i] {
				count++
			}
		}
	}
	if _, err := d.o.Disk.Lstat(t.path); errors.Is(err, os.ErrNotExist) {
		return errGone
	}
	if err := d.offer(l, t, m.Table); err != nil {
		return err
	}
	p, err := pack.Again(pack.At(d.o.Disk, t.path), m, wanted, d.packOptions(t))
	if err != nil {
		return err
	}
	defer p.Close()
	if err := d.feedChunks(l, t, p); err != nil {
		return err
	}
	if n := len(p.Skipped()); n > 0 {
		if n == count || !t.again() { // nothing came of it, or it never came whole
			return fmt.Errorf("its content is not what was signed: %d of %d chunks have changed, or cannot be read", n, count)
		}
		d.o.Log.Warn("content changed since it was signed; these chunks were not sent again", zap.Stringer("bundle", t.record.Bundle), zap.Int("chunks", n))
	}
	return d.finish(l, t, signed, len(m.Marks), asked)
}

var errGone = errors.New("its content is gone")

// signed reads what is signed of a bundle. Papers that are lost end it; a disk that cannot read them is waited for.
func (d *Dispatcher) signed(t *task) (*ledger.Signed, *bundle.Manifest, error) {
	signed, err := d.o.Ledger.Signed(t.record)
	var m *bundle.Manifest
	if err == nil {
		m, err = d.o.Ledger.Manifest(t.record.Bundle)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		err = own(err)
	}
	return signed, m, err
}
