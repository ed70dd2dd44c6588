package collect

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"ecluse/protocol/bundle"
)

// udpSocket is a Socket on the standard library, one datagram a reading: slow, but a real one.
type udpSocket struct{ *net.UDPConn }

func (s udpSocket) Receive(buffers []Buffer) (int, error) {
	if err := s.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return 0, err
	}
	n, _, err := s.ReadFromUDPAddrPort(buffers[0].Mem)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, nil
	}
	buffers[0].N, buffers[0].Segment = n, 0
	return 1, err
}

func (udpSocket) Dropped() uint64 { return 0 }

// Through a real socket, with loss and with as much garbage as honest packets.
func TestBlocksComeThroughARealSocketAmongGarbage(t *testing.T) {
	in, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	out, err := net.DialUDP("udp4", nil, in.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	sink := newDelivery()
	r := start(t, Options{Links: []Link{{"a", udpSocket{in}}}, Verifier: newTestVerifier("low"), Sink: sink, Memory: testMemory})
	sent := uint64(0)
	send := func(p []byte) {
		if _, err := out.Write(p); err != nil {
			t.Fatal(err)
		}
		if sent++; sent%32 == 0 { // never more than the socket's buffer holds
			r.until("the datagrams are read", func(s Snapshot) bool { return s.Links[0].Packets.Received == sent })
		}
	}
	send(announce("low", 7, 1)[0])
	r.until("the session opens", func(s Snapshot) bool { return len(s.Sessions) == 1 })
	from := newTestSender(t, testSession("low", 7, 1), 0)
	const blocks = 100
	lost := uint64(0)
	for range blocks {
		packets := from.packets(testCode)
		dead := from.rng.Perm(len(packets) - 1)[:from.rng.IntN(testCode.M+1)] // the last one comes, so that every loss shows
		alive := make([]bool, len(packets))
		for i := range alive {
			alive[i] = true
		}
		for _, i := range dead {
			alive[i] = false
			lost++
		}
		for i, p := range packets {
			if alive[i] {
				send(p)
			}
			garbage := append([]byte(nil), p...)
			garbage[4+from.rng.IntN(len(p)-4)] ^= 1 << from.rng.IntN(8)
			send(garbage)
		}
	}
	snap := r.until("all blocks come", func(s Snapshot) bool {
		return s.Links[0].Blocks.Delivered == blocks && s.Links[0].Packets.Received == sent
	})
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	for number, sum := range from.sent {
		if sink.blocks[sum] != 1 {
			t.Errorf("block %d came %d times, want 1", number, sink.blocks[sum])
		}
	}
	l := snap.Links[0]
	if l.Loss.Lost != lost || l.Loss.Link != lost {
		t.Errorf("loss %+v, want %d on the link", l.Loss, lost)
	}
	garbage := uint64(blocks) * 24
	if got := l.Refused[bundle.ReasonPacketSeal] + l.Refused[bundle.ReasonPacketReplay]; got != garbage {
		t.Errorf("refused %v, want %d in all", l.Refused, garbage)
	}
}
