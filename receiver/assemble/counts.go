package assemble

import (
	"maps"

	"ecluse/protocol/bundle"
)

// Counts is what was not taken since the start.
type Counts struct {
	Refused map[bundle.Reason]uint64 // records
	Dropped uint64                   // frames given up because memory was full: a disk was slower than the link for too long
}

// Counts may be called at any time.
func (a *Assembler) Counts() Counts {
	a.mu.Lock()
	defer a.mu.Unlock()
	return Counts{Refused: maps.Clone(a.counts), Dropped: a.dropped}
}

// Arrived is how many chunks of a bundle that was offered are on the disk; known is false of one that is not coming.
func (a *Assembler) Arrived(id bundle.ID) (chunks int, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	in := a.bundles[id]
	if in == nil || in.offer == nil {
		return 0, false
	}
	return int(in.have.count), true
}

// Progress returns about how many bytes of each bundle that is coming in are here: whole chunks.
func (a *Assembler) Progress() map[bundle.ID]int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := make(map[bundle.ID]int64, len(a.bundles))
	for id, in := range a.bundles {
		if in.offer != nil {
			m[id] = min(int64(in.offer.Bytes), int64(in.have.count)*int64(in.offer.ChunkSize))
		}
	}
	return m
}
