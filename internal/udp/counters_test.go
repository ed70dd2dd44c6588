package udp

import (
	"strings"
	"testing"
)

func TestCountersAddBothFamilies(t *testing.T) {
	const v4 = "Tcp: InErrs\nTcp: 99\n" +
		"Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors\nUdp: 1 2 3 4 5 6 7 8 9\n" +
		"UdpLite: InDatagrams NoPorts\nUdpLite: 100 100\n"
	const v6 = "Ip6InReceives \t7\nUdp6NoPorts                      \t10\nUdp6InErrors \t20\nUdp6RcvbufErrors\t30\nUdpLite6NoPorts\t100\n"
	var c Counters
	if err := c.add4(strings.NewReader(v4)); err != nil {
		t.Fatal(err)
	}
	if err := c.add6(strings.NewReader(v6)); err != nil {
		t.Fatal(err)
	}
	if want := (Counters{InErrors: 23, RcvbufErrors: 35, MemErrors: 9, InCsumErrors: 7, NoPorts: 12, SndbufErrors: 6}); c != want {
		t.Errorf("got %+v, want %+v", c, want)
	}
}

func TestCountersThatCannotBeReadAreAnError(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":        "",
		"names alone":    "Udp: NoPorts\n",
		"a value short":  "Udp: NoPorts InErrors\nUdp: 1\n",
		"not a number":   "Udp: NoPorts\nUdp: x\n",
		"below nothing":  "Udp: NoPorts\nUdp: -1\n",
		"another's only": "UdpLite: NoPorts\nUdpLite: 1\n",
	} {
		var c Counters
		if err := c.add4(strings.NewReader(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestTheSystemsCountersAreRead(t *testing.T) {
	if _, err := KernelCounters(); err != nil {
		t.Fatal(err)
	}
	inNamespace(t, 1500)
	for _, address := range addresses(t) {
		var before, after Counters
		s, r := pairHere(t, address)
		_ = r.Close()
		s.mode.Store(int32(modeSingle))
		read := func(c *Counters) {
			var err error
			here(func() { *c, err = readCounters("/proc/thread-self/net") })
			if err != nil {
				t.Fatal(err)
			}
		}
		read(&before)
		if _, err := s.Send(make([]byte, 5*100), 100); err != nil {
			t.Fatal(err)
		}
		if read(&after); after.NoPorts != before.NoPorts+5 {
			t.Errorf("%s: NoPorts went from %d to %d", address, before.NoPorts, after.NoPorts)
		}
	}
}
