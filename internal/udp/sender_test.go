package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Linux refuses to cut for a socket that sends no checksums, as older kernels do for interfaces that cannot make them.
func TestWithoutOffloadTheBatchGoesInMessages(t *testing.T) {
	s, r := pair(t, "127.0.0.1")
	if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1); err != nil {
		t.Fatal(err)
	}
	const count = 20
	for range 2 {
		if n, err := s.Send(make([]byte, count*1440), 1440); n != count || err != nil {
			t.Fatalf("%d taken, %v", n, err)
		}
		if got := take(t, r, count); len(got) != count {
			t.Errorf("%d datagrams came", len(got))
		}
	}
	if s.Mode() != "sendmmsg" {
		t.Errorf("mode is %s", s.Mode())
	}
}

func TestAPortThatNobodyListensOnIsNoError(t *testing.T) {
	for _, address := range addresses(t) {
		for _, m := range []mode{modeGSO, modeSendmmsg, modeSingle} {
			s, r := pair(t, address)
			_ = r.Close()
			s.mode.Store(int32(m))
			for range 5 {
				if n, err := s.Send(make([]byte, 100*1440), 1440); n != 100 || err != nil {
					t.Errorf("%s %v: %d taken, %v", address, m, n, err)
				}
			}
		}
	}
}

// fullSender is a Sender on a socket of the Unix family: unlike loopback, its queue fills.
func fullSender(t *testing.T, m mode) (s *Sender, other int) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	s = &Sender{fd: fds[0], to: netip.MustParseAddrPort("192.0.2.1:1")}
	s.mode.Store(int32(m))
	t.Cleanup(func() { _ = s.Close(); _ = unix.Close(fds[1]) })
	return s, fds[1]
}

func TestAQueueThatStaysFullIsAnErrorBeforeLong(t *testing.T) {
	for _, m := range []mode{modeSendmmsg, modeSingle} {
		s, _ := fullSender(t, m)
		start := time.Now()
		n, err := s.Send(make([]byte, 1000*100), 100)
		if n == 0 || n == 1000 || !errors.Is(err, unix.EAGAIN) {
			t.Errorf("%v: %d taken, %v", m, n, err)
		}
		if d, least := time.Since(start), time.Duration(mostWaits*awaitAtMost); d < least || d > least+time.Second {
			t.Errorf("%v: after %v", m, d)
		}
	}
}

func TestAQueueThatIsFullForAWhileLosesNothing(t *testing.T) {
	for _, m := range []mode{modeSendmmsg, modeSingle} {
		s, other := fullSender(t, m)
		read := make(chan int)
		go func() {
			count, p := 0, make([]byte, 200)
			for end := time.Now().Add(5 * time.Second); count < 300 && time.Now().Before(end); {
				if n, err := unix.Read(other, p); err != nil {
					time.Sleep(5 * time.Millisecond)
				} else if n == 100 {
					count++
				}
			}
			read <- count
		}()
		if n, err := s.Send(make([]byte, 300*100), 100); n != 300 || err != nil {
			t.Errorf("%v: %d taken, %v", m, n, err)
		}
		if n := <-read; n != 300 {
			t.Errorf("%v: %d came", m, n)
		}
	}
}

func TestErrorsAreBorneAsOftenAsTheyMayPass(t *testing.T) {
	for _, c := range []struct {
		errno unix.Errno
		mode  mode
		times int
		want  verdict
	}{
		{unix.EINTR, modeGSO, 100, again},
		{unix.ECONNREFUSED, modeGSO, mostRefusals, again},
		{unix.EPERM, modeSendmmsg, mostDenials, again},
		{unix.EAGAIN, modeSingle, mostWaits, await},
		{unix.ENOBUFS, modeGSO, mostWaits, pause},
		{unix.ENOMEM, modeGSO, mostWaits, pause},
		{unix.EIO, modeGSO, 1, descend},
		{unix.EINVAL, modeGSO, 1, descend},
		{unix.EOPNOTSUPP, modeGSO, 1, descend},
		{unix.ENOSYS, modeSendmmsg, 1, descend},
		{unix.EIO, modeSendmmsg, 0, fail},
		{unix.ENOSYS, modeSingle, 0, fail},
		{unix.EMSGSIZE, modeGSO, 0, fail},
		{unix.ENETUNREACH, modeGSO, 0, fail},
	} {
		var p patience
		for i := range c.times {
			if got := p.judge(c.errno, c.mode); got != c.want {
				t.Errorf("%v in mode %v, time %d: %d, want %d", c.errno, c.mode, i+1, got, c.want)
			}
		}
		if c.want == descend || c.errno == unix.EINTR {
			continue
		}
		if got := p.judge(c.errno, c.mode); got != fail {
			t.Errorf("%v in mode %v, after %d times: %d, want failure", c.errno, c.mode, c.times, got)
		}
	}
}

func TestADatagramAboveTheMTUIsAnErrorThatNamesIt(t *testing.T) {
	inNamespace(t, 1500)
	for _, address := range addresses(t) {
		for _, m := range []mode{modeGSO, modeSendmmsg, modeSingle} {
			t.Run(fmt.Sprint(address, " ", m), func(t *testing.T) {
				s, r := pairHere(t, address)
				if mtu, err := s.MTU(); mtu != 1500 || err != nil {
					t.Fatalf("MTU is %d, %v", mtu, err)
				}
				s.mode.Store(int32(m))
				most := 1500 - s.headers
				for _, count := range []int{1, 10} {
					if n, err := s.Send(make([]byte, count*most), most); n != count || err != nil {
						t.Errorf("%d datagrams of the MTU: %d taken, %v", count, n, err)
					}
					for _, d := range take(t, r, count) {
						if len(d) != most {
							t.Errorf("a datagram of %d bytes came", len(d))
						}
					}
					n, err := s.Send(make([]byte, count*(most+1)), most+1)
					if n != 0 || !errors.Is(err, syscall.EMSGSIZE) || !strings.Contains(err.Error(), "MTU is 1500") {
						t.Errorf("%d datagrams above it: %d taken, %v", count, n, err)
					}
				}
				if s.Mode() != m.String() {
					t.Errorf("mode became %s", s.Mode())
				}
			})
		}
	}
}

func TestDialRefusesWhatItCannotReach(t *testing.T) {
	for name, o := range map[string]SenderOptions{
		"no address":       {},
		"no port":          {To: netip.MustParseAddrPort("127.0.0.1:0")},
		"mixed families":   {To: netip.MustParseAddrPort("127.0.0.1:1"), From: netip.MustParseAddr("::1")},
		"a foreign origin": {To: netip.MustParseAddrPort("127.0.0.1:1"), From: netip.MustParseAddr("192.0.2.1")},
	} {
		if s, err := Dial(o); err == nil {
			_ = s.Close()
			t.Errorf("%s: no error", name)
		}
	}
}

func TestAClosedSenderSaysSo(t *testing.T) {
	s, _ := pair(t, "127.0.0.1")
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if n, err := s.Send([]byte("x"), 1); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Send: %d, %v", n, err)
	}
	if _, err := s.MTU(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("MTU: %v", err)
	}
}

func TestABatchAndAReadingAllocateNothing(t *testing.T) {
	for _, m := range []mode{modeGSO, modeSendmmsg, modeSingle} {
		s, r := pair(t, "127.0.0.1")
		s.mode.Store(int32(m))
		const count = 20
		batch, views := make([]byte, count*1440), newViews(atOnce)
		allocations := testing.AllocsPerRun(20, func() {
			if _, err := s.Send(batch, 1440); err != nil {
				t.Error(err)
			}
			for came := 0; came < count; {
				n, err := r.ReceiveInto(views)
				if n == 0 || err != nil {
					t.Fatal(n, err)
				}
				for i := range views[:n] {
					came += (views[i].N + 1439) / 1440
				}
			}
			_ = r.Dropped()
		})
		if allocations != 0 {
			t.Errorf("%v: %v allocations", m, allocations)
		}
	}
}

func TestBatchSegmentsFitOneCall(t *testing.T) {
	for segment, want := range map[int]int{1: 64, 1023: 64, 1440: 45, 8928: 7, BatchBytes: 1, BatchBytes + 1: 1, 0: 64} {
		if got := BatchSegments(segment); got != want {
			t.Errorf("%d bytes: %d, want %d", segment, got, want)
		}
	}
}
