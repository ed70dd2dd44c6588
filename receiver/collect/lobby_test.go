package collect

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/protocol/packet"
	"ecluse/protocol/racing"
)

// hall is a gate with a lobby, no link and no goroutine; time is the test's.
type hall struct {
	*gate
	v   *signedVerifier
	now int64
}

// signedVerifier believes what a test has signed, and counts what else it was asked.
type signedVerifier struct {
	*testVerifier
	honest map[string]bool
	forged int
}

func (v *signedVerifier) Verify(now time.Time, a *packet.Announcement, body []byte) (*Session, error) {
	if !v.honest[string(body)] {
		v.forged++
		return nil, bundle.Reject(bundle.ReasonSessionSignature, "S-5", "the test did not sign it")
	}
	return v.testVerifier.Verify(now, a, body)
}

func newHall(names ...string) *hall {
	h := &hall{v: &signedVerifier{testVerifier: newTestVerifier(names...), honest: map[string]bool{}}, now: int64(time.Hour)}
	o := Options{Verifier: h.v, Sink: newDelivery()}
	setDefaults(&o)
	h.gate = newGate(&o, nil, func() int64 { return h.now })
	h.assemblers = make([]packet.Assembler, 1)
	return h
}

// sign makes an announcement that is believed.
func (h *hall) sign(name string, number uint64) []byte {
	d := announce(name, number, 1)[0]
	h.v.honest[string(d[packet.HeaderSize:])] = true
	return d
}

// open tells whether a session is.
func (h *hall) open(name string, number uint64) bool {
	return slices.ContainsFunc(h.sessions.all(), func(s *Session) bool { return string(s.Info.Sender) == name && s.Info.Number == number })
}

// pass lets time pass: in each millisecond so many datagrams come of a flood, and each of the honest ones five times a second. It ends when done says so,
// and gives the time that it took.
func (h *hall) pass(most time.Duration, each int, flood func(i int) []byte, honest [][]byte, done func() bool) time.Duration {
	for ms := range int(most / time.Millisecond) {
		for i := range each {
			h.lobby.arrive(h.now, 0, flood(ms*each+i))
		}
		if ms%200 == 100 {
			for _, d := range honest {
				if !h.sessions.holds(d[packet.HeaderSize:]) { // its link does not hand it on
					h.lobby.arrive(h.now, 0, d)
				}
			}
		}
		h.serve()
		if h.now += int64(time.Millisecond); h.now%int64(time.Second) == 0 {
			h.countFlood()
		}
		if done() {
			return time.Duration(ms+1) * time.Millisecond
		}
	}
	return most
}

// countedUp gives a recorded announcement with its number counted up, in one memory.
func countedUp(recorded []byte, from uint64) func(int) []byte {
	d := slices.Clone(recorded)
	return func(i int) []byte {
		binary.BigEndian.PutUint64(d[packet.HeaderSize:], from+uint64(i))
		return d
	}
}

// S-8: a million forgeries a second in the name of one sender, made from what it once sent.
func TestForgeriesInOneSendersNameKeepNobodyOut(t *testing.T) {
	h := newHall("low", "other")
	h.lobby.arrive(h.now, 0, h.sign("low", 1))
	if h.serve(); !h.open("low", 1) {
		t.Fatal("the first session does not open")
	}
	flood := countedUp(announce("low", 1, 1)[0], 2)
	other, again := h.sign("other", 5), h.sign("low", 5_000_000_000)
	var opened time.Duration
	took := h.pass(time.Minute, racing.Part(1000), flood, [][]byte{other, again}, func() bool {
		if h.open("other", 5) && opened == 0 {
			opened = time.Duration(h.now)
		}
		return h.open("low", 5_000_000_000) && opened > 0
	})
	opened -= time.Hour
	t.Logf("the other sender's session opened after %v, the flooded sender's own after %v; %d forgeries were verified, %d came", opened, took, h.v.forged,
		int(took/time.Millisecond)*racing.Part(1000))
	if opened <= 0 || opened > 500*time.Millisecond {
		t.Errorf("the other sender's session opened after %v", opened)
	}
	if took > 30*time.Second {
		t.Errorf("the sender's own session opened after %v", took)
	}
	if most := int(took/time.Second+1) * verifiedOfOne; h.v.forged > most {
		t.Errorf("%d forgeries were verified in %v, at most %d may be", h.v.forged, took, most)
	}
	h.countFlood()
	if rows := h.refused.all(); len(rows) > 3 {
		t.Errorf("%d rows for one sender: %+v", len(rows), rows[:3])
	}
}

// Forgeries that are repeated as an honest sender repeats are refused once each, and then known.
func TestRepeatedForgeriesAreLookedAtOnce(t *testing.T) {
	h := newHall("low")
	const forgeries = 500
	var set [][]byte
	for i := range uint64(forgeries) {
		set = append(set, announce("low", 100+i, 1)[0])
	}
	honest := h.sign("low", 1000)
	took := h.pass(20*time.Second, racing.Part(100), func(i int) []byte { return set[i%forgeries] }, [][]byte{honest}, func() bool { return h.open("low", 1000) })
	t.Logf("opened after %v, %d forgeries verified", took, h.v.forged)
	if took >= 20*time.Second || h.v.forged > forgeries {
		t.Errorf("opened after %v, %d verifications of %d forgeries", took, h.v.forged, forgeries)
	}
}

// S-8, whatever comes, and however many senders are enrolled.
func TestNoMoreAnnouncementsAreVerifiedInASecond(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e"}
	h := newHall(names...)
	i := uint64(0)
	var at []int64
	h.pass(5*time.Second, racing.Part(50), func(int) []byte { i++; return announce(names[i%5], i, 1)[0] }, nil, func() bool {
		for len(at) < h.v.forged {
			at = append(at, h.now)
		}
		return false
	})
	for n := verifiedPerSecond; n < len(at); n++ {
		if at[n]-at[n-verifiedPerSecond] < int64(time.Second) {
			t.Fatalf("%d verified within a second", verifiedPerSecond+1)
		}
	}
	if len(at) < 4*verifiedPerSecond {
		t.Errorf("%d verified in 5 s: the budget was not used", len(at))
	}
	h.countFlood()
	var refused, rate uint64
	for _, r := range h.refused.all() {
		if refused += r.Count; r.Reason == bundle.ReasonSessionRate {
			rate += r.Count
		}
	}
	waits := uint64(0)
	for _, q := range h.lobby.turns {
		waits += uint64(q.again.n + q.fresh.n)
	}
	if refused+waits != i || rate == 0 {
		t.Errorf("%d came, %d refused, %d of them by rate, %d wait", i, refused, rate, waits)
	}
}

// An announcement in several parts names no key id before it is whole, so it shares the budget of all.
func TestAnnouncementsInPartsShareTheBudget(t *testing.T) {
	h := newHall("low")
	for number := range uint64(3 * verifiedPerSecond) {
		h.look(announce("low", number, 1)[0][packet.HeaderSize:], false)
	}
	if h.v.forged != verifiedPerSecond {
		t.Errorf("%d verified, want %d", h.v.forged, verifiedPerSecond)
	}
	h.now += int64(time.Second)
	if h.look(announce("low", 5000, 1)[0][packet.HeaderSize:], false); h.v.forged != verifiedPerSecond+1 {
		t.Error("nothing is verified in the next second")
	}
}

// What was refused for a reason that passes is looked at again, soon; and at once where enrolment has changed.
func TestARefusedAnnouncementIsLookedAtAgain(t *testing.T) {
	h := newHall("low")
	d := announce("low", 9, 1)[0]
	h.v.testVerifier.fail = bundle.Reject(bundle.ReasonSessionKeyNotYetValid, "S-6", "too early")
	h.v.honest[string(d[packet.HeaderSize:])] = true
	looks := func() int { return h.v.verified }
	come := func() int { h.lobby.arrive(h.now, 0, d); h.serve(); return looks() }
	if come() != 1 || come() != 1 {
		t.Errorf("%d looks at two copies", looks())
	}
	h.now += int64(refusalFor)
	if come() != 2 {
		t.Errorf("%d looks after %v", looks(), refusalFor)
	}
	h.countFlood()
	h.lobby.forget()
	h.v.testVerifier.fail = nil
	if come() != 3 || !h.open("low", 9) {
		t.Errorf("%d looks after enrolment changed", looks())
	}
	h.countFlood()
	if rows := h.refused.all(); len(rows) != 1 || rows[0].Count != 3 || rows[0].Sender != "low" || rows[0].Session != 9 {
		t.Errorf("refused %+v", rows)
	}
}

// What is too long for an announcement, or too short to name anybody, waits with the strangers and is refused by its own reason.
func TestMalformedAnnouncementsKeepTheirReasons(t *testing.T) {
	h := newHall("low")
	good := announce("low", 1, 1)[0]
	for reason, d := range map[bundle.Reason][]byte{
		bundle.ReasonAnnounceLength: append(slices.Clone(good), make([]byte, 9000)...),
		bundle.ReasonAnnounceParts:  append([]byte{0x11, 0, 0, 0, 3, 2}, good[6:]...),
		bundle.ReasonAnnounceFields: append([]byte{0x11, 1}, good[2:]...),
	} {
		h.lobby.arrive(h.now, 0, d)
		h.serve()
		if !slices.ContainsFunc(h.refused.all(), func(r Refusal) bool { return r.Reason == reason }) {
			t.Errorf("%s: %+v", reason, h.refused.all())
		}
	}
	if len(h.lobby.strangers.fresh.places[0].datagram) > packet.HeaderSize+packet.PartSize+1 {
		t.Error("the lobby keeps more than an announcement")
	}
}

// Beyond the enrolled key ids nothing that comes allocates.
func TestRefusingAnnouncementsAllocatesNothing(t *testing.T) {
	h := newHall("low")
	floods := map[string]func(int) []byte{"forged": countedUp(announce("low", 1, 1)[0], 1), "stranger": countedUp(announce("stranger", 1, 1)[0], 1)}
	same := announce("low", 1, 1)[0]
	floods["replayed"] = func(int) []byte { return same }
	for name, flood := range floods {
		i := 0
		come := func() { i++; h.now += 1000; h.lobby.arrive(h.now, 0, flood(i)) }
		for range 100 {
			come()
		}
		if n := testing.AllocsPerRun(10000, come); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestAQueueKeepsASampleOfAllThatCame(t *testing.T) {
	w := newWaiting(4)
	const came, runs = 64, 2000
	var kept [came]int
	for range runs {
		for w.n > 0 {
			w.take(make([]byte, 0, 16))
		}
		for i := range came {
			w.offer(0, []byte{byte(i)})
		}
		for i := range w.n {
			kept[w.places[i].datagram[0]]++
		}
	}
	for i, n := range kept {
		if want := runs * 4 / came; n < want/2 || n > want*2 {
			t.Errorf("number %d of %d was kept %d times, want about %d: %v", i, came, n, want, fmt.Sprint(kept))
		}
	}
}
