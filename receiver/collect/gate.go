package collect

import (
	"context"
	"errors"
	"sync"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/protocol/packet"
)

// waitingAnnouncements is how many datagrams may wait to be looked at; more are refused as session-rate.
const waitingAnnouncements = 64

// Verifier tells which announcements open a session. One goroutine calls it.
type Verifier interface {
	// Recognise is the cheap look, before any signature is checked: is the key enrolled, are we meant, is the number new enough
	// (S-3, S-7)? name says who it is, for people: the sender's name, or the key's fingerprint where it is not enrolled.
	Recognise(a *packet.Announcement) (name string, err error)
	// Verify does the whole of S-3 to S-7 at the receiver's wall clock, and stores the session's number before it returns. body is what
	// a was read from; both are valid until it returns. The error is a *bundle.Rejection where the announcement is refused, and
	// another one where this side failed.
	Verify(now time.Time, a *packet.Announcement, body []byte) (*Session, error)
	// Store keeps the packet floors of an open session (P-7), one for each of its links.
	Store(s *Session, floors []Floor) error
}

// announcement is one datagram on its way from a collector to the gate.
type announcement struct {
	link     int
	datagram []byte
}

// announcement hands a datagram on to be verified, unless it repeats the announcement of an open session (S-8). Nothing is
// verified here, and nothing waits. l.mu is held.
func (l *link) announcement(now int64, datagram []byte) {
	t := l.table
	t.packets.Announced++
	for _, held := range l.held {
		if string(held) == string(datagram) {
			return
		}
	}
	if !l.looks.allow(now) {
		l.tooMany++
		return
	}
	select {
	case buf := <-l.gate.free:
		l.gate.waiting <- announcement{l.index, append(buf[:0], datagram...)} // as many places as buffers
	default:
		l.tooMany++
	}
}

// gate verifies announcements and opens sessions on all links. Its goroutine is the only one that calls the Verifier.
type gate struct {
	free    chan []byte       // empty buffers, waitingAnnouncements of them
	waiting chan announcement // as many places
	recheck chan struct{}     // one token: enrolment has changed

	verifier   Verifier
	links      []*link
	wall       func() time.Time
	clock      func() int64
	onRefusal  func(Refusal)
	onFault    func(error)
	limit      limiter
	assemblers []packet.Assembler // one for each link

	mu       sync.Mutex // for those who look; the gate's goroutine alone changes what follows
	sessions sessionTable
	refused  refusedTable
}

func newGate(o *Options, links []*link, clock func() int64) *gate {
	g := &gate{
		free:       make(chan []byte, waitingAnnouncements),
		waiting:    make(chan announcement, waitingAnnouncements),
		recheck:    make(chan struct{}, 1),
		verifier:   o.Verifier,
		links:      links,
		wall:       o.Now,
		clock:      clock,
		onRefusal:  o.OnRefusal,
		onFault:    o.OnFault,
		assemblers: make([]packet.Assembler, len(links)),
	}
	for range waitingAnnouncements {
		g.free <- make([]byte, 0, packet.HeaderSize+packet.PartSize)
	}
	return g
}

// run serves until ctx ends, and stores the floors each second and at the end.
func (g *gate) run(ctx context.Context) {
	store := time.NewTicker(time.Second)
	defer store.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-g.waiting:
			g.take(a)
		case <-g.recheck:
			g.recheckAll()
		case <-store.C:
			g.store()
			g.countFlood()
		}
	}
}

// take puts one datagram where it belongs, and looks at the announcement that it completes.
func (g *gate) take(a announcement) {
	defer func() { g.free <- a.datagram }()
	body, err := g.assemblers[a.link].Add(a.datagram)
	switch {
	case err != nil:
		g.refuse("", 0, err)
	case body != nil:
		g.look(body)
	}
}

// look judges a whole announcement.
func (g *gate) look(body []byte) {
	if g.sessions.holds(body) {
		return
	}
	a, err := packet.ParseAnnouncement(body)
	if err != nil {
		g.refuse("", 0, err)
		return
	}
	name, err := g.verifier.Recognise(a)
	if err != nil {
		g.refuse(name, a.Number, err)
		return
	}
	if !g.limit.allow(g.clock()) {
		g.refuse(name, a.Number, errRate)
		return
	}
	s, err := g.verifier.Verify(g.wall(), a, body)
	if err == nil {
		s.body = append([]byte(nil), body...)
		err = g.admit(s)
	}
	if err != nil {
		g.refuse(name, a.Number, err)
	}
}

var errRate error = bundle.Reject(bundle.ReasonSessionRate, "S-8", "too many announcements to verify in this second")

// admit opens a verified session on every link.
func (g *gate) admit(s *Session) error {
	g.mu.Lock()
	closed, err := g.sessions.admit(s)
	g.mu.Unlock()
	if err != nil {
		return err
	}
	if closed != nil {
		g.shut(closed)
	}
	for _, l := range g.links {
		if err := l.open(s); err != nil {
			return err
		}
	}
	g.hold()
	return nil
}

// shut ends a session on every link, after its floors have been stored: its announcement may come again.
func (g *gate) shut(s *Session) {
	g.store()
	for _, l := range g.links {
		l.shut(s)
	}
}

// hold tells the links which announcements are known.
func (g *gate) hold() {
	var held [][]byte
	for _, s := range g.sessions.all() {
		if len(s.body) <= packet.PartSize {
			held = append(held, announcementPacket(s.body))
		}
	}
	for _, l := range g.links {
		l.mu.Lock()
		l.held = held
		l.mu.Unlock()
	}
}

// announcementPacket is the one datagram of an announcement that fits one.
func announcementPacket(body []byte) []byte {
	a, err := packet.ParseAnnouncement(body)
	if err != nil {
		panic("collect: internal error: an open session has no announcement: " + err.Error())
	}
	return a.AppendPackets()[0]
}

// recheckAll closes the sessions whose sender is not enrolled any more.
func (g *gate) recheckAll() {
	for _, s := range g.sessions.all() {
		a, err := packet.ParseAnnouncement(s.body)
		if err != nil {
			panic("collect: internal error: an open session has no announcement: " + err.Error())
		}
		if _, err = g.verifier.Recognise(a); err == nil {
			continue
		}
		g.mu.Lock()
		g.sessions.remove(s)
		g.mu.Unlock()
		g.shut(s)
		g.refuse(string(s.Info.Sender), s.Info.Number, err)
	}
	g.hold()
}

// refuse counts a refused announcement, and reports it now and then. What is no rejection is a fault of this side.
func (g *gate) refuse(name string, number uint64, err error) {
	reason, ok := bundle.ReasonOf(err)
	if !ok {
		g.onFault(err)
		return
	}
	g.mu.Lock()
	r, report := g.refused.add(g.wall(), name, number, reason)
	g.mu.Unlock()
	if report {
		g.onRefusal(r)
	}
}

// store has the packet floors of open sessions kept (P-7).
func (g *gate) store() {
	floors := make(map[*Session][]Floor)
	for _, l := range g.links {
		l.mu.Lock()
		l.table.floors(floors)
		l.mu.Unlock()
	}
	var failed []error
	for s, f := range floors {
		failed = append(failed, g.verifier.Store(s, f))
	}
	if err := errors.Join(failed...); err != nil {
		g.onFault(err)
	}
}

// countFlood takes over what the links refused before it came here.
func (g *gate) countFlood() {
	var n uint64
	for _, l := range g.links {
		l.mu.Lock()
		n += l.tooMany
		l.tooMany = 0
		l.mu.Unlock()
	}
	g.mu.Lock()
	r, report := g.refused.addMany(g.wall(), "", 0, bundle.ReasonSessionRate, n)
	g.mu.Unlock()
	if report {
		g.onRefusal(r)
	}
}
