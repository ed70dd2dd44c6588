package assemble

import "time"

// room finds memory for a frame. While jobs are under way it waits for them: that is the disk being slow, and the blocks behind this one wait in the
// collector's memory. When none is, incomplete frames hold it all, and the one untouched for longest is given up.
//
// An offer may be in the hands of a decoder that stands still, or its Owner may be slow to answer, while the chunks behind it fill the memory: that is waited for a
// little too.
func (a *Assembler) room(n int) []byte {
	var hope hope
	defer hope.end()
	for !a.stopping {
		if b := a.buffers.take(n); b != nil {
			return b
		}
		if a.active > 0 || a.mayHope(&hope) {
			a.changed.Wait()
			continue
		}
		var oldest *frame
		for _, in := range a.bundles {
			for _, f := range in.frames {
				if oldest == nil || f.order < oldest.order {
					oldest = f
				}
			}
		}
		if oldest == nil {
			panic("assemble: internal error: memory is full of nothing")
		}
		a.dropFrame(oldest)
		a.dropped++
	}
	return nil
}

// offerPatience is how long memory that is full waits for an offer. The blocks behind wait in the collector's memory meanwhile.
const offerPatience = 250 * time.Millisecond

// hope is one wait for an offer.
type hope struct {
	until time.Time
	timer *time.Timer
}

func (h *hope) end() {
	if h.timer != nil {
		h.timer.Stop()
	}
}

// mayHope says whether there is an offer to wait for, and still time.
func (a *Assembler) mayHope(h *hope) bool {
	waiting := false
	for _, in := range a.bundles {
		waiting = waiting || in.phase == unknown && len(in.frames) > 0
	}
	if !waiting {
		return false
	}
	if h.timer == nil {
		h.until = time.Now().Add(offerPatience)
		h.timer = time.AfterFunc(offerPatience, func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.changed.Broadcast()
		})
	}
	return time.Now().Before(h.until)
}

func (a *Assembler) dropFrame(f *frame) {
	delete(f.bundle.frames, f.chunk)
	a.buffers.put(f.bytes)
	a.changed.Broadcast()
}
