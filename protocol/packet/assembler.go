package packet

import (
	"bytes"

	"ecluse/protocol/bundle"
)

// maxHalf bounds the announcements that wait for parts: 4 of 8 parts of 1,408 bytes are 45 KiB.
const maxHalf = 4

// Assembler puts the parts of announcements together. Parts carry no name, and a datagram's source says nothing on a one-way
// link, so a part joins the oldest half announcement of as many parts that still lacks it. A forged or left-over part can
// spoil one such announcement, which then fails its signature; the sender repeats its parts, and the next round stands alone.
// Memory is bounded: the fifth half announcement pushes out the oldest. The zero Assembler is ready. One goroutine owns it.
type Assembler struct {
	halves [maxHalf]half // halves[:count], oldest first
	count  int
	body   []byte // what Add returned last
}

// half is an announcement of which parts are missing.
type half struct {
	parts int
	have  int
	part  [bundle.MaxParts][]byte // nil where missing; the memory is the half's own
}

// Add takes one datagram that Classify called KindAnnounce. It returns the whole body when this part completes one, and nil
// when others are missing yet or the part is known. The body is valid until the next call and may alias the datagram.
func (a *Assembler) Add(datagram []byte) (body []byte, err error) {
	part, parts, piece, err := parsePart(datagram)
	if err != nil {
		return nil, err
	}
	if parts == 1 {
		return piece, nil
	}
	h := a.find(part, parts, piece)
	if h < 0 {
		return nil, nil
	}
	a.halves[h].part[part] = bytes.Clone(piece)
	a.halves[h].have++
	if a.halves[h].have < parts {
		return nil, nil
	}
	a.body = a.body[:0]
	for _, p := range a.halves[h].part[:parts] {
		a.body = append(a.body, p...)
	}
	a.remove(h)
	return a.body, nil
}

// parsePart reads the clear header of a datagram of an announcement (S-1).
//
//	0x11 | tag = 0 (3) | part (1) | parts (1) | zero (10) | body
func parsePart(datagram []byte) (part, parts int, piece []byte, err error) {
	kind, tag, err := Classify(datagram)
	if err != nil {
		return 0, 0, nil, err
	}
	if kind != KindAnnounce {
		return 0, 0, nil, errKind
	}
	if tag != (Tag{}) || [10]byte(datagram[6:HeaderSize]) != ([10]byte{}) {
		return 0, 0, nil, errAnnounceFields
	}
	part, parts, piece = int(datagram[4]), int(datagram[5]), datagram[HeaderSize:]
	switch {
	case parts < 1 || parts > bundle.MaxParts || part >= parts:
		return 0, 0, nil, errAnnounceParts
	case len(piece) == 0 || len(piece) > PartSize:
		return 0, 0, nil, errAnnounceLength
	case part < parts-1 && len(piece) != PartSize:
		return 0, 0, nil, errAnnounceParts
	}
	return part, parts, piece, nil
}

// find gives the half that a part joins, making one where none lacks it, or -1 when the part is there already.
func (a *Assembler) find(part, parts int, piece []byte) int {
	lacking := -1
	for i := range a.count {
		h := &a.halves[i]
		switch {
		case h.parts != parts:
		case h.part[part] == nil:
			if lacking < 0 {
				lacking = i
			}
		case bytes.Equal(h.part[part], piece):
			return -1
		}
	}
	if lacking >= 0 {
		return lacking
	}
	if a.count == maxHalf {
		a.remove(0)
	}
	a.halves[a.count] = half{parts: parts}
	a.count++
	return a.count - 1
}

// remove forgets one half and keeps the order of the others.
func (a *Assembler) remove(i int) {
	copy(a.halves[i:a.count], a.halves[i+1:a.count])
	a.count--
	a.halves[a.count] = half{}
}
