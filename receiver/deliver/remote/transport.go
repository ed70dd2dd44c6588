package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"time"
)

const (
	dialMost = 10 * time.Second
	idleMost = 90 * time.Second
)

// Transport makes requests that are given up when nothing moved on their connection for the time stall, in either direction. It goes where the configuration says and nowhere else: no proxy of the
// environment, and where plain is false nothing but TLS. done closes what waits for another request.
func Transport(authorities *x509.CertPool, stall time.Duration, plain bool) (through http.RoundTripper, done func()) {
	dialer := &net.Dialer{Timeout: min(dialMost, stall)}
	t := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &moving{Conn: c, stall: stall}, nil
		},
		TLSClientConfig:     &tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: min(dialMost, stall), MaxIdleConnsPerHost: 8, IdleConnTimeout: min(idleMost, stall), DisableCompression: true, ForceAttemptHTTP2: false,
	}
	if plain {
		return t, t.CloseIdleConnections
	}
	return onlyTLS{t}, t.CloseIdleConnections
}

// onlyTLS refuses what a library, a redirection or a server would have us ask without TLS: secrets go with it.
type onlyTLS struct{ *http.Transport }

func (t onlyTLS) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, fmt.Errorf("%s is not asked without TLS", r.URL.Host)
	}
	return t.Transport.RoundTrip(r)
}

// Stalled is a connection on which nothing moved.
type Stalled struct{ For time.Duration }

func (s *Stalled) Error() string { return fmt.Sprintf("nothing moved for %v", s.For) }

// moving is a connection that ends when nothing moves. What moves in one direction keeps the other one, too: a server says nothing while it takes a large object.
type moving struct {
	net.Conn
	stall time.Duration
}

func (c *moving) Read(b []byte) (int, error)  { return c.move(c.Conn.Read, b) }
func (c *moving) Write(b []byte) (int, error) { return c.move(c.Conn.Write, b) }

// move sets the time anew, also for what waits in the other direction.
func (c *moving) move(act func([]byte) (int, error), b []byte) (int, error) {
	if err := c.Conn.SetDeadline(time.Now().Add(c.stall)); err != nil {
		return 0, err
	}
	n, err := act(b)
	if e, ok := err.(net.Error); ok && e.Timeout() {
		return n, &Stalled{c.stall}
	}
	return n, err
}
