package remotetest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Authority is one that signs certificates.
type Authority struct {
	File string // its own certificate, in PEM

	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes one.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Must(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	Must(t, err)
	a := &Authority{dir: t.TempDir(), cert: c, key: key}
	a.File = a.write(t, "ca.pem", "CERTIFICATE", der)
	return a
}

// Server makes a certificate for 127.0.0.1.
func (a *Authority) Server(t testing.TB) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Must(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "127.0.0.1"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &private.PublicKey, a.key)
	Must(t, err)
	text, err := x509.MarshalPKCS8PrivateKey(private)
	Must(t, err)
	return a.write(t, "server.pem", "CERTIFICATE", der), a.write(t, "server.key", "PRIVATE KEY", text)
}

func (a *Authority) write(t testing.TB, name, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(a.dir, name)
	Must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return path
}

// Secret writes a file of one line that only its owner reads.
func Secret(t testing.TB, line string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	Must(t, os.WriteFile(path, []byte(line+"\n"), 0o600))
	return path
}

// Program finds a program that a test needs; where it is missing the test is left out, which is a failure where CI=true.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	for _, dir := range []string{filepath.Join(os.Getenv("HOME"), "go", "bin"), "/usr/sbin", "/usr/local/bin"} {
		if err != nil {
			path, err = exec.LookPath(filepath.Join(dir, name))
		}
	}
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not here: make needs", name)
	}
	t.Skipf("LEFT OUT: %s is not here: make needs installs it", name)
	return ""
}

// Port gives an address of this machine at which nobody listens.
func Port(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	Must(t, err)
	defer l.Close()
	return l.Addr().String()
}

// Server is a program that serves at an address.
type Server struct {
	Address string

	t       testing.TB
	command []string
	run     *exec.Cmd
	log     string
}

// Serve starts a program that is to listen at address, and waits until it does. It ends with the test.
func Serve(t testing.TB, address string, command ...string) *Server {
	t.Helper()
	s := &Server{Address: address, t: t, command: command, log: filepath.Join(t.TempDir(), "server.log")}
	s.Start()
	t.Cleanup(s.Kill)
	return s
}

// Start starts it again.
func (s *Server) Start() {
	s.t.Helper()
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	Must(s.t, err)
	defer log.Close()
	s.run = exec.Command(s.command[0], s.command[1:]...)
	s.run.Stdout, s.run.Stderr = log, log
	s.run.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	Must(s.t, s.run.Start())
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", s.Address)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(s.log)
			s.t.Fatalf("%s does not listen: %v\n%s", s.command[0], err, text)
		}
	}
}

// Kill ends it.
func (s *Server) Kill() {
	if s.run != nil {
		_ = s.run.Process.Kill()
		_ = s.run.Wait()
		s.run = nil
	}
}

// Line is a line to a server that can be cut, or that can stop to carry anything.
type Line struct {
	Address string

	to     string
	listen net.Listener
	left   atomic.Int64 // bytes to the server that pass before the line is cut; below 0: all
	hangs  atomic.Bool
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

// Says fails the test unless an error says something.
func Says(t testing.TB, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("it went well, and was to say %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q is not said: %v", w, err)
		}
	}
}

// Registry starts Debian's docker-registry with TLS, and with the users that htpasswd says, if any.
func Registry(t testing.TB, a *Authority, htpasswd string) (s *Server, dir string) {
	t.Helper()
	program, address, dir := Program(t, "docker-registry"), Port(t), t.TempDir()
	certificate, key := a.Server(t)
	auth := ""
	if htpasswd != "" {
		auth = fmt.Sprintf("auth:\n  htpasswd:\n    realm: test\n    path: %s\n", htpasswd)
	}
	conf := filepath.Join(t.TempDir(), "registry.yml")
	Must(t, os.WriteFile(conf, fmt.Appendf(nil, "version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: %s\nhttp:\n  addr: %s\n  tls:\n    certificate: %s\n    key: %s\n%s",
		dir, address, certificate, key, auth), 0o600))
	return Serve(t, address, program, "serve", conf), dir
}
