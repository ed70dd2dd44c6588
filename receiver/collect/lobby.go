package collect

import (
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/protocol/packet"
)

const (
	// freshWaiting and againWaiting are how many announcements under one sender's key id may wait, 1.4 KiB each: such as came once, and
	// such as have come before.
	freshWaiting = 8
	againWaiting = 4
	// strangersWaiting is how many datagrams may wait that are under no enrolled key id, or only parts of an announcement.
	strangersWaiting = 64
	// sightings is the size of the memory of what came, 2 MiB; ways of them share a place, one line of the cache.
	sightings = 1 << 17
	ways      = 4
	// sightFor is how long a sighting keeps its place, so that a flood does not wash it away before the sender's next repetition, several
	// times a second (S-10).
	sightFor = time.Second
	// againAfter is how long after the first copy a second one shows that somebody repeats it.
	againAfter = 20 * time.Millisecond
	// refusalFor is how long the copies of a refused announcement are refused without another look: clocks, keys and numbers change. A signature
	// that does not verify never will, so its copies are known for forgeryFor.
	refusalFor = 5 * time.Second
	forgeryFor = time.Minute
)

// lobby is where announcements wait for the gate (S-8), sorted by the key id that they name. Nothing in an announcement may be believed before its
// signature is verified, and verifying has its limit; so who fills the link with forgeries decides what is verified, unless
//
//   - each enrolled key id has places and a budget of its own, and they take turns: forgeries in the name of one sender cost no other one;
//   - of more than the places hold, chance decides what waits, not who came last;
//   - what comes again is verified before what came once: an honest sender repeats its announcement, and repeating a forgery gains nothing,
//     since what was refused once is known for a while.
//
// Any goroutine may use it. It allocates when it first meets an enrolled key id, and never after that.
type lobby struct {
	wake     chan struct{} // one token: something waits
	enrolled func(keyID [32]byte) (name string, ok bool)
	clock    func() int64

	mu        sync.Mutex
	seed      maphash.Seed
	seen      []sighting
	reasons   []bundle.Reason // of sightings; the first is none
	queues    map[[32]byte]*queue
	turns     []*queue // the same, in the order of their turns
	strangers queue
	all       *limiter
}

// sighting remembers an announcement by its hash under a key that nobody outside knows.
type sighting struct {
	hash   uint64
	at     uint32 // milliseconds
	reason uint8  // for which it was refused; 0 for not yet judged
}

// queue holds what waits under one key id.
type queue struct {
	name    string
	again   waiting
	fresh   waiting
	limit   *limiter
	refused map[bundle.Reason]uint64 // not counted by the gate yet
}

// waiting is a sample of what came.
type waiting struct {
	places []announcement // the first n are taken; the datagrams of the others are free memory
	n      int
	came   uint64 // since the sample began
}

// announcement is one datagram on its way from a collector to the gate.
type announcement struct {
	link     int
	datagram []byte
}

func newLobby(enrolled func([32]byte) (string, bool), clock func() int64) *lobby {
	return &lobby{
		wake:      make(chan struct{}, 1),
		enrolled:  enrolled,
		clock:     clock,
		seed:      maphash.MakeSeed(),
		seen:      make([]sighting, sightings),
		reasons:   []bundle.Reason{""},
		queues:    make(map[[32]byte]*queue),
		strangers: queue{fresh: newWaiting(strangersWaiting), limit: newLimiter(verifiedPerSecond), refused: make(map[bundle.Reason]uint64)},
		all:       newLimiter(verifiedPerSecond),
	}
}

func newWaiting(places int) waiting {
	w := waiting{places: make([]announcement, places)}
	for i := range w.places {
		w.places[i].datagram = make([]byte, 0, packet.HeaderSize+packet.PartSize+1)
	}
	return w
}

// arrive takes in a datagram that is no copy of an open session's announcement. It waits for nothing.
func (l *lobby) arrive(now int64, link int, datagram []byte) {
	id, whole := packet.AnnouncedSender(datagram)
	name, known := "", false
	if whole {
		name, known = l.enrolled(id)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	q := &l.strangers
	into := &q.fresh
	if known {
		q = l.queue(id, name)
		reason, again := l.sight(now, datagram)
		if reason != "" {
			q.refused[reason]++
			return
		}
		if into = &q.fresh; again {
			into = &q.again
		}
	}
	if into.holds(datagram) {
		return
	}
	if !into.offer(link, datagram) {
		q.refused[bundle.ReasonSessionRate]++
	}
	select {
	case l.wake <- struct{}{}:
	default: // the gate is told
	}
}

// queue finds the queue of an enrolled key id, or makes it.
func (l *lobby) queue(id [32]byte, name string) *queue {
	q := l.queues[id]
	if q == nil {
		q = &queue{name: name, again: newWaiting(againWaiting), fresh: newWaiting(freshWaiting), limit: newLimiter(verifiedOfOne),
			refused: make(map[bundle.Reason]uint64)}
		l.queues[id] = q
		l.turns = append(l.turns, q)
	}
	return q
}

// expired tells whether a sighting has had its time. The zero sighting is nobody's.
func (l *lobby) expired(s *sighting, ms uint32) bool {
	kept := refusalFor
	switch l.reasons[s.reason] {
	case "":
		kept = sightFor
	case bundle.ReasonSessionSignature:
		kept = forgeryFor
	}
	return *s == sighting{} || time.Duration(ms-s.at)*time.Millisecond >= kept
}

// place gives the sightings among which an announcement is to be found, and its hash.
func (l *lobby) place(datagram []byte) (all []sighting, hash uint64) {
	hash = maphash.Bytes(l.seed, datagram)
	at := hash % (sightings / ways) * ways
	return l.seen[at : at+ways], hash
}

// sight looks for an announcement in the memory of what came, and puts it there if its place is free. It gives the reason for which a copy was
// refused, and whether a copy came a while ago.
func (l *lobby) sight(now int64, datagram []byte) (refused bundle.Reason, again bool) {
	all, hash := l.place(datagram)
	ms := uint32(now / int64(time.Millisecond))
	var free *sighting
	for i := range all {
		s := &all[i]
		switch {
		case l.expired(s, ms):
			free = s
		case s.hash == hash:
			return l.reasons[s.reason], time.Duration(ms-s.at)*time.Millisecond >= againAfter
		}
	}
	if free != nil {
		*free = sighting{hash: hash, at: ms}
	}
	return "", false
}

// judged remembers that an announcement was refused, so that its copies cost nothing. Where there is no room, the oldest sighting gives way, of
// those that were not judged where there is one.
func (l *lobby) judged(now int64, datagram []byte, reason bundle.Reason) {
	l.mu.Lock()
	defer l.mu.Unlock()
	index := 1
	for index < len(l.reasons) && l.reasons[index] != reason {
		index++
	}
	if index == len(l.reasons) {
		l.reasons = append(l.reasons, reason)
	}
	all, hash := l.place(datagram)
	ms := uint32(now / int64(time.Millisecond))
	worth := func(s *sighting) (rank int, age uint32) {
		switch {
		case s.hash == hash:
			return 0, 0
		case l.expired(s, ms):
			return 1, 0
		case s.reason == 0:
			return 2, ms - s.at
		}
		return 3, ms - s.at
	}
	least := &all[0]
	for i := range all {
		rank, age := worth(&all[i])
		if leastRank, leastAge := worth(least); rank < leastRank || rank == leastRank && age > leastAge {
			least = &all[i]
		}
	}
	*least = sighting{hash, ms, uint8(index)}
}

// next gives what is to be looked at now, in exchange for free memory: what has come again before what came once, the key ids in turn, as far as their
// budgets and that of all go. More says that something may wait that has no budget now.
func (l *lobby) next(now int64, memory []byte) (a announcement, ok, more bool) {
	a.datagram = memory
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, q := range l.turns {
		if q.again.n+q.fresh.n == 0 {
			continue
		}
		more = true
		if !l.all.may(now) || !q.limit.may(now) {
			continue
		}
		if a, ok = l.unjudged(now, q, a.datagram); !ok {
			continue
		}
		l.all.note(now)
		q.limit.note(now)
		copy(l.turns[i:], l.turns[i+1:])
		l.turns[len(l.turns)-1] = q
		return a, true, true
	}
	if l.strangers.fresh.n > 0 {
		if more = true; l.strangers.limit.may(now) {
			l.strangers.limit.note(now)
			return l.strangers.fresh.take(a.datagram), true, true
		}
	}
	return a, false, more
}

// unjudged takes the first of a queue whose copy was not refused since it came.
func (l *lobby) unjudged(now int64, q *queue, memory []byte) (a announcement, ok bool) {
	for a.datagram = memory; q.again.n+q.fresh.n > 0; {
		from := &q.fresh
		if q.again.n > 0 {
			from = &q.again
		}
		a = from.take(a.datagram)
		reason, _ := l.sight(now, a.datagram)
		if reason == "" {
			return a, true
		}
		q.refused[reason]++
	}
	return a, false
}

// spend takes one verification of the budget for an announcement that came in parts.
func (l *lobby) spend(now int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.all.may(now) {
		return false
	}
	l.all.note(now)
	return true
}

// flush gives what was refused here since it was last called, by the name of the sender.
func (l *lobby) flush(tell func(name string, reason bundle.Reason, n uint64)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, q := range append(l.turns[:len(l.turns):len(l.turns)], &l.strangers) {
		for reason, n := range q.refused {
			tell(q.name, reason, n)
		}
		clear(q.refused)
	}
}

// forget empties the lobby: enrolment has changed, and with it who is judged how. A sender repeats its announcement.
func (l *lobby) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.seen)
	clear(l.queues)
	l.turns = nil
}

// holds tells whether a copy waits already.
func (w *waiting) holds(datagram []byte) bool {
	for i := range w.n {
		if string(w.places[i].datagram) == string(datagram) {
			return true
		}
	}
	return false
}

// offer takes a datagram in, if there is room or chance wants it. False says that one was dropped, this or another.
func (w *waiting) offer(link int, datagram []byte) bool {
	w.came++
	at, room := w.n, w.n < len(w.places)
	if room {
		w.n++
	} else if at = int(rand.Uint64N(w.came)); at >= len(w.places) {
		return false
	}
	p := &w.places[at]
	p.link, p.datagram = link, append(p.datagram[:0], datagram[:min(len(datagram), cap(p.datagram))]...)
	return room
}

// take gives the first one, in exchange for free memory.
func (w *waiting) take(memory []byte) announcement {
	a := w.places[0]
	w.n--
	copy(w.places, w.places[1:w.n+1])
	w.places[w.n] = announcement{datagram: memory[:0]}
	w.came = uint64(w.n)
	return a
}
