package inspect

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// connectMost is how long a scanner may take to answer its door.
const connectMost = 10 * time.Second

// Dial connects to a scanner. What is read and written ends with ctx, in time or before it.
func Dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: connectMost}
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if end, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(end) // else the next act fails
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	return &conn{c, stop}, nil
}

type conn struct {
	net.Conn
	stop func() bool
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	return n, withoutSource(err)
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	return n, withoutSource(err)
}

// withoutSource takes our own port out of an error, which is another one each time: what is said again is to be the same.
func withoutSource(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		op.Source = nil // it is ours: one is made for each error
	}
	return err
}

func (c *conn) Close() error {
	c.stop()
	return c.Conn.Close()
}
