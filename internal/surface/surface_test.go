package surface

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// bin holds both programs.
var bin string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "ECLUSE_") || name == "NOTIFY_SOCKET" || name == "WATCHDOG_USEC" {
			os.Unsetenv(name)
		}
	}
	var err error
	if bin, err = os.MkdirTemp("", "ecluse-surface-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(bin)
	if err := os.Chmod(bin, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, side := range []string{"sender", "receiver"} {
		c := exec.Command("go", "build", "-ldflags", "-s -w -X main.version=v0-surface", "-o", filepath.Join(bin, "ecluse-"+side), "ecluse/"+side)
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := c.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build ecluse-%s: %v\n%s", side, err, out)
			return 1
		}
	}
	return m.Run()
}

// lacking skips a test that this machine cannot run, loudly. Where CI=true that is a failure.
func lacking(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal("SKIPPED, ", what)
	}
	t.Skip("SKIPPED, ", what)
}

// side is one house: its program and its configuration.
type side struct {
	t      *testing.T
	kind   string // sender or receiver
	dir    string
	config string
	env    []string
	stdin  io.Reader
}

// result is how a command ended.
type result struct {
	out, err string
	code     int
}

func newSide(t *testing.T, kind, dir string) *side {
	return &side{t: t, kind: kind, dir: dir, config: filepath.Join(dir, kind+".yaml")}
}

func (s *side) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, filepath.Join(bin, "ecluse-"+s.kind), args...)
	c.Env = append(os.Environ(), s.env...)
	c.Stdin = s.stdin
	return c
}

// run runs a command line to its end.
func (s *side) run(args ...string) result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c := s.command(ctx, args...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		s.t.Fatalf("ecluse-%s %v: %v, %v", s.kind, args, err, ctx.Err())
	}
	return result{out.String(), errs.String(), c.ProcessState.ExitCode()}
}

// try runs a verb with the side's configuration.
func (s *side) try(verb string, args ...string) result {
	s.t.Helper()
	return s.run(append([]string{verb, "--config", s.config}, args...)...)
}

// ends runs a verb and holds it to its exit code and to what it says, on stdout or stderr.
func (s *side) ends(code int, says, verb string, args ...string) result {
	s.t.Helper()
	r := s.try(verb, args...)
	r.check(s.t, fmt.Sprintf("ecluse-%s %s %s", s.kind, verb, strings.Join(args, " ")), code, says)
	return r
}

func (r result) check(t *testing.T, what string, code int, says string) {
	t.Helper()
	if r.code != code || !strings.Contains(r.out+r.err, says) {
		t.Errorf("%s: exit %d, want %d and %q\nstdout: %s\nstderr: %s", what, r.code, code, says, r.out, r.err)
	}
}

// value runs a verb with --json, holds it to its exit code and to one JSON value on stdout, and reads that.
func (s *side) value(into any, code int, verb string, args ...string) {
	s.t.Helper()
	r := s.try(verb, append([]string{"--json"}, args...)...)
	r.check(s.t, fmt.Sprintf("ecluse-%s %s --json %s", s.kind, verb, strings.Join(args, " ")), code, "")
	d := json.NewDecoder(strings.NewReader(r.out))
	if err := d.Decode(into); err != nil {
		s.t.Fatalf("ecluse-%s %s --json %v: %v\nstdout: %s\nstderr: %s", s.kind, verb, args, err, r.out, r.err)
	}
	if rest, _ := io.ReadAll(d.Buffered()); strings.TrimSpace(string(rest)) != "" {
		s.t.Errorf("ecluse-%s %s --json %v: after the value stands %q", s.kind, verb, args, rest)
	}
}

// row is one line of a list, each value as it stands in the text.
type row map[string]json.RawMessage

// text reads a string of a row; null is "".
func (r row) text(key string) string {
	var s *string
	if err := json.Unmarshal(r[key], &s); err != nil || s == nil {
		return ""
	}
	return *s
}

// time reads a time of a row; null is the beginning of time.
func (r row) time(key string) time.Time {
	at, _ := time.Parse(time.RFC3339Nano, r.text(key))
	return at
}

func (s *side) list(args ...string) []row {
	s.t.Helper()
	var rows []row
	s.value(&rows, 0, "list", args...)
	if rows == nil {
		s.t.Errorf("ecluse-%s list --json %v is null, not an array", s.kind, args)
	}
	return rows
}

// find gives the newest row of a name, or nil.
func (s *side) find(name string) row {
	s.t.Helper()
	for _, r := range slices.Backward(s.list()) {
		if r.text("name") == name {
			return r
		}
	}
	return nil
}

// reach waits until a name is in a state, and gives its row.
func (s *side) reach(name, state string) row {
	s.t.Helper()
	var r row
	s.within(15*time.Second, fmt.Sprintf("ecluse-%s: %s %s", s.kind, name, state), func() bool {
		r = s.find(name)
		return r != nil && r.text("state") == state
	})
	return r
}

// within polls until something holds.
func (s *side) within(limit time.Duration, what string, holds func() bool) {
	s.t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if holds() {
			return
		}
	}
	s.t.Fatalf("waited %v in vain for %s", limit, what)
}

// daemon is a running `run`.
type daemon struct {
	side   *side
	cmd    *exec.Cmd
	log    string // its stderr
	notify *net.UnixConn
	told   []string // to systemd, up to READY
	ended  chan error
}

// start runs the daemon and waits until it says that it is ready.
func (s *side) start(env ...string) *daemon {
	s.t.Helper()
	d := &daemon{side: s, log: filepath.Join(s.t.TempDir(), "log"), ended: make(chan error, 1)}
	socket := filepath.Join(s.t.TempDir(), "notify")
	var err error
	if d.notify, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"}); err != nil {
		s.t.Fatal(err)
	}
	log, err := os.Create(d.log)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	d.cmd = s.command(context.Background(), "run", "--config", s.config)
	d.cmd.Env = append(append(d.cmd.Env, "NOTIFY_SOCKET="+socket), env...)
	d.cmd.Stderr = log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // nothing outlives the tests, however they end
	var out bytes.Buffer
	d.cmd.Stdout = &out
	if err := d.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() { d.ended <- d.cmd.Wait() }()
	s.t.Cleanup(func() {
		d.stop()
		d.notify.Close()
		if out.Len() > 0 {
			s.t.Errorf("ecluse-%s run writes on stdout: %s", s.kind, out.String())
		}
		if s.t.Failed() {
			s.t.Logf("ecluse-%s run:\n%s", s.kind, d.said())
		}
	})
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); {
		if text := d.hear(); text != "" {
			d.told = append(d.told, text)
			if strings.Contains(text, "READY=1") {
				return d
			}
		}
		select {
		case err := <-d.ended:
			d.ended <- err
			s.t.Fatalf("ecluse-%s run ended with %v:\n%s", s.kind, err, d.said())
		default:
		}
	}
	s.t.Fatalf("ecluse-%s run is not ready:\n%s", s.kind, d.said())
	return nil
}

// hear gives the next thing that is told to systemd, or nothing after a moment.
func (d *daemon) hear() string {
	var buffer [4096]byte
	_ = d.notify.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	n, _ := d.notify.Read(buffer[:])
	return string(buffer[:n])
}

func (d *daemon) said() string {
	text, _ := os.ReadFile(d.log)
	return string(text)
}

// stop ends the daemon as systemd does, and holds it to its five seconds and its exit code.
func (d *daemon) stop() {
	d.side.t.Helper()
	if d.cmd == nil {
		return
	}
	began := time.Now()
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-d.ended:
		if err != nil {
			d.side.t.Errorf("ecluse-%s run ended with %v after SIGTERM", d.side.kind, err)
		}
	case <-time.After(5 * time.Second):
		d.side.t.Errorf("ecluse-%s run goes on %v after SIGTERM", d.side.kind, time.Since(began))
		_ = d.cmd.Process.Kill()
		<-d.ended
	}
	d.cmd = nil
}

// ports holds what port has given.
var ports sync.Map

// port gives a UDP port of loopback that was free a moment ago, and that no other test got.
func port(t *testing.T) string {
	t.Helper()
	for {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		at := c.LocalAddr().String()
		c.Close()
		if _, given := ports.LoadOrStore(at, true); !given {
			return at
		}
	}
}

// sides lays out both, not paired.
func sides(t *testing.T) (low, high *side) {
	t.Helper()
	dir := t.TempDir()
	low, high = newSide(t, "sender", filepath.Join(dir, "low")), newSide(t, "receiver", filepath.Join(dir, "high"))
	to := port(t)
	low.run("init", "--dir", low.dir, "--to", to, "--name", "low-1").check(t, "init", 0, "sender.pair")
	high.run("init", "--dir", high.dir, "--listen", to, "--name", "high-1").check(t, "init", 0, "receiver.pair")
	return low, high
}

// paired lays out both and pairs them.
func paired(t *testing.T) (low, high *side) {
	t.Helper()
	low, high = sides(t)
	low.pair(high)
	return low, high
}

func (s *side) pair(high *side, args ...string) {
	s.t.Helper()
	s.ends(0, "", "pair", "--yes", filepath.Join(high.dir, "receiver.pair"))
	high.ends(0, "", "pair", append(args, "--yes", filepath.Join(s.dir, "sender.pair"))...)
}

// edit replaces a text in the side's configuration, where it has to stand.
func (s *side) edit(old, new string) {
	s.t.Helper()
	text, err := os.ReadFile(s.config)
	if err != nil || !strings.Contains(string(text), old) {
		s.t.Fatalf("%s: %v, no %q in it", s.config, err, old)
	}
	write(s.t, s.config, strings.Replace(string(text), old, new, 1))
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	return path
}
