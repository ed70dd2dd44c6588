package collect

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/protocol/packet"
)

// retryEvery is how long the gate waits where something waits for a budget.
const retryEvery = time.Second / verifiedPerSecond

// Verifier tells which announcements open a session. One goroutine calls it, but for Enrolled.
type Verifier interface {
	// Enrolled gives the name of the sender that a key id is enrolled for. Several goroutines call it, for every announcement that comes, so it
	// costs next to nothing and allocates nothing.
	Enrolled(keyID [32]byte) (name string, ok bool)
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

// announcement hands a datagram on to be verified, unless it repeats the announcement of an open session (S-8). Nothing is
// verified here, and nothing waits. l.mu is held.
func (l *link) announcement(now int64, datagram []byte) {
	l.table.packets.Announced++
	for _, held := range l.held {
		if string(held) == string(datagram) {
			return
		}
	}
	l.gate.lobby.arrive(now, l.index, datagram)
}

// gate verifies announcements and opens sessions on all links. Its goroutine is the only one that calls the Verifier.
type gate struct {
	lobby   *lobby
	memory  []byte        // free, for the lobby
	recheck chan struct{} // one token: enrolment has changed

	verifier   Verifier
	links      []*link
	wall       func() time.Time
	clock      func() int64
	onRefusal  func(Refusal)
	onFault    func(error)
	assemblers []packet.Assembler // one for each link

	mu       sync.Mutex // for those who look; the gate's goroutine alone changes what follows
	sessions sessionTable
	refused  refusedTable
}

func newGate(o *Options, links []*link, clock func() int64) *gate {
	return &gate{
		lobby:      newLobby(o.Verifier.Enrolled, clock),
		memory:     make([]byte, 0, packet.HeaderSize+packet.PartSize+1),
		recheck:    make(chan struct{}, 1),
		verifier:   o.Verifier,
		links:      links,
		wall:       o.Now,
		clock:      clock,
		onRefusal:  o.OnRefusal,
		onFault:    o.OnFault,
		assemblers: make([]packet.Assembler, len(links)),
	}
}

// run serves until ctx ends, and stores the floors each second and at the end.
func (g *gate) run(ctx context.Context) {
	store := time.NewTicker(time.Second)
	defer store.Stop()
	retry := time.NewTimer(retryEvery)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.lobby.wake:
		case <-retry.C:
		case <-g.recheck:
			g.recheckAll()
		case <-store.C:
			g.store()
			g.countFlood()
		}
		if g.serve() {
			retry.Reset(retryEvery)
		}
	}
}

// serve looks at what waits, as far as the budget goes, but for no more than one budget at a time. It is true when something still waits.
func (g *gate) serve() (more bool) {
	for range verifiedPerSecond {
		a, ok, more := g.lobby.next(g.clock(), g.memory)
		if g.memory = a.datagram; !ok {
			return more
		}
		g.take(a)
	}
	return true
}

// take puts one datagram where it belongs, and looks at the announcement that it completes.
func (g *gate) take(a announcement) {
	body, err := g.assemblers[a.link].Add(a.datagram)
	switch {
	case err != nil:
		g.refuse("", 0, err)
		return
	case body == nil:
		return
	}
	_, single := packet.AnnouncedSender(a.datagram) // it had a budget in the lobby
	if reason := g.look(body, single); reason != "" && single {
		g.lobby.judged(g.clock(), a.datagram, reason)
	}
}

// look judges a whole announcement; paid says that its verification was counted. It gives the reason where it is refused.
func (g *gate) look(body []byte, paid bool) bundle.Reason {
	if g.sessions.holds(body) {
		return ""
	}
	a, err := packet.ParseAnnouncement(body)
	if err != nil {
		return g.refuse("", 0, err)
	}
	name, err := g.verifier.Recognise(a)
	if err != nil {
		return g.refuse(name, a.Number, err)
	}
	if !paid && !g.lobby.spend(g.clock()) {
		g.refuse(name, a.Number, errRate)
		return ""
	}
	s, err := g.verifier.Verify(g.wall(), a, body)
	if err == nil {
		s.body = append([]byte(nil), body...)
		err = g.admit(s)
	}
	if err != nil {
		return g.refuse(name, a.Number, err)
	}
	return ""
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
	g.countFlood()
	g.lobby.forget()
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

// refuse counts a refused announcement, and reports it now and then. It gives the reason; what is no rejection is a fault of this side.
func (g *gate) refuse(name string, number uint64, err error) bundle.Reason {
	reason, ok := bundle.ReasonOf(err)
	if !ok {
		g.onFault(err)
		return ""
	}
	g.count(name, number, reason, 1)
	return reason
}

// count counts n refused announcements of one kind.
func (g *gate) count(name string, number uint64, reason bundle.Reason, n uint64) {
	g.mu.Lock()
	r, report := g.refused.add(g.wall(), name, number, reason, n)
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
	for _, s := range slices.SortedFunc(maps.Keys(floors), func(a, b *Session) int { // not as they lie in memory: runs of one seed are alike
		return cmp.Or(cmp.Compare(a.Info.Sender, b.Info.Sender), cmp.Compare(a.Info.Number, b.Info.Number))
	}) {
		failed = append(failed, g.verifier.Store(s, floors[s]))
	}
	if err := errors.Join(failed...); err != nil {
		g.onFault(err)
	}
}

// countFlood takes over what the lobby refused.
func (g *gate) countFlood() {
	g.lobby.flush(func(name string, reason bundle.Reason, n uint64) { g.count(name, 0, reason, n) })
}
