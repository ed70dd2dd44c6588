package peers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"go/build"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Must fails the test on an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

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

// Pool is the authority alone.
func (a *Authority) Pool(t testing.TB) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	text, err := os.ReadFile(a.File)
	Must(t, err)
	pool.AppendCertsFromPEM(text)
	return pool
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

// Program finds a program that a test needs; where it is missing the test is skipped, which is a failure where CI=true.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	for _, dir := range []string{filepath.Join(build.Default.GOPATH, "bin"), "/usr/sbin", "/usr/local/bin"} {
		if err != nil {
			path, err = exec.LookPath(filepath.Join(dir, name))
		}
	}
	if err == nil {
		return path
	}
	Lacking(t, name)
	return ""
}

// Lacking skips a test for which something is missing on this machine, loudly. Where CI=true that is a failure.
func Lacking(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not here: make needs", what)
	}
	t.Skipf("SKIPPED: %s is not here: make needs installs it", what)
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

// Store starts versitygw, a store that speaks S3, with TLS and with versions; it knows one key.
func Store(t testing.TB, a *Authority, user, password string) *Server {
	t.Helper()
	program, address := Program(t, "versitygw"), Port(t)
	certificate, key := a.Server(t)
	return Serve(t, address, program, "--port", address, "--access", user, "--secret", password, "--cert", certificate, "--key", key, "--quiet", "posix", "--versioning-dir", t.TempDir(), t.TempDir())
}
