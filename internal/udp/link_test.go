package udp

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// pair makes a Receiver on loopback and a Sender to it.
func pair(t testing.TB, address string) (*Sender, *Receiver) {
	t.Helper()
	r, err := Listen(ReceiverOptions{Listen: netip.AddrPortFrom(netip.MustParseAddr(address), 0)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	s, err := Dial(SenderOptions{To: r.Addr(), From: netip.MustParseAddr(address)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, r
}

// addresses are the loopback addresses of this host.
func addresses(t *testing.T) []string {
	r, err := Listen(ReceiverOptions{Listen: netip.MustParseAddrPort("[::1]:0")})
	if err != nil {
		t.Logf("no IPv6 here: %v", err)
		return []string{"127.0.0.1"}
	}
	_ = r.Close()
	return []string{"127.0.0.1", "::1"}
}

func newViews(n int) []View {
	views := make([]View, n)
	for i := range views {
		views[i].Mem = make([]byte, 64<<10)
	}
	return views
}

// datagrams cuts a reading as its reader does.
func datagrams(v *View) [][]byte {
	rest, size := v.Mem[:v.N], v.Segment
	if size == 0 {
		size = len(rest)
	}
	var out [][]byte
	for len(rest) > size {
		out, rest = append(out, rest[:size]), rest[size:]
	}
	return append(out, rest)
}

// take reads until want datagrams have come.
func take(t *testing.T, r *Receiver, want int) [][]byte {
	t.Helper()
	var got [][]byte
	views := newViews(8)
	for end := time.Now().Add(5 * time.Second); len(got) < want; {
		if time.Now().After(end) {
			t.Fatalf("%d datagrams came of %d", len(got), want)
		}
		n, err := r.ReceiveInto(views)
		if err != nil {
			t.Fatal(err)
		}
		for i := range views[:n] {
			for _, d := range datagrams(&views[i]) {
				got = append(got, bytes.Clone(d))
			}
		}
	}
	return got
}

func TestEveryModeSendsTheSameDatagrams(t *testing.T) {
	sizes := []struct{ segment, batch int }{
		{1, 1}, {1, 64}, {1, 200}, {1440, 1440}, {1440, 1441}, {1440, 45*1440 - 7}, {1440, 100 * 1440}, {8928, 7 * 8928}, {8928, 20*8928 + 1},
		{1440, 17}, {BatchBytes / 2, BatchBytes}, {65_000, 65_000},
	}
	rng := rand.NewChaCha8([32]byte{1})
	for _, address := range addresses(t) {
		for _, m := range []mode{modeGSO, modeSendmmsg, modeSingle} {
			t.Run(fmt.Sprint(address, " ", m), func(t *testing.T) {
				s, r := pair(t, address)
				if s.Mode() != "gso" {
					t.Fatalf("this system has no GSO: mode is %s", s.Mode())
				}
				s.mode.Store(int32(m))
				for _, size := range sizes {
					batch := make([]byte, size.batch)
					_, _ = rng.Read(batch)
					want := (size.batch + size.segment - 1) / size.segment
					if n, err := s.Send(batch, size.segment); n != want || err != nil {
						t.Fatalf("batch of %d bytes in %d: %d taken of %d, %v", size.batch, size.segment, n, want, err)
					}
					got := take(t, r, want)
					for i, d := range got {
						if left := batch[i*size.segment:]; !bytes.Equal(d, left[:min(size.segment, len(left))]) {
							t.Fatalf("batch of %d bytes in %d: datagram %d of %d is another, of %d bytes", size.batch, size.segment, i, len(got), len(d))
						}
					}
				}
				if s.Mode() != m.String() {
					t.Errorf("mode became %s", s.Mode())
				}
			})
		}
	}
}
