package lab

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// root is the top of the repository.
var root = func() string {
	dir, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	return dir
}()

// programs is where the binaries stand. Others are tested by ECLUSE_BIN=DIR: those of a release, or some with a fault that a test has to find.
var programs = cmp.Or(os.Getenv("ECLUSE_BIN"), filepath.Join(root, "bin"))

// need skips a test that this machine cannot run, loudly, and fails it where CI=true. more are tools that this test uses beside the lab's.
func need(t *testing.T, more ...string) {
	t.Helper()
	var missing []string
	if os.Getuid() != 0 {
		missing = append(missing, "root")
	}
	for _, tool := range append([]string{"ip", "nft", "ethtool", "jq", "ssh-keygen", "sha256sum"}, more...) {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, tool)
		}
	}
	for _, p := range []string{"ecluse-sender", "ecluse-receiver"} {
		if _, err := os.Stat(filepath.Join(programs, p)); err != nil {
			missing = append(missing, p+" (make)")
		}
	}
	if len(missing) == 0 {
		return
	}
	text := "SKIPPED, THE LAB IS NOT TESTED: missing " + strings.Join(missing, ", ")
	if os.Getenv("CI") == "true" {
		t.Fatal(text)
	}
	t.Skip(text)
}

// lab is one pair of namespaces with a side each.
type lab struct {
	t         *testing.T
	name      string
	dir       string
	low, high *side
	tenants   []string // beside default
	gone      bool     // taken down
	loud      bool     // what others use it for may count as a packet that came back
}

// side is one house: its configuration, and its daemon while it runs.
type side struct {
	lab    *lab
	ns     string
	dir    string
	binary string
	config string
	env    []string // of the daemon, beside ours
	daemon *exec.Cmd
	log    *os.File
	ended  chan error
	began  time.Time
}

var labs atomic.Int32

// options of a lab.
type options struct {
	mtu     int
	loss    string // of the link, percent
	stated  string // in the sender's configuration
	burst   string // the same; "" for the default of init
	rate    string
	release string
	passes  int
	apart   string
	dir     string // "" for one of its own
	offload bool
	tenants int          // beside default: tenant-1 ...
	prepare func(l *lab) // before anything is laid out: mounts
}

// shortDir is t.TempDir without the test's name, below TMPDIR as well: in it stand sockets, whose paths have 107 bytes at most.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ecl")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}

// up makes a lab with two paired sides. Nothing runs yet.
func up(t *testing.T, o options) *lab {
	t.Helper()
	need(t)
	l := &lab{t: t, name: fmt.Sprintf("ecl%d-%d", os.Getpid()%100000, labs.Add(1)), dir: o.dir}
	if l.dir == "" {
		l.dir = shortDir(t)
	}
	if o.mtu == 0 {
		o.mtu = 1500
	}
	def := func(s *string, d string) {
		if *s == "" {
			*s = d
		}
	}
	def(&o.loss, "0")
	def(&o.stated, "1%")
	def(&o.rate, "900Mbit")
	def(&o.release, "automatic")
	def(&o.apart, "1s")
	if o.passes == 0 {
		o.passes = 1
	}
	if o.prepare != nil {
		o.prepare(l)
	}
	env := []string{"LAB=" + l.name}
	if !o.offload {
		env = append(env, "OFFLOAD=off")
	}
	l.script(env, "up", fmt.Sprint(o.mtu), o.loss)
	t.Cleanup(l.down)
	l.low = &side{lab: l, ns: l.name + "-low", dir: filepath.Join(l.dir, "low"), binary: "ecluse-sender", config: filepath.Join(l.dir, "low", "sender.yaml")}
	l.high = &side{lab: l, ns: l.name + "-high", dir: filepath.Join(l.dir, "high"), binary: "ecluse-receiver", config: filepath.Join(l.dir, "high", "receiver.yaml")}
	l.high.must("init", "--dir", l.high.dir, "--name", "cloud-high", "--listen", "10.77.0.2:4600", "--release", o.release)
	init := []string{"init", "--dir", l.low.dir, "--name", "ctie-low", "--to", "10.77.0.2:4600", "--mtu", fmt.Sprint(o.mtu), "--rate", o.rate, "--loss", o.stated, "--passes", fmt.Sprint(o.passes), "--apart", o.apart}
	if o.burst != "" {
		init = append(init, "--burst", o.burst)
	}
	l.low.must(init...)
	l.addTenants(o.tenants, o.release)
	l.pair()
	return l
}

// tenant names one of those beside default, from 1 on.
func tenant(n int) string { return fmt.Sprint("tenant-", n) }

// addTenants writes so many into both configurations.
func (l *lab) addTenants(count int, release string) {
	l.t.Helper()
	low, high := "\ntenants:\n", "\ntenants:\n"
	for n := range count {
		name := tenant(n + 1)
		low += fmt.Sprintf("  - name: %s\n    outbox: %s\n", name, filepath.Join(l.low.dir, "outbox", name))
		high += fmt.Sprintf("  - name: %s\n    release: %s\n    deliver:\n      - directory: %s\n", name, release, filepath.Join(l.high.dir, "import", name))
		if err := os.MkdirAll(filepath.Join(l.high.dir, "import", name), 0o755); err != nil {
			l.t.Fatal(err)
		}
		l.tenants = append(l.tenants, name)
	}
	for path, entries := range map[string]string{l.low.config: low, l.high.config: high} {
		text, err := os.ReadFile(path)
		if err == nil && count > 0 {
			err = os.WriteFile(path, []byte(strings.Replace(string(text), "\ntenants:\n", entries, 1)), 0o600)
		}
		if err != nil {
			l.t.Fatal(err)
		}
	}
}

// down ends both sides and takes the lab down, unless that was done before.
func (l *lab) down() {
	if l.gone {
		return
	}
	l.gone = true
	l.low.stop()
	l.high.stop()
	if !l.loud {
		l.silent()
	}
	l.script(nil, "down")
	if l.t.Failed() {
		l.low.tail()
		l.high.tail()
	}
}

func (l *lab) pair() {
	l.t.Helper()
	l.low.must("pair", "--config", l.low.config, "--yes", filepath.Join(l.high.dir, "receiver.pair"))
	args := []string{"pair", "--config", l.high.config, "--yes"}
	if len(l.tenants) > 0 {
		args = append(args, "--tenant", "default")
	}
	for _, t := range l.tenants {
		args = append(args, "--tenant", t)
	}
	l.high.must(append(args, filepath.Join(l.low.dir, "sender.pair"))...)
}

// script runs scripts/lab.sh.
func (l *lab) script(env []string, args ...string) string {
	l.t.Helper()
	c := exec.Command(filepath.Join(root, "scripts/lab.sh"), args...)
	c.Env = append(append(os.Environ(), "LAB="+l.name), env...)
	out, err := c.CombinedOutput()
	if err != nil {
		l.t.Fatalf("lab.sh %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// silent fails the test if one packet came back through the diode.
func (l *lab) silent() {
	l.t.Helper()
	if out := l.script(nil, "returned"); !strings.HasPrefix(out, "returned 0 ") {
		l.t.Errorf("the diode leaks: %s", out)
	}
}

// run runs a command of the side's program in its namespace.
func (s *side) run(args ...string) (stdout, stderr string, code int) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", s.ns, filepath.Join(programs, s.binary)}, args...)...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		s.lab.t.Fatalf("%s %v: %v", s.binary, args, err)
	}
	return out.String(), errs.String(), code
}

// must is run for what has to succeed.
func (s *side) must(args ...string) string {
	s.lab.t.Helper()
	out, errs, code := s.run(args...)
	if code != 0 {
		s.lab.t.Fatalf("%s %s: exit %d\n%s%s", s.binary, strings.Join(args, " "), code, out, errs)
	}
	return out
}

// ask is must with the side's configuration.
func (s *side) ask(verb string, args ...string) string {
	s.lab.t.Helper()
	return s.must(append([]string{verb, "--config", s.config}, args...)...)
}

// try is run with the side's configuration.
func (s *side) try(verb string, args ...string) (stdout, stderr string, code int) {
	return s.run(append([]string{verb, "--config", s.config}, args...)...)
}

// logPath is beside the sides' directories: a disk of theirs may fail.
func (s *side) logPath() string { return s.dir + ".log" }

// attempt is try for what may fail, and for other goroutines than the test's. A command that hangs gets code -1.
func (s *side) attempt(verb string, args ...string) (stdout string, code int) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	all := append([]string{"netns", "exec", s.ns, filepath.Join(programs, s.binary), verb, "--config", s.config}, args...)
	out, err := exec.CommandContext(ctx, "ip", all...).Output()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		s.lab.t.Errorf("%s %s %v hangs", s.binary, verb, args)
		code = -1
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		s.lab.t.Error(err)
		code = -1
	}
	return string(out), code
}

// start runs the daemon.
func (s *side) start() {
	s.lab.t.Helper()
	log, err := os.OpenFile(s.logPath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		s.lab.t.Fatal(err)
	}
	s.log = log
	s.daemon = exec.Command("ip", "netns", "exec", s.ns, filepath.Join(programs, s.binary), "run", "--config", s.config)
	s.daemon.Env = append(os.Environ(), s.env...)
	s.daemon.Stdout, s.daemon.Stderr = log, log
	if err := s.daemon.Start(); err != nil {
		s.lab.t.Fatal(err)
	}
	s.began = time.Now()
	s.ended = make(chan error, 1)
	daemon := s.daemon
	ended := s.ended
	go func() { ended <- daemon.Wait() }()
}

// stop ends the daemon as systemd would, and holds it to its five seconds.
func (s *side) stop() {
	if s == nil || s.daemon == nil {
		return
	}
	s.lab.t.Helper()
	began := time.Now()
	_ = s.daemon.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-s.ended:
		if took := time.Since(began); took > 5*time.Second {
			s.lab.t.Errorf("%s took %v to end", s.binary, took)
		}
		if err != nil {
			s.lab.t.Errorf("%s ended with %v", s.binary, err)
		}
	case <-time.After(15 * time.Second):
		s.lab.t.Errorf("%s does not end", s.binary)
		_ = s.daemon.Process.Kill()
		<-s.ended
	}
	s.log.Close()
	s.daemon = nil
}

// kill ends the daemon as the power does.
func (s *side) kill() {
	_ = s.daemon.Process.Kill()
	<-s.ended
	s.log.Close()
	s.daemon = nil
}

// ends waits for a daemon that ends by itself, and returns its exit code (-1 for a signal); ended is false for one that still runs then.
func (s *side) ends(limit time.Duration) (code int, ended bool) {
	var err error
	select {
	case err = <-s.ended:
	case <-time.After(limit):
		return 0, false
	}
	s.log.Close()
	s.daemon = nil
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), true
	}
	return 0, true
}

// running waits until a daemon that was started answers.
func (s *side) running() {
	s.lab.t.Helper()
	s.lab.within(30*time.Second, s.binary+" to run", func() bool {
		if code, ended := s.ends(time.Millisecond); ended {
			s.lab.t.Fatalf("%s does not start: exit %d", s.binary, code)
		}
		var status struct{ Running bool }
		out, _, _ := s.try("status", "--json")
		return json.Unmarshal([]byte(out), &status) == nil && status.Running
	})
}

// peak is the daemon's largest resident memory in bytes.
func (s *side) peak() int64 {
	s.lab.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.daemon.Process.Pid))
	if err != nil {
		s.lab.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kb int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	s.lab.t.Fatal("no VmHWM")
	return 0
}

func (s *side) tail() {
	if s == nil {
		return
	}
	text, _ := os.ReadFile(s.logPath())
	if len(text) > 4000 {
		text = text[len(text)-4000:]
	}
	s.lab.t.Logf("%s:\n%s", s.binary, text)
}

// startBoth runs both daemons, and waits until the session is open.
func (l *lab) startBoth() {
	l.t.Helper()
	l.high.start()
	l.low.start()
	l.open()
}

func (l *lab) open() {
	l.t.Helper()
	l.within(20*time.Second, "a session", func() bool {
		var s struct{ Sessions []struct{ State string } }
		out, _, _ := l.high.try("status", "--json")
		if json.Unmarshal([]byte(out), &s) != nil {
			return false
		}
		for _, x := range s.Sessions {
			if x.State == "open" {
				return true
			}
		}
		return false
	})
}

// within polls until something holds.
func (l *lab) within(limit time.Duration, what string, holds func() bool) {
	l.t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if holds() {
			return
		}
	}
	l.t.Fatalf("waited %v in vain for %s", limit, what)
}

// row is one line of `list --json`, of either side.
type row struct {
	Bundle       string
	Tenant       string
	Sender       string
	Epoch        string
	Sequence     *uint64
	Name         *string
	State        string
	Verdict      *string
	Reason       *string
	Priority     string
	Files        *int64
	Bytes        *int64
	MissingBytes *int64 `json:"missing_bytes"`
	SentBytes    *int64 `json:"sent_bytes"`
	PassesDone   *int   `json:"passes_done"`
	Created      *time.Time
	Received     *time.Time
	Finished     *time.Time
}

func (s *side) list(args ...string) []row {
	s.lab.t.Helper()
	var rows []row
	out := s.ask("list", append([]string{"--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &rows); err != nil {
		s.lab.t.Fatalf("list --json: %v\n%s", err, out)
	}
	return rows
}

// find returns the newest row of a name, or nil.
func (s *side) find(name string) *row {
	s.lab.t.Helper()
	rows := s.list()
	for i := len(rows) - 1; i >= 0; i-- {
		if rows[i].Name != nil && *rows[i].Name == name {
			return &rows[i]
		}
	}
	return nil
}

// reach waits until a name is in a state on a side.
func (s *side) reach(limit time.Duration, name, state string) *row {
	s.lab.t.Helper()
	var r *row
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if r = s.find(name); r != nil && r.State == state {
			return r
		}
	}
	text, _ := json.Marshal(r)
	s.lab.t.Fatalf("%s: %q did not become %s in %v: %s", s.binary, name, state, limit, text)
	return nil
}

func (l *lab) outbox() string { return filepath.Join(l.low.dir, "outbox", "default") }
func (l *lab) imports() string {
	return filepath.Join(l.high.dir, "import", "default")
}

// drop renames something into the outbox, whole.
func (l *lab) drop(path string) {
	l.t.Helper()
	if err := os.Rename(path, filepath.Join(l.outbox(), filepath.Base(path))); err != nil {
		l.t.Fatal(err)
	}
}

// dropTo renames something into another tenant's outbox.
func (l *lab) dropTo(tenant, path string) {
	l.t.Helper()
	if err := os.Rename(path, filepath.Join(l.low.dir, "outbox", tenant, filepath.Base(path))); err != nil {
		l.t.Fatal(err)
	}
}

// work is a place on the outbox's file system to make things in.
func (l *lab) work() string {
	l.t.Helper()
	dir := filepath.Join(l.dir, "work")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		l.t.Fatal(err)
	}
	return dir
}
