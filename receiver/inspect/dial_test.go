package inspect

import (
	"io"
	"net"
	"testing"
)

// What fails again for the same cause says the same, whatever port of ours it had.
func TestAConnectionThatBreaksSaysTheSameEachTime(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(c, make([]byte, 1))
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		}
	}()
	fails := func() string {
		c, err := Dial(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		_, err = c.Read(make([]byte, 1))
		if err == nil {
			t.Fatal("it was answered")
		}
		return err.Error()
	}
	if first, second := fails(), fails(); first != second {
		t.Errorf("%q, and then %q", first, second)
	}
}
