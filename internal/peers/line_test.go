package peers

import (
	"io"
	"net"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A line that does not cut makes every test of a cut a test of nothing.
func TestALineIsCutWhereItIsToBe(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	Must(t, err)
	defer server.Close()
	got := make(chan int, 2)
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				close(got)
				return
			}
			b, _ := io.ReadAll(c)
			c.Close()
			got <- len(b)
		}
	}()
	l := NewLine(t, server.Addr().String())
	for _, row := range []struct{ cut, want int64 }{{8 << 10, 8 << 10}, {-1, 64 << 10}} {
		l.Cut(row.cut)
		c, err := net.Dial("tcp", l.Address)
		Must(t, err)
		_, _ = c.Write(make([]byte, 64<<10))
		c.Close()
		if n := <-got; int64(n) != row.want {
			t.Errorf("%d bytes passed, not %d", n, row.want)
		}
	}
	server.Close()
	for range got {
	}
}
