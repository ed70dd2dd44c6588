package peers

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Line is a line to a server that can be cut, or that can stop to carry anything.
type Line struct {
	Address string

	to     string
	listen net.Listener
	left   atomic.Int64 // bytes to the server that pass before the line is cut; below 0: all
	hangs  atomic.Bool
	slow   atomic.Int64 // bytes to the server in a second; 0: as fast as it goes
	passed atomic.Int64
	ctx    context.Context
	end    context.CancelFunc
	all    sync.WaitGroup
}

// NewLine makes a line to an address. It ends with the test.
func NewLine(t testing.TB, to string) *Line {
	t.Helper()
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	Must(t, err)
	l := &Line{Address: listen.Addr().String(), to: to, listen: listen}
	l.left.Store(-1)
	l.ctx, l.end = context.WithCancel(context.Background())
	l.all.Go(l.accept)
	t.Cleanup(func() {
		l.end()
		listen.Close()
		l.all.Wait()
	})
	return l
}

// Cut lets so many bytes more pass to the server, and then breaks every connection.
func (l *Line) Cut(after int64) { l.left.Store(after) }

// Mend lets everything pass again.
func (l *Line) Mend() { l.left.Store(-1); l.hangs.Store(false) }

// Hang has nothing pass any more, while connections stand.
func (l *Line) Hang() { l.hangs.Store(true) }

// Throttle lets so many bytes a second pass to the server; 0 is no bound.
func (l *Line) Throttle(rate int64) { l.slow.Store(rate) }

// Passed is how many bytes went to the server so far.
func (l *Line) Passed() int64 { return l.passed.Load() }

func (l *Line) accept() {
	for {
		c, err := l.listen.Accept()
		if err != nil {
			return
		}
		l.all.Go(func() { l.carry(c) })
	}
}

func (l *Line) carry(c net.Conn) {
	defer c.Close()
	s, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	defer s.Close()
	stop := context.AfterFunc(l.ctx, func() { c.Close(); s.Close() })
	defer stop()
	var both sync.WaitGroup
	both.Go(func() { l.pour(c, s, true); c.Close(); s.Close() })
	both.Go(func() { l.pour(s, c, false); c.Close(); s.Close() })
	both.Wait()
}

func (l *Line) pour(from, to net.Conn, counted bool) {
	b := make([]byte, 4<<10)
	for {
		n, err := from.Read(b)
		for l.hangs.Load() && l.ctx.Err() == nil {
			time.Sleep(5 * time.Millisecond)
		}
		if n > 0 {
			if counted && !l.let(int64(n)) {
				return
			}
			if rate := l.slow.Load(); counted && rate > 0 {
				time.Sleep(time.Duration(n) * time.Second / time.Duration(rate))
			}
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// let counts what passes.
func (l *Line) let(n int64) bool {
	for {
		left := l.left.Load()
		if left < 0 {
			l.passed.Add(n)
			return true
		}
		if left < n {
			l.left.Store(0)
			return false
		}
		if l.left.CompareAndSwap(left, left-n) {
			l.passed.Add(n)
			return true
		}
	}
}
