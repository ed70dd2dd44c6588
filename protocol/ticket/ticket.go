package ticket

import (
	"slices"

	"ecluse/protocol/bundle"
)

// Range is chunks that are missing, the manifest's numbered on from the content's.
type Range struct {
	From  uint32 `json:"from"`
	Count uint32 `json:"count"` // 0: all to the end of the bundle
}

// Part is what is missing of one bundle, or of several in a row of which nothing is here.
type Part struct {
	Sequence uint64  // 0 in a ticket by bundle
	Count    uint64  // how many sequences from there on; 1 where Ranges says what is missing
	Ranges   []Range // ascending, with chunks between them that are here; none is the whole bundle
}

// Choice says whether a chunk is asked for. It is asked of chunks in ascending order.
type Choice func(chunk uint32) bool

// All is the choice of a whole bundle.
func All(uint32) bool { return true }

// Choose makes a choice of ranges as a Part has them: none is all.
func Choose(ranges []Range) Choice {
	if len(ranges) == 0 {
		return All
	}
	at := 0
	return func(chunk uint32) bool {
		for at < len(ranges) && ranges[at].Count != 0 && chunk >= ranges[at].From+ranges[at].Count {
			at++
		}
		return at < len(ranges) && chunk >= ranges[at].From
	}
}

// Within says whether ranges name only chunks of a bundle that has so many.
func Within(ranges []Range, chunks uint32) bool {
	for _, r := range ranges {
		if r.From+max(r.Count, 1) > chunks {
			return false
		}
	}
	return true
}

// Ticket says what is missing, by sequences of one tenant and epoch, or by bundle where no sequence is known.
type Ticket struct {
	Bundle bundle.ID // zero in a ticket by sequences
	Parts  []Part    // ascending; one in a ticket by bundle
}

// Fits says whether a ticket fits a code.
func (t *Ticket) Fits() bool { return t.length() <= maxBody }

// Fit makes the ranges coarser until the ticket fits, as many as fit in the order of the parts: the smallest gaps between ranges are closed first. Chunks that are here are asked
// for again then; none that is missing is left out. It is false for a ticket of too many parts.
func (t *Ticket) Fit() bool {
	for !t.Fits() {
		widest := -1
		for i, p := range t.Parts {
			if len(p.Ranges) > 0 && (widest < 0 || len(p.Ranges) > len(t.Parts[widest].Ranges)) {
				widest = i
			}
		}
		if widest < 0 {
			return false
		}
		p := &t.Parts[widest]
		if len(p.Ranges) > 1 {
			p.Ranges = Coarsen(p.Ranges, len(p.Ranges)-1)
		} else {
			p.Ranges = nil // the whole bundle
		}
	}
	return true
}

// MostRanges is above the number of ranges that any code holds: whoever gathers ranges may coarsen them to so many at any time, and loses nothing.
const MostRanges = 2 * maxBody

// Coarsen closes the smallest gaps between ranges until there are at most n, which is at least 1; of equal ones the first. The list that is given may be used for the new one.
func Coarsen(ranges []Range, n int) []Range {
	over := len(ranges) - n
	if over <= 0 {
		return ranges
	}
	gaps := make([]int, len(ranges)-1) // by the range before it
	for i := range gaps {
		gaps[i] = i
	}
	size := func(i int) uint32 { return ranges[i+1].From - ranges[i].From - ranges[i].Count }
	slices.SortStableFunc(gaps, func(a, b int) int { return int(int64(size(a)) - int64(size(b))) })
	closed := make([]bool, len(ranges))
	for _, i := range gaps[:over] {
		closed[i] = true
	}
	kept := ranges[:0]
	from := ranges[0].From
	for i, r := range ranges {
		if closed[i] {
			continue
		}
		next := uint32(0)
		if i+1 < len(ranges) {
			next = ranges[i+1].From
		}
		if r.Count != 0 {
			r.Count = r.From + r.Count - from
		}
		kept = append(kept, Range{from, r.Count})
		from = next
	}
	if kept[0] == (Range{}) {
		return nil // all of it
	}
	return kept
}

// length is how many symbols the body takes.
func (t *Ticket) length() int {
	if !t.Bundle.IsZero() {
		return idSymbols + rangesLength(t.Parts[0].Ranges)
	}
	n, last := numberLength(uint64(len(t.Parts))), uint64(0)
	for _, p := range t.Parts {
		n += numberLength(p.Sequence-last) + rangesLength(p.Ranges)
		if len(p.Ranges) == 0 {
			n += numberLength(p.Count)
		}
		last = p.Sequence + p.Count - 1
	}
	return n
}

func rangesLength(ranges []Range) int {
	n, at := numberLength(uint64(len(ranges))), uint32(0)
	for _, r := range ranges {
		n += numberLength(uint64(r.From-at)) + numberLength(uint64(r.Count))
		at = r.From + r.Count
	}
	return n
}

const idSymbols = 26 // of a bundle's id: 128 bits and two that are zero

// append writes the body (T-8).
func (t *Ticket) append(to []byte) []byte {
	if !t.Bundle.IsZero() {
		return appendRanges(appendBits(to, t.Bundle[:], idSymbols), t.Parts[0].Ranges)
	}
	to = appendNumber(to, uint64(len(t.Parts)))
	last := uint64(0)
	for _, p := range t.Parts {
		to = appendRanges(appendNumber(to, p.Sequence-last), p.Ranges)
		if len(p.Ranges) == 0 {
			to = appendNumber(to, p.Count)
		}
		last = p.Sequence + p.Count - 1
	}
	return to
}

func appendRanges(to []byte, ranges []Range) []byte {
	to = appendNumber(to, uint64(len(ranges)))
	at := uint32(0)
	for _, r := range ranges {
		to = appendNumber(appendNumber(to, uint64(r.From-at)), uint64(r.Count))
		at = r.From + r.Count
	}
	return to
}

// parseByBundle reads a body of kind byBundle.
func parseByBundle(body []byte) (*Ticket, error) {
	r := reader{rest: body}
	id, over := bits(r.take(idSymbols))
	t := &Ticket{Bundle: bundle.ID(id), Parts: []Part{{Count: 1, Ranges: r.ranges()}}}
	if over != 0 || t.Bundle.IsZero() {
		r.fail("T-8", "no bundle has this id")
	}
	return t, r.end()
}

// parseBySequence reads a body of kind bySequence.
func parseBySequence(body []byte) (*Ticket, error) {
	r := reader{rest: body}
	t := new(Ticket)
	count, last := r.number(), uint64(0)
	if count == 0 {
		r.fail("T-8", "a ticket of no part")
	}
	for ; count > 0 && r.fault == nil; count-- {
		gap := r.number()
		p := Part{Sequence: last + gap, Count: 1, Ranges: r.ranges()}
		if len(p.Ranges) == 0 {
			p.Count = r.number()
		}
		if gap == 0 || p.Count == 0 || p.Sequence > bundle.MaxSequence || p.Count > bundle.MaxSequence-p.Sequence+1 {
			r.fail("T-8", "a part of no sequence, of one that was named before, or of one above the limit")
			break
		}
		last = p.Sequence + p.Count - 1
		t.Parts = append(t.Parts, p)
	}
	return t, r.end()
}

// ranges reads what a bundle lacks (T-7).
func (r *reader) ranges() (list []Range) {
	at, open := uint64(0), false
	for n := r.number(); n > 0 && r.fault == nil; n-- {
		skip, count := r.number(), r.number()
		from := at + skip
		if open || skip == 0 && at > 0 || from == 0 && count == 0 || from >= bundle.MaxChunks || count > bundle.MaxChunks-from {
			r.fail("T-7", "a range that is in another form, or above the limit")
			return nil
		}
		at, open = from+count, count == 0
		list = append(list, Range{uint32(from), uint32(count)})
	}
	return list
}
