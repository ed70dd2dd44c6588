package collect

import (
	"bytes"
	"testing"

	"ecluse/protocol/bundle"
	"ecluse/protocol/packet"
)

// The file of a sender's sessions is this side's own: what is read from it is written again as it was, and everything else is damage.
func FuzzNumbers(f *testing.F) {
	for _, numbers := range [][]Number{nil, {{Key: bundle.Digest{1}, Epoch: bundle.Epoch{2}, Number: 1 << 60, Announcement: bundle.Digest{3}, Rank: 4,
		Floors: []Floor{{}, {77, true}}}}} {
		text, err := marshalNumbers("low", numbers)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		numbers, err := parseNumbers(text, "low")
		if err != nil {
			return
		}
		again, err := marshalNumbers("low", numbers)
		if err != nil {
			t.Fatal(err)
		}
		second, err := parseNumbers(again, "low")
		if err != nil {
			t.Fatalf("%s: written, and damage: %v", again, err)
		}
		if third, err := marshalNumbers("low", second); err != nil || !bytes.Equal(third, again) {
			t.Fatalf("%s is written %s: %v", again, third, err)
		}
	})
}

// Whatever announcements come, nothing is believed that was not signed, each is counted or known, and nothing is kept beyond the lobby's places.
func FuzzAnnouncements(f *testing.F) {
	good := announce("low", 7, 1)[0]
	f.Add(good, uint8(3), uint16(0))
	f.Add(announce("stranger", 7, 1)[0], uint8(1), uint16(30))
	f.Add(good[:packet.HeaderSize+60], uint8(9), uint16(500))
	h := newHall("low")
	f.Fuzz(func(t *testing.T, datagram []byte, times uint8, after uint16) {
		if kind, _, err := packet.Classify(datagram); err != nil || kind != packet.KindAnnounce || len(datagram) > 1<<16 {
			return
		}
		for range int(times)%8 + 1 {
			h.lobby.arrive(h.now, 0, datagram)
			h.now += int64(after) * 1000
			h.serve()
		}
		h.countFlood()
		if len(h.sessions.all()) != 0 {
			t.Fatal("a session opened that nobody signed")
		}
		if len(h.lobby.turns) > 1 || len(h.refused.entries) > strangersKept+40 {
			t.Fatalf("%d queues, %d rows", len(h.lobby.turns), len(h.refused.entries))
		}
	})
}
