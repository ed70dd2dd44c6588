package udp

import (
	"errors"
	"math"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

func TestCloseWakesTheReader(t *testing.T) {
	_, r := pair(t, "127.0.0.1")
	ended := make(chan error)
	go func() {
		n, err := r.ReceiveInto(newViews(1))
		if n != 0 {
			err = errors.New("something came")
		}
		ended <- err
	}()
	time.Sleep(50 * time.Millisecond)
	start := time.Now()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("the reader got %v", err)
	}
	if d := time.Since(start); d > 500*time.Millisecond {
		t.Errorf("the reader woke after %v", d)
	}
	if _, err := r.ReceiveInto(newViews(1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("reading after Close: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

func TestSilenceEndsAReadingWithinASecond(t *testing.T) {
	_, r := pair(t, "127.0.0.1")
	start := time.Now()
	if n, err := r.ReceiveInto(newViews(1)); n != 0 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if d := time.Since(start); d < 900*time.Millisecond || d > 1900*time.Millisecond {
		t.Errorf("after %v", d)
	}
}

// Every datagram that was not read was counted as dropped, also after Close.
func TestDroppedCountsWhatTheBufferDidNotHold(t *testing.T) {
	for _, closeFirst := range []bool{false, true} {
		r, err := Listen(ReceiverOptions{Listen: netip.MustParseAddrPort("127.0.0.1:0"), Buffer: 32 << 10})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		s, err := Dial(SenderOptions{To: r.Addr()})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		s.mode.Store(int32(modeSendmmsg)) // the system counts what is put together as one
		const sent = 200
		if _, err := s.Send(make([]byte, sent*1440), 1440); err != nil {
			t.Fatal(err)
		}
		if closeFirst {
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			if d := r.Dropped(); d == 0 || d >= sent {
				t.Errorf("after Close: %d dropped of %d", d, sent)
			}
			continue
		}
		dropped, came := r.Dropped(), 0
		views := newViews(atOnce)
		for came+int(dropped) < sent {
			n, err := r.ReceiveInto(views)
			if n == 0 || err != nil {
				t.Fatalf("%d came and %d were dropped of %d; then %d, %v", came, dropped, sent, n, err)
			}
			came += n
		}
		if dropped == 0 || came == 0 || came+int(dropped) != sent {
			t.Errorf("%d came and %d were dropped of %d", came, dropped, sent)
		}
		if again := r.Dropped(); again != dropped {
			t.Errorf("%d, then %d dropped", dropped, again)
		}
	}
}

func TestDropsGoOnWhereTheSystemsCountWraps(t *testing.T) {
	var d drops
	for _, count := range []uint32{5, math.MaxUint32 - 1, 3, 3, 10} {
		d.note(count)
	}
	if want := uint64(1<<32 + 10); d.value() != want {
		t.Errorf("got %d, want %d", d.value(), want)
	}
}

func TestBufferSizeIsInTheMeasureOfWhatWasAskedFor(t *testing.T) {
	const asked = 200 << 10 // below any host's limit
	r, err := Listen(ReceiverOptions{Listen: netip.MustParseAddrPort("127.0.0.1:0"), Buffer: asked})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := r.BufferSize(); got != asked || err != nil {
		t.Errorf("got %d, %v", got, err)
	}
}

func TestListenRefusesWhatItCannotHave(t *testing.T) {
	_, r := pair(t, "127.0.0.1")
	for name, o := range map[string]ReceiverOptions{
		"no address":           {},
		"an address in use":    {Listen: r.Addr()},
		"an address elsewhere": {Listen: netip.MustParseAddrPort("192.0.2.1:4600")},
		"an unknown interface": {Listen: netip.MustParseAddrPort("127.0.0.1:0"), Interface: "no-such-one"},
		"an unknown zone":      {Listen: netip.MustParseAddrPort("[fe80::1%no-such-one]:4600")},
	} {
		if r, err := Listen(o); err == nil {
			_ = r.Close()
			t.Errorf("%s: no error", name)
		}
	}
}

func TestAnInterfaceMayBeTheOnlyOneListenedOn(t *testing.T) {
	r, err := Listen(ReceiverOptions{Listen: netip.MustParseAddrPort("0.0.0.0:0"), Interface: "lo"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s, err := Dial(SenderOptions{To: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), r.Addr().Port())})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Send([]byte("x"), 1); err != nil {
		t.Fatal(err)
	}
	if got := take(t, r, 1); string(got[0]) != "x" {
		t.Errorf("got %q", got)
	}
}

func TestAnEmptyDatagramIsAReadingOfItsOwn(t *testing.T) {
	_, r := pair(t, "127.0.0.1")
	c, err := net.Dial("udp", r.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, p := range []string{"", "abc"} {
		if _, err := c.Write([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	if got := take(t, r, 2); len(got[0]) != 0 || string(got[1]) != "abc" {
		t.Errorf("got %q", got)
	}
}

// What comes densely is let gather, so that nobody is woken for each piece of it; what comes alone is read at once, and so is all where the buffer would not hold what gathers.
func TestDenseDatagramsAreLetGather(t *testing.T) {
	for _, c := range []struct {
		name   string
		buffer int
		bytes  int
		waits  bool
	}{
		{"dense", 64 << 20, denseBytes, true}, {"alone", 64 << 20, denseBytes / 4, false}, {"into a small buffer", 200 << 10, denseBytes, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Listen(ReceiverOptions{Listen: netip.MustParseAddrPort("127.0.0.1:0"), Buffer: c.buffer})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if c.waits && r.buffer < gatherBuffer {
				if os.Getenv("CI") == "true" {
					t.Fatalf("the system gives a buffer of %d bytes only", r.buffer)
				}
				t.Skipf("the system gives a buffer of %d bytes only", r.buffer)
			}
			s, err := Dial(SenderOptions{To: r.Addr()})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			receive := func() (took time.Duration) {
				t.Helper()
				if _, err := s.Send(make([]byte, c.bytes), 1024); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				for left := c.bytes; left > 0; {
					views := newViews(atOnce)
					n, err := r.ReceiveInto(views)
					if n == 0 || err != nil {
						t.Fatalf("%d bytes have not come: %d, %v", left, n, err)
					}
					for _, v := range views[:n] {
						left -= v.N
					}
				}
				return time.Since(start)
			}
			receive()
			if r.dense != c.waits {
				t.Fatalf("dense is %v", r.dense)
			}
			if took := receive(); c.waits && took < gather {
				t.Errorf("the next reading came after %v, want %v at the least", took, gather)
			}
		})
	}
}
