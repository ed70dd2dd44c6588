package assemble

import (
	"github.com/klauspost/compress/zstd"

	"ecluse/protocol/bundle"
)

// job is one whole chunk on its way: decompressed and written by a worker, hashed by the hasher in the order in which jobs were begun.
type job struct {
	frame  *frame
	stored []byte // the content, where it is not compressed; nil elsewhere
	buffer []byte // what raws gave: raw is a part of it; nil where it lies in the frame
	raw    []byte
	ready  chan struct{} // closed when raw is written, or err set
	err    error
}

// work takes jobs until the room ends and none is left.
func (a *Assembler) work() {
	decoder := newDecoder()
	defer decoder.Close()
	for {
		j := a.nextJob()
		if j == nil {
			return
		}
		j.raw, j.err = j.content(decoder)
		if j.err == nil {
			j.err = a.write(j.frame, j.raw)
		}
		close(j.ready)
	}
}

// content gives a chunk's content, with its largest run where its file wants it in memory.
func (j *job) content(decoder *zstd.Decoder) ([]byte, error) {
	switch {
	case j.stored == nil:
		return decode(decoder, j.frame.joined(), j.buffer[shift(j.frame.runs):])
	case j.buffer == nil:
		return j.stored, nil
	}
	return append(j.buffer[shift(j.frame.runs):][:0], j.stored...), nil
}

// needs is how much memory a job takes beside that of its frame.
func (j *job) needs() int {
	by := shift(j.frame.runs)
	if j.stored != nil && by == 0 {
		return 0
	}
	return int(j.frame.raw) + by
}

// nextJob waits for a job and for the memory that it needs. The hasher's queue is entered here, under the lock, so that it sees jobs in their order.
func (a *Assembler) nextJob() *job {
	a.mu.Lock()
	defer a.mu.Unlock()
	for {
		if len(a.jobs) > 0 && len(a.hashing) < cap(a.hashing) {
			j := a.jobs[0]
			if b, ok := a.rawFor(j); ok {
				a.jobs[0] = nil
				a.jobs = a.jobs[1:]
				j.buffer, j.ready = b, make(chan struct{})
				a.hashing <- j // there is room: only this function sends, and the hasher only takes
				return j
			}
		} else if a.stopping && len(a.jobs) == 0 {
			return nil
		}
		a.changed.Wait()
	}
}

// rawFor takes what a job needs, if it is there.
func (a *Assembler) rawFor(j *job) (buffer []byte, ok bool) {
	n := j.needs()
	if n == 0 {
		return nil, true
	}
	buffer = a.raws.take(n)
	return buffer, buffer != nil
}

// hash follows the jobs in order and closes them.
func (a *Assembler) hash() {
	for j := range a.hashing {
		<-j.ready
		f := j.frame
		if h := f.bundle.hashes; j.err == nil && h != nil {
			a.prepare(f.bundle)
			at := 0
			for i, r := range f.runs {
				end := at + int(r.Length)
				h.add(r, j.raw[at:end], i == len(f.runs)-1)
				at = end
			}
		}
		a.finish(j)
	}
}

// finish books a job.
func (a *Assembler) finish(j *job) {
	a.mu.Lock()
	in, chunk := j.frame.bundle, j.frame.chunk
	a.buffers.put(j.frame.bytes)
	a.raws.put(j.buffer)
	a.active--
	delete(in.busy, chunk)
	reason, refused := bundle.ReasonOf(j.err)
	switch {
	case j.err == nil && !in.gone:
		in.have.set(chunk)
		in.written += int64(j.frame.raw)
		in.dirty = true
		a.finishIfWhole(in)
	case refused:
		a.counts[reason]++
	}
	a.changed.Broadcast()
	id, err := in.id, j.err
	a.mu.Unlock()
	if err != nil && !refused {
		a.options.Owner.Failed(id, err, false)
	}
}

// A decoder keeps to what a frame may be: no more than a chunk, a small window.
func newDecoder() *zstd.Decoder {
	d, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderMaxMemory(8<<20), // no window above it is taken; the content is bounded by the room that decode gives
		zstd.WithDecoderMaxWindow(8<<20),
		zstd.WithDecodeAllCapLimit(true), // never beyond the buffer that the slice's raw length asked for
	)
	if err != nil {
		panic("assemble: internal error: " + err.Error())
	}
	return d
}

// decode decompresses a frame into a buffer, which has room for what the slices said. The result is a part of it.
func decode(d *zstd.Decoder, frame, buffer []byte) ([]byte, error) {
	want, err := frameContent(frame)
	if err != nil {
		return nil, err
	}
	if want > cap(buffer) {
		return nil, errFrame
	}
	out, err := d.DecodeAll(frame, buffer[:0:want])
	if err != nil || len(out) != want {
		return nil, errFrame
	}
	return out, nil
}

var errFrame error = bundle.Reject(bundle.ReasonChunkFrame, "R-7", "not one zstd frame of the stated size")

// frameContent checks that the bytes are one zstd frame, whole and alone, that states its content's size (RFC 8878 section 3.1.1), and returns the size.
// Nothing may stand behind the frame: a skippable frame there would be a place to hide things in.
func frameContent(b []byte) (int, error) {
	var h zstd.Header
	if err := h.Decode(b); err != nil || h.Skippable || !h.HasFCS || h.DictionaryID != 0 || h.FrameContentSize > bundle.ChunkSizeMax {
		return 0, errFrame
	}
	at := h.HeaderSize
	for {
		if at+3 > len(b) {
			return 0, errFrame
		}
		head := int(b[at]) | int(b[at+1])<<8 | int(b[at+2])<<16
		last, kind, size := head&1 != 0, head>>1&3, head>>3
		at += 3
		switch kind {
		case 0, 2: // raw, compressed
			at += size
		case 1: // one byte, repeated
			at++
		default:
			return 0, errFrame
		}
		if last {
			break
		}
	}
	if h.HasCheckSum {
		at += 4
	}
	if at != len(b) {
		return 0, errFrame
	}
	return int(h.FrameContentSize), nil
}
