package assemble

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
	"ecluse/protocol/ticket"
)

// Gaps is what a bundle lacks that is not whole: what a ticket asks for.
type Gaps struct {
	Source Source
	Offer  record.Offer
	Close  *record.Close  // nil while none has come: then nobody knows how long the manifest is
	Ranges []ticket.Range // at most a few hundred; none is the whole bundle
	Coming bool           // something came of late: more may
}

// IDs lists the bundles that were admitted and are not finished, sorted.
func (a *Assembler) IDs() (list []bundle.ID, err error) {
	a.mu.Lock()
	for id, in := range a.bundles {
		if in.offer != nil {
			list = append(list, id)
		}
	}
	a.mu.Unlock()
	slices.SortFunc(list, func(x, y bundle.ID) int { return slices.Compare(x[:], y[:]) })
	return list, nil
}

// Gaps says what a bundle lacks; ok is false for one of which nothing is missing, or nothing known.
func (a *Assembler) Gaps(id bundle.ID) (g Gaps, ok bool, err error) {
	a.mu.Lock()
	in := a.bundles[id]
	if in == nil || in.offer == nil || in.phase == finishing {
		a.mu.Unlock()
		return Gaps{}, false, nil
	}
	g = Gaps{Source: in.source, Offer: *in.offer, Close: in.close, Coming: in.phase == receiving}
	have := bitmap{words: slices.Clone(in.have.words), count: in.have.count}
	a.mu.Unlock()
	g.Ranges, ok = lacking(&have, &g.Offer, g.Close) // without the lock: a bundle may have millions of chunks
	return g, ok, nil
}

// lacking gives what is not there, in the one form that tickets have; ok is false where nothing is missing. Of more ranges than any code holds the smallest gaps are closed.
func lacking(have *bitmap, o *record.Offer, end *record.Close) (ranges []ticket.Range, ok bool) {
	n := max(o.Chunks, uint32(64*len(have.words)))
	if end != nil {
		n = o.Chunks + end.ManifestChunks
	}
	have.missing(n, func(from, to uint32) bool {
		if ranges = append(ranges, ticket.Range{From: from, Count: to - from}); len(ranges) > 2*ticket.MostRanges {
			ranges = ticket.Coarsen(ranges, ticket.MostRanges)
		}
		return true
	})
	if end == nil { // and whatever there is behind it
		if last := len(ranges) - 1; last >= 0 && ranges[last].From+ranges[last].Count == n {
			ranges[last].Count = 0
		} else {
			ranges = append(ranges, ticket.Range{From: n})
		}
	}
	switch {
	case len(ranges) == 0:
		return nil, false
	case ranges[0].From == 0 && (ranges[0].Count == 0 || end != nil && ranges[0].Count == n):
		return nil, true // the whole bundle
	}
	return ranges, true
}

// OnDisk is what an earlier life has noted of the bundles that it was receiving: for commands that hold the state while no daemon runs.
type OnDisk struct {
	Disk Disk   // it is only read
	Dir  string // <state>/receiving
}

// IDs lists the bundles, sorted.
func (d OnDisk) IDs() (list []bundle.ID, err error) {
	names, err := d.Disk.ReadDir(d.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the staging directory: %w", err)
	}
	for _, n := range names {
		if id, err := bundle.ParseID(n); err == nil {
			list = append(list, id)
		}
	}
	return list, nil
}

// Gaps says what a bundle lacks; ok is false for one of which nothing is missing, or nothing known. Nothing is coming.
func (d OnDisk) Gaps(id bundle.ID) (g Gaps, ok bool, err error) {
	if _, err := d.Disk.ReadFile(filepath.Join(d.Dir, id.String(), "offer.json"), noteLimit); errors.Is(err, fs.ErrNotExist) {
		return Gaps{}, false, nil
	}
	a := &Assembler{options: Options{Disk: d.Disk, Dir: d.Dir, Passed: func() time.Duration { return 0 }}} // nothing of it moves
	in, err := a.load(filepath.Join(d.Dir, id.String()), id.String())
	if err != nil {
		return Gaps{}, false, fmt.Errorf("read what is here of %s: %w", id, err)
	}
	g = Gaps{Source: in.source, Offer: *in.offer, Close: in.close}
	g.Ranges, ok = lacking(&in.have, in.offer, in.close)
	return g, ok, nil
}
